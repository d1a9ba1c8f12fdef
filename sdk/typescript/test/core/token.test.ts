import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { FakeSocket, live, make, pass, reset, settle } from './fake.ts';

beforeEach(reset);
afterEach(() => vi.useRealTimers());
const auths = () => FakeSocket.last.of('auth').map(frame => frame.token);

describe('the token', () => {
  it('goes as a subprotocol, or as the first frame where it cannot', async () => {
    const plain = make({ token: 'abc.def' });
    void plain.connect();
    await settle();
    expect(FakeSocket.last.protocols).toEqual(['fanfare.v1.json', 'fanfare.token.abc.def']);
    const odd = make({ token: 'a b/c' });
    void odd.connect();
    await settle();
    FakeSocket.last.welcome();
    expect(FakeSocket.last.protocols).toEqual(['fanfare.v1.json']);
    expect(FakeSocket.last.sent[0]).toEqual({ type: 'auth', token: 'a b/c' });
    await plain.close();
    await odd.close();
  });

  it("is renewed in band a minute before the end, by the hub's clock, and the answer plans the next", async () => {
    let count = 0;
    const client = make({ token: () => `t${++count}` });
    const socket = await live(client);
    const alive = setInterval(() => socket.say({ type: 'pong' }), 20_000);
    const time = Date.now() + 86_400_000;
    socket.welcome({ time, expires_at: time + 600_000 });
    await pass(539_999);
    expect(auths()).toEqual([]);
    await pass(1);
    expect(auths()).toEqual(['t2']);
    socket.ok(socket.of('auth')[0], { user: 'ada', expires_at: time + 540_000 + 100_000 });
    // A fifth of a short life.
    await pass(80_000);
    expect(auths()).toEqual(['t2', 't3']);
    expect(FakeSocket.all.length).toBe(1);
    clearInterval(alive);
    await client.close();
  });

  it('is asked for once at a time, and again with backoff when that fails', async () => {
    let calls = 0;
    const client = make({ token: () => (++calls < 3 ? Promise.reject(new Error('down')) : 'ok') });
    void client.connect();
    await settle();
    expect(client.status.value).toMatchObject({
      state: 'connecting',
      attempt: 1,
      error: { code: 'network', message: expect.stringContaining('down') },
    });
    await pass(2000);
    expect(calls).toBe(3);
    expect(FakeSocket.last.protocols).toContain('fanfare.token.ok');
    await client.close();
  });

  it.each([401, 403])('a %i answer is final until connect()', async status => {
    let calls = 0;
    const client = make({
      token: () => {
        calls++;
        return Promise.reject(new Response('', { status }));
      },
    });
    const connecting = client.connect();
    await expect(connecting).rejects.toMatchObject({ code: status === 401 ? 'unauthorized' : 'forbidden' });
    await pass(100_000);
    expect([client.status.value.state, calls]).toEqual(['failed', 1]);
    client.connect().catch(() => {});
    await settle();
    expect(calls).toBe(2);
  });

  it('null is anonymous', async () => {
    const client = make({ token: () => null });
    void client.connect();
    await settle();
    expect(FakeSocket.last.protocols).toEqual(['fanfare.v1.json']);
    await client.close();
  });

  it('is fetched anew at once after token_expired, once after unauthorized, never where it is a string', async () => {
    let count = 0;
    const client = make({ token: () => `t${++count}` });
    let socket = await live(client);
    socket.end(4402);
    await settle();
    socket = FakeSocket.last;
    expect(socket.protocols).toContain('fanfare.token.t2');
    socket.welcome();
    socket.end(4401);
    await settle();
    expect(FakeSocket.last.protocols).toContain('fanfare.token.t3');
    FakeSocket.last.end(4401);
    expect(client.status.value).toMatchObject({ state: 'failed', error: { code: 'unauthorized' } });
    const fixed = make({ token: 'x' });
    void fixed.connect();
    await settle();
    FakeSocket.last.end(4402);
    expect(fixed.status.value.state).toBe('failed');
  });

  it("another user's begins anew, under another session", async () => {
    let count = 0;
    const client = make({ token: () => `t${++count}` });
    const socket = await live(client);
    const time = Date.now();
    socket.welcome({ time, expires_at: time + 20_000 });
    await pass(16_000);
    socket.say({
      type: 'error',
      ref: socket.of('auth')[0].ref,
      code: 'conflict',
      detail: 'another user',
      retryable: false,
    });
    await settle();
    expect(FakeSocket.all.length).toBe(2);
    expect(FakeSocket.last.url).not.toBe(socket.url);
    expect(FakeSocket.last.protocols).toContain('fanfare.token.t2');
    await client.close();
  });

  it('is aborted by close()', async () => {
    let aborted = false;
    const client = make({
      token: ({ signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => ((aborted = true), reject(signal.reason)))),
    });
    client.connect().catch(() => {});
    await settle();
    await client.close();
    await settle();
    expect([aborted, client.status.value.state, vi.getTimerCount()]).toEqual([true, 'idle', 0]);
  });
});
