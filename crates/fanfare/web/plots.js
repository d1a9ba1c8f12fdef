// uPlot, dressed by the stylesheet: every colour is a custom property read at drawing time, so a change of theme is a redraw.

import { WINDOW_S } from './metrics.js';
import * as format from './format.js';

const { uPlot } = globalThis;
const FONT = '11px system-ui, sans-serif';

const colours = new Map();
addEventListener('themechange', () => colours.clear());

/** A custom property, looked up once a theme: asking the browser at every stroke would have it compute styles each time. */
function colour(name) {
  return () => {
    if (!colours.has(name)) colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(name).trim());
    return colours.get(name);
  };
}

/** Width in px of the labels of a card's two plots: the same, so that their times line up. */
const SPARK_GUTTER = 46;

/** Latencies share one logarithmic scale, in ms, so that cards can be compared by eye. */
const LATENCY_RANGE = [0.5, 20000];
const LATENCY_MARKS = [1, 100, 10000];

/** A line of a plot, with a soft fill down to the axis when `fill` is given. */
function line(stroke, fill, options = {}) {
  return { stroke: colour(stroke), fill: fill && colour(fill), width: 1.5, points: { show: false }, ...options };
}

/** A plot of the last minute in `element`, as large as it, until the end of the page. */
export class Plot {
  #plot;

  /**
   * `lines` are uPlot's series; `range`, `splits`, `values`, `size` and `distr` its value axis; `times` shows the time axis;
   * `onPoint(index | null, plot)` follows the pointer.
   */
  constructor(element, clock, { lines, range, times = true, values, splits, size = 52, distr = 1, onPoint }) {
    const axis = {
      stroke: colour('--muted'),
      font: FONT,
      ticks: { show: false },
      grid: { stroke: colour('--grid'), width: 1 },
    };
    const now = () => clock.now() / 1000;
    this.#plot = new uPlot(
      {
        width: element.clientWidth || 200,
        height: element.clientHeight || 40,
        legend: { show: false },
        padding: [8, 4, times ? 0 : 8, 0],
        cursor: {
          show: onPoint !== undefined,
          y: false,
          drag: { x: false, y: false },
          points: { size: 6 },
        },
        scales: { x: { time: false, range: () => [now() - WINDOW_S, now()] }, y: { range, distr } },
        axes: [
          {
            ...axis,
            show: times,
            size: 28,
            gap: 8,
            space: 60,
            incrs: [15, 30, 60],
            // The last one would be cut off by the edge.
            values: (_, marks) => marks.map((mark) => (mark > now() - 5 ? '' : format.timeOfDay(mark * 1000, true))),
          },
          {
            ...axis,
            size,
            gap: 4,
            space: 28,
            splits,
            values: (_, marks) => marks.map(values ?? String),
            filter: splits && ((_, marks) => marks),
          },
        ],
        series: [{}, ...lines],
        hooks: onPoint && { setCursor: [(plot) => onPoint(plot.cursor.idx ?? null, plot)] },
      },
      Array.from({ length: lines.length + 1 }, () => []),
      element,
    );
    new ResizeObserver(() => {
      if (element.clientWidth > 0) this.#plot.setSize({ width: element.clientWidth, height: element.clientHeight });
    }).observe(element);
    addEventListener('themechange', () => this.#plot.redraw(false));
  }

  /** Shows `columns`, moved to the present. */
  draw(columns) {
    this.#plot.setData(columns);
  }
}

const fromZero = (least) => (_, __, max) => [0, Math.max(least, (max ?? 0) * 1.15)];

export function cpuPlot(element, clock, onPoint) {
  return new Plot(element, clock, {
    lines: [line('--accent', '--accent-soft')],
    range: () => [0, 100],
    values: (value) => `${value} %`,
    size: 44,
    onPoint,
  });
}

/** `total()` is the height of the plot: the host's memory in bytes. */
export function memoryPlot(element, clock, total, onPoint) {
  return new Plot(element, clock, {
    lines: [line('--accent', '--accent-soft')],
    range: (_, __, max) => [0, total() || (max ?? 1) * 1.2],
    // Halves of the whole: powers of ten would be odd numbers of GiB.
    splits: (plot) => [0, 0.5, 1].map((part) => part * plot.scales.y.max),
    values: (value) => format.memory(value),
    size: 60,
    onPoint,
  });
}

export function networkPlot(element, clock, onPoint) {
  return new Plot(element, clock, {
    lines: [line('--accent', '--accent-soft'), line('--second', undefined, { dash: [5, 3] })],
    range: fromZero(1000),
    values: (value) => format.rate(value),
    size: 66,
    onPoint,
  });
}

export function cpuSparkline(element, clock) {
  return new Plot(element, clock, {
    lines: [line('--accent', '--accent-soft')],
    range: () => [0, 100],
    times: false,
    splits: () => [0, 100],
    values: (value) => `${value} %`,
    size: SPARK_GUTTER,
  });
}

export function latencyPlot(element, clock) {
  const inRange = (value) => Math.min(Math.max(value, LATENCY_RANGE[0] * 1.2), LATENCY_RANGE[1]);
  const plot = new Plot(element, clock, {
    lines: [line('--second', undefined, { width: 1, points: { show: true, size: 3, fill: colour('--second') } })],
    range: () => LATENCY_RANGE,
    distr: 3,
    splits: () => LATENCY_MARKS,
    times: false,
    values: (value) => format.latency(value).replace('.0', ''),
    size: SPARK_GUTTER,
  });
  return { draw: ([times, latencies]) => plot.draw([times, latencies.map(inRange)]) };
}
