// One transport's card: what it hears, how late, at what cost. The markup is the template `card` of index.html.

import { Feed } from './metrics.js';
import { cpuSparkline, latencyPlot } from './plots.js';
import * as format from './format.js';

const WORDS = {
  connecting: 'connecting',
  live: 'live',
  reconnecting: 'reconnecting',
  paused: 'paused',
  failed: 'stopped',
};

/** "retry in 2.1 s" while the time is known, else the word for the state. */
export function describe({ name, retryAt }) {
  const left = retryAt === undefined ? 0 : retryAt - performance.now();
  return left > 50 ? `retry in ${(left / 1000).toFixed(1)} s` : WORDS[name];
}

export class Card {
  feed;
  state = { name: 'connecting' };
  #fields = {};
  #plots;
  #element;
  #changed;
  #wasLive = false;

  /** `onChange` is called when the state changes. `open(on)` starts the transport and returns its handle. */
  constructor({ title, note, clock, onChange, onFresh, open }) {
    this.feed = new Feed(clock);
    this.#changed = onChange;
    const fragment = document.getElementById('card').content.cloneNode(true);
    this.#element = fragment.firstElementChild;
    for (const field of this.#element.querySelectorAll('[data-field]')) this.#fields[field.dataset.field] = field;
    this.#fields.title.textContent = title;
    this.#fields.note.textContent = note;
    this.#fields.cut.setAttribute('aria-label', `Cut ${title}`);
    document.getElementById('transports').append(fragment);
    this.#plots = {
      cpu: cpuSparkline(this.#fields.cpuPlot, clock),
      latency: latencyPlot(this.#fields.latencyPlot, clock),
    };
    this.handle = open({
      state: (state) => this.#setState(state),
      gap: (gap) => this.feed.gap(gap),
      batch: (batch) => {
        const fresh = this.feed.batch(batch);
        if (fresh.length > 0) onFresh(batch.epoch, fresh);
      },
    });
    this.#fields.cut.addEventListener('click', () => this.handle.cut());
    this.tick();
  }

  #setState(state) {
    if (state.name === 'live' && this.state.name !== 'live') {
      // A pause was our own wish; all else that ends in `live` a second time was a reconnection.
      if (this.#wasLive) this.feed.reconnections += 1;
      this.#wasLive = true;
    }
    if (state.name === 'paused') this.#wasLive = false;
    this.state = state;
    this.tick();
    this.#changed();
  }

  /** The state with its countdown; cheap enough for several times a second. */
  tick() {
    const { name, reason } = this.state;
    if (this.#element.dataset.state !== name) {
      this.#element.dataset.state = name;
      this.#fields.cut.disabled = name !== 'live';
    }
    const words = describe(this.state);
    if (this.#fields.state.textContent !== words) this.#fields.state.textContent = words;
    this.#fields.state.title = reason ?? '';
  }

  draw() {
    const { feed } = this;
    const fields = this.#fields;
    this.#plots.cpu.draw(feed.host.cpu.columns(1));
    this.#plots.latency.draw(feed.latencyColumns());
    const { median, bytesEach } = feed;
    fields.latency.textContent = median === null ? '–' : format.latency(median);
    fields.bytes.textContent = bytesEach === null ? '–' : format.size(bytesEach);
    fields.received.textContent = format.count(feed.received);
    fields.missed.textContent = format.count(feed.missed);
    fields.reconnections.textContent = format.count(feed.reconnections);
    const { cpu, memory, network } = feed.host;
    fields.cpu.textContent = cpu.newest ? format.percent(cpu.newest.data.percent ?? 0) : '–';
    fields.memory.textContent = memory.newest ? format.memory(memory.newest.data.used ?? 0) : '–';
    fields.network.textContent = network.newest ? format.rate(network.newest.data.rx ?? 0) : '–';
  }
}
