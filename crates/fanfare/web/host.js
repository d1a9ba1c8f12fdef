// The three large plots: this host's CPU, memory and network, from whichever transport brings a sample first.

import { HostSeries } from './metrics.js';
import { cpuPlot, memoryPlot, networkPlot } from './plots.js';
import * as format from './format.js';

/** Columns of the core strip at most; a host with more shows its first. */
const CORES = 64;

const READINGS = {
  cpu: (sample) => format.percent(sample.percent ?? 0),
  memory: (sample) => `${format.memory(sample.used ?? 0)} of ${format.memory(sample.total ?? 0)}`,
  network: (sample) => `↓ ${format.rate(sample.rx ?? 0)}  ↑ ${format.rate(sample.tx ?? 0)}`,
};
const LINES = { cpu: 1, memory: 1, network: 2 };

/** A sample older than this, in seconds, is not `now`. */
const FRESH_S = 4;

export class HostView {
  #clock;
  #series = new HostSeries();
  #plots;
  #cores = document.getElementById('cores');
  /** Kind -> time (s) under the cursor. */
  #pointed = new Map();

  constructor(clock) {
    this.#clock = clock;
    const element = (kind) => document.querySelector(`[data-plot="${kind}"]`);
    const pointer = (kind) => (index, plot) => {
      if (index === null) this.#pointed.delete(kind);
      else this.#pointed.set(kind, plot.data[0][index]);
      this.#read(kind);
    };
    const total = () => this.#series.memory.newest?.data.total;
    this.#plots = {
      cpu: cpuPlot(element('cpu'), clock, pointer('cpu')),
      memory: memoryPlot(element('memory'), clock, total, pointer('memory')),
      network: networkPlot(element('network'), clock, pointer('network')),
    };
  }

  add(epoch, messages) {
    for (const message of messages) this.#series.add(epoch, message);
  }

  draw() {
    for (const [kind, plot] of Object.entries(this.#plots)) {
      plot.draw(this.#series[kind].columns(LINES[kind]));
      this.#read(kind);
      document.querySelector(`[data-panel="${kind}"]`).classList.toggle('empty', this.#series[kind].newest === undefined);
    }
    this.#drawCores(this.#series.cpu.newest?.data.cores);
  }

  /** The figure beside the title: the sample under the cursor, else the newest. */
  #read(kind) {
    const series = this.#series[kind];
    const at = this.#pointed.get(kind);
    const sample = (at !== undefined && series.at(at)) || series.newest;
    const text = sample === undefined ? '–' : READINGS[kind](sample.data);
    document.querySelector(`[data-reading="${kind}"]`).textContent = text;
    const current = sample === series.newest && this.#clock.now() / 1000 - (sample?.at ?? 0) < FRESH_S;
    const time = sample === undefined ? '' : current ? 'now' : format.timeOfDay(sample.at * 1000, true);
    document.querySelector(`[data-reading-time="${kind}"]`).textContent = time;
  }

  #drawCores(cores) {
    if (!Array.isArray(cores)) return;
    const shown = cores.slice(0, CORES);
    while (this.#cores.children.length > shown.length) this.#cores.lastChild.remove();
    while (this.#cores.children.length < shown.length) {
      const core = document.createElement('span');
      core.append(document.createElement('i'));
      this.#cores.append(core);
    }
    shown.forEach((load, index) => {
      const level = Math.min(100, Math.max(0, Number(load) || 0));
      const core = this.#cores.children[index];
      core.title = `Core ${index + 1}: ${format.percent(level)}`;
      core.firstChild.style.transform = `scaleX(${level / 100})`;
    });
  }
}
