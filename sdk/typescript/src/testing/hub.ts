import type { ServerCode } from '../codes.gen.ts';
import type { ClientOptions, Clock, Member, Message, Position } from '../types.ts';
import { type AdvancedClock, VirtualClock } from './clock.ts';
import { CODE } from './code.ts';
import { fetchOf } from './fetch.ts';
import { publish } from './operations.ts';
import { socketsOf } from './socket.ts';
import { clientOf, Refusal } from './wire.ts';
import { type FakeTransport, type Identity, type Received, type Right, type Who, World } from './world.ts';

export interface FakeHubOptions {
  /** Whose time it is. Default: a `VirtualClock` of its own. `globalClock` follows faked global timers, `schedulerClock` an RxJS scheduler. */
  clock?: Clock;
  /** ms that everything takes, each way. Default 0: what is sent arrives as soon as time is let pass, be it for 0 ms. */
  latency?: number;
  /** What each channel keeps. Default: 1,000 messages, 24 h. Keys, presence and history are on in every channel. */
  history?: { size?: number; ttl?: number };
  /** Told in `welcome`. Defaults: 25,000 and 300,000. */
  pingMs?: number;
  idempotencyMs?: number;
  /** Whether clients without a token have rights. Default: true. */
  anonymous?: boolean;
  /** Who a token stands for; `undefined` refuses it. Default: tokens are those of `hub.token()`. */
  authenticate?: (token: string) => Identity | undefined;
  /** Whether this is allowed. Default: everything. */
  allow?: (who: Who, right: Right, channel: string) => boolean;
}

/** What there is to know of a channel. */
export interface FakeChannel {
  readonly position: Position;
  /** What history holds, oldest first. */
  readonly messages: readonly Pick<Message, 'event' | 'data' | 'id' | 'offset' | 'key' | 'user' | 'client' | 'time'>[];
  /** The newest data of each key. */
  readonly entries: ReadonlyMap<string, unknown>;
  readonly members: readonly Pick<Member, 'client' | 'user' | 'info' | 'data'>[];
  /** Subscriptions at this moment. */
  readonly subscribers: number;
}

/** A connection at this moment. */
export interface FakeConnection {
  readonly transport: FakeTransport;
  readonly client: string;
  readonly user: string | undefined;
  readonly channels: readonly string[];
}

/**
 * A hub that lives in the test: it speaks the protocol to unchanged clients, through a `WebSocket` and a `fetch` of its own, on
 * virtual time. Nothing happens until time is let pass (`advance`, `settle`).
 */
export class FakeHub {
  readonly url = 'http://hub.test';
  readonly #world: World;
  #tokens = 0;
  #clients = 0;

  constructor(options: FakeHubOptions = {}) {
    this.#world = new World({
      clock: options.clock ?? new VirtualClock(),
      history: { size: options.history?.size ?? 1000, ttl: options.history?.ttl ?? 86_400_000 },
      pingMs: options.pingMs ?? 25_000,
      idempotencyMs: options.idempotencyMs ?? 300_000,
      anonymous: options.anonymous ?? true,
      authenticate: options.authenticate,
      allow: options.allow,
    });
    this.#world.latency = options.latency ?? 0;
  }

  // ---- clients and time

  /**
   * What a client needs to live here: `createClient(hub.url, hub.options())`. Retries are without jitter unless `random` is given:
   * each waits the middle of its range.
   */
  options<T extends ClientOptions>(
    more?: T,
  ): T & Required<Pick<ClientOptions, 'WebSocket' | 'fetch' | 'clock' | 'random'>> {
    const world = this.#world;
    return {
      WebSocket: socketsOf(world),
      fetch: fetchOf(world),
      clock: world.clock,
      random: () => 0.5,
      ...CODE,
      ...(more as T),
    };
  }

  get clock(): Clock {
    return this.#world.clock;
  }

  /** ms since 1970, as this world counts. */
  now(): number {
    return this.#world.clock.now();
  }

  /** Lets `ms` pass. A hub that follows faked global timers is advanced by advancing those. */
  async advance(ms: number): Promise<void> {
    const { clock } = this.#world;
    if (!('advance' in clock)) throw new Error('this hub follows a clock that it cannot advance: advance that one');
    await (clock as AdvancedClock).advance(ms);
  }

  /** Lets everything arrive that needs no time. */
  settle(): Promise<void> {
    return this.advance(0);
  }

  /** Lets time pass until `done`, at most `limit` ms; throws when it has not come by then. Resolves with the ms it took. */
  async until(done: () => boolean, limit = 60_000): Promise<number> {
    const begin = this.now();
    await this.settle();
    while (!done()) {
      if (this.now() - begin >= limit) throw new Error(`not so after ${limit} ms`);
      await this.advance(Math.min(10, limit - (this.now() - begin)));
    }
    return this.now() - begin;
  }

  // ---- what a backend and other users do

  /** Publishes as a backend would. Returns the position; of an ephemeral message, undefined. */
  publish(
    channel: string,
    event: string,
    data: unknown,
    more: {
      key?: string;
      id?: string;
      user?: string;
      client?: string;
      tags?: Record<string, string>;
      ephemeral?: boolean;
      ttl?: number;
    } = {},
  ): Position | undefined {
    const { user, client, ttl, ...fields } = more;
    const who = { user, client, token: 'backend' };
    const answer = this.#trusted(() => publish(this.#world, who, channel, { ...fields, event, data, ttl_ms: ttl }));
    return answer.offset === undefined ? undefined : `${answer.epoch}-${answer.offset}`;
  }

  /** What the application does when a client calls. What it returns is the answer; when it throws, the caller is told `internal`. */
  on(event: string, handler: (...args: unknown[]) => unknown, namespace = '/'): void {
    this.#world.handlers.set(`${namespace} ${event}`, handler);
  }

  /** Another client enters; stays until `leave`. Returns the client's id. */
  enter(channel: string, data?: unknown, who: { client?: string; user?: string; info?: unknown } = {}): string {
    const client = who.client ?? clientOf(`other-${++this.#clients}`);
    this.#world.members.enter(channel, { ...who, client }, data);
    return client;
  }

  leave(channel: string, client: string): void {
    this.#world.members.leave(channel, client);
  }

  /** A token for this user that the hub accepts; `expiresIn` in ms. */
  token(user?: string, more: { expiresIn?: number; info?: unknown; channels?: readonly string[] } = {}): string {
    const token = `fake-token-${++this.#tokens}`;
    const expiresAt = more.expiresIn === undefined ? undefined : this.now() + more.expiresIn;
    this.#world.tokens.set(token, { user, info: more.info, channels: more.channels, expiresAt });
    return token;
  }

  // ---- the network

  get latency(): number {
    return this.#world.latency;
  }

  /** ms each way, for what is sent from now on. */
  set latency(ms: number) {
    this.#world.latency = ms;
  }

  /** Breaks what is connected, without a word. Clients may come back at once. */
  cut(transport?: FakeTransport): void {
    this.#world.cut(connection => !transport || connection.transport === transport);
  }

  /** The hub is not there: connections break, and new ones fail. */
  down(): void {
    this.#world.running = false;
    this.cut();
  }

  up(): void {
    this.#world.running = true;
  }

  /** Nothing comes through any more, and nobody is told (a dead network, a half-open socket). */
  freeze(): void {
    this.#world.frozen = true;
  }

  /** What waited comes through. */
  thaw(): void {
    this.#world.frozen = false;
    for (const pipe of [...this.#world.pipes]) pipe.flow();
  }

  /** This transport fails at once, and what is connected over it breaks. */
  refuse(...transports: FakeTransport[]): void {
    for (const transport of transports) {
      this.#world.refused.add(transport);
      this.cut(transport);
    }
  }

  /** This transport opens and stays mute, as behind a proxy that buffers; what is connected over it breaks. */
  mute(...transports: FakeTransport[]): void {
    for (const transport of transports) {
      this.#world.muted.add(transport);
      this.cut(transport);
    }
  }

  /** These work again; without arguments, all. */
  permit(...transports: FakeTransport[]): void {
    for (const set of [this.#world.refused, this.#world.muted])
      for (const transport of transports.length ? transports : [...set]) set.delete(transport);
  }

  // ---- the hub's own doing

  /**
   * Ends and starts anew. Without `keep`, as a hub in memory does: messages, keys and ids are lost and the epoch is another. With it, as one
   * on disk. Members are gone either way. Clients may come back after `outage` ms.
   */
  restart({ keep = false, outage = 0 }: { keep?: boolean; outage?: number } = {}): void {
    const world = this.#world;
    this.down();
    world.members.clear();
    if (!keep) {
      world.epoch = world.nextEpoch();
      for (const log of world.logs.values()) log.reset(world.epoch);
    }
    if (outage > 0) world.clock.setTimeout(() => this.up(), outage);
    else this.up();
  }

  /** Sends everyone away with this code; `draining` is what a hub says before it stops. */
  disconnect(code: ServerCode = 'draining', retryAfter?: number): void {
    this.#world.cut(() => true, code, code, retryAfter);
  }

  /**
   * Retention removes the oldest `count` messages of the channel; without a count, all. Readers behind them will be told of a gap;
   * those that asked for the state of a keyed channel only when `tombstones` (which keys were removed) are gone as well.
   */
  lose(channel: string, count = Infinity, { tombstones = false } = {}): void {
    const log = this.#world.log(channel);
    log.drop(count);
    if (!tombstones) return;
    for (const [key, message] of log.keys)
      if (message.data === null && message.offset! <= log.floor) log.keys.delete(key);
    log.forgotten = log.floor;
  }

  /** The channel alone loses its past, and gets a new epoch; its readers are told at once. */
  reset(channel: string): void {
    const log = this.#world.log(channel);
    log.reset(this.#world.nextEpoch());
    for (const reader of log.readers) {
      reader.position = log.position;
      reader.emit({ type: 'gap', channel, epoch: log.epoch, offset: 0, reason: 'epoch' });
    }
  }

  /** Takes the right away: subscriptions of this channel (and user) end with `revoked`. */
  revoke(channel: string, user?: string): void {
    for (const connection of [...this.#world.connections])
      if (user === undefined || connection.identity.user === user) connection.evict(channel, 'revoked');
  }

  /** The next `times` commands of this type (`publish`, `subscribe`, `history`, `enter`, `poll`, ...) are refused. */
  refuseNext(
    type: string,
    code: ServerCode,
    { retryAfter, times = 1 }: { retryAfter?: number; times?: number } = {},
  ): void {
    const refusal = new Refusal(code, `${type} was made to fail`, { retry_after_ms: retryAfter });
    this.#world.faults.push({ type, what: 'refuse', refusal, times });
  }

  /** The next command of this type takes effect, but its answer is lost with the connection. */
  loseNext(type: string): void {
    this.#world.faults.push({ type, what: 'lose', times: 1 });
  }

  /** The next command of this type is neither run nor answered. */
  ignoreNext(type: string): void {
    this.#world.faults.push({ type, what: 'ignore', times: 1 });
  }

  /** What polls are told to wait, ms. Default 1,000. */
  set pollAfter(ms: number) {
    this.#world.pollAfter = ms;
  }

  // ---- what there is to see

  /** Everything that clients have asked for, oldest first; requests over HTTP as the frames that ask for the same. */
  get received(): readonly Received[] {
    return this.#world.received;
  }

  /** How many commands of this type have come, of one channel or of all. */
  count(type: string, channel?: string): number {
    return this.received.filter(({ frame }) => frame.type === type && (!channel || frame.channel === channel)).length;
  }

  /** How often each transport was tried. */
  get opened(): Readonly<Record<FakeTransport, number>> {
    return { ...this.#world.opened };
  }

  get connections(): readonly FakeConnection[] {
    return [...this.#world.connections].map(({ transport, client, identity, readers }) => ({
      transport,
      client,
      user: identity.user,
      channels: [...readers.keys()],
    }));
  }

  channel(name: string): FakeChannel {
    const log = this.#world.log(name);
    return {
      position: log.position,
      messages: [...log.messages] as FakeChannel['messages'],
      entries: new Map(log.state().map(({ key, data }) => [key!, data])),
      members: this.#world.members.list(name) as FakeChannel['members'],
      subscribers: log.readers.size,
    };
  }

  // A backend has every right, whatever the test allows to clients.
  #trusted<T>(run: () => T): T {
    const { options } = this.#world;
    const { allow } = options;
    options.allow = undefined;
    try {
      return run();
    } finally {
      options.allow = allow;
    }
  }
}
