import { globals, guarded } from './env.ts';
import { errorOf } from './errors.ts';
import { onAbort } from './on-abort.ts';
import { guardWith, storeOf } from './store.ts';
import { timerOn } from './timer.ts';
import type { Poll, PollOptions, PollState } from './types.ts';

/**
 * Asks any endpoint again and again, as seldom as it may: at once, then at intervals that grow while nothing changes and are short again after a
 * change. Pauses while the page is hidden, and is quiet while a live channel tells the same.
 */
export function poll<R>(
  fn: (context: { signal: AbortSignal }) => R | Promise<R>,
  options: PollOptions<R> = {},
): Poll<R> {
  const { min = 1000, max = 30_000, factor = 1.5, jitter = 0.1, until, channel, errors = 5, signal } = options;
  const { changed = differ, clock, random = Math.random, onResult, onError } = options;
  const guard = guardWith(error => console.error(error));
  const state = storeOf<PollState<R>>(
    { state: 'running', result: undefined, error: undefined, interval: min, requests: 0 },
    guard,
  );
  const set = (change: Partial<PollState<R>>) => state._set({ ...state.value, ...change });
  const timer = timerOn(clock);
  const abort = new AbortController();
  const { signal: over } = abort;
  const page = guarded(() => globals.document);
  let failures = 0;
  let busy = false;
  let again = false;
  let finish!: (last: PollState<R>['state'], result?: R, error?: unknown) => void;
  const done = new Promise<R>((resolve, reject) => {
    finish = (last, result, error) => {
      if (over.aborted) return;
      timer();
      abort.abort();
      set({ state: last });
      if (last === 'done') resolve(result!);
      else reject(error ?? errorOf('aborted'));
    };
  });
  // Whoever does not look at `done` has not forgotten to handle its end.
  done.catch(() => {});

  const hidden = () => page?.visibilityState === 'hidden';
  const covered = () => channel?.state.value.state === 'live';
  const plan = () => {
    timer();
    if (over.aborted || busy) return;
    set({ state: hidden() ? 'hidden' : covered() ? 'quiet' : 'waiting' });
    if (state.value.state === 'waiting') timer(ask, state.value.interval * (1 + jitter * (2 * random() - 1)));
  };
  const ask = async () => {
    timer();
    again = busy;
    if (over.aborted || busy) return;
    busy = true;
    const { requests, result: before, interval } = state.value;
    set({ state: 'running', requests: requests + 1 });
    try {
      const result = await fn({ signal: over });
      if (over.aborted) return;
      const same = before !== undefined && !changed(before, result);
      failures = 0;
      set({ result, error: undefined, interval: same ? Math.min(max, interval * factor) : min });
      guard(() => onResult?.(result));
      if (until?.(result)) finish('done', result);
    } catch (error) {
      if (over.aborted) return;
      set({ error, interval: Math.min(max, Math.max(min, interval) * Math.max(factor, 2)) });
      guard(() => onError?.(error));
      if (++failures >= errors) finish('failed', undefined, error);
    } finally {
      busy = false;
    }
    if (again) ask();
    else plan();
  };
  const now = () => {
    set({ interval: min });
    ask();
  };
  const stop = () => finish('stopped');
  const listen = (target: EventTarget | undefined, event: string, act: () => void) =>
    target?.addEventListener?.(event, act, { signal: over });

  listen(page, 'visibilitychange', () => (hidden() ? plan() : state.value.state === 'hidden' && now()));
  listen(signal, 'abort', stop);
  if (signal?.aborted) stop();
  else {
    ask();
    if (channel) {
      let live = covered();
      // What the channel says is news for the endpoint too; when it falls silent, polling takes over at once.
      channel.subscribe(now, { signal: over });
      onAbort(
        over,
        channel.state.subscribe(() => {
          if (covered() === live) return;
          live = !live;
          if (live) plan();
          else now();
        }),
      );
    }
  }
  return {
    get value() {
      return state.value;
    },
    subscribe: state.subscribe,
    done,
    now,
    stop,
  };
}

const differ = (a: unknown, b: unknown) => JSON.stringify(a) !== JSON.stringify(b);
