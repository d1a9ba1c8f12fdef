import { globals, guarded, systemClock } from './env.ts';
import { FanfareError } from './errors.ts';
import { Value } from './store.ts';
import type { Off, Poll, PollOptions, PollState } from './types.ts';

/**
 * Asks any endpoint again and again, as seldom as it may: at once, then at intervals that grow while nothing changes and are short again after a
 * change. Pauses while the page is hidden, and is quiet while a live channel tells the same.
 */
export function poll<R>(
  fn: (context: { signal: AbortSignal }) => R | Promise<R>,
  options: PollOptions<R> = {},
): Poll<R> {
  const { min = 1000, max = 30_000, factor = 1.5, jitter = 0.1, until, channel, errors = 5, signal } = options;
  const {
    changed = (a, b) => JSON.stringify(a) !== JSON.stringify(b),
    clock = systemClock,
    random = Math.random,
  } = options;
  const state = new Value<PollState<R>>(
    { state: 'running', result: undefined, error: undefined, interval: min, requests: 0 },
    report,
  );
  const set = (change: Partial<PollState<R>>) => state.set({ ...state.value, ...change });
  const offs: Off[] = [];
  let abort = new AbortController();
  let timer: unknown;
  let failures = 0;
  let over = false;
  let busy = false;
  let again = false;
  let resolve!: (result: R) => void;
  let reject!: (error: unknown) => void;
  const done = new Promise<R>((ok, no) => {
    resolve = ok;
    reject = no;
  });
  // Whoever does not look at `done` has not forgotten to handle its end.
  done.catch(() => {});

  const hidden = () => guarded(() => globals.document?.visibilityState === 'hidden') ?? false;
  const covered = () => channel?.state.value.state === 'live';

  function report(error: unknown): void {
    console.error(error);
  }
  function tell<T>(listener: ((value: T) => void) | undefined, value: T): void {
    try {
      listener?.(value);
    } catch (error) {
      report(error);
    }
  }
  function finish(last: PollState<R>['state']): void {
    over = true;
    clock.clearTimeout(timer);
    abort.abort();
    for (const off of offs) off();
    set({ state: last });
  }

  function plan(): void {
    clock.clearTimeout(timer);
    if (over || busy) return;
    if (hidden()) return set({ state: 'hidden' });
    if (covered()) return set({ state: 'quiet' });
    set({ state: 'waiting' });
    timer = clock.setTimeout(() => void ask(), state.value.interval * (1 + jitter * (2 * random() - 1)));
  }

  async function ask(): Promise<void> {
    clock.clearTimeout(timer);
    if (over) return;
    if (busy) {
      again = true;
      return;
    }
    busy = true;
    again = false;
    abort = new AbortController();
    const before = state.value;
    set({ state: 'running', requests: before.requests + 1 });
    try {
      const result = await fn({ signal: abort.signal });
      if (over) return;
      const same = before.requests > 0 && before.result !== undefined && !changed(before.result, result);
      failures = 0;
      set({ result, error: undefined, interval: same ? Math.min(max, before.interval * factor) : min });
      tell(options.onResult, result);
      if (!over && until?.(result)) {
        finish('done');
        return resolve(result);
      }
    } catch (error) {
      if (over) return;
      failures++;
      set({ error, interval: Math.min(max, Math.max(min, before.interval) * Math.max(factor, 2)) });
      tell(options.onError, error);
      if (!over && failures >= errors) {
        finish('failed');
        return reject(error);
      }
    } finally {
      busy = false;
    }
    if (again) void ask();
    else plan();
  }

  function stop(): void {
    if (over) return;
    finish('stopped');
    reject(new FanfareError('aborted'));
  }
  function now(): void {
    set({ interval: min });
    void ask();
  }

  const page = guarded(() => globals.document);
  if (typeof page?.addEventListener === 'function') {
    const look = () => (hidden() ? plan() : state.value.state === 'hidden' && now());
    page.addEventListener('visibilitychange', look);
    offs.push(() => page.removeEventListener('visibilitychange', look));
  }
  if (signal) {
    signal.addEventListener('abort', stop);
    offs.push(() => signal.removeEventListener('abort', stop));
  }
  if (signal?.aborted) stop();
  else {
    void ask();
    if (channel) {
      // What the channel says is news for the endpoint too; when it falls silent, polling takes over at once.
      offs.push(channel.subscribe(() => now()));
      let live = covered();
      offs.push(
        channel.state.subscribe(() => {
          const is = covered();
          if (is === live) return;
          live = is;
          if (is) plan();
          else now();
        }),
      );
    }
  }
  return {
    get value() {
      return state.value;
    },
    subscribe: listener => state.subscribe(listener),
    done,
    now,
    stop,
  };
}
