import type { Core } from '../core.ts';
import type { FanfareError } from '../errors.ts';
import type { Frame } from '../link.ts';
import type { Off, Position } from '../types.ts';

/** A follower, as its leader sees it: what it has subscribed and where it is a member. */
export class Peer {
  private _subscriptions = new Map<string, Off>();
  /** Channels that it entered, and what lets their subscription go. */
  private _entered = new Map<string, Off>();
  private _closed = false;

  constructor(
    private _core: Core,
    private _send: (frame: Frame) => void,
  ) {}

  /** It hears nothing more. Where it is a member it stays so far. */
  _end(): void {
    this._closed = true;
    for (const channel of [...this._subscriptions.keys()]) drop(this._subscriptions, channel);
  }

  _close(): void {
    this._end();
    for (const channel of [...this._entered.keys()]) drop(this._entered, channel);
  }

  /** It is gone for good, and leaves where no other tab has entered. */
  _leave(peers: Peer[]): void {
    for (const channel of [...this._entered.keys()]) {
      if (!this._stays(channel, peers)) this._core._connection._request({ type: 'leave', channel }, () => {});
      drop(this._entered, channel);
    }
  }

  /** Another tab is a member too, or we are: it is one membership. */
  private _stays(channel: string, peers: Peer[]): boolean {
    const { _channels } = this._core;
    return (
      peers.some(peer => peer !== this && peer._entered.has(channel)) || !!_channels.get(channel)?.presence.entered
    );
  }

  _took({ ref, ...frame }: Frame, peers: Peer[]): void {
    const { type, channel } = frame as Frame;
    const { _core: core, _entered: entered } = this;
    const { _connection: connection } = core;
    const ok = () => this._say({ type: 'ok', ref });
    if (type === 'ping') return this._say({ type: 'pong', ref, time: core._now() + (connection._clockOffset ?? 0) });
    if (type === 'subscribe') return this._subscribe(ref, frame as Frame);
    if (type === 'unsubscribe') {
      drop(this._subscriptions, channel);
      return ok();
    }
    if (type === 'enter' && !entered.has(channel)) entered.set(channel, core._channel(channel, {})._hold());
    if (type === 'leave') {
      drop(entered, channel);
      if (this._stays(channel, peers)) return ok();
    }
    connection._request(frame as Frame, (error, answer) => {
      // Without a connection there is no answer, and this link ends too: it is asked again on the next.
      if (!error) this._say({ ...answer, ref });
      else if (error.code !== 'network') this._say({ ...wire(error), ref });
    });
  }

  private _say(frame: Frame): void {
    if (!this._closed) this._send(frame);
  }

  private _subscribe(ref: unknown, { type, channel, since, last, token, ...options }: Frame): void {
    const { _core: core, _subscriptions: subscriptions } = this;
    const onError = (error: unknown) => this._say({ ...wire(error as FanfareError), ref, channel });
    drop(subscriptions, channel);
    try {
      const own = core._channel(channel, options);
      if (token && !own.options.token) {
        own._setToken(token);
        own._subscription._renewed();
      }
      const subscriber = own._reader(
        undefined,
        messages => {
          for (const message of messages) this._say({ ...message, type: 'message' });
        },
        {
          since,
          last,
          onError,
          onGap: ({ position, reason }) => this._say({ type: 'gap', channel, reason, ...taken(position) }),
        },
      );
      let placed = false;
      subscriber._raw = true;
      subscriber._placed = (epoch, offset, replay) => {
        if (placed) return;
        placed = true;
        this._say({ type: 'subscribed', ref, channel, epoch, offset, replay });
        if (options.presence) this._members(channel).catch(() => {});
      };
      const offs = [own._listen(subscriber)];
      if (options.presence) offs.push(own._relays._add(frame => placed && this._say(frame)));
      subscriptions.set(channel, () => {
        for (const off of offs) off();
      });
    } catch (error) {
      onError(error);
    }
  }

  /** Who is there now, for one who comes late; changes are relayed as they come. If the connection goes, so does this follower's link, and it asks again. */
  private async _members(channel: string): Promise<void> {
    let after: string | undefined;
    do {
      const { members, count, users, next } = await this._core._connection._ask({
        type: 'members',
        channel,
        limit: 1000,
        after,
      });
      after = next;
      this._say({ type: 'presence', channel, action: 'present', members, count, users, more: !!next });
    } while (after && !this._closed);
  }
}

function drop(offs: Map<string, Off>, channel: string): void {
  offs.get(channel)?.();
  offs.delete(channel);
}

/** A position taken apart. */
function taken(position: Position): object {
  const [epoch, offset] = position.split('-');
  return offset ? { epoch, offset: Number(offset) } : {};
}

/** An error as the frame that it came as. */
function wire({ code, remedy, retryable, retryAfter, position = '', message }: FanfareError): Frame {
  return {
    type: 'error',
    code,
    detail: message.replace(`${code}: `, ''),
    remedy,
    retryable,
    retry_after_ms: retryAfter,
    ...taken(position),
  };
}
