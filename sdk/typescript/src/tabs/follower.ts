import type { Frame, LinkContext, Transport, TransportEvents } from '../link.ts';
import type { TabMessage } from './messages.ts';

/** How a tab talks to the others. */
export interface Wire {
  _self: string;
  _say(type: TabMessage['type'], to?: string, frame?: Frame): void;
  /** Takes the place of who heard before. */
  _hear(listener: (message: TabMessage) => void): void;
  /** The leader's secret name. */
  _session(id: string): void;
}

/** The connection of another tab, as a transport. */
export function openTab(
  { _core }: LinkContext,
  { _open, _frame, _closed }: TransportEvents,
  { _self, _say, _hear, _session }: Wire,
): Transport {
  let leader: string | undefined;
  const end = (detail: string) => _closed(_core._error('unavailable', detail));

  _hear(({ type, from, to, frame }) => {
    const ours = to === _self;
    if (type === 'wait' && ours) end('the leader is not connected');
    else if (leader && (type === 'hello' ? from !== leader : from === leader && /bye|down/.test(type)))
      end('another leader');
    else if (frame && ours) {
      if (!leader && frame.type === 'welcome') {
        leader = from;
        _session(frame.session);
        _open();
      }
      if (from !== leader) return;
      _frame(frame);
    }
  });
  _core._meter._log('joins another tab');
  _say('join');
  return {
    _send: frame => _say('frame', leader, frame),
    _close() {
      _hear(() => {});
      _say('left');
    },
  };
}
