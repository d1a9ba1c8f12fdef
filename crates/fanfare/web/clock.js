// The server's clock, seen from here. Offset = server time - local time, estimated from round trips (ping, pong):
// the answer was written about half a round trip ago, so the quickest trips tell most.

const KEPT = 24;

export class Clock {
  #samples = [];
  #offset = 0;

  /** Local milliseconds since 1970, finer than Date.now() and never stepping back. */
  static local() {
    return performance.timeOrigin + performance.now();
  }

  /** One round trip: sent and received in local milliseconds, `serverTime` as answered. */
  sample(sent, received, serverTime) {
    if (!Number.isFinite(serverTime) || received < sent) return;
    this.#samples.push({ trip: received - sent, offset: serverTime - (sent + received) / 2 });
    if (this.#samples.length > KEPT) this.#samples.shift();
    const best = Math.min(...this.#samples.map((sample) => sample.trip));
    const good = this.#samples.filter((sample) => sample.trip <= best * 1.5 + 0.5);
    this.#offset = good.reduce((sum, sample) => sum + sample.offset, 0) / good.length;
  }

  /** The server's time now. Before the first sample this is our own, which in development mode is the same clock. */
  now() {
    return Clock.local() + this.#offset;
  }

  /** The age in milliseconds of something that the server stamped with `time`; never negative. */
  age(time) {
    return Math.max(0, this.now() - time);
  }

  /** Milliseconds by which the server is ahead. */
  get offset() {
    return this.#offset;
  }
}
