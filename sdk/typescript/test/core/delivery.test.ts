import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Client, Gap } from '../../src/index.ts';
import { FakeSocket, live, make, pass, reset, settle } from './fake.ts';

let client: Client;
beforeEach(() => {
  reset();
  client = make();
});
afterEach(async () => {
  await client.close();
  vi.useRealTimers();
});

describe('recovery', () => {
  it('goes on at the last position, and drops what comes twice', async () => {
    const seen: unknown[] = [];
    const socket = await live(client, seen);
    for (const offset of [1, 2, 2, 1, 3]) socket.message(offset);
    socket.end();
    await pass(100);
    FakeSocket.last.welcome();
    expect(FakeSocket.last.of('subscribe')).toMatchObject([{ channel: 'a', since: 'e-3' }]);
    FakeSocket.last.subscribed({ offset: 5, replay: 2, recovered: true });
    for (const offset of [3, 4, 5, 6]) FakeSocket.last.message(offset);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
    expect(client.metrics()).toMatchObject({ duplicates: 3, reconnects: 1, gaps: 0, received: 6 });
  });

  it('ignores what a token subscribed before our own subscribe is answered, which would hide a loss', async () => {
    const seen: unknown[] = [];
    const socket = await live(client, seen);
    socket.message(1);
    socket.end();
    await pass(100);
    const next = FakeSocket.last;
    next.welcome();
    next.say({ type: 'subscribed', channel: 'a', epoch: 'e', offset: 5, replay: 0 });
    next.message(6);
    next.subscribed({ offset: 6, replay: 5, recovered: true });
    for (const offset of [2, 3, 4, 5, 6]) next.message(offset);
    expect(seen).toEqual([1, 2, 3, 4, 5, 6]);
  });

  it('asks again for what was asked when nothing had come yet', async () => {
    client.channel('a').subscribe(() => {}, { last: 5 });
    await settle();
    FakeSocket.last.welcome();
    FakeSocket.last.subscribed({ offset: 9, replay: 5 });
    expect(client.channel('a').state.value.state).toBe('joining');
    FakeSocket.last.end();
    await pass(100);
    FakeSocket.last.welcome();
    expect(FakeSocket.last.of('subscribe')).toMatchObject([{ last: 5 }]);
    FakeSocket.last.subscribed({ offset: 9, replay: 5 });
    FakeSocket.last.message(5);
    FakeSocket.last.end();
    await pass(1000);
    FakeSocket.last.welcome();
    expect(FakeSocket.last.of('subscribe')).toMatchObject([{ since: 'e-5' }]);
  });

  it('drops a repeat of the same id in another life of the log', async () => {
    const seen: unknown[] = [];
    const socket = await live(client, seen);
    socket.message(1, 'x', { id: 'u1' });
    socket.say({ type: 'gap', channel: 'a', epoch: 'f', offset: 0, reason: 'epoch' });
    socket.message(1, 'x', { id: 'u1' });
    socket.message(2, 'y', { id: 'u2' });
    expect(seen).toEqual(['x', 'y']);
    expect(client.channel('a').position).toBe('f-2');
  });
});

describe('gaps', () => {
  it('come in order, and delivery waits for the promise of onGap, for 10 s at most', async () => {
    const seen: unknown[] = [];
    let go = () => {};
    client.channel('a').subscribe(m => seen.push(m.data), {
      onGap: (gap: Gap) => {
        seen.push(`${gap.reason} ${gap.position}`);
        return new Promise<void>(resolve => (go = resolve));
      },
    });
    const plain: unknown[] = [];
    const socket = await live(client, plain);
    socket.message(1);
    socket.say({ type: 'gap', channel: 'a', epoch: 'e', offset: 5, reason: 'expired' });
    socket.message(6);
    expect(seen).toEqual([1, 'expired e-5']);
    expect(plain).toEqual([1, 6]);
    go();
    await settle();
    expect(seen).toEqual([1, 'expired e-5', 6]);
    socket.say({ type: 'gap', channel: 'a', epoch: 'e', offset: 8, reason: 'slow' });
    socket.message(9);
    await pass(9999);
    expect(seen.length).toBe(4);
    await pass(1);
    expect(seen.slice(3)).toEqual(['slow e-8', 9]);
  });

  it('delivery does not wait when more than the buffer is held', async () => {
    const seen: unknown[] = [];
    client.channel('a').subscribe(m => seen.push(m.data), { buffer: 3, onGap: () => new Promise(() => {}) });
    const socket = await live(client);
    socket.say({ type: 'gap', channel: 'a', epoch: 'e', offset: 1, reason: 'expired' });
    for (const offset of [2, 3, 4]) socket.message(offset);
    expect(seen).toEqual([]);
    socket.message(5);
    expect(seen).toEqual([2, 3, 4, 5]);
  });
});

describe('a listener that comes after the log began another life', () => {
  it('gets what comes from then on', async () => {
    const socket = await live(client);
    for (const offset of [1, 2, 3, 4, 5]) socket.message(offset);
    socket.end();
    await pass(1000);
    FakeSocket.last.welcome();
    FakeSocket.last.subscribed({ offset: 5, recovered: true });
    FakeSocket.last.say({ type: 'gap', channel: 'a', epoch: 'f', offset: 0, reason: 'epoch' });
    const late: unknown[] = [];
    client.channel('a').subscribe(m => late.push(m.position));
    for (const offset of [1, 2]) FakeSocket.last.message(offset, offset, { id: `another ${offset}` });
    expect(late).toEqual(['f-1', 'f-2']);
  });
});

describe('handlers', () => {
  it('that throw keep nobody else from hearing', async () => {
    const thrown: unknown[] = [];
    client = make({ onHandlerError: error => thrown.push((error as Error).message) });
    client.channel('a').subscribe(() => {
      throw new Error('mine');
    });
    const seen: unknown[] = [];
    const socket = await live(client, seen);
    socket.message(1);
    socket.message(2);
    expect([seen, thrown]).toEqual([
      [1, 2],
      ['mine', 'mine'],
    ]);
  });

  it('get only their event, until they are let go or their signal is aborted', async () => {
    const seen: unknown[] = [];
    const stop = new AbortController();
    const off = client.channel('a').subscribe('x', m => seen.push(['x', m.data]));
    client.channel('a').subscribe('y', m => seen.push(['y', m.data]), { signal: stop.signal });
    const socket = await live(client);
    socket.message(1, 1, { event: 'x' });
    socket.message(2, 2, { event: 'y' });
    off();
    stop.abort();
    socket.message(3, 3, { event: 'x' });
    socket.message(4, 4, { event: 'y' });
    expect(seen).toEqual([
      ['x', 1],
      ['y', 2],
    ]);
  });

  it('the last one to go unsubscribes, and the next begins anew', async () => {
    const off = client.channel('a').subscribe(() => {});
    await settle();
    const socket = FakeSocket.last;
    socket.welcome();
    socket.subscribed({ offset: 7 });
    off();
    expect(socket.of('unsubscribe').length).toBe(1);
    expect(client.channel('a').state.value.state).toBe('idle');
    const seen: unknown[] = [];
    client.channel('a').subscribe(m => seen.push(m.data));
    await settle();
    expect(socket.of('subscribe')[1].since).toBeUndefined();
    // Still on its way from before.
    socket.message(8);
    socket.subscribed({ offset: 9 });
    socket.message(10);
    expect(seen).toEqual([10]);
  });

  it('ephemeral messages have no position and move none', async () => {
    const seen: unknown[] = [];
    const socket = await live(client, seen);
    socket.message(undefined, 'typing');
    expect(seen).toEqual(['typing']);
    expect(client.channel('a').position).toBe('e-0');
  });
});

describe('a late subscriber', () => {
  it('gets its past from history up to where the channel stands, then live, without repeats', async () => {
    const socket = await live(client);
    for (const offset of [1, 2, 3, 4]) socket.message(offset);
    const seen: unknown[] = [];
    client.channel('a').subscribe(m => seen.push([m.data, m.replayed]), { since: 'e-2' });
    socket.message(5);
    await settle();
    const [request] = socket.of('history');
    expect(request).toMatchObject({ channel: 'a', since: 'e-2' });
    const page = [3, 4, 5].map(offset => ({
      channel: 'a',
      event: 'n',
      offset,
      data: offset,
      id: `i${offset}`,
      time: 0,
    }));
    socket.ok(request, { messages: page, epoch: 'e', offset: 5, more: false });
    await settle();
    socket.message(6);
    expect(seen).toEqual([
      [3, true],
      [4, true],
      [5, false],
      [6, false],
    ]);
  });

  it('loses the oldest that it cannot hold, and is told', async () => {
    const socket = await live(client);
    socket.message(1);
    const seen: unknown[] = [];
    client
      .channel('a')
      .subscribe(m => seen.push(m.data), { last: 1, buffer: 2, onGap: gap => void seen.push(gap.reason) });
    for (const offset of [2, 3, 4, 5]) socket.message(offset);
    await settle();
    socket.ok(socket.of('history')[0], {
      messages: [{ channel: 'a', event: 'n', offset: 1, data: 1, time: 0 }],
      epoch: 'e',
      offset: 5,
      more: false,
    });
    await settle();
    expect(seen).toEqual([1, 'overflow', 4, 5]);
  });
});

describe('batches', () => {
  it('gather for so long, and keep the newest of each key', async () => {
    const seen: unknown[] = [];
    client.channel('a').subscribeBatches(ms => seen.push(ms.map(m => m.data)), { batch: 50, newest: 'key' });
    const socket = await live(client);
    for (const [offset, key] of [
      [1, 'x'],
      [2, 'y'],
      [3, 'x'],
      [4, undefined],
      [5, undefined],
    ] as const)
      socket.message(offset, offset, { key });
    await pass(49);
    expect(seen).toEqual([]);
    await pass(1);
    expect(seen).toEqual([[2, 3, 4, 5]]);
    socket.message(6);
    await pass(50);
    expect(seen[1]).toEqual([6]);
  });

  it('go at once when full', async () => {
    const seen: unknown[] = [];
    client.channel('a').subscribeBatches(ms => seen.push(ms.length), { batch: 1000, buffer: 2 });
    const socket = await live(client);
    for (const offset of [1, 2, 3]) socket.message(offset);
    expect(seen).toEqual([2]);
  });
});

describe('messages()', () => {
  it('gives what comes, and leaving the loop unsubscribes', async () => {
    const loop = (async () => {
      const seen = [];
      for await (const m of client.channel('a').messages({ event: 'n' })) {
        seen.push(m.data);
        if (seen.length === 2) break;
      }
      return seen;
    })();
    await settle();
    FakeSocket.last.welcome();
    FakeSocket.last.subscribed();
    for (const offset of [1, 2, 3]) FakeSocket.last.message(offset);
    expect(await loop).toEqual([1, 2]);
    expect(FakeSocket.last.of('unsubscribe').length).toBe(1);
  });

  it.each([
    ['error', [1, 2, 'overflow']],
    ['oldest', ['gap', 2, 3]],
    ['newest', ['gap', 1, 2]],
  ] as const)('with overflow: %s', async (overflow, expected) => {
    const seen: unknown[] = [];
    const stop = new AbortController();
    const messages = client
      .channel('a')
      .messages({ buffer: 2, overflow, signal: stop.signal, onGap: () => void seen.push('gap') });
    const socket = await live(client);
    for (const offset of [1, 2, 3]) socket.message(offset);
    try {
      for await (const m of messages) if (seen.push(m.data) === 3) stop.abort();
    } catch (error) {
      seen.push((error as { code: string }).code);
    }
    expect(seen).toEqual(expected);
  });

  it('ends with the refusal of the hub', async () => {
    const messages = client.channel('a').messages();
    const next = messages.next();
    next.catch(() => {});
    await settle();
    FakeSocket.last.welcome();
    FakeSocket.last.say({
      type: 'error',
      ref: FakeSocket.last.of('subscribe')[0].ref,
      channel: 'a',
      code: 'forbidden',
      detail: 'no',
      remedy: 'ask',
      retryable: false,
    });
    await expect(next).rejects.toMatchObject({ code: 'forbidden', remedy: 'ask', channel: 'a' });
  });
});

describe('channel options', () => {
  it('that contradict throw and name both; what is left out agrees, what is new is added', async () => {
    const room = client.channel('a', { rate: 5 });
    expect(client.channel('a')).toBe(room);
    expect(client.channel('a', { rate: 5, presence: true })).toBe(room);
    expect(room.options).toEqual({ rate: 5, presence: true });
    expect(() => client.channel('a', { rate: 6 })).toThrow(/rate: 5, and now with rate: 6/);
    const socket = await live(client);
    expect(socket.of('subscribe')).toMatchObject([{ rate: 5, presence: true }]);
    socket.message(3);
    client.channel('a', { echo: false });
    expect(socket.of('subscribe')[1]).toMatchObject({ since: 'e-3', rate: 5, presence: true, echo: false });
    expect(() => client.channel('a', { snapshot: true })).toThrow(/snapshot/);
    expect(() => room.entries.subscribe(() => {})).toThrow(/snapshot/);
  });
});
