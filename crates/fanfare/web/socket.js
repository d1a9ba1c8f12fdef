// A WebSocket to the hub that comes back by itself. What to ask for after each `welcome` is its owner's business,
// and so is the position to resume from: nothing of a channel is known here.

import { socketUrl } from './api.js';
import { Backoff, isFinal, isFinalClose } from './backoff.js';
import { Clock } from './clock.js';

const PING_MS = 5000;
/** Silence after which the connection is held for dead: two pings and a little. */
const SILENCE_MS = 12000;
const CONNECT_MS = 8000;
const SUBPROTOCOL = 'fanfare.v1.json';

/** Bytes of a text frame from the server (never masked): RFC 6455 section 5.2. */
function frameBytes(text) {
  const payload = new Blob([text]).size;
  return payload + (payload < 126 ? 2 : payload < 65536 ? 4 : 10);
}

export class Socket {
  #parameters;
  #on;
  #clock;
  #socket = null;
  #backoff = new Backoff();
  #timer = null;
  #heartbeat = null;
  #heard = 0;
  #stopped = false;
  #pings = new Map();
  #nextPing = 1;
  #farewell = null;

  /**
   * `parameters()` gives the query of each attempt. `on.frame(frame, bytes)` gets every frame but pongs, `on.state(state)`
   * the connection's: `{name: 'connecting' | 'open' | 'waiting' | 'failed', retryAt, reason}`. `clock` is fed by pings.
   */
  constructor({ parameters, on, clock }) {
    this.#parameters = parameters;
    this.#on = on;
    this.#clock = clock;
  }

  start() {
    this.#stopped = false;
    this.#connect();
  }

  /** Ends it for good. */
  stop() {
    this.#stopped = true;
    clearTimeout(this.#timer);
    this.#drop();
  }

  /** Breaks the connection as a tunnel would; it comes back with backoff. */
  cut() {
    if (this.#socket !== null) this.#lost('cut by you');
  }

  /** Sends a command; false when there is no connection to send it on. */
  send(command) {
    if (this.#socket?.readyState !== WebSocket.OPEN) return false;
    this.#socket.send(JSON.stringify(command));
    return true;
  }

  #connect() {
    clearTimeout(this.#timer);
    this.#farewell = null;
    this.#on.state({ name: 'connecting' });
    const socket = new WebSocket(socketUrl('v1/ws', this.#parameters()), SUBPROTOCOL);
    this.#socket = socket;
    this.#timer = setTimeout(() => this.#lost('no answer'), CONNECT_MS);
    socket.onmessage = ({ data }) => this.#receive(data);
    socket.onclose = ({ code, reason }) => this.#closed(code, reason);
  }

  #receive(text) {
    this.#heard = performance.now();
    let frame;
    try {
      frame = JSON.parse(text);
    } catch {
      return;
    }
    if (frame.type === 'pong') {
      const sent = this.#pings.get(frame.ref);
      this.#pings.delete(frame.ref);
      if (sent !== undefined) this.#clock.sample(sent, Clock.local(), frame.time);
      return;
    }
    if (frame.type === 'disconnect') this.#farewell = frame;
    if (frame.type === 'welcome') this.#welcomed();
    this.#on.frame(frame, frameBytes(text));
  }

  #welcomed() {
    clearTimeout(this.#timer);
    this.#backoff.reset();
    this.#on.state({ name: 'open' });
    this.#heartbeat = setInterval(() => this.#beat(), PING_MS);
    // A few quick trips settle the clock before the first figures are shown.
    for (const delay of [0, 150, 400, 900]) setTimeout(() => this.#ping(), delay);
  }

  #ping() {
    const ref = `ping-${this.#nextPing++}`;
    if (this.send({ type: 'ping', ref })) this.#pings.set(ref, Clock.local());
  }

  #beat() {
    if (performance.now() - this.#heard > SILENCE_MS) this.#lost('no sign of life');
    else this.#ping();
  }

  #closed(code, reason) {
    const said = this.#farewell;
    if (isFinalClose(code) || (said !== null && isFinal(said.code))) {
      this.stop();
      this.#on.state({ name: 'failed', reason: said?.detail || reason || `closed with ${code}` });
      return;
    }
    this.#lost(said?.detail || reason || 'connection lost', said?.retry_after_ms);
  }

  #lost(reason, askedMs) {
    this.#drop();
    if (this.#stopped) return;
    const delay = this.#backoff.next(askedMs);
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#on.state({ name: 'waiting', retryAt: performance.now() + delay, reason });
  }

  #drop() {
    clearInterval(this.#heartbeat);
    this.#pings.clear();
    const socket = this.#socket;
    this.#socket = null;
    if (socket === null) return;
    socket.onmessage = null;
    socket.onclose = null;
    socket.close();
  }
}
