import { putNewest } from './newest.ts';
import type { DebugEvent, Latency } from './types.ts';

const SAMPLES = 1000;

/** The last 1,000 durations, for percentiles; count and mean are of all. */
function samples() {
  const ring: number[] = [];
  let count = 0;
  let sum = 0;
  return {
    _add(ms: number): void {
      const value = Math.max(0, ms);
      ring[count++ % SAMPLES] = value;
      sum += value;
    },
    _read(): Latency {
      const sorted = [...ring].sort((a, b) => a - b);
      const at = (share: number) => sorted[Math.ceil(sorted.length * share) - 1] ?? 0;
      return { count, mean: count && sum / count, p50: at(0.5), p95: at(0.95), p99: at(0.99) };
    },
  };
}

/** Counters that every part adds to. */
export function makeMeter(now: () => number) {
  /** Messages by second, of the last minute. */
  const seconds = new Map<number, number>();
  const second = () => Math.floor(now() / 1000);
  const meter = {
    /** As `metrics()` gives them. */
    _counts: {
      connectionTime: undefined as number | undefined,
      received: 0,
      sent: 0,
      duplicates: 0,
      reconnects: 0,
      errors: 0,
      gaps: 0,
      requests: 0,
      bytes: { received: 0, sent: 0 },
    },
    _latency: samples(),
    _roundTrip: samples(),
    /** The last 200 events, oldest first. */
    _events: [] as DebugEvent[],
    _message(): void {
      const at = second();
      meter._counts.received++;
      putNewest(seconds, at, (seconds.get(at) ?? 0) + 1, 60);
    },
    _perMinute(): number {
      const from = second() - 59;
      return [...seconds].reduce((sum, [at, count]) => (at < from ? sum : sum + count), 0);
    },
    _log(what: string, detail?: unknown): void {
      meter._events.push({ at: now(), what, detail });
      if (meter._events.length > 200) meter._events.shift();
    },
  };
  return meter;
}
