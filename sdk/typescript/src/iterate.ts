import { FanfareError } from './errors.ts';
import type { IterateOptions, Message, Off } from './types.ts';

/**
 * Messages for a `for await`. It begins to listen when it is made, so that nothing is missed between making it and the first
 * `next()`; leaving the loop ends it. When `signal` is aborted the loop ends.
 */
export function iterate(
  channel: string,
  { buffer = 1000, overflow = 'error', signal, onGap }: IterateOptions,
  listen: (message: (message: Message) => void, error: (error: unknown) => void) => Off,
): AsyncIterableIterator<Message> {
  let waiting: Message[] = [];
  let failure: { _error: unknown } | undefined;
  let done = false;
  /** Wakes a loop that waits. */
  let wake = () => {};

  function took(message: Message): void {
    if (done || failure) return;
    waiting.push(message);
    wake();
    if (waiting.length <= buffer) return;
    if (overflow === 'error') {
      waiting.pop();
      return fail(new FanfareError('overflow', `${buffer} messages wait to be read`, { channel }));
    }
    const lost = (overflow === 'oldest' ? waiting.shift() : waiting.pop())!;
    onGap?.({ channel, reason: 'overflow', position: lost.position ?? '' });
  }
  /** After what waits. */
  function fail(_error: unknown): void {
    failure ??= { _error };
    wake();
    off();
  }
  function end(): void {
    done = true;
    waiting = [];
    wake();
    off();
  }
  async function* read(): AsyncGenerator<Message> {
    for (;;) {
      const message = waiting.shift();
      if (message) yield message;
      else if (done) return;
      else if (failure) {
        done = true;
        throw failure._error;
      } else await new Promise<void>(resolve => (wake = resolve));
    }
  }

  let ended = false;
  let stop: Off | undefined;
  const off = () => {
    ended = true;
    signal?.removeEventListener('abort', end);
    stop?.();
  };
  stop = listen(took, fail);
  if (signal?.aborted) end();
  else signal?.addEventListener('abort', end);
  // It failed while it began to listen.
  if (ended) off();
  const messages = read();
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => messages.next(),
    return(value) {
      end();
      return messages.return(value);
    },
  };
}
