import type { World } from './world.ts';

/** One direction of one connection: what goes in comes out in order, after the network's delay. */
export class Pipe {
  #waiting: { at: number; run: () => void }[] = [];
  #timer: unknown;
  #closed = false;

  constructor(readonly world: World) {
    world.pipes.add(this);
  }

  push(run: () => void): void {
    if (this.#closed) return;
    this.#waiting.push({ at: this.world.clock.now() + this.world.latency, run });
    this.flow();
  }

  /** Sets the timer for what waits, unless the network stands still. */
  flow(): void {
    const [first] = this.#waiting;
    if (this.#timer !== undefined || !first || this.world.frozen) return;
    this.#timer = this.world.clock.setTimeout(() => this.#run(), Math.max(0, first.at - this.world.clock.now()));
  }

  /** What is under way is lost. */
  close(): void {
    this.#closed = true;
    this.#waiting = [];
    this.world.clock.clearTimeout(this.#timer);
    this.#timer = undefined;
    this.world.pipes.delete(this);
  }

  #run(): void {
    this.#timer = undefined;
    const now = this.world.clock.now();
    // What these callbacks push waits for its own turn.
    for (let left = this.#waiting.length; left > 0 && !this.world.frozen; left--) {
      const [first] = this.#waiting;
      if (!first || first.at > now) break;
      this.#waiting.shift();
      first.run();
    }
    this.flow();
  }
}
