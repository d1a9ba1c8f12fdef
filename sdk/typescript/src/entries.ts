import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import { putNewest } from './newest.ts';
import { listeners } from './store.ts';
import type { Entries, Message } from './types.ts';

/** The newest message of each key, in the order of offsets. */
export interface ChannelEntries extends Entries {
  ready: boolean;
  /** Takes it, if the channel has the option `snapshot`. */
  _put(message: Message): void;
  /** `ready`: the whole state has come. `false`: it begins anew. */
  _set(ready: boolean): void;
}

export function channelEntries({ _guard: guard }: Core, channel: ClientChannel): ChannelEntries {
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
    subscribe: listener =>
      channel._watch('snapshot', () => {
        const tell = () => listener(entries.value);
        guard(tell);
        return _add(tell);
      }),
    _put(message) {
      const { key } = message;
      if (key == null || !channel.options.snapshot) return;
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
