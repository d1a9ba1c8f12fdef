import type { Core } from './core.ts';
import { putNewest } from './newest.ts';
import { listeners } from './store.ts';
import type { Entries, Message, Off } from './types.ts';

/** The newest message of each key, in the order of offsets. */
export interface ChannelEntries extends Entries {
  ready: boolean;
  _put(message: Message): void;
  /** `ready`: the whole state has come. `false`: it begins anew. */
  _set(ready: boolean): void;
}

/** `watch` keeps the channel subscribed; it throws where it has no `snapshot`. */
export function channelEntries({ _guard: guard }: Core, watch: () => Off): ChannelEntries {
  const map = new Map<string, Message>();
  const { _add, _size, _tell } = listeners<void>(guard);
  /** What is given out is copied only when somebody looks at it after a change. */
  let copy: ReadonlyMap<string, Message> | undefined;
  let told = false;

  /** Tells once for all that comes together. */
  const changed = () => {
    copy = undefined;
    if (told || !_size()) return;
    told = true;
    queueMicrotask(() => {
      told = false;
      _tell();
    });
  };
  const entries: ChannelEntries = {
    ready: false,
    get value() {
      return (copy ??= new Map(map));
    },
    get: key => map.get(key),
    subscribe(listener) {
      const release = watch();
      const tell = () => listener(entries.value);
      const off = _add(tell);
      guard(tell);
      return () => {
        off();
        release();
      };
    },
    _put(message) {
      const { key } = message;
      if (key == null) return;
      if (message.data === null) map.delete(key);
      else putNewest(map, key, message);
      changed();
    },
    _set(ready) {
      if (!ready) map.clear();
      entries.ready = ready;
      changed();
    },
  };
  return entries;
}
