import type { Clock } from './types.ts';

/** One appointment: a new one takes the place of the old. */
export class Timer {
  private _handle: unknown;
  _running = false;

  constructor(private _clock: Clock) {}

  _start(fn: () => void, ms: number): void {
    this._stop();
    this._running = true;
    this._handle = this._clock.setTimeout(() => {
      this._running = false;
      fn();
    }, ms);
  }

  _stop(): void {
    if (this._running) this._clock.clearTimeout(this._handle);
    this._running = false;
  }
}
