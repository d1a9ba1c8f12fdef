import type { Core } from '../core.ts';
import type { FanfareError } from '../errors.ts';
import type { Frame } from '../link.ts';
import type { Off, Position } from '../types.ts';

/** A follower, as its leader sees it: what it has subscribed and where it is a member. */
export interface Peer {
  /** It hears nothing more. Where it is a member it stays so far. */
  _end(): void;
  /** It is forgotten. */
  _close(): void;
  /** It is gone for good, and leaves where no other tab has entered. */
  _leave(): void;
  _took(frame: Frame): void;
  _entered(channel: string): boolean;
}

/** What lets go of each channel. */
type Held = Map<string, Off>;

/** `peers`: all of them, while it is there itself. */
export function peerOf(core: Core, peers: Map<string, Peer>, send: (frame: Frame) => void): Peer {
  const { _connection: connection } = core;
  const subscriptions: Held = new Map();
  /** Channels that it entered. */
  const entered: Held = new Map();
  let closed = false;

  const say = (frame: Frame) => {
    if (!closed) send(frame);
  };
  const drop = (held: Held, channel: string) => {
    held.get(channel)?.();
    held.delete(channel);
  };
  const end = () => {
    closed = true;
    for (const channel of [...subscriptions.keys()]) drop(subscriptions, channel);
  };
  /** Another tab is a member too, or we are: it is one membership. */
  const stays = (channel: string) =>
    [...peers.values()].some(other => other !== peer && other._entered(channel)) ||
    core._channels.get(channel)?.presence.entered;
  const subscribe = (ref: unknown, { type, channel, since, last, token, ...options }: Frame) => {
    const onError = (error: unknown) => say({ ...wire(error as FanfareError), ref, channel });
    const offs: Off[] = [];
    let placed = false;
    drop(subscriptions, channel);
    subscriptions.set(channel, () => {
      for (const off of offs) off();
    });
    try {
      const own = core._channel(channel, options);
      if (token && !own.options.token) {
        own._setToken(token);
        own._subscription._renewed();
      }
      if (options.presence) offs.push(own._relays._add(frame => placed && say(frame)));
      offs.push(
        own._listen(
          undefined,
          messages => {
            for (const message of messages) say({ ...message, type: 'message' });
          },
          {
            since,
            last,
            onError,
            onGap: ({ position, reason }) => say({ type: 'gap', channel, reason, ...taken(position) }),
          },
          (epoch, offset, replay) => {
            if (placed) return;
            placed = true;
            say({ type: 'subscribed', ref, channel, epoch, offset, replay });
            if (options.presence) members(channel).catch(() => {});
          },
        ),
      );
    } catch (error) {
      onError(error);
    }
  };
  /** Who is there now, for one who comes late; changes are relayed as they come. If the connection goes, so does this follower's link, and it asks again. */
  const members = async (channel: string) => {
    let after: string | undefined;
    do {
      const page = await connection._ask({ type: 'members', channel, limit: 1000, after });
      after = page.next;
      say({ ...page, type: 'presence', ref: undefined, channel, action: 'present', more: !!after });
    } while (after && !closed);
  };
  const peer: Peer = {
    _end: end,
    _close() {
      end();
      for (const channel of [...entered.keys()]) drop(entered, channel);
    },
    _leave() {
      for (const channel of [...entered.keys()]) {
        if (!stays(channel)) connection._request({ type: 'leave', channel }, () => {});
        drop(entered, channel);
      }
    },
    _entered: channel => entered.has(channel),
    _took({ ref, ...rest }) {
      const frame = rest as Frame;
      const { type, channel } = frame;
      if (type === 'subscribe') return subscribe(ref, frame);
      if (type === 'ping') return say({ type: 'pong', ref, time: core._now() + (connection._clockOffset ?? 0) });
      if (type === 'unsubscribe') drop(subscriptions, channel);
      if (type === 'enter' && !entered.has(channel)) entered.set(channel, core._channel(channel, {})._hold());
      if (type === 'leave') drop(entered, channel);
      if (type === 'unsubscribe' || (type === 'leave' && stays(channel))) return say({ type: 'ok', ref });
      connection._request(frame, (error, answer) => {
        // Without a connection there is no answer, and this link ends too: it is asked again on the next.
        if (!error) say({ ...answer, ref });
        else if (error.code !== 'network') say({ ...wire(error), ref });
      });
    },
  };
  return peer;
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
