// What `host:metrics` says: messages with event `sample` and the keys
//   cpu      {"percent": 0..100, "cores": [0..100, ...]}
//   memory   {"used": bytes, "total": bytes}
//   network  {"rx": bytes a second, "tx": bytes a second}

/** Seconds shown by every plot. */
export const WINDOW_S = 60;
/** Two samples further apart than this are not joined by a line: nothing is known of the time between. */
const BREAK_S = 3.5;

const finite = (value) => (Number.isFinite(value) ? value : null);

/** Samples of one kind in the order of their time: what a plot draws. */
class Series {
  #read;
  #samples = [];

  /** `read(data)` gives the numbers of one sample, one for each line of the plot. */
  constructor(read) {
    this.#read = read;
  }

  add(time, data) {
    const sample = { at: time / 1000, values: this.#read(data), data };
    const samples = this.#samples;
    let index = samples.length;
    while (index > 0 && samples[index - 1].at > sample.at) index -= 1;
    samples.splice(index, 0, sample);
    const oldest = samples[samples.length - 1].at - WINDOW_S - 5;
    while (samples[0].at < oldest) samples.shift();
  }

  get newest() {
    return this.#samples[this.#samples.length - 1];
  }

  /** The sample of exactly this time in seconds, as a plot's cursor names it. */
  at(seconds) {
    return this.#samples.find((sample) => sample.at === seconds);
  }

  /** The same as uPlot wants it: times, then each line; null where a line must break. */
  columns(lines) {
    const columns = Array.from({ length: lines + 1 }, () => []);
    let previous = null;
    for (const { at, values } of this.#samples) {
      if (previous !== null && at - previous > BREAK_S) {
        columns.forEach((column, index) => column.push(index === 0 ? previous + BREAK_S / 2 : null));
      }
      columns[0].push(at);
      values.forEach((value, index) => columns[index + 1].push(value));
      previous = at;
    }
    return columns;
  }
}

/** The host as told by the messages given to it, each counted once however many transports bring it. */
export class HostSeries {
  cpu = new Series((data) => [finite(data.percent)]);
  memory = new Series((data) => [finite(data.used)]);
  network = new Series((data) => [finite(data.rx), finite(data.tx)]);
  #seen = new Set();

  /** True when the message was new and a sample. */
  add(epoch, message) {
    const series = { cpu: this.cpu, memory: this.memory, network: this.network }[message.key];
    if (series === undefined || message.data === null || typeof message.data !== 'object') return false;
    const position = `${epoch}-${message.offset}`;
    if (this.#seen.has(position)) return false;
    this.#seen.add(position);
    // Positions come in order, and a set keeps its order: the first is the oldest.
    if (this.#seen.size > 2000) this.#seen.delete(this.#seen.values().next().value);
    series.add(message.time, message.data);
    return true;
  }
}

/** What one transport brought: figures for its card. */
export class Feed {
  host = new HostSeries();
  received = 0;
  missed = 0;
  reconnections = 0;
  #clock;
  #epoch = null;
  #offset = 0;
  #live = { messages: 0, bytes: 0 };
  #latencies = [];

  constructor(clock) {
    this.#clock = clock;
  }

  /** Returns the messages that were not heard before. */
  batch({ epoch, messages, bytes, live }) {
    if (live) {
      this.#live.messages += messages.length;
      this.#live.bytes += bytes;
    }
    return messages.filter((message) => this.#hear(epoch, message, live));
  }

  #hear(epoch, message, live) {
    if (message.offset !== undefined) {
      if (epoch !== this.#epoch) {
        this.#epoch = epoch;
        this.#offset = message.offset - 1;
      }
      if (message.offset <= this.#offset) return false;
      this.missed += message.offset - this.#offset - 1;
      this.#offset = message.offset;
    }
    this.received += 1;
    if (live) this.#latencies.push({ at: this.#clock.now() / 1000, ms: this.#clock.age(message.time) });
    this.host.add(epoch, message);
    return true;
  }

  /** The server says that something is gone: what follows is counted from there, the loss itself is not ours. */
  gap({ epoch, offset }) {
    this.#epoch = epoch;
    this.#offset = offset;
  }

  /** Mean bytes of a message on the wire, or null; the past, sent in bulk, is left out. */
  get bytesEach() {
    return this.#live.messages === 0 ? null : this.#live.bytes / this.#live.messages;
  }

  /** Median latency in ms over the window, or null. */
  get median() {
    const sorted = this.#recent().map((entry) => entry.ms).sort((a, b) => a - b);
    return sorted.length === 0 ? null : sorted[sorted.length >> 1];
  }

  /** `[times, latencies]` for a plot. */
  latencyColumns() {
    const recent = this.#recent();
    return [recent.map((entry) => entry.at), recent.map((entry) => entry.ms)];
  }

  #recent() {
    const oldest = this.#clock.now() / 1000 - WINDOW_S;
    while (this.#latencies.length > 0 && this.#latencies[0].at < oldest) this.#latencies.shift();
    return this.#latencies;
  }
}
