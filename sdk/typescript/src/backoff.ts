import type { RetryOptions } from './types.ts';

/** Full jitter: the first retry within 100 ms, then anywhere up to `min`, 2 `min`, 4 `min`, ..., at most `max`. ms. */
export const backoff = (
  attempt: number,
  random: () => number,
  { min = 500, max = 20_000 }: RetryOptions = {},
): number => Math.floor(random() * Math.min(max, attempt < 2 ? 100 : min * 2 ** (attempt - 2)));
