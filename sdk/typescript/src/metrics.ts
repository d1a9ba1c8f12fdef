import type { Latency } from './types.ts';

const SAMPLES = 1000;

/** The last 1,000 durations, for percentiles; count and mean are of all. */
export class Samples {
  private _ring: number[] = [];
  private _count = 0;
  private _sum = 0;

  add(ms: number): void {
    const value = Math.max(0, ms);
    this._ring[this._count++ % SAMPLES] = value;
    this._sum += value;
  }

  read(): Latency {
    const sorted = [...this._ring].sort((a, b) => a - b);
    const at = (share: number) => sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? 0;
    const count = this._count;
    return { count, mean: count ? this._sum / count : 0, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
  }
}

/** Counters that every part adds to. */
export class Metering {
  _received = 0;
  _sent = 0;
  _duplicates = 0;
  _reconnects = 0;
  _connects = 0;
  _errors = 0;
  _gaps = 0;
  _bytesIn = 0;
  _bytesOut = 0;
  _requests = 0;
  _latency = new Samples();
  _roundTrip = new Samples();
  _connectionTime: number | undefined;
  /** Of the last minute, one bucket a second: [second, messages]. */
  private _seconds: [number, number][] = [];
  /** The last 200 events, oldest first. */
  _events: { at: number; what: string; detail?: unknown }[] = [];

  constructor(private _now: () => number) {}

  message(): void {
    this._received++;
    const second = Math.floor(this._now() / 1000);
    const last = this._seconds.at(-1);
    if (last?.[0] === second) last[1]++;
    else {
      this._seconds.push([second, 1]);
      if (this._seconds.length > 60) this._seconds.shift();
    }
  }

  perMinute(): number {
    const from = Math.floor(this._now() / 1000) - 59;
    return this._seconds.reduce((sum, [second, count]) => (second >= from ? sum + count : sum), 0);
  }

  log(what: string, detail?: unknown): void {
    this._events.push({ at: this._now(), what, detail });
    if (this._events.length > 200) this._events.shift();
  }
}
