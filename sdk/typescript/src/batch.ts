import type { Core } from './core.ts';
import { globals } from './env.ts';
import { putNewest } from './newest.ts';
import type { Message, SubscribeOptions } from './types.ts';

/** Gathers messages and hands them on together. */
export interface Batch {
  /** A full batch goes at once. */
  _add(message: Message): void;
  _flush(): void;
  /** Forgets what has been gathered. */
  _stop(): void;
}

export function makeBatch(
  core: Core,
  { newest, buffer = 1000, batch }: SubscribeOptions,
  emit: (messages: Message[]) => void,
): Batch {
  /** By key, in the order of the newest; what has no key is its own. */
  const waiting = new Map<unknown, Message>();
  const timer = core._timer();
  const stop = () => {
    timer();
    waiting.clear();
  };
  const flush = () => {
    const messages = [...waiting.values()];
    stop();
    if (messages.length) emit(messages);
  };
  return {
    _add(message) {
      const { requestAnimationFrame: frame } = globals;
      putNewest(waiting, (newest === 'key' ? message.key : newest?.(message)) ?? message, message);
      if (waiting.size >= buffer) flush();
      else if (!timer._running) {
        // Frames stop while a page is hidden; the timer goes on, at the browser's pace.
        timer(flush, batch === 'frame' ? (frame ? 100 : 16) : batch);
        if (batch === 'frame') frame?.(flush);
      }
    },
    _flush: flush,
    _stop: stop,
  };
}
