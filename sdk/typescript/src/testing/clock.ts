import type { Clock } from '../types.ts';

// Kept from before any test replaces them: promises settle between two of these, whatever time is faked.
const { setImmediate: immediate, setTimeout: later } = globalThis as typeof globalThis & {
  setImmediate?: (fn: () => void) => unknown;
};

/** Lets every promise that can settle do so. */
export const turn = (): Promise<void> =>
  new Promise(resolve => {
    if (immediate) immediate(resolve);
    else later(resolve, 0);
  });

interface Timer {
  at: number;
  callback: () => void;
}

/** More timers than this at one instant are a loop that waits for nothing. */
const LOOP = 100_000;

/** A clock that stands still until it is advanced. */
export class VirtualClock implements Clock {
  #now: number;
  #timers = new Set<Timer>();

  /** Begins at `start`, ms since 1970. */
  constructor(start = Date.UTC(2030, 0, 1)) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  setTimeout(callback: () => void, ms: number): unknown {
    const timer = { at: this.#now + Math.max(0, ms || 0), callback };
    this.#timers.add(timer);
    return timer;
  }

  clearTimeout(handle: unknown): void {
    this.#timers.delete(handle as Timer);
  }

  /** Timers that wait: 0 means that nothing would ever happen by itself. */
  get timers(): number {
    return this.#timers.size;
  }

  /** Lets `ms` pass: timers run in order, each when its time has come, and promises settle after each. Rejects with what a timer throws. */
  async advance(ms: number): Promise<void> {
    const end = this.#now + ms;
    let here = 0;
    await turn();
    for (let timer = this.#next(end); timer; timer = this.#next(end)) {
      here = timer.at > this.#now ? 0 : here + 1;
      if (here > LOOP) throw new Error(`${LOOP} timers ran without time passing`);
      this.#now = Math.max(this.#now, timer.at);
      this.#timers.delete(timer);
      timer.callback();
      await turn();
    }
    this.#now = end;
  }

  #next(end: number): Timer | undefined {
    let first: Timer | undefined;
    // A set keeps the order of insertion: of timers for the same instant, the one that was set first runs first.
    for (const timer of this.#timers) if (timer.at <= end && (!first || timer.at < first.at)) first = timer;
    return first;
  }
}

/** The global timers and `Date`, looked up at each call: with `vi.useFakeTimers()` or Jest's, these are the faked ones. */
export const globalClock: Clock = {
  now: () => Date.now(),
  setTimeout: (callback, ms) => setTimeout(callback, ms),
  clearTimeout: handle => clearTimeout(handle as never),
};

/** What is used of RxJS's `VirtualTimeScheduler` and `TestScheduler`. */
export interface SchedulerLike {
  now(): number;
  schedule(work: () => void, delay?: number): { unsubscribe(): void };
  frame: number;
  maxFrames: number;
  flush(): void;
}

/** A clock that its owner can advance, promises settling after each timer. */
export interface AdvancedClock extends Clock {
  advance(ms: number): Promise<void>;
}

/** The time of an RxJS `VirtualTimeScheduler` or `TestScheduler`: frames are ms, counted from `start`. */
export function schedulerClock(scheduler: SchedulerLike, start = Date.UTC(2030, 0, 1)): AdvancedClock {
  return {
    now: () => start + scheduler.now(),
    setTimeout: (callback, ms) => scheduler.schedule(callback, Math.max(0, ms || 0)),
    clearTimeout: handle => (handle as { unsubscribe(): void } | undefined)?.unsubscribe(),
    async advance(ms) {
      // What waits, in order of time; RxJS does not list it in its types.
      const waiting = () => (scheduler as unknown as { actions: { delay: number }[] }).actions[0];
      const end = scheduler.frame + ms;
      const { maxFrames } = scheduler;
      await turn();
      for (let next = waiting(); next && next.delay <= end; next = waiting()) {
        scheduler.maxFrames = next.delay;
        scheduler.flush();
        await turn();
      }
      scheduler.maxFrames = maxFrames;
      scheduler.frame = end;
    },
  };
}
