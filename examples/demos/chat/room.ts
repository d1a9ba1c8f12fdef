// One room: what was said, who is there, who types. It knows the channel; what it looks like is the page's.
import type { AnyClient, Channel, Gap, Message } from 'fanfare-client';
import { fields, join, text } from '../shared/kit.ts';

const PAGE = 30;
/** Lines kept for a room. */
const MOST = 500;
const TYPING = 3500;

export interface Line {
  /** The publisher's id: a line is shown at once, and again as the hub tells it. */
  id: string;
  words: string;
  by: string;
  client: string | undefined;
  time: number;
  /** Absent from what is not the hub's yet. */
  position?: string | undefined;
  fate?: 'sending' | 'failed';
  /** Not said by anybody: something was lost here. */
  lost?: boolean;
}

export interface Heard {
  changed(): void;
  /** A message as it happened. */
  said(line: Line): void;
}

export class Room {
  readonly channel: Channel;
  lines: Line[] = [];
  unread = 0;
  /** Whether there is more past to read. */
  more = false;
  #before: string | undefined;
  #typing = new Map<string, { name: string; until: number }>();
  #typedAt = 0;
  #heard: Heard;

  constructor(client: AnyClient, readonly name: string, heard: Heard) {
    this.#heard = heard;
    this.channel = join(client, `demo:chat:${name}`, { presence: true });
    this.channel.subscribe('say', m => this.#say(m), { last: PAGE, onGap: gap => this.#gap(gap) });
    this.channel.subscribe('typing', m => this.#type(m));
  }

  #line(message: Message): Line {
    const data = fields(message.data);
    return {
      id: message.id ?? String(message.position),
      words: text(data.words, 1000),
      by: text(data.by, 24) || 'somebody',
      client: message.client,
      time: message.time,
      position: message.position,
    };
  }

  #say(message: Message): void {
    const line = this.#line(message);
    if (!this.#before && message.position) {
      this.#before = message.position;
      this.more = (message.offset ?? 1) > 1;
    }
    if (message.client) this.#typing.delete(message.client);
    const own = this.lines.findIndex(({ id, fate }) => id === line.id && fate);
    if (own >= 0) this.lines.splice(own, 1);
    // What still waits to be sent stays at the end.
    const end = this.lines.findIndex(({ fate }) => fate);
    this.lines.splice(end < 0 ? this.lines.length : end, 0, line);
    this.#trim();
    if (!message.replayed) this.#heard.said(line);
    this.#heard.changed();
  }

  /** Lets go of the oldest lines, which history has; but not of the word that something was lost. */
  #trim(): void {
    const cut = this.lines.splice(0, Math.max(0, this.lines.length - MOST));
    if (cut.length === 0) return;
    this.#before = this.lines.find(({ position }) => position)?.position ?? this.#before;
    this.more = true;
    const lost = cut.findLast(({ lost }) => lost);
    if (lost) this.lines.unshift(lost);
  }

  #gap(gap: Gap): void {
    if (this.lines.length > 0) {
      const words = gap.reason === 'epoch' ? 'This room began anew; what was said before is gone.' : 'Some messages are gone for good; the rest follows.';
      this.lines.push({ id: `gap-${gap.position}`, words, by: '', client: undefined, time: Date.now(), lost: true });
    }
    this.#heard.changed();
  }

  /** One page further back. */
  async older(): Promise<void> {
    if (!this.#before) return;
    const page: Message[] = [];
    for await (const message of this.channel.history({ before: this.#before, limit: PAGE, page: PAGE })) page.push(message);
    this.more = page.length === PAGE;
    this.#before = page.at(-1)?.position ?? this.#before;
    const said = page.filter(({ event }) => event === 'say').reverse();
    this.lines.unshift(...said.map(message => this.#line(message)));
    this.#heard.changed();
  }

  say(words: string, by: string, id: string, client: string | undefined): Promise<void> {
    const line: Line = { id, words, by, client, time: Date.now() };
    this.lines.push(line);
    this.#typedAt = 0;
    return this.send(line);
  }

  /** Also again: with the id that it had, so that the hub takes it once if it does have it (for five minutes by default). */
  async send(line: Line): Promise<void> {
    line.fate = 'sending';
    this.#heard.changed();
    try {
      await this.channel.publish('say', { words: line.words, by: line.by }, { id: line.id });
    } catch {
      line.fate = 'failed';
      this.#heard.changed();
    }
  }

  // ---- who types

  /** Tells the others, at most every two seconds. */
  typing(name: string): void {
    const now = Date.now();
    if (now - this.#typedAt < 2000) return;
    this.#typedAt = now;
    this.channel.publish('typing', { by: name }, { ephemeral: true, offline: 'fail' }).catch(() => undefined);
  }

  #type(message: Message): void {
    if (!message.client) return;
    this.#typing.set(message.client, { name: text(fields(message.data).by, 24), until: Date.now() + TYPING });
    this.#heard.changed();
  }

  typists(me: string | undefined): string[] {
    const now = Date.now();
    for (const [client, { until }] of this.#typing) if (until < now) this.#typing.delete(client);
    return [...this.#typing].filter(([client]) => client !== me).map(([, { name }]) => name);
  }
}
