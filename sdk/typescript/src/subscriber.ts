import { Batch } from './batch.ts';
import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Gap, Message, SubscribeOptions } from './types.ts';

/** Delivery waits so long for the promise of an `onGap`, ms. */
const GAP_WAIT = 10_000;

/** What comes down a channel, in order. */
export type Item = { _message: Message } | { _gap: Gap };

/** One who listens to a channel: holds back what may not be delivered yet, and delivers the rest in order. */
export class Subscriber {
  /** Messages up to this offset are not for this one. `undefined`: decided when the channel knows where it stands. */
  _floor: number | undefined;
  /** So many messages of the past are others' wish. */
  _skip = 0;
  /** The subscribe frame that asked for this one's past too. */
  _asked: object | undefined;
  /** Another tab's: it gets messages as the hub sent them, and validates them itself. */
  _raw = false;
  /** Told once where this one begins, and how many messages of the past it gets. */
  _placed: ((epoch: string, offset: number, replay: number) => void) | undefined;
  private _held: Item[] = [];
  private _blocked = 0;
  private _ended = false;
  private _batch: Batch | undefined;

  constructor(
    private _core: Core,
    readonly _event: string | undefined,
    private _handler: (messages: Message[]) => void,
    readonly _options: SubscribeOptions,
  ) {
    if (_options.batch !== undefined) this._batch = new Batch(_core.env, _options, messages => this._call(messages));
  }

  /** Something new. */
  _push(item: Item): void {
    if (this._ended) return;
    if (!this._blocked && !this._held.length) return this._deliver(item);
    this._held.push(item);
    if (this._held.length <= (this._options.buffer ?? 1000)) return;
    // Full. Waiting for a promise is a courtesy; waiting for history is not, so there the oldest go, and that is told.
    if (this._joining) {
      const at = this._held.findIndex(held => '_message' in held);
      const [lost] = this._held.splice(at, 1) as [{ _message: Message }];
      const { channel, position } = lost._message;
      const before = this._held[at - 1];
      const gap: Gap = { channel, reason: 'overflow', position: position ?? '' };
      if (before && '_gap' in before && before._gap.reason === 'overflow') this._held[at - 1] = { _gap: gap };
      else this._held.splice(at, 0, { _gap: gap });
    } else {
      this._blocked = 0;
      this._drain();
    }
  }
  private _joining = false;

  /** History is read first: what comes meanwhile waits. The function ends that, with what came of it. */
  _hold(): (past: Item[]) => void {
    this._blocked++;
    this._joining = true;
    return past => {
      this._joining = false;
      this._held.unshift(...past);
      this._blocked--;
      this._drain();
    };
  }

  _error(error: FanfareError): void {
    if (this._ended) return;
    this._guard(() => this._options.onError?.(error));
  }

  _end(): void {
    this._ended = true;
    this._held = [];
    this._batch?.stop();
  }

  private _drain(): void {
    while (!this._blocked && !this._ended && this._held.length) this._deliver(this._held.shift()!);
  }

  private _deliver(item: Item): void {
    if ('_message' in item) {
      const { _message: message } = item;
      if (this._event !== undefined && message.event !== this._event) return;
      if (this._batch) this._batch.add(message);
      else this._call([message]);
      return;
    }
    // What was gathered came before the gap.
    this._batch?.flush();
    let result: unknown;
    this._guard(() => {
      result = this._options.onGap?.(item._gap);
    });
    if (typeof (result as Promise<unknown> | undefined)?.then === 'function') this._wait(result as Promise<unknown>);
  }

  private _wait(promise: Promise<unknown>): void {
    const { env } = this._core;
    let over = false;
    this._blocked++;
    const go = () => {
      if (over) return;
      over = true;
      env.clearTimeout(timer);
      if (this._blocked) this._blocked--;
      this._drain();
    };
    const timer = env.setTimeout(go, GAP_WAIT);
    promise.then(go, error => {
      this._core.threw(error);
      go();
    });
  }

  private _call(messages: Message[]): void {
    if (!this._ended) this._guard(() => this._handler(messages));
  }

  private _guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this._core.threw(error);
    }
  }
}
