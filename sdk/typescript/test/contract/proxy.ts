import { createServer, connect as dial, type Server, type Socket } from 'node:net';

/** A TCP proxy whose connections can be cut, held up and refused. */
export class TcpProxy {
  private server: Server;
  private pairs = new Set<[Socket, Socket]>();
  refuse = false;
  /** Nothing passes, though everything stays open: a half-open network. */
  frozen = false;
  url = '';

  private constructor(port: number) {
    this.server = createServer(near => {
      if (this.refuse) return near.destroy();
      const far = dial(port, '127.0.0.1');
      const pair: [Socket, Socket] = [near, far];
      this.pairs.add(pair);
      for (const [from, to] of [pair, [far, near]] as [Socket, Socket][]) {
        from.on('data', chunk => this.frozen || to.write(chunk));
        from.on('error', () => to.destroy());
        from.on('close', () => {
          to.destroy();
          this.pairs.delete(pair);
        });
      }
    });
  }

  static async to(port: number): Promise<TcpProxy> {
    const proxy = new TcpProxy(port);
    await new Promise<void>(resolve => proxy.server.listen(0, '127.0.0.1', resolve));
    proxy.url = `http://127.0.0.1:${(proxy.server.address() as { port: number }).port}`;
    return proxy;
  }

  cut(): void {
    for (const [near, far] of [...this.pairs]) {
      near.destroy();
      far.destroy();
    }
  }

  stop(): Promise<void> {
    this.cut();
    return new Promise(resolve => this.server.close(() => resolve()));
  }
}
