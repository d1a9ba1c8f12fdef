import type { LinkContext, Transport, TransportEvents } from '../link.ts';
import type { Off } from '../types.ts';
import type { TabMessage } from './messages.ts';

export interface Wire {
  _self: string;
  _say(message: TabMessage): void;
  _hear(listener: (message: TabMessage) => void): Off;
  /** The leader's secret name. */
  _session(id: string): void;
}

/** The connection of another tab, as a transport. */
export function openTab(
  { _core }: LinkContext,
  { _open, _frame, _alive, _closed }: TransportEvents,
  { _self: from, _say, _hear, _session }: Wire,
): Transport {
  let leader: string | undefined;
  const end = (detail: string) => _closed(_core._error('unavailable', detail));
  const off = _hear(({ type, from: other, to, frame }) => {
    if (type === 'wait' && to === from) end('the leading tab is not connected');
    else if (leader && (type === 'hello' ? other !== leader : other === leader && /bye|down/.test(type))) {
      leader = undefined;
      end('the leading tab has changed');
    } else if (frame && to === from) {
      if (!leader && frame.type === 'welcome') {
        leader = other;
        _session(frame.session);
        _open();
      }
      if (other !== leader) return;
      _alive();
      _frame(frame);
    }
  });
  _core._meter._log('joining another tab');
  _say({ type: 'join', from });
  return {
    _send: frame => _say({ type: 'frame', from, to: leader, frame }),
    _close() {
      off();
      _say({ type: 'left', from });
    },
  };
}
