import { createServer, type IncomingMessage, request, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';

export type Way = 'ws' | 'sse' | 'longpoll' | 'poll' | 'other';

/** What stands between the browser and the hub: it serves the page, passes the rest on, and blocks what a test wants blocked. */
export class Front {
  /** Refused without an answer, as by a firewall that resets. */
  readonly blocked = new Set<Way>();
  /** Accepted, but nothing ever comes back, as behind a proxy that buffers. */
  readonly muted = new Set<Way>();
  /** Requests that came, blocked ones included. */
  readonly asked: Record<Way, number> = { ws: 0, sse: 0, longpoll: 0, poll: 0, other: 0 };
  #open = new Map<Duplex, Way>();
  #server: Server;
  url = '';

  private constructor(
    readonly hub: number,
    files: ReadonlyMap<string, { type: string; body: string }>,
  ) {
    this.#server = createServer((incoming, outgoing) => {
      const file = files.get(new URL(incoming.url!, 'http://x').pathname);
      if (file) return outgoing.writeHead(200, { 'content-type': file.type }).end(file.body);
      const { socket } = incoming;
      if (!this.#admit(incoming, socket)) return;
      const { method, url, headers } = incoming;
      const onward = request({ host: '127.0.0.1', port: hub, method, path: url, headers }, answer => {
        outgoing.writeHead(answer.statusCode!, answer.headers);
        answer.pipe(outgoing);
        answer.on('error', () => socket.destroy());
        answer.on('close', () => answer.complete || socket.destroy());
      });
      onward.on('error', () => socket.destroy());
      outgoing.on('close', () => onward.destroy());
      incoming.pipe(onward);
    });
    this.#server.on('upgrade', (incoming, near, head) => {
      if (!this.#admit(incoming, near)) return;
      const far = connect(hub, '127.0.0.1', () => {
        const { method, url, rawHeaders } = incoming;
        let text = `${method} ${url} HTTP/1.1\r\n`;
        for (let i = 0; i < rawHeaders.length; i += 2) text += `${rawHeaders[i]}: ${rawHeaders[i + 1]}\r\n`;
        far.write(`${text}\r\n`);
        far.write(head);
        far.pipe(near);
        near.pipe(far);
      });
      const end = () => {
        near.destroy();
        far.destroy();
      };
      for (const side of [near, far] as Socket[]) side.on('error', end).on('close', end);
    });
  }

  static async before(hub: number, files: ReadonlyMap<string, { type: string; body: string }>): Promise<Front> {
    const front = new Front(hub, files);
    await new Promise<void>(resolve => front.#server.listen(0, '127.0.0.1', resolve));
    front.url = `http://127.0.0.1:${(front.#server.address() as { port: number }).port}`;
    return front;
  }

  /** Blocks these and cuts what is open on them. */
  block(...ways: Way[]): void {
    for (const way of ways) this.blocked.add(way);
    this.cut(...ways);
  }

  cut(...ways: Way[]): void {
    for (const [socket, way] of this.#open) if (!ways.length || ways.includes(way)) socket.destroy();
  }

  async stop(): Promise<void> {
    this.cut();
    this.#server.closeAllConnections();
    await new Promise(resolve => this.#server.close(resolve));
  }

  #admit(incoming: IncomingMessage, socket: Duplex): boolean {
    const url = new URL(incoming.url!, 'http://x');
    const way = wayOf(url);
    this.asked[way]++;
    // A kept-alive socket carries one request after the other.
    if (!this.#open.has(socket)) socket.once('close', () => this.#open.delete(socket));
    this.#open.set(socket, way);
    if (this.blocked.has(way)) socket.destroy();
    else if (this.muted.has(way)) incoming.resume();
    else return true;
    return false;
  }
}

function wayOf({ pathname, searchParams }: URL): Way {
  if (pathname === '/v1/ws') return 'ws';
  if (pathname === '/v1/sse' || pathname === '/v1/stream') return 'sse';
  if (pathname !== '/v1/poll') return 'other';
  return Number(searchParams.get('wait') ?? 0) > 0 ? 'longpoll' : 'poll';
}
