import type { Connection } from './connection.ts';
import { type Env, newId } from './env.ts';
import { FanfareError } from './errors.ts';
import type { Frame } from './link.ts';
import type { Metering } from './metrics.ts';
import { position } from './position.ts';
import type { Published, PublishOptions } from './types.ts';

/** Publishes that are sent and not answered yet; more are refused. */
const IN_FLIGHT = 10_000;

interface Item {
  _frame: Frame;
  _queuedAt: number;
  /** When it was first sent; from then on it may have been published. */
  _sentAt: number | undefined;
  /** It waits for the answer of the current link. */
  _inFlight: boolean;
  _deadline: number;
  _resolve(published: Published): void;
  _reject(error: FanfareError): void;
}

/** Sends publishes in order, each once or, with its id, again until the hub has answered. */
export class Publisher {
  private _items = new Set<Item>();
  private _timer: unknown;
  private _planned = Number.POSITIVE_INFINITY;
  private _prefix: string | undefined;
  private _count = 0;
  _connection!: Connection;

  constructor(
    private _env: Env,
    private _meter: Metering,
  ) {}

  get pending(): number {
    return this._items.size;
  }

  /** A new idempotency id. */
  id(): string {
    this._prefix ??= newId(this._env.random, 16);
    return `${this._prefix}-${(++this._count).toString(36)}`;
  }

  publish(frame: Frame, { offline, signal, timeout }: PublishOptions): Promise<Published> {
    const { _env: env, _connection: connection, _items: items } = this;
    const { channel } = frame;
    const refuse = (code: string, detail?: string) => Promise.reject(new FanfareError(code, detail, { channel }));
    if (signal?.aborted) return refuse('aborted');
    const { size = 100, age = 60_000 } = env.options.queue ?? {};
    if (!connection.link) {
      const { state, error } = connection.status.value;
      if (state === 'failed') return Promise.reject(error);
      if (frame.ephemeral || offline === 'fail') {
        connection.start();
        return refuse('offline');
      }
      if ([...items].filter(item => item._sentAt === undefined).length >= size) {
        return refuse('limit_exceeded', `${size} messages wait for a connection`);
      }
    }
    if (items.size >= IN_FLIGHT) return refuse('limit_exceeded', `${IN_FLIGHT} publishes are unanswered`);
    return new Promise<Published>((resolve, reject) => {
      const onAbort = () => this._give(item, 'aborted');
      const release = () => {
        signal?.removeEventListener('abort', onAbort);
        items.delete(item);
      };
      const item: Item = {
        _frame: frame,
        _queuedAt: env.now(),
        _sentAt: undefined,
        _inFlight: false,
        _deadline: env.now() + (timeout ?? age),
        _resolve(published) {
          release();
          resolve(published);
        },
        _reject(error) {
          release();
          reject(error);
        },
      };
      items.add(item);
      signal?.addEventListener('abort', onAbort);
      connection.start();
      if (connection.link) this._send(item, timeout);
      this._plan(item._deadline);
    });
  }

  /** Connected, maybe anew: everything unanswered goes out again, in order. */
  flush(): void {
    for (const item of [...this._items]) if (!item._inFlight) this._send(item);
  }

  /** Not to be connected again: nothing waits any longer. */
  end(error: FanfareError): void {
    for (const item of [...this._items]) this._give(item, error.code, error);
  }

  private _send(item: Item, timeout?: number): void {
    const { _env: env, _connection: connection } = this;
    const now = env.now();
    if (item._sentAt !== undefined && now >= item._deadline) return this._give(item, 'timeout');
    if (item._sentAt === undefined) {
      item._sentAt = now;
      // Repeating it is safe only while the hub still knows its id; what is on its way needs some of that time.
      const window = connection.idempotency;
      item._deadline = Math.min(
        now + window - Math.min(1000, window / 10),
        timeout === undefined ? Number.POSITIVE_INFINITY : item._deadline,
      );
    }
    item._inFlight = true;
    connection.request(
      item._frame,
      (error, answer) => this._answered(item, error, answer),
      env.options.ackTimeout ?? 10_000,
    );
  }

  private _answered(item: Item, error: FanfareError | undefined, answer: Frame): void {
    if (!this._items.has(item)) return;
    item._inFlight = false;
    if (!error) {
      this._meter._sent++;
      const { id, epoch, offset, duplicate } = answer;
      return item._resolve({
        id: id ?? item._frame.id,
        offset,
        position: epoch === undefined ? undefined : position(epoch, offset),
        duplicate: !!duplicate,
      });
    }
    const lost = error.code === 'network' || error.code === 'timeout';
    // Ephemeral messages have no idempotency: they are not repeated.
    if (lost && item._frame.ephemeral) return this._give(item, 'timeout');
    if (!lost && error.code !== 'draining') return item._reject(error);
    // The link is gone or about to go: it is sent again when there is another. When it only did not answer, now.
    if (error.code === 'timeout' && this._connection.link) this._send(item);
    else this._plan(item._deadline);
  }

  /** Gives up on one. */
  private _give(item: Item, code: string, cause?: FanfareError): void {
    const { channel } = item._frame;
    if (item._sentAt === undefined) item._reject(cause ?? new FanfareError(code, undefined, { channel }));
    else
      item._reject(new FanfareError('outcome_unknown', 'it was sent, and its answer did not come', { channel, cause }));
  }

  /** One timer, for whichever deadline is next. */
  private _plan(deadline: number): void {
    if (deadline >= this._planned) return;
    this._env.clearTimeout(this._timer);
    this._planned = deadline;
    this._timer = this._env.setTimeout(
      () => {
        const now = this._env.now();
        this._planned = Number.POSITIVE_INFINITY;
        let next = this._planned;
        for (const item of [...this._items]) {
          if (now >= item._deadline) this._give(item, 'timeout');
          else next = Math.min(next, item._deadline);
        }
        if (this._items.size) this._plan(next);
      },
      Math.max(0, deadline - this._env.now()),
    );
  }
}
