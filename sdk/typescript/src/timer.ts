import { globals } from './env.ts';
import type { Clock } from './types.ts';

/** One appointment: called with a function, it makes one in place of the last; called with nothing, it has none. */
export interface Timer {
  (fn?: () => void, ms?: number): void;
  /** There is an appointment. */
  _running: boolean;
}

/** Without a clock, on the global timers, as they are when it is used. */
export function timerOn(clock: Pick<Clock, 'setTimeout' | 'clearTimeout'> = globals as never): Timer {
  let handle: unknown;
  const timer: Timer = (fn, ms) => {
    if (timer._running) clock.clearTimeout(handle);
    timer._running = !!fn;
    if (fn)
      handle = clock.setTimeout(() => {
        timer._running = false;
        fn();
      }, ms!);
  };
  timer._running = false;
  return timer;
}
