import type { Core } from './core.ts';
import { FanfareError } from './errors.ts';
import type { Frame } from './link.ts';
import { position } from './position.ts';
import type { Timer } from './timer.ts';
import type { Code, Published, PublishOptions } from './types.ts';

/** Publishes that are sent and not answered yet; more are refused. */
const IN_FLIGHT = 10_000;

interface Item {
  _frame: Frame;
  /** It was sent; from then on it may have been published. */
  _sent?: boolean;
  /** It waits for the answer of the current link. */
  _inFlight?: boolean;
  /** When to give it up, and whether the application said so. */
  _deadline: number;
  _limited: boolean;
  _resolve(published: Published): void;
  _reject(error: unknown): void;
}

/** Sends publishes in order, each once or, with its id, again until the hub has answered. */
export class Publisher {
  private _items = new Set<Item>();
  /** One for all, at the next deadline. */
  private _timer: Timer;
  private _prefix: string | undefined;
  private _count = 0;

  constructor(private _core: Core) {
    this._timer = _core._timer();
  }

  get _pending(): number {
    return this._items.size;
  }

  /** A new idempotency id. */
  _id(): string {
    this._prefix ??= this._core._newId(16);
    return `${this._prefix}-${(++this._count).toString(36)}`;
  }

  async _publish(frame: Frame, { offline, signal, timeout }: PublishOptions): Promise<Published> {
    const { _items: items, _core: core } = this;
    const { _connection: connection, _options } = core;
    const { channel } = frame;
    const { size = 100, age = 60_000 } = _options.queue ?? {};
    const refuse = (code: Code, detail?: string) => {
      throw new FanfareError(code, detail, { channel });
    };
    if (signal?.aborted) refuse('aborted');
    connection._start();
    if (!connection._link) {
      const { state, error } = connection._status.value;
      if (state === 'failed') throw error;
      if (frame.ephemeral || offline === 'fail') refuse('offline');
      if ([...items].filter(item => !item._sent).length >= size) refuse('limit_exceeded', `${size} messages wait`);
    }
    if (items.size >= IN_FLIGHT) refuse('limit_exceeded', `${IN_FLIGHT} messages wait`);
    let abort!: () => void;
    return new Promise<Published>((_resolve, _reject) => {
      const item: Item = {
        _frame: frame,
        _deadline: core._now() + (timeout ?? age),
        _limited: timeout !== undefined,
        _resolve,
        _reject,
      };
      items.add(item);
      abort = () => this._give(item, 'aborted');
      signal?.addEventListener('abort', abort);
      if (connection._link) this._send(item);
      this._plan();
    }).finally(() => signal?.removeEventListener('abort', abort));
  }

  /** Connected, maybe anew: everything unanswered goes out again, in order. */
  _flush(): void {
    for (const item of [...this._items]) if (!item._inFlight) this._send(item);
  }

  /** Not to be connected again: nothing waits any longer. */
  _end(error: FanfareError): void {
    for (const item of [...this._items]) this._give(item, error.code, error);
  }

  private _send(item: Item): void {
    const { _connection: connection, _now } = this._core;
    const now = this._core._now();
    if (item._sent && now >= item._deadline) return this._give(item, 'timeout');
    if (!item._sent) {
      item._sent = true;
      // Repeating it is safe only while the hub still knows its id; what is on its way needs some of that time.
      const window = connection._idempotency;
      const safe = now + window - Math.min(1000, window / 10);
      item._deadline = item._limited ? Math.min(safe, item._deadline) : safe;
    }
    item._inFlight = true;
    connection._request(item._frame, (error, answer) => this._answered(item, error, answer), connection._ackTimeout);
  }

  private _answered(item: Item, error: FanfareError | undefined, { id, epoch, offset, duplicate }: Frame): void {
    const { _items: items, _core: core } = this;
    if (!items.has(item)) return;
    item._inFlight = false;
    if (!error) {
      items.delete(item);
      core._meter._counts.sent++;
      return item._resolve({
        id: id ?? item._frame.id,
        offset,
        position: epoch && position(epoch, offset),
        duplicate: !!duplicate,
      });
    }
    const { code } = error;
    const lost = code === 'network' || code === 'timeout';
    // Ephemeral messages have no idempotency: they are not repeated.
    if (lost && item._frame.ephemeral) return this._give(item, 'timeout');
    if (!lost && code !== 'draining') {
      items.delete(item);
      return item._reject(error);
    }
    // The link is gone or about to go: it is sent again when there is another. When it only did not answer, now.
    if (code === 'timeout' && core._connection._link) this._send(item);
    this._plan();
  }

  /** Gives up on one. */
  private _give(item: Item, code: Code, cause?: FanfareError): void {
    const { channel } = item._frame;
    this._items.delete(item);
    item._reject(
      item._sent
        ? new FanfareError('outcome_unknown', '', { channel, cause })
        : (cause ?? new FanfareError(code, undefined, { channel })),
    );
  }

  /** Gives up what is due, and looks again at the next deadline. */
  private _plan(): void {
    const now = this._core._now();
    let next = Infinity;
    for (const item of [...this._items]) {
      if (now >= item._deadline) this._give(item, 'timeout');
      else next = Math.min(next, item._deadline);
    }
    if (next < Infinity) this._timer._start(() => this._plan(), next - now);
    else this._timer._stop();
  }
}
