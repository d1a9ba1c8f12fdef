import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CODES, createClient, type Status } from '../../src/index.ts';
import { FakeSocket, live, make, pass, reset, settle } from './fake.ts';

beforeEach(reset);
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('making a client', () => {
  it('opens nothing, sets no timer and touches no global', () => {
    const touched: string[] = [];
    for (const name of [
      'fetch',
      'WebSocket',
      'localStorage',
      'sessionStorage',
      'navigator',
      'document',
      'crypto',
      'BroadcastChannel',
      'addEventListener',
    ]) {
      const before = Object.getOwnPropertyDescriptor(globalThis, name);
      vi.stubGlobal(name, undefined);
      Object.defineProperty(globalThis, name, { configurable: true, get: () => (touched.push(name), before?.value) });
    }
    const client = createClient('http://hub', { token: () => 'x', tabs: { share: 'ada' } });
    client.channel('a', { presence: true });
    expect(touched).toEqual([]);
    expect(vi.getTimerCount()).toBe(0);
    expect(client.status.value).toMatchObject({ state: 'idle', stale: false, attempt: 0 });
  });

  it('uses the global WebSocket where none is given, as Node 22 and browsers have it', async () => {
    vi.stubGlobal('WebSocket', FakeSocket);
    const client = createClient('http://hub/', { transports: ['ws'] });
    void client.connect();
    await settle();
    expect(FakeSocket.last.url).toMatch(/^ws:\/\/hub\/v1\/ws\?session=[\w-]{22,64}$/);
    expect(FakeSocket.last.protocols).toEqual(['fanfare.v1.json']);
    await client.close();
  });

  it('says what is missing where there is none', async () => {
    vi.stubGlobal('WebSocket', undefined);
    const client = createClient('http://hub', { transports: ['ws'], retry: { attempts: 0 } });
    await expect(client.connect()).rejects.toMatchObject({
      code: 'unsupported',
      message: expect.stringContaining('option WebSocket'),
    });
    expect(client.status.value.state).toBe('failed');
  });
});

describe('reconnecting', () => {
  it('tries within 100 ms, then with full jitter up to the maximum', async () => {
    const client = make({ retry: { min: 500, max: 4000 }, random: () => 0.999 });
    const socket = await live(client);
    await pass(6000);
    const waits: number[] = [];
    client.status.subscribe(s => s.retryAt !== undefined && waits.push(s.retryAt - Date.now()));
    socket.end();
    for (let i = 0; i < 6; i++) {
      const count = FakeSocket.all.length;
      await pass(waits.at(-1)!);
      expect(FakeSocket.all.length).toBe(count + 1);
      FakeSocket.last.end();
    }
    expect(waits).toEqual([99, 499, 999, 1998, 3996, 3996, 3996].map(ms => expect.closeTo(ms, -1)));
    await client.close();
    expect(vi.getTimerCount()).toBe(0);
  });

  it('begins a new count only after 5 s of being connected', async () => {
    const client = make();
    let socket = await live(client);
    for (const [connected, attempt] of [
      [1000, 1],
      [1000, 2],
      [5000, 1],
    ] as const) {
      await pass(connected);
      socket.end();
      expect(client.status.value.attempt).toBe(attempt);
      await pass(1000);
      socket = FakeSocket.last;
      socket.welcome();
    }
    await client.close();
  });

  it('waits as long as the hub says', async () => {
    const client = make({ random: () => 0 });
    const socket = await live(client);
    socket.say({ type: 'disconnect', code: 'draining', detail: 'bye', retry_after_ms: 7000 });
    expect(client.status.value).toMatchObject({ state: 'reconnecting', error: { code: 'draining', retryable: true } });
    await pass(6999);
    expect(FakeSocket.all.length).toBe(1);
    await pass(1);
    expect(FakeSocket.all.length).toBe(2);
    await client.close();
  });

  const final = Object.entries(CODES).filter(
    ([code, [, , retryable]]) => !retryable && code !== 'token_expired' && code !== 'unauthorized',
  );
  it.each(final.map(([code, row]) => [code, row[1]] as const))('does not after %s (%i)', async (code, close) => {
    const client = make();
    const socket = await live(client);
    const waiting = client.channel('a').publish('n', 1);
    socket.end(close);
    expect(client.status.value).toMatchObject({ state: 'failed', error: { code } });
    await expect(waiting).rejects.toMatchObject({ code: 'outcome_unknown' });
    await pass(600_000);
    expect(FakeSocket.all.length).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
    // connect() begins anew.
    const again = client.connect();
    await settle();
    FakeSocket.last.welcome();
    await again;
    await client.close();
  });

  it.each([1000, 1001, 1006, 1009, 1011, 1012, 1013, 4408, 4410, 4429, 4999])('does after %i', async close => {
    const client = make();
    (await live(client)).end(close);
    expect(client.status.value.state).toBe('reconnecting');
    await pass(100);
    expect(FakeSocket.all.length).toBe(2);
    await client.close();
  });

  it('gives up after the attempts that were allowed', async () => {
    const client = make({ retry: { attempts: 2 } });
    const connecting = client.connect();
    connecting.catch(() => {});
    for (let i = 0; i < 3; i++) {
      await pass(1000);
      FakeSocket.last.end();
    }
    await expect(connecting).rejects.toMatchObject({ code: 'network' });
    expect(client.status.value).toMatchObject({ state: 'failed', maxAttempts: 2 });
  });
});

describe('liveness', () => {
  it('asks after ping_ms of silence and gives up after one and a half', async () => {
    const client = make();
    const socket = await live(client);
    await pass(24_999);
    expect(socket.of('ping').length).toBe(0);
    await pass(1);
    expect(socket.of('ping').length).toBe(1);
    await pass(12_499);
    expect(client.status.value.state).toBe('connected');
    await pass(1);
    expect(client.status.value.state).toBe('reconnecting');
    await client.close();
  });

  it('is content with any sign of life', async () => {
    const client = make();
    const socket = await live(client);
    for (let i = 1; i < 10; i++) {
      await pass(20_000);
      socket.message(i);
    }
    expect(socket.of('ping')).toEqual([]);
    await pass(25_000);
    socket.say({ type: 'pong', ref: socket.of('ping')[0].ref, time: Date.now() });
    await pass(24_999);
    expect(client.status.value.state).toBe('connected');
    await client.close();
  });

  it('wake() finds a half-open socket in 3 s, and does not wait for a retry', async () => {
    const client = make({ retry: { min: 60_000, max: 60_000 } });
    const socket = await live(client);
    client.wake();
    expect(socket.of('ping').length).toBe(1);
    await pass(3000);
    expect(client.status.value.state).toBe('reconnecting');
    await pass(100);
    FakeSocket.last.end();
    const count = FakeSocket.all.length;
    client.wake();
    await settle();
    expect(FakeSocket.all.length).toBe(count + 1);
    await client.close();
  });

  it('listens to online, visibilitychange and pageshow where they are, and lets go on close', async () => {
    const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    const scope = new EventTarget();
    vi.stubGlobal('document', page);
    for (const name of ['addEventListener', 'removeEventListener'] as const)
      vi.stubGlobal(name, scope[name].bind(scope));
    const client = make();
    const socket = await live(client);
    const pings = () => socket.of('ping').length;
    scope.dispatchEvent(new Event('online'));
    expect(pings()).toBe(1);
    page.dispatchEvent(new Event('visibilitychange'));
    expect(pings()).toBe(2);
    scope.dispatchEvent(Object.assign(new Event('pagehide'), { persisted: true }));
    expect(socket.readyState).toBe(3);
    expect(client.status.value).toMatchObject({ state: 'reconnecting', stale: true });
    await pass(60_000);
    expect(FakeSocket.all.length).toBe(1);
    scope.dispatchEvent(Object.assign(new Event('pageshow'), { persisted: true }));
    await settle();
    FakeSocket.last.welcome();
    expect(client.status.value.state).toBe('connected');
    await client.close();
    const count = FakeSocket.all.length;
    scope.dispatchEvent(new Event('online'));
    await settle();
    expect(FakeSocket.all.length).toBe(count);
  });
});

describe('after it has failed', () => {
  it('nothing but connect() opens it again', async () => {
    const client = make();
    (await live(client)).end(4403);
    client.channel('b').subscribe(() => {});
    await expect(client.channel('a').publish('n', 1)).rejects.toMatchObject({ code: 'forbidden' });
    await expect(client.channel('a').history().next()).rejects.toMatchObject({ code: 'forbidden' });
    await expect(client.channel('a').presence.enter()).rejects.toMatchObject({ code: 'forbidden' });
    await pass(60_000);
    expect([FakeSocket.all.length, client.status.value.state]).toEqual([1, 'failed']);
    void client.connect();
    await settle();
    FakeSocket.last.welcome();
    expect(FakeSocket.last.of('subscribe').map(frame => frame.channel)).toEqual(['a', 'b']);
    await client.close();
  });

  it('and what was being read when it was closed does not open it either, and goes on later', async () => {
    const client = make();
    const socket = await live(client);
    socket.message(5);
    const seen: unknown[] = [];
    client.channel('a').subscribe(m => seen.push(m.data), { since: 'e-3' });
    await settle();
    expect(socket.of('history').length).toBe(1);
    await client.close();
    await pass(60_000);
    expect(FakeSocket.all.length).toBe(1);
    void client.connect();
    await settle();
    FakeSocket.last.welcome();
    FakeSocket.last.subscribed({ offset: 5, recovered: true });
    await settle();
    const page = [4, 5].map(offset => ({ channel: 'a', event: 'n', offset, data: offset, time: 0 }));
    FakeSocket.last.ok(FakeSocket.last.of('history')[0], { messages: page, epoch: 'e', offset: 5, more: false });
    await settle();
    FakeSocket.last.message(6);
    expect(seen).toEqual([4, 5, 6]);
    await client.close();
  });
});

describe('without a network', () => {
  it('is offline, and tries at once when the browser says that it is back', async () => {
    const scope = new EventTarget();
    const navigator = { onLine: true };
    vi.stubGlobal('navigator', navigator);
    for (const name of ['addEventListener', 'removeEventListener'] as const)
      vi.stubGlobal(name, scope[name].bind(scope));
    const client = make();
    const socket = await live(client);
    navigator.onLine = false;
    scope.dispatchEvent(new Event('offline'));
    expect(socket.of('ping').length).toBe(1);
    socket.end();
    expect(client.status.value).toMatchObject({ state: 'offline', stale: true });
    await pass(19_000);
    expect(FakeSocket.all.length).toBe(1);
    navigator.onLine = true;
    scope.dispatchEvent(new Event('online'));
    await settle();
    expect(FakeSocket.all.length).toBe(2);
    FakeSocket.last.welcome();
    expect(client.status.value.state).toBe('connected');
    await client.close();
  });
});

describe('status', () => {
  it('tells every change once, with whether what is subscribed may be behind', async () => {
    const client = make();
    const seen: string[] = [];
    client.status.subscribe((s: Status) => seen.push(`${s.state}${s.stale ? ' stale' : ''}`));
    const socket = await live(client);
    socket.end();
    await pass(100);
    FakeSocket.last.welcome();
    FakeSocket.last.subscribed({ recovered: true });
    await client.close();
    expect(seen).toEqual([
      'idle',
      'connecting stale',
      'connected stale',
      'connected',
      'reconnecting stale',
      'reconnecting stale',
      'connected stale',
      'connected',
      'idle',
    ]);
  });

  it('close() is reversible and goes on at the position', async () => {
    const client = make();
    const seen: unknown[] = [];
    const socket = await live(client, seen);
    socket.message(1);
    await client.close();
    const again = client.connect();
    await settle();
    FakeSocket.last.welcome();
    await again;
    expect(FakeSocket.last.of('subscribe')[0]).toMatchObject({ channel: 'a', since: 'e-1' });
    FakeSocket.last.subscribed({ offset: 2, replay: 1, recovered: true });
    FakeSocket.last.message(2);
    expect(seen).toEqual([1, 2]);
    await client[Symbol.asyncDispose]();
    expect(client.status.value.state).toBe('idle');
  });
});
