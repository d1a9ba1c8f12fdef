// Numbers for people. The decimal point is fixed so that columns line up in any locale.

const whole = new Intl.NumberFormat('en-US', { maximumFractionDigits: 0 });

function scaled(value, base, units) {
  let unit = 0;
  while (value >= base && unit < units.length - 1) {
    value /= base;
    unit += 1;
  }
  const digits = unit === 0 || value >= 100 ? 0 : 1;
  return `${value.toFixed(digits)} ${units[unit]}`;
}

export const count = (value) => whole.format(value);
export const percent = (value) => `${value.toFixed(value < 10 ? 1 : 0)} %`;
export const memory = (bytes) => scaled(bytes, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']);
export const rate = (bytes) => scaled(bytes, 1000, ['B/s', 'kB/s', 'MB/s', 'GB/s']);
export const size = (bytes) => `${whole.format(bytes)} B`;

/** A latency: the server stamps whole milliseconds, so less than one is all that can be said below it. */
export function latency(ms) {
  if (ms < 1) return '< 1 ms';
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`;
}

export function timeOfDay(ms, seconds = false) {
  const date = new Date(ms);
  const pad = (value) => String(value).padStart(2, '0');
  const minutes = `${pad(date.getHours())}:${pad(date.getMinutes())}`;
  return seconds ? `${minutes}:${pad(date.getSeconds())}` : minutes;
}
