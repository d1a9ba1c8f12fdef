import type { Core } from './core.ts';
import { Listeners } from './store.ts';
import type { Entries, Message, Off } from './types.ts';

/** The newest message of each key, in the order of offsets. The map that is given out is copied only when somebody looks at it after a change. */
export class ChannelEntries extends Listeners<void> implements Entries {
  private _map = new Map<string, Message>();
  private _copy: ReadonlyMap<string, Message> | undefined;
  private _told = false;
  ready = false;

  constructor(
    core: Core,
    /** Keeps the channel subscribed; throws where it has no `snapshot`. */
    private _watch: () => Off,
  ) {
    super(core._guard);
  }

  get value(): ReadonlyMap<string, Message> {
    return (this._copy ??= new Map(this._map));
  }

  get(key: string): Message | undefined {
    return this._map.get(key);
  }

  subscribe(listener: (value: ReadonlyMap<string, Message>) => void): Off {
    const release = this._watch();
    const tell = () => listener(this.value);
    const off = this._add(tell);
    this._guard(tell);
    return () => {
      off();
      release();
    };
  }

  _put(message: Message): void {
    const { key } = message;
    if (key === undefined) return;
    this._map.delete(key);
    if (message.data !== null) this._map.set(key, message);
    this._changed();
  }

  /** `ready`: the whole state has come. `false`: it begins anew. */
  _set(ready: boolean): void {
    if (!ready) this._map.clear();
    this.ready = ready;
    this._changed();
  }

  /** Tells once for all that comes together. */
  private _changed(): void {
    this._copy = undefined;
    if (this._told || !this._all.size) return;
    this._told = true;
    queueMicrotask(() => {
      this._told = false;
      this._tell();
    });
  }
}
