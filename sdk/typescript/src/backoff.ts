import type { RetryOptions } from './types.ts';

/** Full jitter: the first retry within 100 ms, then anywhere up to `min`, 2 `min`, 4 `min`, ..., at most `max`. ms. */
export function backoff(attempt: number, random: () => number, { min = 500, max = 20_000 }: RetryOptions = {}): number {
  const ceiling = attempt <= 1 ? Math.min(100, max) : Math.min(max, min * 2 ** Math.min(attempt - 2, 30));
  return Math.floor(random() * ceiling);
}
