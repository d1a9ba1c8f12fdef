import type { Core } from './core.ts';
import { errorOf, type FanfareError, isLost } from './errors.ts';
import type { Frame } from './link.ts';
import { onAbort } from './on-abort.ts';
import { position } from './position.ts';
import type { Code, Published, PublishOptions } from './types.ts';

/** Publishes that are sent and not answered yet; more are refused. */
const IN_FLIGHT = 10_000;

/** One that was not answered yet. */
interface Item {
  /** It was sent; from then on it may have been published. */
  _sent?: boolean;
  /** Sends it on this link, unless it waits for an answer there. */
  _send(): void;
  /** Gives it up. */
  _give(code: Code, cause?: FanfareError): void;
}

/** Sends publishes in order, each once or, with its id, again until the hub has answered. */
export interface Publisher {
  _pending(): number;
  _publish(frame: Frame, options: PublishOptions): Promise<Published>;
  /** Connected, maybe anew: everything unanswered goes out again, in order. */
  _flush(): void;
  /** Not to be connected again: nothing waits any longer. */
  _end(error: FanfareError): void;
}

export function makePublisher(core: Core): Publisher {
  const { _connection: connection, _now: now } = core;
  const { size = 100, age = 60_000 } = core._options.queue ?? {};
  const items = new Set<Item>();

  return {
    _pending: () => items.size,
    _flush() {
      for (const item of items) item._send();
    },
    _end(error) {
      for (const item of items) item._give(error.code, error);
    },
    async _publish(frame, { offline, signal, timeout }) {
      const { channel, ephemeral } = frame;
      const failure = (code: Code, detail?: string, cause?: unknown) => errorOf(code, detail, { channel, cause });
      if (signal?.aborted) throw failure('aborted');
      connection._start();
      if (!connection._link) {
        const { state, error } = connection._status.value;
        if (state === 'failed') throw error;
        if (ephemeral || offline === 'fail') throw failure('offline');
      }
      const [most, waiting] = connection._link
        ? [IN_FLIGHT, items.size]
        : [size, [...items].filter(item => !item._sent).length];
      if (waiting >= most) throw failure('limit_exceeded', `${most} messages wait`);
      return new Promise((resolve, reject) => {
        const timer = core._timer();
        let deadline: number;
        let inFlight = false;
        const give: Item['_give'] = (code, cause) => {
          end();
          reject(item._sent ? failure('outcome_unknown', '', cause) : (cause ?? failure(code)));
        };
        const off = onAbort(signal, () => give('aborted'));
        const end = () => {
          items.delete(item);
          timer();
          off();
        };
        /** To be given up after so long. */
        const limit = (ms: number) => {
          deadline = now() + ms;
          // Longer than a timer can run is without end.
          if (ms < 2 ** 31) timer(() => give('timeout'), ms);
        };
        const send = () => {
          if (inFlight) return;
          if (!item._sent) {
            item._sent = true;
            // Repeating it is safe only while the hub still knows its id; what is on its way needs some of that time.
            const { _idempotency: known } = connection;
            const safe = known - Math.min(1000, known / 10);
            limit(timeout == null ? safe : Math.min(safe, deadline - now()));
          } else if (now() >= deadline) return give('timeout');
          inFlight = true;
          connection._request(frame, (error, { id, epoch, offset, duplicate }) => {
            if (!items.has(item)) return;
            inFlight = false;
            if (!error) {
              end();
              core._meter._counts.sent++;
              return resolve({
                id: id ?? frame.id,
                offset,
                position: epoch && position(epoch, offset),
                duplicate: !!duplicate,
              });
            }
            const { code } = error;
            const lost = isLost(error);
            // Ephemeral messages have no idempotency: they are not repeated.
            if (lost && ephemeral) give(code);
            else if (!lost && code !== 'draining') {
              end();
              reject(error);
            }
            // The link is gone or about to go: it is sent again when there is another. When it only did not answer, now.
            else if (code === 'timeout' && connection._link) send();
          });
        };
        const item: Item = { _send: send, _give: give };
        items.add(item);
        limit(timeout ?? age);
        if (connection._link) send();
      });
    },
  };
}
