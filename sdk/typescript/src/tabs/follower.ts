import type { FanfareError } from '../errors.ts';
import type { Frame, Link, LinkContext, LinkEvents } from '../link.ts';
import type { TabMessage } from './messages.ts';

export interface Wire {
  self: string;
  say(message: TabMessage): void;
  hear(listener: (message: TabMessage) => void): () => void;
  /** The leader's secret name. */
  session(id: string): void;
  error(code: string, detail: string): FanfareError;
}

/** The connection of another tab, as a transport. */
export function openTab({ meter }: LinkContext, events: LinkEvents, { self, say, hear, session, error }: Wire): Link {
  let leader: string | undefined;
  let waiting: Frame[] = [];
  let ended = false;

  function close(): void {
    ended = true;
    off();
  }
  function end(code: string, detail: string): void {
    if (ended) return;
    close();
    events.closed({ error: error(code, detail) });
  }
  const off = hear(message => {
    if ('wait' in message && message.to === self) end('unavailable', 'the leading tab is not connected');
    else if ('bye' in message || 'down' in message || 'hello' in message) {
      const [who] = Object.values(message);
      if (leader !== undefined && ('hello' in message ? who !== leader : who === leader))
        end('network', 'the leading tab has changed');
    } else if ('frame' in message && message.to === self) {
      const { from, frame } = message;
      if (leader === undefined && frame.type === 'welcome') {
        leader = from;
        session(frame.session);
        for (const item of waiting) say({ from: self, to: leader, frame: item });
        waiting = [];
      }
      if (from !== leader) return;
      events.alive();
      events.frame(frame);
    }
  });
  meter.log('joining another tab');
  say({ join: self });
  return {
    name: 'tab',
    pings: true,
    send(frame) {
      if (leader === undefined) waiting.push(frame);
      else if (!ended) say({ from: self, to: leader, frame });
    },
    refresh() {},
    close() {
      if (!ended) say({ left: self });
      close();
    },
  };
}
