import { errorOf } from './errors.ts';
import type { IterateOptions, Message } from './types.ts';

/**
 * Messages for a `for await`. It begins to listen when it is made, so that nothing is missed between making it and the first
 * `next()`; leaving the loop ends it. When `signal` is aborted the loop ends.
 */
export function iterate(
  channel: string,
  { buffer = 1000, overflow = 'error', signal, onGap }: IterateOptions,
  listen: (message: (message: Message) => void, error: (error: unknown) => void, signal: AbortSignal) => void,
): AsyncIterableIterator<Message> {
  let waiting: Message[] = [];
  /** It ends, after what waits; with an error, if there is one in it. */
  let over: unknown[] | undefined;
  /** Wakes a loop that waits. */
  let wake = () => {};
  /** Given as options of what listens, of which `signal` is one. */
  const stop = new AbortController();

  const finish = (how: unknown[]) => {
    over ??= how;
    wake();
    stop.abort();
  };
  const end = () => {
    waiting = [];
    over = [];
    finish(over);
  };
  signal?.addEventListener('abort', end, stop);
  if (signal?.aborted) end();
  listen(
    message => {
      if (over) return;
      waiting.push(message);
      wake();
      if (waiting.length <= buffer) return;
      const lost = (overflow === 'oldest' ? waiting.shift() : waiting.pop())!;
      if (overflow === 'error') finish([errorOf('overflow', `${buffer} messages wait`, { channel })]);
      else onGap?.({ channel, reason: 'overflow', position: lost.position ?? '' });
    },
    error => finish([error]),
    stop.signal,
  );
  const messages = (async function* () {
    for (;;) {
      const message = waiting.shift();
      if (message) yield message;
      else if (!over) await new Promise<void>(resolve => (wake = resolve));
      else if (over.length) throw over[0];
      else return;
    }
  })();
  const leave = messages.return.bind(messages);
  messages.return = value => {
    end();
    return leave(value);
  };
  return messages;
}
