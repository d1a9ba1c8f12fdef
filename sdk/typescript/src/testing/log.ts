import type { Reader } from './reader.ts';
import { type ReadOptions, readPosition, type WireFrame, type WireMessage } from './wire.ts';

/** What a new read is given of the past. */
export interface Beginning {
  messages: WireMessage[];
  /** Undefined when no position was asked for. */
  recovered?: boolean;
  gap?: { offset: number; reason: 'expired' | 'epoch' };
  /** Where the reader stands before `messages`. */
  start: number;
}

/** One channel: its log, the newest message of each key, and who reads it. */
export class Log {
  head = 0;
  /** Up to this offset the log is lost. */
  floor = 0;
  /** Up to this offset tombstones are lost. */
  forgotten = 0;
  messages: WireMessage[] = [];
  /** In the order of offsets; a `null` is a tombstone. */
  readonly keys = new Map<string, WireMessage>();
  readonly readers = new Set<Reader>();
  readonly ids = new Map<string, { offset: number; at: number }>();

  constructor(
    readonly name: string,
    public epoch: string,
    public size: number,
    /** How long a message is kept, ms. */
    public ttl: number,
  ) {}

  get position(): string {
    return `${this.epoch}-${this.head}`;
  }

  append(message: WireMessage): WireMessage {
    message.offset = ++this.head;
    this.messages.push(message);
    if (message.key !== undefined) {
      this.keys.delete(message.key);
      this.keys.set(message.key, message);
    }
    if (this.messages.length > this.size) this.drop(this.messages.length - this.size);
    return message;
  }

  /** Loses the oldest `count` messages of the log. The newest of each key stay. */
  drop(count: number): void {
    const gone = this.messages.splice(0, count);
    if (gone.length) this.floor = gone.at(-1)!.offset!;
  }

  expire(now: number): void {
    const kept = this.messages.findIndex(message => message.time + this.ttl > now);
    if (kept !== 0) this.drop(kept < 0 ? this.messages.length : kept);
  }

  after(offset: number): WireMessage[] {
    return this.messages.filter(message => message.offset! > offset);
  }

  /** The newest message of each key above `offset`; from the start, without tombstones. */
  state(offset = 0): WireMessage[] {
    return [...this.keys.values()].filter(message => message.offset! > offset && (offset > 0 || message.data !== null));
  }

  begin({ since, last, snapshot }: ReadOptions): Beginning {
    if (since === undefined) {
      if (snapshot) return { messages: this.state(), start: 0 };
      const messages = last ? this.messages.slice(-last) : [];
      return { messages, start: messages.length ? messages[0]!.offset! - 1 : this.head };
    }
    const { epoch, offset } = readPosition(since);
    const known = epoch === this.epoch && offset <= this.head;
    if (known && offset >= this.floor) return { messages: this.after(offset), recovered: true, start: offset };
    if (known && snapshot && offset > 0 && offset >= this.forgotten)
      return { messages: this.state(offset), recovered: true, start: offset };
    const reason = known ? 'expired' : 'epoch';
    if (snapshot) return { messages: this.state(), recovered: false, gap: { offset: 0, reason }, start: 0 };
    const messages = last ? this.messages.slice(-last) : this.messages.slice();
    const start = messages.length ? messages[0]!.offset! - 1 : this.head;
    return { messages, recovered: false, gap: { offset: start, reason }, start };
  }

  page(query: { since?: unknown; before?: unknown; limit?: number; reverse?: boolean }): Record<string, unknown> {
    const limit = Math.min(query.limit ?? 100, 1000);
    const from = query.since === undefined || query.since === null ? undefined : readPosition(query.since);
    const lost = from && (from.epoch !== this.epoch || from.offset > this.head || from.offset < this.floor);
    const match = /^([0-9a-z]{1,12})-(\d+)$/.exec(String(query.before ?? ''));
    const before = match && match[1] === this.epoch ? Number(match[2]) : Infinity;
    const low = from && !lost ? from.offset : 0;
    const found = this.messages.filter(message => message.offset! > low && message.offset! < before);
    if (query.reverse) found.reverse();
    return {
      messages: found.slice(0, limit),
      epoch: this.epoch,
      offset: this.head,
      more: found.length > limit,
      ...(lost ? { gap: true } : {}),
    };
  }

  /** Loses everything, as a hub without a disk does when it restarts. */
  reset(epoch: string): void {
    this.epoch = epoch;
    this.head = this.floor = this.forgotten = 0;
    this.messages = [];
    this.keys.clear();
    this.ids.clear();
  }

  /** To everyone who reads at the head. */
  deliver(message: WireMessage): void {
    for (const reader of [...this.readers]) reader.push(message);
  }

  /** To everyone who follows the members. */
  announce(frame: WireFrame): void {
    for (const reader of [...this.readers]) if (reader.options.presence) reader.emit(frame);
  }
}
