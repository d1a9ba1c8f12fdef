// A network that can be cut: a WebSocket and a fetch to give to `createClient`, which break when it is, or, silently, just say nothing more.

type Listener = ((event: never) => void) | null;

/** Sockets and requests made through it end when it is cut. */
export class Network {
  readonly WebSocket: new (url: string, protocols?: string | string[]) => object;
  #lines = new Set<Line>();
  #requests = new Set<AbortController>();
  #state: 'whole' | 'closed' | 'silent' = 'whole';

  constructor() {
    const network = this;
    const lines = this.#lines;
    this.WebSocket = class extends Line {
      constructor(url: string, protocols?: string | string[]) {
        super(url, protocols, network);
        lines.add(this);
      }

      override ended(): void {
        lines.delete(this);
      }
    };
  }

  get state(): 'whole' | 'closed' | 'silent' {
    return this.#state;
  }

  readonly fetch: typeof fetch = async (input, init) => {
    if (this.#state !== 'whole') throw new TypeError('the network is cut');
    const ending = new AbortController();
    this.#requests.add(ending);
    const signal = init?.signal ? AbortSignal.any([init.signal, ending.signal]) : ending.signal;
    return fetch(input, { ...init, signal });
  };

  /** Breaks every connection; silently: nothing comes or goes any more, and nobody is told. */
  cut(silently: boolean): void {
    this.#state = silently ? 'silent' : 'closed';
    if (silently) return;
    for (const line of [...this.#lines]) line.cut();
    for (const request of this.#requests) request.abort(new TypeError('the network is cut'));
    this.#requests.clear();
  }

  mend(): void {
    this.#state = 'whole';
  }
}

/** What a client needs of a WebSocket. */
class Line {
  onopen: Listener = null;
  onmessage: Listener = null;
  onerror: Listener = null;
  onclose: Listener = null;
  #network: Network;
  #socket: WebSocket | undefined;

  constructor(url: string, protocols: string | string[] | undefined, network: Network) {
    this.#network = network;
    if (network.state !== 'whole') {
      // What has no way out fails soon, or is never heard of again.
      if (network.state === 'closed') setTimeout(() => this.cut(), 50);
      return;
    }
    const socket = new WebSocket(url, protocols);
    this.#socket = socket;
    socket.onopen = event => this.#hear(this.onopen, event);
    socket.onmessage = event => this.#hear(this.onmessage, event);
    socket.onclose = event => {
      this.ended();
      this.#hear(this.onclose, event);
    };
  }

  ended(): void {}

  get readyState(): number {
    return this.#socket?.readyState ?? WebSocket.CONNECTING;
  }

  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  #hear(listener: Listener, event: Event): void {
    if (this.#network.state !== 'silent') listener?.call(this, event as never);
  }

  send(data: string): void {
    if (this.#network.state !== 'silent') this.#socket?.send(data);
  }

  close(code?: number, reason?: string): void {
    this.#socket?.close(code, reason);
  }

  /** As when the cable is pulled and the system notices. */
  cut(): void {
    const socket = this.#socket;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.ended();
    this.onclose?.call(this, new CloseEvent('close', { code: 1006 }) as never);
  }
}
