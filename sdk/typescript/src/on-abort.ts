import type { Off } from './types.ts';

/** Calls `fn` when `signal` is aborted, unless it is told to stop before. */
export function onAbort(signal: AbortSignal | undefined, fn: () => void): Off {
  signal?.addEventListener('abort', fn);
  return () => signal?.removeEventListener('abort', fn);
}
