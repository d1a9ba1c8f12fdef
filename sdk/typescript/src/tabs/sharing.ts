import type { ClientChannel } from '../channel.ts';
import type { Sharing } from '../connection.ts';
import type { Core } from '../core.ts';
import type { globals as Globals, newId } from '../env.ts';
import type { FanfareError } from '../errors.ts';
import type { wire } from '../http-link.ts';
import type { Frame, LinkContext, LinkEvents } from '../link.ts';
import type { parsePosition } from '../position.ts';
import type { Subscriber } from '../subscriber.ts';
import type { ChannelOptions } from '../types.ts';
import { openTab } from './follower.ts';
import type { TabMessage } from './messages.ts';
import { Peer } from './peer.ts';

/** What sharing needs of the client that it is a part of. */
export interface SharingHost {
  core: Core;
  /** Parts of the core, handed over so that this file, which is loaded later, imports none of them: they stay in one piece. */
  kit: {
    newId: typeof newId;
    wire: typeof wire;
    parsePosition: typeof parsePosition;
    Subscriber: typeof Subscriber;
    FanfareError: typeof FanfareError;
  };
  url: string;
  channel(name: string, options: ChannelOptions): ClientChannel;
}

/**
 * One connection for the tabs of one key. The tab that holds a Web Lock leads: it has the connection and serves the others over a
 * BroadcastChannel, which to them is one more transport. When it goes, the lock passes on, and the next leader connects as the same
 * client; everybody goes on at their positions, and repeats what was not answered, as after any other reconnect.
 */
export function shareTabs(host: SharingHost, key: string): Sharing | undefined {
  const { env, connection } = host.core;
  const globals = globalThis as unknown as typeof Globals;
  const locks = globals.navigator?.locks;
  if (!locks || !globals.BroadcastChannel) return undefined;
  const { newId, FanfareError } = host.kit;
  const name = `fanfare:tabs:${host.url}:${key}`;
  const self = newId(env.random, 12);
  const peers = new Map<string, Peer>();
  const listeners = new Set<(message: TabMessage) => void>();
  let air: BroadcastChannel | undefined;
  /** We lead; calling it gives the lock back. */
  let release: (() => void) | undefined;
  let queued: AbortController | undefined;
  /** The leader's secret name, under which the next one goes on. */
  let session: string | undefined;

  const say = (message: TabMessage) => air?.postMessage(message);

  function listen(): void {
    if (air) return;
    air = new globals.BroadcastChannel!(name);
    air.onmessage = ({ data }: MessageEvent<TabMessage>) => {
      for (const listener of [...listeners]) listener(data);
      if (release) lead(data);
      else if ('hello' in data && !connection.link) connection.wake();
    };
  }

  /** What a leader does with what it hears. */
  function lead(message: TabMessage): void {
    if ('join' in message) {
      const { join } = message;
      peers.get(join)?.close();
      if (!connection.link) return say({ wait: self, to: join });
      const send = (frame: Frame) => say({ from: self, to: join, frame });
      peers.set(join, new Peer(host, send));
      const { id, user, idempotency, clockOffset = 0 } = connection;
      send({
        type: 'welcome',
        client: id,
        user,
        idempotency_ms: idempotency,
        time: env.now() + clockOffset,
        session: connection.session?.id,
      });
    } else if ('left' in message) {
      peers.get(message.left)?.close();
      peers.delete(message.left);
    } else if ('frame' in message && message.to === self) {
      const peer = peers.get(message.from);
      if (peer) peer.took(message.frame, [...peers.values()]);
      // A follower of our time before a reconnect: it has to join again.
      else say({ down: self });
    }
  }

  function dismiss(): void {
    for (const peer of peers.values()) peer.close();
    peers.clear();
  }

  /** Asks for the lock; resolves with whether we have it at once. */
  function stand(): Promise<boolean> {
    return new Promise(resolve => {
      const hold = () =>
        new Promise<void>(done => {
          release = done;
        });
      const ask = () => {
        queued = new AbortController();
        locks!
          .request(name, { signal: queued.signal }, () => {
            queued = undefined;
            const held = hold();
            if (session) connection.session = { id: session, release() {} };
            connection.restart();
            return held;
          })
          .catch(() => {});
      };
      locks!
        .request(name, { ifAvailable: true }, lock => {
          if (lock) {
            const held = hold();
            resolve(true);
            return held;
          }
          ask();
          resolve(false);
          return undefined;
        })
        .catch(() => resolve(true));
    });
  }

  return {
    async follow() {
      listen();
      if (release) return undefined;
      if (!queued && (await stand())) return undefined;
      return (context: LinkContext, events: LinkEvents) =>
        openTab(context, events, {
          self,
          say,
          hear(listener) {
            listeners.add(listener);
            return () => listeners.delete(listener);
          },
          error: (code, detail) => new FanfareError(code, detail),
          session(id) {
            session = id;
          },
        });
    },
    lead() {
      if (release) say({ hello: self });
    },
    down() {
      if (!release) return;
      dismiss();
      say({ down: self });
    },
    resign() {
      if (release) say({ bye: self });
      else say({ left: self });
      dismiss();
      queued?.abort();
      release?.();
      air?.close();
      release = queued = air = undefined;
    },
  };
}
