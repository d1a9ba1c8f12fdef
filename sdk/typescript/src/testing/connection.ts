import type { Pipe } from './pipe.ts';
import { Reader } from './reader.ts';
import { checkName, clientOf, type ReadOptions, Refusal, readPosition, type WireFrame } from './wire.ts';
import type { FakeTransport, Identity, Who, World } from './world.ts';

/** What carries a connection's frames to the client. */
export interface Sink {
  frame(frame: WireFrame, cursor: string): void;
  /** The hub ends it, with these words. */
  end(refusal: Refusal): void;
  /** The network ends it. */
  broken(): void;
}

/** A WebSocket, stream or parked poll, as the hub sees it. */
export class Connection {
  readonly readers = new Map<string, Reader>();
  readonly client: string;
  identity: Identity = {};
  token: string | undefined;
  open = true;
  #expiry: unknown;

  constructor(
    readonly world: World,
    readonly transport: Exclude<FakeTransport, 'post'>,
    readonly session: string,
    readonly sink: Sink,
    readonly down: Pipe,
  ) {
    this.client = clientOf(session);
    world.connections.add(this);
    if (transport !== 'ws') world.members.hold(this.client, this);
  }

  get who(): Who {
    return { ...this.identity, client: this.client, token: this.token };
  }

  get cursor(): string {
    return [...this.readers.values()].map(reader => reader.position).join('~');
  }

  become(identity: Identity, token: string | undefined): void {
    const { clock } = this.world;
    if (this.token !== undefined && identity.user !== this.identity.user)
      throw new Refusal('conflict', 'this connection is another user');
    this.identity = identity;
    this.token = token;
    clock.clearTimeout(this.#expiry);
    this.#expiry =
      identity.expiresAt === undefined
        ? undefined
        : clock.setTimeout(
            () => this.end(new Refusal('token_expired', 'the token has expired')),
            identity.expiresAt - clock.now(),
          );
  }

  subscribe(channel: unknown, options: ReadOptions, ref?: unknown): void {
    this.prepare(channel, options, ref)();
  }

  /** Subscribes, and says so; what it returns begins with the messages. */
  prepare(channel: unknown, options: ReadOptions, ref?: unknown): () => void {
    checkName(channel);
    const { world } = this;
    world.demand(this.who, 'subscribe', channel);
    if (options.last !== undefined && options.last !== null) {
      if (!(options.last >= 1)) throw new Refusal('bad_request', 'last is at least 1');
      world.demand(this.who, 'history', channel);
    }
    if (options.presence) world.demand(this.who, 'presence', channel);
    if (options.since != null) readPosition(options.since);
    const known = this.readers.get(channel);
    const { since, last, snapshot, presence, rate } = options;
    const echo = options.echo === undefined || options.echo === null ? true : Boolean(options.echo);
    // A seek without a place to go goes on from where it is.
    const from = since ?? (known && !last && !snapshot ? known.position : undefined);
    known?.close();
    const reader: Reader = new Reader(
      world,
      world.log(channel),
      this.client,
      { since: from ?? undefined, last: last ?? undefined, snapshot, presence, rate: rate ?? undefined, echo },
      frame => this.send(frame, reader),
    );
    this.readers.set(channel, reader);
    return reader.open(ref, since == null);
  }

  unsubscribe(channel: string): void {
    const reader = this.readers.get(channel);
    if (!reader) throw new Refusal('not_found', 'not subscribed');
    reader.close();
    this.readers.delete(channel);
    if (this.world.members.has(channel, this.client)) this.world.members.leave(channel, this.client);
  }

  /** Ends one subscription for a reason of the hub's. */
  evict(channel: string, code: string): void {
    this.readers.get(channel)?.close();
    if (this.readers.delete(channel)) this.send({ type: 'unsubscribed', channel, code });
  }

  send(frame: WireFrame, from?: Reader): void {
    if (!this.open) return;
    // The cursor is that of the moment, not that of the arrival.
    const cursor = from ? this.cursor : '';
    this.down.push(() => this.sink.frame(frame, cursor));
  }

  /** The hub's choice: it says why. */
  end(refusal: Refusal): void {
    if (this.forget()) this.down.push(() => this.sink.end(refusal));
  }

  /** A break that the hub did not choose. */
  break(): void {
    if (!this.forget()) return;
    this.down.close();
    this.sink.broken();
  }

  /** Takes it out of the books; false when it was out already. */
  forget(): boolean {
    if (!this.open) return false;
    this.open = false;
    for (const reader of this.readers.values()) reader.close();
    this.world.clock.clearTimeout(this.#expiry);
    this.world.connections.delete(this);
    this.world.members.release(this);
    return true;
  }
}
