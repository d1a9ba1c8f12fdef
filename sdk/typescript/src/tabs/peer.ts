import type { Core } from '../core.ts';
import type { FanfareError } from '../errors.ts';
import type { Frame } from '../link.ts';
import type { Off, Position } from '../types.ts';

/** A follower, as its leader sees it: what it has subscribed and where it is a member. */
export interface Peer {
  _took(frame: Frame): void;
  /** It hears nothing more. Where it is a member it stays so far. */
  _end(): void;
  /** It is a member of nothing more here. `leave`: for good, so it leaves where no other tab has entered. */
  _release(leave?: boolean): void;
  _entered(channel: string): boolean;
}

/** `peers`: all of them, while it is there itself. */
export function peerOf(core: Core, peers: Map<string, Peer>, send: (frame: Frame) => void): Peer {
  const { _connection: connection, _channels: channels } = core;
  /** What lets go of each channel, subscribed or entered. */
  const subscribed = new Map<string, Off>();
  const entered = new Map<string, Off>();
  let closed = false;

  const say = (frame: object) => {
    if (!closed) send(frame as Frame);
  };
  const drop = (held: Map<string, Off>, channel: string) => {
    held.get(channel)?.();
    held.delete(channel);
  };
  /** Another tab is a member too, or we are: it is one membership. */
  const stays = (channel: string) =>
    [...peers.values()].some(other => other !== peer && other._entered(channel)) ||
    channels.get(channel)?.presence.entered;
  const subscribe = (ref: unknown, { type, channel, since, last, token, ...options }: Frame) => {
    const onError = (error: unknown) => say({ ...wire(error as FanfareError), ref, channel });
    const { presence } = options;
    let relays: Off | undefined;
    let listens: Off | undefined;
    let placed = false;
    drop(subscribed, channel);
    subscribed.set(channel, () => {
      relays?.();
      listens?.();
    });
    try {
      const own = core._channel(channel, options);
      if (token && !own.options.token) {
        own._setToken(token);
        own._subscription._renewed();
      }
      if (presence) relays = own._relays._add(frame => placed && say(frame));
      listens = own._listen(
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
          if (presence) members(channel).catch(() => {});
        },
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
    _took({ ref, ...frame }) {
      const { type, channel } = frame as Frame;
      if (type === 'subscribe') return subscribe(ref, frame as Frame);
      if (type === 'ping') return say({ type: 'pong', ref, time: core._now() + (connection._clockOffset ?? 0) });
      if (type === 'unsubscribe') drop(subscribed, channel);
      if (type === 'enter' && !entered.has(channel)) entered.set(channel, core._channel(channel, {})._hold());
      if (type === 'leave') drop(entered, channel);
      if (type === 'unsubscribe' || (type === 'leave' && stays(channel))) return say({ type: 'ok', ref });
      connection._request(frame as Frame, (error, answer) => {
        // Without a connection there is no answer, and this link ends too: it is asked again on the next.
        if (error?.code !== 'network') say({ ...(error ? wire(error) : answer), ref });
      });
    },
    _end() {
      closed = true;
      for (const channel of [...subscribed.keys()]) drop(subscribed, channel);
    },
    _release(leave) {
      for (const channel of [...entered.keys()]) {
        if (leave && !stays(channel)) connection._request({ type: 'leave', channel }, () => {});
        drop(entered, channel);
      }
    },
    _entered: channel => entered.has(channel),
  };
  return peer;
}

/** A position taken apart. */
function taken(position: Position): object {
  const [epoch, offset] = position.split('-');
  return offset ? { epoch, offset: Number(offset) } : {};
}

/** An error as the frame that it came as. */
const wire = ({ code, remedy, retryable, retryAfter, position = '', message }: FanfareError): object => ({
  type: 'error',
  code,
  detail: message.replace(`${code}: `, ''),
  remedy,
  retryable,
  retry_after_ms: retryAfter,
  ...taken(position),
});
