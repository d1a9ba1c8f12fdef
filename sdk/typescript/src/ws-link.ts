import { globals } from './env.ts';
import { codeOfClose, FanfareError, fromWire } from './errors.ts';
import type { End, Frame, Link, LinkContext, LinkEvents } from './link.ts';
import type { WebSocketLike } from './types.ts';

/** What a subprotocol's name may consist of (RFC 9110 token). */
const TOKEN = /^[\w!#$%&'*+.^`|~-]+$/;

/** A WebSocket. The token goes as a subprotocol, which every hub and proxy passes; where it cannot, as the first frame. */
export function openWebSocket({ env, url, session, token, meter }: LinkContext, events: LinkEvents): Link {
  const Socket = env.options.WebSocket ?? globals.WebSocket;
  const fail = (end: End) => queueMicrotask(() => finish(end));
  let waiting: string[] | undefined = [];
  let socket: WebSocketLike | undefined;
  let ended = false;

  function finish(end: End): void {
    if (ended) return;
    release();
    events.closed(end);
  }
  function release(): void {
    ended = true;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    // `ws` throws "closed before established" through its error event when nobody listens.
    socket.onerror = () => {};
    try {
      socket.close(1000);
    } catch {
      // Some implementations refuse while connecting; the socket is let go either way.
    }
  }
  const link: Link = {
    name: 'ws',
    pings: true,
    send(frame) {
      const text = JSON.stringify(frame);
      meter._bytesOut += text.length;
      if (waiting) waiting.push(text);
      else if (!ended && socket!.readyState === 1) socket!.send(text);
    },
    refresh() {},
    close: release,
  };

  if (!Socket) {
    fail({
      error: new FanfareError('unsupported', 'no WebSocket here: give one as the option WebSocket'),
      unfit: true,
    });
    return link;
  }
  const asProtocol = token && TOKEN.test(token);
  if (token && !asProtocol) link.send({ type: 'auth', token });
  try {
    const protocols = ['fanfare.v1.json'];
    if (asProtocol) protocols.push(`fanfare.token.${token}`);
    socket = new Socket(`${url.replace(/^http/, 'ws')}/v1/ws?session=${session}`, protocols) as WebSocketLike;
  } catch (cause) {
    // A page over https may not open ws://, for one.
    fail({ error: new FanfareError('network', String(cause), { cause }), unfit: true });
    return link;
  }
  meter._requests++;
  socket.onopen = () => {
    const texts = waiting ?? [];
    waiting = undefined;
    for (const text of texts) socket!.send(text);
  };
  socket.onmessage = ({ data }: { data: unknown }) => {
    const text = String(data);
    meter._bytesIn += text.length;
    let frame: Frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return finish({ error: new FanfareError('network', 'not a Fanfare hub: it does not speak JSON'), unfit: true });
    }
    events.alive();
    // Its Close would follow; a socket that dies first must not hide the reason.
    if (frame.type === 'disconnect') finish({ error: fromWire(frame) });
    else if (frame.type) events.frame(frame);
  };
  socket.onclose = ({ code, reason }: { code: number; reason?: string }) => {
    const known = codeOfClose(code);
    finish({
      error: new FanfareError(known ?? 'network', reason || `the connection was closed (${code})`),
    });
  };
  socket.onerror = () => {};
  return link;
}
