import { putNewest } from './newest.ts';
import type { Message } from './types.ts';

const KEPT = 1000;

/**
 * The newest ids of a channel. A hub that lost its memory may take a repeated publish as new: the same id at another position, within the
 * time in which ids are recognised, is the same message.
 *
 * Tells whether it is a repeat; remembers it if not.
 */
export function recentIds(): (message: Message, window: number) => boolean {
  const seen = new Map<string, Message>();
  return (message, window) => {
    const { id, position, time } = message;
    if (!id || !position) return false;
    const before = seen.get(id);
    if (before && before.position !== position && Math.abs(time - before.time) < window) return true;
    putNewest(seen, id, message, KEPT);
    return false;
  };
}
