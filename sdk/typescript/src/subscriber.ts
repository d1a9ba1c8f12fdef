import { Batch } from './batch.ts';
import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Gap, Message, SubscribeOptions } from './types.ts';

/** Delivery waits so long for the promise of an `onGap`, ms. */
const GAP_WAIT = 10_000;

/** What comes down a channel, in order. */
export type Item = { _message: Message; _gap?: undefined } | { _gap: Gap };

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
  private _joining = false;
  private _ended = false;
  private _batch: Batch | undefined;

  constructor(
    private _core: Core,
    private _event: string | undefined,
    private _handler: (messages: Message[]) => void,
    readonly _options: SubscribeOptions,
  ) {
    if (_options.batch !== undefined) this._batch = new Batch(_core, _options, messages => this._call(messages));
  }

  /** Something new. */
  _push(item: Item): void {
    const { _held: held } = this;
    if (this._ended) return;
    if (!this._blocked && !held.length) return this._deliver(item);
    held.push(item);
    if (held.length <= (this._options.buffer ?? 1000)) return;
    // Full. Waiting for a promise is a courtesy; waiting for history is not, so there the oldest go, and that is told.
    if (!this._joining) {
      this._blocked = 0;
      return this._drain();
    }
    const at = held.findIndex(({ _gap }) => !_gap);
    const { channel, position = '' } = (held[at] as { _message: Message })._message;
    const told = held[at - 1]?._gap?.reason === 'overflow';
    held.splice(told ? at - 1 : at, told ? 2 : 1, { _gap: { channel, reason: 'overflow', position } });
  }

  /** History is read first: what comes meanwhile waits. The function ends that, with what came of it. */
  _hold(): (past: Item[]) => void {
    this._blocked++;
    this._joining = true;
    return past => {
      this._joining = false;
      this._held.unshift(...past);
      this._release();
    };
  }

  _error(error: FanfareError): void {
    if (!this._ended) this._core._guard(() => this._options.onError?.(error));
  }

  _end(): void {
    this._ended = true;
    this._held = [];
    this._batch?._stop();
  }

  private _release(): void {
    if (this._blocked) this._blocked--;
    this._drain();
  }

  private _drain(): void {
    while (!this._blocked && !this._ended && this._held.length) this._deliver(this._held.shift()!);
  }

  private _deliver(item: Item): void {
    const { _core: core, _batch: batch } = this;
    core._guard(() => {
      if (!item._gap) {
        const { _message: message } = item as { _message: Message };
        if (this._event !== undefined && message.event !== this._event) return;
        if (batch) batch._add(message);
        else this._call([message]);
        return;
      }
      // What was gathered came before the gap.
      batch?._flush();
      const result: unknown = this._options.onGap?.(item._gap);
      if (typeof (result as Promise<unknown> | undefined)?.then !== 'function') return;
      this._blocked++;
      const timer = core._timer();
      const late = new Promise<void>(resolve => timer._start(resolve, GAP_WAIT));
      Promise.race([result, late])
        .catch(core._threw)
        .then(() => {
          timer._stop();
          this._release();
        });
    });
  }

  private _call(messages: Message[]): void {
    if (!this._ended) this._core._guard(() => this._handler(messages));
  }
}
