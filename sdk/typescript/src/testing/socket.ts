import type { WebSocketConstructor } from '../types.ts';
import { receive } from './commands.ts';
import { Connection } from './connection.ts';
import type { Pipe } from './pipe.ts';
import { Refusal } from './wire.ts';
import type { World } from './world.ts';

// biome-ignore lint/suspicious/noExplicitAny: the handlers' events, as in the DOM
type Handler = ((event: any) => void) | null;

const [CONNECTING, OPEN, CLOSING, CLOSED] = [0, 1, 2, 3];

/** The `WebSocket` of a world: what the browser's does, as far as a client can tell. */
export function socketsOf(world: World): WebSocketConstructor {
  return class FakeWebSocket extends Socket {
    constructor(url: string, protocols?: string | string[]) {
      super(world, url, protocols);
    }
  };
}

class Socket {
  readyState = CONNECTING;
  binaryType = 'blob';
  readonly bufferedAmount = 0;
  readonly extensions = '';
  protocol = '';
  onopen: Handler = null;
  onmessage: Handler = null;
  onerror: Handler = null;
  onclose: Handler = null;
  readonly #world: World;
  readonly #up: Pipe;
  readonly #down: Pipe;
  #connection: Connection | undefined;

  constructor(
    world: World,
    readonly url: string,
    protocols?: string | string[],
  ) {
    this.#world = world;
    this.#up = world.pipe();
    this.#down = world.pipe();
    world.opened.ws++;
    const offered = protocols === undefined ? [] : [protocols].flat();
    this.#up.push(() => this.#arrive(offered));
  }

  send(data: string): void {
    if (this.readyState === CONNECTING) throw new Error('InvalidStateError: still connecting');
    if (this.readyState === OPEN)
      this.#up.push(() => {
        if (this.#connection?.open) receive(this.#connection, data);
      });
  }

  close(code = 1000, reason = ''): void {
    if (this.readyState >= CLOSING) return;
    this.readyState = CLOSING;
    // The hub hears of it when the network carries it; the client need not wait for that.
    this.#up.push(() => {
      this.#connection?.forget();
      this.#up.close();
    });
    this.#down.close();
    this.#world.clock.setTimeout(() => this.#closed(code, reason, code !== 1006), 0);
  }

  // The request has reached the hub.
  #arrive(offered: string[]): void {
    const world = this.#world;
    if (!world.running || world.refused.has('ws')) {
      this.#down.push(() => this.#broken());
      return;
    }
    const url = new URL(this.url.replace(/^ws/, 'http'));
    const asProtocol = offered.find(name => name.startsWith('fanfare.token.'))?.slice('fanfare.token.'.length);
    const session = url.searchParams.get('session') ?? `fake-${world.nextId()}-${'x'.repeat(16)}`;
    this.#connection = new Connection(
      world,
      'ws',
      session,
      {
        frame: frame => this.#receive(JSON.stringify(frame)),
        end: refusal => {
          this.#receive(JSON.stringify({ type: 'disconnect', ...refusal.body() }));
          this.#closed(refusal.close, refusal.code, true);
        },
        broken: () => this.#broken(),
      },
      this.#down,
    );
    this.#down.push(() => {
      this.readyState = OPEN;
      this.protocol = 'fanfare.v1.json';
      this.onopen?.({ type: 'open', target: this });
    });
    if (world.muted.has('ws')) return;
    this.#greet(this.#connection, asProtocol ?? url.searchParams.get('token') ?? undefined, url.searchParams);
  }

  #greet(connection: Connection, token: string | undefined, query: URLSearchParams): void {
    const world = this.#world;
    try {
      const identity = world.identify(token);
      connection.become(identity, token);
      connection.send({
        type: 'welcome',
        session: connection.session,
        client: connection.client,
        ping_ms: world.options.pingMs,
        idempotency_ms: world.options.idempotencyMs,
        version: 'fake',
        time: world.clock.now(),
        user: identity.user,
        expires_at: identity.expiresAt,
      });
      for (const name of [...(identity.channels ?? []), ...query.getAll('channel')]) connection.subscribe(name, {});
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      connection.end(error);
    }
  }

  #receive(data: string): void {
    if (this.readyState === OPEN) this.onmessage?.({ type: 'message', data, target: this });
  }

  #broken(): void {
    if (this.readyState === CLOSED) return;
    this.onerror?.({ type: 'error', target: this });
    this.#closed(1006, '', false);
  }

  #closed(code: number, reason: string, wasClean: boolean): void {
    if (this.readyState === CLOSED) return;
    const told = this.readyState === CLOSING;
    this.readyState = CLOSED;
    this.#down.close();
    if (!told) this.#up.close();
    this.onclose?.({ type: 'close', code, reason, wasClean, target: this });
  }
}
