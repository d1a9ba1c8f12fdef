import type { Frame, Link, LinkContext, LinkEvents } from '../link.ts';
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
  events: LinkEvents,
  { _self: from, _say, _hear, _session }: Wire,
): Link {
  let leader: string | undefined;
  let waiting: Frame[] = [];
  let ended = false;

  function close(): void {
    ended = true;
    off();
  }
  function end(detail: string): void {
    close();
    events._closed(_core._error('unavailable', detail));
  }
  function send(frame: Frame): void {
    if (!leader) waiting.push(frame);
    else if (!ended) _say({ type: 'frame', from, to: leader, frame });
  }
  const off = _hear(message => {
    const { type, from: other, to, frame } = message;
    if (type === 'wait' && to === from) end('the leading tab is not connected');
    else if (leader && (type === 'hello' ? other !== leader : other === leader && /bye|down/.test(type)))
      end('the leading tab has changed');
    else if (frame && to === from) {
      if (!leader && frame.type === 'welcome') {
        leader = other;
        _session(frame.session);
        for (const item of waiting) send(item);
        waiting = [];
      }
      if (other !== leader) return;
      events._alive();
      events._frame(frame);
    }
  });
  _core._meter._log('joining another tab');
  _say({ type: 'join', from });
  return {
    _name: 'tab',
    _pings: true,
    _send: send,
    _refresh() {},
    _close() {
      if (!ended) _say({ type: 'left', from });
      close();
    },
  };
}
