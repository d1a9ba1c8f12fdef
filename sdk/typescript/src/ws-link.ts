import { CODES } from './codes.gen.ts';
import { globals, guarded } from './env.ts';
import { errorOf, fromWire } from './errors.ts';
import type { Frame, Opener } from './link.ts';
import type { Code, WebSocketLike } from './types.ts';

/** A WebSocket. The token goes as a subprotocol, which every hub and proxy passes; where it cannot, as the first frame. */
export const openWebSocket: Opener = ({ _core, _session, _token }, { _open, _frame, _closed }) => {
  const { _options, _url } = _core;
  const { _counts: counts } = _core._meter;
  const protocols = ['fanfare.v1.json'];
  // What tokens consist of that may be in a subprotocol's name (RFC 9110 token).
  const fits = /^[\w.~+-]*$/.test(_token!);
  let socket: WebSocketLike | undefined;

  const end = (code: Code, detail: string, unfit?: boolean) => _closed(errorOf(code, detail), unfit);
  const send = (frame: Frame) => {
    const text = JSON.stringify(frame);
    counts.bytes.sent += text.length;
    if (socket!.readyState === 1) socket!.send(text);
  };
  if (_token && fits) protocols.push(`fanfare.token.${_token}`);
  try {
    const Socket = _options.WebSocket ?? globals.WebSocket;
    socket = new Socket!(`${_url.replace(/^http/, 'ws')}/v1/ws?session=${_session}`, protocols) as WebSocketLike;
    counts.requests++;
    socket.onopen = () => {
      if (!fits) send({ type: 'auth', token: _token });
      _open();
    };
    socket.onmessage = ({ data }: { data: unknown }) => {
      const text = String(data);
      counts.bytes.received += text.length;
      const frame = guarded(() => JSON.parse(text) as Frame);
      if (!frame) return end('network', 'not a hub: no JSON', true);
      // Its Close would follow; a socket that dies first must not hide the reason.
      if (frame.type === 'disconnect') _closed(fromWire(frame));
      else _frame(frame);
    };
    socket.onclose = ({ code, reason }: { code: number; reason?: string }) => {
      const known = Object.entries(CODES).find(([, row]) => row[1] === code);
      end(known?.[0] ?? 'network', reason || `the connection was closed (${code})`);
    };
    // `ws` throws "closed before established" through its error event when nobody listens.
    socket.onerror = () => {};
  } catch (error) {
    // A page over https may not open ws://, for one.
    queueMicrotask(() => end('unsupported', `no WebSocket (see the option WebSocket): ${error}`, true));
  }
  return {
    _send: send,
    _close() {
      // What it says from now on nobody hears. Some implementations refuse while connecting; the socket is let go either way.
      guarded(() => socket!.close(1000));
    },
  };
};
