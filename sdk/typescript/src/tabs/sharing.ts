import type { Core } from '../core.ts';
import type { globals } from '../env.ts';
import type { Frame, Opener } from '../link.ts';
import type { TabMessage } from './messages.ts';
import { type Peer, peerOf } from './peer.ts';

/** What a tab that has gone was a member of, it stays for so long, ms. */
const GRACE = 5000;

/** Whether and how another tab's connection is used. */
export interface Sharing {
  /** Waits until we know: a way to the leader, or nothing when we lead. */
  _follow(): Promise<Opener | undefined>;
  /** Our link is up, and we lead. */
  _lead(): void;
  /** Our link is gone. */
  _down(): void;
  /** The page goes away, or the client is closed. */
  _resign(): void;
}

/**
 * One connection for the tabs of one key. The tab that holds a Web Lock leads: it has the connection and serves the others over a
 * BroadcastChannel, which to them is one more transport. When it goes, the lock passes on, and the next leader connects as the same
 * client; everybody goes on at their positions, and repeats what was not answered, as after any other reconnect.
 *
 * `undefined` where this place has no Web Locks or no BroadcastChannel.
 */
export function shareTabs(core: Core, key: string): Sharing | undefined {
  const { _connection: connection } = core;
  const { navigator, BroadcastChannel } = globalThis as unknown as typeof globals;
  const locks = navigator?.locks;
  if (!locks || !BroadcastChannel) return undefined;
  const name = `fanfare:tabs:${core._url}:${key}`;
  const self = core._newId(12);
  const peers = new Map<string, Peer>();
  let air: BroadcastChannel | undefined;
  /** The follower's link of ours, if we have one. */
  let follow: ((message: TabMessage) => void) | undefined;
  /** We lead; calling it gives the lock back. */
  let release: (() => void) | undefined;
  /** We wait to lead. */
  let queued: AbortController | undefined;
  /** The leader's secret name, under which the next one goes on. */
  let session: string | undefined;

  const say = (type: TabMessage['type'], to?: string, frame?: Frame) =>
    air?.postMessage({ type, from: self, to, frame } satisfies TabMessage);

  /** What a leader does with what it hears. */
  const serve = ({ type, from, to, frame }: TabMessage) => {
    const peer = peers.get(from);
    if (type === 'join') {
      const { _id, _user, _idempotency, _clockOffset = 0, _session } = connection;
      const send = (frame: Frame) => say('frame', from, frame);
      if (peer) end(peer);
      if (!connection._link) return say('wait', from);
      peers.set(from, peerOf(core, peers, send));
      send({
        type: 'welcome',
        client: _id,
        user: _user,
        idempotency_ms: _idempotency,
        time: core._now() + _clockOffset,
        session: _session?._id,
      });
    } else if (type === 'left' && peer) {
      peers.delete(from);
      peer._end();
      // As the hub does with a connection that is lost: a tab that is only loaded again stays a member.
      core._timer()(() => peer._release(!!release), GRACE);
    } else if (type === 'frame' && to === self) {
      if (peer) peer._took(frame!);
      // A follower of our time before a reconnect: it has to join again.
      else say('down');
    }
  };
  const end = (peer: Peer) => {
    peer._end();
    peer._release();
  };
  const dismiss = () => {
    peers.forEach(end);
    peers.clear();
  };
  /** Asks for the lock; resolves with whether we have it at once. */
  const stand = () => {
    const waiting = (queued = new AbortController());
    const hold = () => {
      // Resigned meanwhile.
      if (queued !== waiting) return undefined;
      queued = undefined;
      return new Promise<void>(done => (release = done));
    };
    const lead = () => {
      const held = hold();
      if (held && session) connection._session = { _id: session, _release() {} };
      if (held) connection._restart();
      return held;
    };
    return new Promise<boolean>(resolve =>
      locks
        .request(name, { ifAvailable: true }, lock => {
          resolve(!!lock);
          return lock ? hold() : undefined;
        })
        .then(() => (queued === waiting ? locks.request(name, waiting, lead) : undefined))
        .catch(() => {
          if (queued === waiting) queued = undefined;
          resolve(true);
        }),
    );
  };
  /** The connection of another tab, as a transport. */
  const openTab: Opener = (_, { _open, _frame, _closed }) => {
    let leader: string | undefined;
    const lost = (detail: string) => _closed(core._error('unavailable', detail));

    follow = ({ type, from, to, frame }) => {
      const ours = to === self;
      if (type === 'wait' && ours) lost('the leader is not connected');
      else if (leader && (type === 'hello' ? from !== leader : from === leader && /bye|down/.test(type)))
        lost('another leader');
      else if (frame && ours) {
        if (!leader && frame.type === 'welcome') {
          leader = from;
          session = frame.session;
          _open();
        }
        if (from === leader) _frame(frame);
      }
    };
    core._meter._log('joins another tab');
    say('join');
    return {
      _send: frame => say('frame', leader, frame),
      _close() {
        follow = undefined;
        say('left');
      },
    };
  };

  return {
    async _follow() {
      try {
        air ??= new BroadcastChannel(name);
      } catch {
        // Not allowed here: on our own.
        return undefined;
      }
      air.onmessage = ({ data }: MessageEvent<TabMessage>) => {
        follow?.(data);
        if (release) serve(data);
        else if (data.type === 'hello' && !connection._link) connection._wake();
      };
      return release || (!queued && (await stand())) ? undefined : openTab;
    },
    _lead() {
      if (release) say('hello');
    },
    _down() {
      if (!release) return;
      dismiss();
      say('down');
    },
    _resign() {
      say(release ? 'bye' : 'left');
      dismiss();
      queued?.abort();
      release?.();
      air?.close();
      release = queued = air = undefined;
    },
  };
}
