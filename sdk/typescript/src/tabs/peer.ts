import type { FanfareError } from '../errors.ts';
import type { Frame } from '../link.ts';
import type { Off } from '../types.ts';
import type { SharingHost } from './sharing.ts';

/** A follower, as its leader sees it: what it has subscribed and where it is a member. */
export class Peer {
  private _subscriptions = new Map<string, Off>();
  /** Channels that it entered, and what lets their subscription go. */
  readonly _entered = new Map<string, Off>();
  private _closed = false;

  constructor(
    private _host: SharingHost,
    private _send: (frame: Frame) => void,
  ) {}

  close(): void {
    this._closed = true;
    for (const off of [...this._subscriptions.values(), ...this._entered.values()]) off();
    this._subscriptions.clear();
    this._entered.clear();
  }

  took(frame: Frame, peers: Peer[]): void {
    const { type, ref, channel } = frame;
    const { wire } = this._host.kit;
    const { connection, env } = this._host.core;
    if (type === 'ping') return this.say({ type: 'pong', ref, time: env.now() + (connection.clockOffset ?? 0) });
    if (type === 'subscribe') return this._subscribe(frame);
    if (type === 'unsubscribe') {
      this._subscriptions.get(channel)?.();
      this._subscriptions.delete(channel);
      return this.say({ type: 'ok', ref });
    }
    if (type === 'enter' && !this._entered.has(channel))
      this._entered.set(channel, this._host.channel(channel, {})._hold());
    if (type === 'leave') {
      this._entered.get(channel)?.();
      this._entered.delete(channel);
      // Still there in another tab.
      const stays = peers.some(peer => peer._entered.has(channel)) || this._host.channel(channel, {}).presence.entered;
      if (stays) return this.say({ type: 'ok', ref });
    }
    const { ref: _ref, ...command } = frame;
    connection.request(command as Frame, (error, answer) => {
      // Without a connection there is no answer, and this link ends too: it is asked again on the next.
      if (error?.code === 'network') return;
      this.say(error ? { ...wire(error), ref } : { ...answer, ref });
    });
  }

  private say(frame: Frame): void {
    if (!this._closed) this._send(frame);
  }

  private _subscribe({ ref, channel, since, last, presence, rate, echo, snapshot, token }: Frame): void {
    const { Subscriber, parsePosition, wire } = this._host.kit;
    this._subscriptions.get(channel)?.();
    const refuse = (error: FanfareError) => this.say({ ...wire(error), ref, channel });
    try {
      const own = this._host.channel(channel, { presence, rate, echo, snapshot, token });
      const subscriber = new Subscriber(
        this._host.core,
        undefined,
        messages => {
          for (const message of messages) this.say({ ...message, type: 'message' });
        },
        {
          since,
          last,
          onError: error => refuse(error as FanfareError),
          onGap: ({ position, reason }) =>
            this.say({ type: 'gap', channel, reason, ...parsePosition(position) } as Frame),
        },
      );
      subscriber._raw = true;
      let placed = false;
      subscriber._placed = (epoch, offset, replay) => {
        if (placed) return;
        placed = true;
        this.say({ type: 'subscribed', ref, channel, epoch, offset, replay });
        if (presence) void this._members(channel);
      };
      const offs = [own._listen(subscriber), presence ? own._relay(frame => placed && this.say(frame)) : () => {}];
      this._subscriptions.set(channel, () => {
        for (const off of offs) off();
      });
    } catch (error) {
      refuse(error as FanfareError);
    }
  }

  /** Who is there now, for one who comes late; changes are relayed as they come. */
  private async _members(channel: string): Promise<void> {
    try {
      for (let after: string | undefined; ; ) {
        const page = await this._host.core.connection.ask({ type: 'members', channel, limit: 1000, after });
        const { members, count, users, next } = page;
        this.say({ type: 'presence', channel, action: 'present', members, count, users, more: next !== undefined });
        if (next === undefined || this._closed) return;
        after = next;
      }
    } catch {
      // The connection went; so does this follower's link, and it asks again.
    }
  }
}
