// A network that can be cut: a WebSocket to give to `createClient`, which breaks when it is, or, in the dark, just says nothing more.

type Listener = ((event: never) => void) | null;

/** Connections made through it end when it is cut. */
export class Network {
  readonly WebSocket: new (url: string, protocols?: string | string[]) => object;
  #lines = new Set<Line>();
  #state: 'whole' | 'cut' | 'dark' = 'whole';

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

  get state(): 'whole' | 'cut' | 'dark' {
    return this.#state;
  }

  /** Breaks every connection; in the dark: nothing comes or goes, and nobody is told. */
  cut(dark: boolean): void {
    this.#state = dark ? 'dark' : 'cut';
    if (!dark) for (const line of [...this.#lines]) line.cut();
  }

  mend(): void {
    this.#state = 'whole';
    for (const line of [...this.#lines]) line.mend();
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
  /** What would have come or gone in the dark: TCP repeats it until it arrives, if nobody gives up before. */
  #held: (() => void)[] = [];

  constructor(url: string, protocols: string | string[] | undefined, network: Network) {
    this.#network = network;
    if (network.state !== 'whole') {
      // What has no way out fails soon; in the dark it is not heard of before there is light.
      if (network.state === 'cut') setTimeout(() => this.cut(), 50);
      return;
    }
    const socket = new WebSocket(url, protocols);
    this.#socket = socket;
    socket.onopen = event => this.#pass(() => this.onopen?.call(this, event as never));
    socket.onmessage = event => this.#pass(() => this.onmessage?.call(this, event as never));
    socket.onclose = event =>
      this.#pass(() => {
        this.ended();
        this.onclose?.call(this, event as never);
      });
  }

  ended(): void {}

  get readyState(): number {
    return this.#socket?.readyState ?? WebSocket.CONNECTING;
  }

  get bufferedAmount(): number {
    return this.#socket?.bufferedAmount ?? 0;
  }

  #pass(happen: () => void): void {
    if (this.#network.state === 'dark') this.#held.push(happen);
    else happen();
  }

  send(data: string): void {
    this.#pass(() => this.#socket?.readyState === WebSocket.OPEN && this.#socket.send(data));
  }

  close(code?: number, reason?: string): void {
    this.#held = [];
    this.#socket?.close(code, reason);
    if (!this.#socket) this.ended();
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

  mend(): void {
    if (!this.#socket) return this.cut();
    for (const happen of this.#held.splice(0)) happen();
  }
}
