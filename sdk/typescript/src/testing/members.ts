import { Refusal, type WireMember } from './wire.ts';
import type { World } from './world.ts';

/** A lost connection's members stay so long, ms. */
export const GRACE = 5000;
/** Members that entered over HTTP stay so long without a stream or poll, ms. */
export const LEASE = 30_000;

interface Membership {
  member: WireMember;
  /** The connections that keep it; HTTP ones are those of its session. */
  holders: Set<object>;
  /** Entered over HTTP: any stream or poll of the client holds it. */
  http: boolean;
  timer: unknown;
}

/** Who is in which channel, and what keeps them there. */
export class Members {
  #channels = new Map<string, Map<string, Membership>>();

  constructor(readonly world: World) {}

  list(channel: string): WireMember[] {
    return [...(this.#channels.get(channel)?.values() ?? [])].map(({ member }) => member);
  }

  counts(channel: string): { count: number; users: number } {
    const members = this.list(channel);
    return {
      count: members.length,
      users: new Set(members.map(({ user }) => user).filter(user => user !== undefined)).size,
    };
  }

  /** `holder`: the connection that keeps it; `'http'`: the client's streams and polls; none: stays until `leave`. */
  enter(
    channel: string,
    who: { client: string; user?: string; info?: unknown },
    data: unknown,
    holder?: object | 'http',
  ): void {
    const { world } = this;
    let members = this.#channels.get(channel);
    if (!members) this.#channels.set(channel, (members = new Map()));
    const known = members.get(who.client);
    if (known && known.member.user !== who.user)
      throw new Refusal('conflict', 'this client is a member as another user');
    const member: WireMember = {
      client: who.client,
      ...(who.user === undefined ? {} : { user: who.user }),
      ...(who.info === undefined ? {} : { info: who.info }),
      data: data ?? null,
      entered_at: known?.member.entered_at ?? world.clock.now(),
    };
    const membership: Membership = known ?? { member, holders: new Set(), http: holder === 'http', timer: undefined };
    membership.member = member;
    world.clock.clearTimeout(membership.timer);
    membership.timer = undefined;
    if (typeof holder === 'object') membership.holders.add(holder);
    if (holder === 'http') {
      membership.http = true;
      for (const stream of world.streamsOf(who.client)) membership.holders.add(stream);
      if (!membership.holders.size) this.#expireAfter(channel, membership, LEASE);
    }
    members.set(who.client, membership);
    this.#announce(channel, known ? 'update' : 'enter', member);
  }

  leave(channel: string, client: string): void {
    const membership = this.#channels.get(channel)?.get(client);
    if (!membership) throw new Refusal('not_found', 'not a member');
    this.world.clock.clearTimeout(membership.timer);
    this.#channels.get(channel)!.delete(client);
    this.#announce(channel, 'leave', membership.member);
  }

  has(channel: string, client: string): boolean {
    return !!this.#channels.get(channel)?.has(client);
  }

  /** A stream or poll of this client has begun: it holds what was entered over HTTP. */
  hold(client: string, stream: object): void {
    for (const members of this.#channels.values()) {
      const membership = members.get(client);
      if (!membership?.http) continue;
      membership.holders.add(stream);
      this.world.clock.clearTimeout(membership.timer);
      membership.timer = undefined;
    }
  }

  /** A connection ended. */
  release(holder: object): void {
    for (const [channel, members] of this.#channels)
      for (const membership of members.values())
        if (membership.holders.delete(holder) && !membership.holders.size)
          this.#expireAfter(channel, membership, membership.http ? LEASE : GRACE);
  }

  /** Forgets everyone, as a restart does. */
  clear(): void {
    for (const members of this.#channels.values())
      for (const { timer } of members.values()) this.world.clock.clearTimeout(timer);
    this.#channels.clear();
  }

  #expireAfter(channel: string, membership: Membership, ms: number): void {
    this.world.clock.clearTimeout(membership.timer);
    membership.timer = this.world.clock.setTimeout(() => this.leave(channel, membership.member.client), ms);
  }

  #announce(channel: string, action: string, member: WireMember): void {
    this.world
      .log(channel)
      .announce({ type: 'presence', channel, action, members: [member], more: false, ...this.counts(channel) });
  }
}
