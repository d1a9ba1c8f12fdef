import { vi } from 'vitest';
import { type Client, type ClientOptions, createClient, type Schema } from '../../src/index.ts';
import { CODE } from '../../src/testing/code.ts';

// biome-ignore lint/suspicious/noExplicitAny: frames are read field by field
export type Frame = any;

/** A WebSocket whose other end is the test. */
export class FakeSocket {
  static all: FakeSocket[] = [];
  static get last(): FakeSocket {
    return FakeSocket.all.at(-1)!;
  }
  readyState = 0;
  onopen: (() => void) | null = null;
  onmessage: ((event: { data: string }) => void) | null = null;
  onclose: ((event: { code: number; reason: string }) => void) | null = null;
  onerror: (() => void) | null = null;
  sent: Frame[] = [];

  constructor(
    readonly url: string,
    readonly protocols: string[],
  ) {
    FakeSocket.all.push(this);
  }
  send(text: string): void {
    this.sent.push(JSON.parse(text));
  }
  close(): void {
    this.readyState = 3;
  }

  // ---- the hub's side
  open(): void {
    this.readyState = 1;
    this.onopen?.();
  }
  say(frame: Frame): void {
    this.onmessage?.({ data: JSON.stringify(frame) });
  }
  welcome(more: object = {}): void {
    if (this.readyState === 0) this.open();
    this.say({
      type: 'welcome',
      session: 's',
      client: 'me',
      ping_ms: 25_000,
      idempotency_ms: 300_000,
      version: '0',
      time: Date.now(),
      ...more,
    });
  }
  end(code = 1006, reason = ''): void {
    this.readyState = 3;
    this.onclose?.({ code, reason });
  }
  of(type: string): Frame[] {
    return this.sent.filter(frame => frame.type === type);
  }
  ok(frame: Frame, more: object = {}): void {
    this.say({ type: 'ok', ref: frame.ref, ...more });
  }
  /** Answers the newest subscribe. */
  subscribed(more: object = {}): void {
    const frame = this.of('subscribe').at(-1)!;
    this.say({ type: 'subscribed', ref: frame.ref, channel: frame.channel, epoch: 'e', offset: 0, replay: 0, ...more });
  }
  message(offset: number | undefined, data: unknown = offset, more: object = {}): void {
    this.say({ type: 'message', channel: 'a', event: 'n', offset, data, id: `i${offset}`, time: Date.now(), ...more });
  }
}

/** Lets promises run, without letting time pass. */
export const settle = () => vi.advanceTimersByTimeAsync(0);
export const pass = (ms: number) => vi.advanceTimersByTimeAsync(ms);

/** A client whose only transport is the fake socket; `random` gives the middle. */
export function make<S extends Schema>(options: ClientOptions<S> = {}): Client<S> {
  return createClient('http://hub', {
    WebSocket: FakeSocket as never,
    transports: ['ws'],
    random: () => 0.5,
    ...CODE,
    ...options,
  });
}

/** Connected, and subscribed to `a` from now. */
export async function live(client: Client, seen: unknown[] = []): Promise<FakeSocket> {
  client.channel('a').subscribe(m => seen.push(m.data));
  await settle();
  FakeSocket.last.welcome();
  FakeSocket.last.subscribed();
  return FakeSocket.last;
}

/** For `beforeEach`. */
export function reset(): void {
  vi.useFakeTimers({ now: 1_760_000_000_000 });
  FakeSocket.all = [];
}
