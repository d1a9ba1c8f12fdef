import { CODES } from './codes.gen.ts';
import { globals } from './env.ts';
import { FanfareError, fromWire } from './errors.ts';
import type { Frame, Link, LinkContext, LinkEvents } from './link.ts';
import type { Code, WebSocketLike } from './types.ts';

/** A WebSocket. The token goes as a subprotocol, which every hub and proxy passes; where it cannot, as the first frame. */
export function openWebSocket({ _core, _session, _token }: LinkContext, events: LinkEvents): Link {
  const { _meter: meter, _options, _url } = _core;
  let waiting: string[] | undefined = [];
  let socket: WebSocketLike | undefined;
  let ended = false;

  function end(code: Code, detail?: string, unfit?: boolean, error = new FanfareError(code, detail)): void {
    if (ended) return;
    close();
    events._closed(error, unfit);
  }
  function close(): void {
    ended = true;
    if (!socket) return;
    // `ws` throws "closed before established" through its error event when nobody listens.
    socket.onopen = socket.onmessage = socket.onclose = socket.onerror = () => {};
    try {
      socket.close(1000);
    } catch {
      // Some implementations refuse while connecting; the socket is let go either way.
    }
  }
  function send(frame: Frame): void {
    const text = JSON.stringify(frame);
    meter._bytesOut += text.length;
    if (waiting) waiting.push(text);
    else if (!ended && socket!.readyState === 1) socket!.send(text);
  }
  function took({ data }: { data: unknown }): void {
    const text = String(data);
    meter._bytesIn += text.length;
    let frame: Frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return end('network', 'not a Fanfare hub: it does not speak JSON', true);
    }
    events._alive();
    // Its Close would follow; a socket that dies first must not hide the reason.
    if (frame.type === 'disconnect') end('', '', false, fromWire(frame));
    else if (frame.type) events._frame(frame);
  }

  const protocols = ['fanfare.v1.json'];
  // What a subprotocol's name may consist of (RFC 9110 token).
  if (_token && /^[\w!#$%&'*+.^`|~-]+$/.test(_token)) protocols.push(`fanfare.token.${_token}`);
  else if (_token) send({ type: 'auth', token: _token });
  try {
    const Socket = _options.WebSocket ?? globals.WebSocket;
    if (!Socket) throw 'give one as the option WebSocket';
    socket = new Socket(`${_url.replace(/^http/, 'ws')}/v1/ws?session=${_session}`, protocols) as WebSocketLike;
    meter._counts.requests++;
    socket.onopen = () => {
      for (const text of waiting!) socket!.send(text);
      waiting = undefined;
    };
    socket.onmessage = took;
    socket.onclose = ({ code, reason }: { code: number; reason?: string }) => {
      const known = Object.entries(CODES).find(([, row]) => row[1] === code);
      end(known?.[0] ?? 'network', reason || `the connection was closed (${code})`);
    };
    socket.onerror = () => {};
  } catch (error) {
    // A page over https may not open ws://, for one.
    queueMicrotask(() => end('unsupported', `no WebSocket here: ${error}`, true));
  }
  return { _name: 'ws', _pings: true, _send: send, _refresh() {}, _close: close };
}
