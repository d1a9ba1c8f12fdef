import type { Core } from './core.ts';
import type { Entries, Message, Off } from './types.ts';

type Map_ = ReadonlyMap<string, Message>;

/** The newest message of each key, in the order of offsets. The map that is given out is copied only when somebody looks at it after a change. */
export class ChannelEntries implements Entries {
  private _map = new Map<string, Message>();
  private _copy: Map_ | undefined;
  private _listeners = new Set<(value: Map_) => void>();
  private _told = false;
  ready = false;

  constructor(
    private _core: Core,
    /** Keeps the channel subscribed; throws where it has no `snapshot`. */
    private _watch: () => Off,
  ) {}

  get value(): Map_ {
    return (this._copy ??= new Map(this._map));
  }

  get(key: string): Message | undefined {
    return this._map.get(key);
  }

  subscribe(listener: (value: Map_) => void): Off {
    const own = (value: Map_) => listener(value);
    let off: Off | undefined = this._watch();
    this._listeners.add(own);
    this._call(own);
    return () => {
      this._listeners.delete(own);
      off?.();
      off = undefined;
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
    if (this._told || !this._listeners.size) return;
    this._told = true;
    queueMicrotask(() => {
      this._told = false;
      for (const listener of [...this._listeners]) this._call(listener);
    });
  }

  private _call(listener: (value: Map_) => void): void {
    try {
      listener(this.value);
    } catch (error) {
      this._core.threw(error);
    }
  }
}
