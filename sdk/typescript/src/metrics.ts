import type { Core } from './core.ts';
import type { DebugEvent, Latency } from './types.ts';

const SAMPLES = 1000;

/** The last 1,000 durations, for percentiles; count and mean are of all. */
export class Samples {
  private _ring: number[] = [];
  private _count = 0;
  private _sum = 0;

  _add(ms: number): void {
    const value = Math.max(0, ms);
    this._ring[this._count++ % SAMPLES] = value;
    this._sum += value;
  }

  _read(): Latency {
    const sorted = [...this._ring].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
    const count = this._count;
    return { count, mean: count && this._sum / count, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }
}

/** Counters that every part adds to. */
export class Metering {
  /** As `metrics()` gives them. */
  _counts = { received: 0, sent: 0, duplicates: 0, reconnects: 0, errors: 0, gaps: 0, requests: 0 };
  _bytesIn = 0;
  _bytesOut = 0;
  _latency = new Samples();
  _roundTrip = new Samples();
  _connectionTime: number | undefined;
  /** Messages by second, of the last minute. */
  private _seconds = new Map<number, number>();
  /** The last 200 events, oldest first. */
  _events: DebugEvent[] = [];

  constructor(private _core: Core) {}

  private _second(): number {
    return Math.floor(this._core._now() / 1000);
  }

  _message(): void {
    const { _seconds: seconds } = this;
    const second = this._second();
    this._counts.received++;
    seconds.set(second, (seconds.get(second) ?? 0) + 1);
    if (seconds.size > 60) seconds.delete(seconds.keys().next().value!);
  }

  _perMinute(): number {
    const from = this._second() - 59;
    return [...this._seconds].reduce((sum, [second, count]) => (second < from ? sum : sum + count), 0);
  }

  _log(what: string, detail?: unknown): void {
    this._events.push({ at: this._core._now(), what, detail });
    if (this._events.length > 200) this._events.shift();
  }
}
