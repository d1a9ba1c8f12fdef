import type { Log } from './log.ts';
import type { ReadOptions, WireFrame, WireMember, WireMessage } from './wire.ts';
import type { World } from './world.ts';

/** Members in one `present` frame. */
const PAGE = 100;

/** One subscription: a cursor on a log, and what is made of what it passes. */
export class Reader {
  /** The cursor as a client would carry it. */
  position: string;
  #window: unknown;
  #held = new Map<string | undefined, WireMessage>();

  constructor(
    readonly world: World,
    readonly log: Log,
    readonly client: string | undefined,
    readonly options: ReadOptions,
    readonly emit: (frame: WireFrame) => void,
  ) {
    this.position = options.since ?? log.position;
  }

  /** Sends `subscribed`. What it returns sends the gap if there is one and the past; from then on it is live. `seek`: `since` is where it was, not a wish. */
  open(ref?: unknown, seek = false): () => void {
    const { log, options } = this;
    log.expire(this.world.clock.now());
    const { messages, recovered, gap, start } = log.begin(options);
    const replay = this.#conflate(messages.filter(message => this.#wanted(message)));
    if (options.since === undefined) this.position = `${log.epoch}-${start}`;
    this.emit({
      type: 'subscribed',
      ref,
      channel: log.name,
      epoch: log.epoch,
      offset: log.head,
      recovered: seek ? undefined : recovered,
      replay: replay.length,
    });
    return () => {
      if (gap) {
        this.position = `${log.epoch}-${gap.offset}`;
        this.emit({ type: 'gap', channel: log.name, epoch: log.epoch, ...gap });
      }
      for (const message of replay) this.#send(message);
      this.position = log.position;
      if (options.presence) this.#present();
      if (options.rate && replay.length) this.#openWindow();
      log.readers.add(this);
    };
  }

  push(message: WireMessage): void {
    if (!this.#wanted(message)) this.#pass(message);
    else if (!this.options.rate) this.#send(message);
    else if (this.#window) this.#held.set(message.key, message);
    else {
      this.#send(message);
      this.#openWindow();
    }
  }

  close(): void {
    this.log.readers.delete(this);
    this.world.clock.clearTimeout(this.#window);
    this.#window = undefined;
    this.#held.clear();
  }

  #wanted(message: WireMessage): boolean {
    return this.options.echo !== false || message.client === undefined || message.client !== this.client;
  }

  #send(message: WireMessage): void {
    this.#pass(message);
    this.emit({ type: 'message', ...message });
  }

  #pass({ offset }: WireMessage): void {
    if (offset !== undefined) this.position = `${this.log.epoch}-${offset}`;
  }

  // The newest of each key, in the order of offsets.
  #conflate(messages: WireMessage[]): WireMessage[] {
    if (!this.options.rate) return messages;
    const newest = new Map(messages.map(message => [message.key, message]));
    return messages.filter(message => newest.get(message.key) === message);
  }

  // A delivery opens a window of 1/rate s; at its end the newest of each key that changed goes out.
  #openWindow(): void {
    this.#window = this.world.clock.setTimeout(() => {
      this.#window = undefined;
      if (!this.#held.size) return;
      const held = [...this.#held.values()].sort((a, b) => (a.offset ?? 0) - (b.offset ?? 0));
      this.#held.clear();
      for (const message of held) this.#send(message);
      this.#openWindow();
    }, 1000 / this.options.rate!);
  }

  #present(): void {
    const members: WireMember[] = this.world.members.list(this.log.name);
    for (let at = 0; at === 0 || at < members.length; at += PAGE) {
      this.emit({
        type: 'presence',
        channel: this.log.name,
        action: 'present',
        members: members.slice(at, at + PAGE),
        more: at + PAGE < members.length,
        ...this.world.members.counts(this.log.name),
      });
    }
  }
}
