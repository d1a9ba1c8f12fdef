import type { ServerCode } from '../codes.gen.ts';
import type { Clock } from '../types.ts';
import type { Connection } from './connection.ts';
import { Log } from './log.ts';
import { Members } from './members.ts';
import { Pipe } from './pipe.ts';
import { Refusal, type WireFrame } from './wire.ts';

export type Right = 'subscribe' | 'publish' | 'presence' | 'enter' | 'history';

/** `post`: publishes and every other request that is neither a stream nor a poll. */
export type FakeTransport = 'ws' | 'sse' | 'longpoll' | 'poll' | 'post';

/** Who a token stands for. */
export interface Identity {
  user?: string;
  /** Shown in presence. */
  info?: unknown;
  /** ms since 1970. */
  expiresAt?: number;
  /** Subscribed on entry by WebSockets. */
  channels?: readonly string[];
}

/** An identity at work: on a connection or behind a request. */
export interface Who extends Identity {
  client: string | undefined;
  /** Undefined: anonymous. */
  token: string | undefined;
}

/** Something that a client asked for. */
export interface Received {
  readonly at: number;
  readonly via: FakeTransport;
  readonly client: string | undefined;
  /** Requests over HTTP are written as the frame that asks for the same. */
  readonly frame: WireFrame;
}

export interface Fault {
  type: string;
  what: 'refuse' | 'lose' | 'ignore';
  refusal?: Refusal;
  times: number;
}

export interface WorldOptions {
  clock: Clock;
  history: { size: number; ttl: number };
  pingMs: number;
  idempotencyMs: number;
  anonymous: boolean;
  authenticate?: (token: string) => Identity | undefined;
  allow?: (who: Who, right: Right, channel: string) => boolean;
}

/** How many received commands are remembered. */
const REMEMBERED = 100_000;

/** What the parts of the fake hub share: its channels, its connections, its network. */
export class World {
  readonly clock: Clock;
  readonly logs = new Map<string, Log>();
  readonly members = new Members(this);
  readonly connections = new Set<Connection>();
  readonly tokens = new Map<string, Identity>();
  readonly received: Received[] = [];
  /** By namespace and event. */
  readonly handlers = new Map<string, (...args: unknown[]) => unknown>();
  readonly refused = new Set<FakeTransport>();
  readonly muted = new Set<FakeTransport>();
  readonly pipes = new Set<Pipe>();
  faults: Fault[] = [];
  /** Attempts and requests by transport, refused ones included. */
  readonly opened: Record<FakeTransport, number> = { ws: 0, sse: 0, longpoll: 0, poll: 0, post: 0 };
  latency = 0;
  frozen = false;
  running = true;
  epoch = 'e1';
  pollAfter = 1000;
  #epochs = 1;
  #ids = 0;

  constructor(readonly options: WorldOptions) {
    this.clock = options.clock;
  }

  log(name: string): Log {
    let log = this.logs.get(name);
    if (!log) {
      log = new Log(name, this.epoch, this.options.history.size, this.options.history.ttl);
      this.logs.set(name, log);
    }
    return log;
  }

  nextEpoch(): string {
    return `e${++this.#epochs}`;
  }

  nextId(): string {
    return `hub-${++this.#ids}`;
  }

  pipe(): Pipe {
    return new Pipe(this);
  }

  record(via: FakeTransport, client: string | undefined, frame: WireFrame): void {
    this.received.push({ at: this.clock.now(), via, client, frame });
    if (this.received.length > REMEMBERED) this.received.shift();
  }

  streamsOf(client: string): Connection[] {
    return [...this.connections].filter(connection => connection.client === client && connection.transport !== 'ws');
  }

  /** Who the token stands for; throws what the hub would answer. */
  identify(token: string | undefined): Identity {
    if (token === undefined) return {};
    const identity = this.options.authenticate ? this.options.authenticate(token) : this.tokens.get(token);
    if (!identity) throw new Refusal('unauthorized', 'the token is none of hub.token()');
    if (identity.expiresAt !== undefined && identity.expiresAt <= this.clock.now())
      throw new Refusal('token_expired', 'the token has expired');
    return identity;
  }

  demand(who: Who, right: Right, channel: string): void {
    const anonymous = who.token === undefined;
    if ((anonymous && !this.options.anonymous) || this.options.allow?.(who, right, channel) === false)
      throw new Refusal(anonymous ? 'unauthorized' : 'forbidden', `no right to ${right} on ${channel}`);
  }

  /** The fault that a test has ordered for the next command of this type. */
  fault(type: string): Fault | undefined {
    const fault = this.faults.find(one => one.type === type);
    if (fault && --fault.times <= 0) this.faults = this.faults.filter(one => one !== fault);
    return fault;
  }

  /** Ends the connections for which `which` holds; `code`: as the hub does, with a word, else as a network does. */
  cut(which: (connection: Connection) => boolean, code?: ServerCode, detail = '', retryAfter?: number): void {
    for (const connection of [...this.connections])
      if (which(connection)) {
        if (code) connection.end(new Refusal(code, detail, { retry_after_ms: retryAfter }));
        else connection.break();
      }
  }
}
