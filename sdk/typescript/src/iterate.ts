import { FanfareError } from './errors.ts';
import type { Gap, IterateOptions, Message, Off } from './types.ts';

/** How an iterator listens. */
export interface Source {
  message(message: Message): void;
  error(error: FanfareError): void;
}

/**
 * Messages for a `for await`. It begins to listen when it is made, so that nothing is missed between making it and the first
 * `next()`; leaving the loop ends it. When `signal` is aborted the loop ends.
 */
export function iterate(
  channel: string,
  { buffer = 1000, overflow = 'error', signal, onGap }: IterateOptions,
  listen: (source: Source) => Off,
): AsyncIterableIterator<Message> {
  let waiting: Message[] = [];
  let wanted: { resolve(result: IteratorResult<Message>): void; reject(error: unknown): void }[] = [];
  let failure: FanfareError | undefined;
  let done = false;

  let off: Off | undefined;
  off = listen({
    message(message) {
      if (done || failure) return;
      const next = wanted.shift();
      if (next) return next.resolve({ done: false, value: message });
      if (waiting.length < buffer) {
        waiting.push(message);
        return;
      }
      if (overflow === 'error')
        return fail(new FanfareError('overflow', `${buffer} messages wait to be read`, { channel }));
      const lost = overflow === 'oldest' ? waiting.shift()! : message;
      if (overflow === 'oldest') waiting.push(message);
      const gap: Gap = { channel, reason: 'overflow', position: lost.position ?? '' };
      void onGap?.(gap);
    },
    error: fail,
  });
  /** After what waits. */
  function fail(error: FanfareError): void {
    failure ??= error;
    const open = wanted;
    wanted = [];
    for (const next of open) next.reject(error);
    off?.();
  }
  function end(): void {
    done = true;
    waiting = [];
    const open = wanted;
    wanted = [];
    for (const next of open) next.resolve({ done: true, value: undefined });
    signal?.removeEventListener('abort', end);
    off?.();
  }
  if (failure) off();
  if (signal?.aborted) end();
  else signal?.addEventListener('abort', end);

  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next() {
      const value = waiting.shift();
      if (value) return Promise.resolve({ done: false, value });
      if (failure && !done) {
        const error = failure;
        end();
        return Promise.reject(error);
      }
      if (done) return Promise.resolve({ done: true, value: undefined });
      return new Promise((resolve, reject) => wanted.push({ resolve, reject }));
    },
    return(value?: unknown) {
      end();
      return Promise.resolve({ done: true, value: value as undefined });
    },
  };
}
