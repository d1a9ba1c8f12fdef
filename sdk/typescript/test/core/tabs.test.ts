import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { type Client, type ClientOptions, createClient } from '../../src/index.ts';
import { FakeSocket, pass, reset } from './fake.ts';

/** Web Locks, as far as they are used: exclusive, in the order asked, `ifAvailable`, `signal`. */
class FakeLocks {
  private queues = new Map<string, (() => void)[]>();

  async request(
    name: string,
    options: { ifAvailable?: boolean; signal?: AbortSignal },
    callback: (lock: unknown) => unknown,
  ): Promise<void> {
    const queue = this.queues.get(name) ?? [];
    this.queues.set(name, queue);
    if (queue.length && options.ifAvailable) return void (await callback(null));
    await new Promise<void>((resolve, reject) => {
      queue.push(resolve);
      options.signal?.addEventListener('abort', () => {
        const at = queue.indexOf(resolve);
        if (at <= 0) return;
        queue.splice(at, 1);
        reject(new Error('aborted'));
      });
      if (queue.length === 1) resolve();
    });
    await callback({ name });
    queue.shift();
    queue[0]?.();
  }
}

/** A BroadcastChannel in one thread: each hears what the others say, a microtask later. */
class FakeAir {
  static all = new Set<FakeAir>();
  onmessage: ((event: { data: unknown }) => void) | null = null;
  constructor(readonly name: string) {
    FakeAir.all.add(this);
  }
  postMessage(data: unknown): void {
    const copy = structuredClone(data);
    for (const other of [...FakeAir.all]) {
      if (other !== this && other.name === this.name)
        queueMicrotask(() => FakeAir.all.has(other) && other.onmessage?.({ data: copy }));
    }
  }
  close(): void {
    FakeAir.all.delete(this);
  }
}

/** A hub that answers at once: one channel's log, whoever asks. */
class FakeHub {
  log: { offset: number; data: unknown; id: string; event: string }[] = [];
  sockets = new Set<FakeSocket>();
  open = true;
  /** Publishes are taken, and not answered. */
  silent = false;
  asked: { type: string; channel?: string }[] = [];

  publish(data: unknown, key?: string): void {
    const item = { offset: this.log.length + 1, data, id: `hub-${this.log.length}`, event: 'n', key };
    this.log.push(item);
    for (const socket of this.sockets) socket.say({ type: 'message', channel: 'a', time: Date.now(), ...item });
  }

  tick(): void {
    for (const socket of FakeSocket.all) {
      if (socket.readyState === 3) this.sockets.delete(socket);
      else if (!this.open) socket.end();
      else if (!this.sockets.has(socket)) {
        this.sockets.add(socket);
        socket.welcome({ client: new URL(socket.url).searchParams.get('session') });
      }
      for (const frame of this.sockets.has(socket) ? socket.sent.splice(0) : []) this.took(socket, frame);
    }
  }
  private took(
    socket: FakeSocket,
    frame: { type: string; ref: number; channel: string; since?: string; data: unknown; id: string; event: string },
  ): void {
    const head = this.log.length;
    this.asked.push(frame);
    if (frame.type === 'subscribe') {
      const from = frame.since ? Number(frame.since.split('-')[1]) : head;
      socket.say({
        type: 'subscribed',
        ref: frame.ref,
        channel: frame.channel,
        epoch: 'e',
        offset: head,
        replay: head - from,
        recovered: frame.since ? true : undefined,
      });
      for (const item of this.log.slice(from)) socket.say({ type: 'message', channel: 'a', time: Date.now(), ...item });
    } else if (frame.type === 'publish') {
      const known = this.log.find(item => item.id === frame.id);
      const item = known ?? { offset: head + 1, data: frame.data, id: frame.id, event: frame.event };
      if (!known) {
        this.log.push(item);
        for (const other of this.sockets) other.say({ type: 'message', channel: 'a', time: Date.now(), ...item });
      }
      if (!this.silent) socket.ok(frame, { epoch: 'e', offset: item.offset, id: item.id, duplicate: !!known });
    } else if (frame.type === 'history') {
      const after = Number(frame.since?.split('-')[1] ?? 0);
      const messages = this.log.slice(after).map(item => ({ channel: 'a', time: 0, ...item }));
      socket.ok(frame, { messages, epoch: 'e', offset: head, more: false });
    } else socket.ok(frame);
  }
}

let hub: FakeHub;
let open: Client[];
beforeEach(() => {
  reset();
  hub = new FakeHub();
  open = [];
  FakeAir.all.clear();
  vi.stubGlobal('navigator', { locks: new FakeLocks() });
  vi.stubGlobal('BroadcastChannel', FakeAir);
});
afterEach(async () => {
  for (const client of open) await client.close();
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

/** Lets everything that is under way come to rest. */
async function rest(ms = 300): Promise<void> {
  for (let passed = 0; passed < ms; passed += 20) {
    hub.tick();
    await pass(20);
    // The tabs' code is loaded when it is first wanted, which takes real time.
    await vi.dynamicImportSettled();
  }
}
function tab(key = 'ada', options: ClientOptions = {}): Client & { seen: unknown[] } {
  const client = createClient('http://hub', {
    WebSocket: FakeSocket as never,
    transports: ['ws'],
    tabs: { share: key },
    random: () => 0.5,
    ...options,
  });
  const seen: unknown[] = [];
  client.channel('a').subscribe(m => seen.push(m.data), {});
  open.push(client);
  return Object.assign(client, { seen });
}
const sockets = () => FakeSocket.all.filter(socket => socket.readyState !== 3).length;
const transports = (...tabs: Client[]) => tabs.map(it => it.status.value.transport);

describe('tabs that share', () => {
  it('have one socket, and all hear and publish', async () => {
    const a = tab();
    await rest();
    const [b, c] = [tab(), tab()];
    await rest();
    expect([sockets(), transports(a, b, c)]).toEqual([1, ['ws', 'tab', 'tab']]);
    const published = [a, b, c].map((it, i) => it.channel('a').publish('n', i));
    await rest();
    expect((await Promise.all(published)).map(({ position }) => position)).toEqual(['e-1', 'e-2', 'e-3']);
    for (const it of [a, b, c]) expect(it.seen).toEqual([0, 1, 2]);
    expect(b.id).toBe(a.id);
  });

  it('a late one gets the past that it asks for', async () => {
    const a = tab();
    await rest();
    for (let i = 1; i <= 3; i++) void a.channel('a').publish('n', i);
    await rest();
    const late: unknown[] = [];
    const b = createClient('http://hub', {
      WebSocket: FakeSocket as never,
      transports: ['ws'],
      tabs: { share: 'ada' },
    });
    open.push(b);
    b.channel('a').subscribe(m => late.push([m.data, m.replayed]), { since: 'e-1' });
    await rest();
    void a.channel('a').publish('n', 4);
    await rest();
    expect(late).toEqual([
      [2, true],
      [3, true],
      [4, false],
    ]);
  });

  it('transform once what each of them is told, also of the state that the leader holds', async () => {
    const schema = { a: { message: { n: z.string().transform(text => `${text}!`) } } };
    const follow = () => {
      const client = createClient('http://hub', {
        WebSocket: FakeSocket as never,
        transports: ['ws'],
        tabs: { share: 'ada' },
        schema,
      });
      open.push(client);
      const seen: unknown[] = [];
      const room = client.channel('a', { snapshot: true });
      room.subscribe('n', m => seen.push(m.data));
      return { room, seen };
    };
    const a = follow();
    await rest();
    hub.publish('one', 'k');
    await rest();
    const b = follow();
    await rest();
    hub.publish('two', 'k');
    await rest();
    expect([a.seen, b.seen]).toEqual([
      ['one!', 'two!'],
      ['one!', 'two!'],
    ]);
    for (const { room } of [a, b]) expect(room.entries.get('k')).toMatchObject({ data: 'two!' });
  });

  it('stay members as long as one of them is', async () => {
    const a = tab();
    await rest();
    const [b, c] = [tab(), tab()];
    await rest();
    const entering = [b, c].map(it => it.channel('a').presence.enter({ name: 'Ada' }));
    await rest();
    await Promise.all(entering);
    const left = () => hub.asked.filter(frame => frame.type === 'leave' || frame.type === 'unsubscribe').length;
    await b.close();
    await rest(6000);
    expect(left()).toBe(0);
    await c.close();
    await rest(4000);
    expect(left()).toBe(0);
    await rest(2000);
    expect(left()).toBe(1);
    expect(a.status.value.state).toBe('connected');
  });

  it('do not keep what a tab wanted that has gone', async () => {
    const a = tab();
    await rest();
    const b = tab();
    b.channel('b', { rate: 5, token: 'for b' }).subscribe(() => {});
    await rest();
    const asked = hub.asked.filter(frame => frame.channel === 'b');
    expect(asked).toMatchObject([{ type: 'subscribe', rate: 5, token: 'for b' }]);
    await b.close();
    await rest();
    a.channel('b', { rate: 7 }).subscribe(() => {});
    await rest();
    expect(hub.asked.filter(frame => frame.channel === 'b').slice(1)).toEqual([
      expect.objectContaining({ type: 'unsubscribe' }),
      expect.not.objectContaining({ token: expect.anything() }),
    ]);
  });

  it('lose nothing when the leader goes: the next one repeats what was unanswered, with the same ids, as the same client', async () => {
    const a = tab();
    await rest();
    const [b, c] = [tab(), tab()];
    await rest();
    const id = a.id;
    hub.silent = true;
    const waiting = [b.channel('a').publish('n', 'b'), c.channel('a').publish('n', 'c')];
    await rest(40);
    await a.close();
    hub.silent = false;
    await rest(2000);
    const answers = await Promise.all(waiting);
    expect(answers.map(answer => answer.duplicate)).toEqual([true, true]);
    expect([sockets(), transports(b, c).sort()]).toEqual([1, ['tab', 'ws']]);
    void b.channel('a').publish('n', 'more');
    await rest();
    for (const it of [b, c]) expect(it.seen).toEqual(['b', 'c', 'more']);
    expect([b.id, c.id]).toEqual([id, id]);
  });

  it('all reconnect when the leader does', async () => {
    const a = tab();
    await rest();
    const b = tab();
    await rest();
    hub.open = false;
    await rest(1000);
    expect(b.status.value.state).toBe('reconnecting');
    const waiting = b.channel('a').publish('n', 1);
    hub.open = true;
    await rest(5000);
    expect(await waiting).toMatchObject({ position: 'e-1' });
    expect([a.seen, b.seen, sockets(), transports(a, b)]).toEqual([[1], [1], 1, ['ws', 'tab']]);
  });

  it('of another key have another socket, and one that changes its key leaves at once', async () => {
    const a = tab();
    await rest();
    const [b, c] = [tab('ada'), tab('bob')];
    await rest();
    expect([sockets(), transports(a, b, c)]).toEqual([2, ['ws', 'tab', 'ws']]);
    b.share('bob');
    expect(b.status.value.state).not.toBe('connected');
    await rest();
    expect([sockets(), transports(a, b, c), b.id === c.id]).toEqual([2, ['ws', 'tab', 'ws'], true]);
    a.share(undefined);
    await rest();
    expect([sockets(), transports(a)]).toEqual([2, ['ws']]);
  });

  it('are on their own without Web Locks, and say so', async () => {
    vi.stubGlobal('navigator', {});
    const [a, b] = [tab(), tab()];
    await rest();
    expect([sockets(), transports(a, b)]).toEqual([2, ['ws', 'ws']]);
    expect(a.debug().events.map(event => event.what)).toContain('own connection');
  });

  it('do not wait for a leader that is silent', async () => {
    const a = tab();
    await rest();
    for (const air of FakeAir.all) air.onmessage = null;
    const b = tab();
    await rest(12_000);
    expect([transports(a, b), sockets()]).toEqual([['ws', 'ws'], 2]);
  });
});
