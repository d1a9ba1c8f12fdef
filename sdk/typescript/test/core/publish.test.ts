import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Client } from '../../src/index.ts';
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
const publish = (data: unknown, options = {}) => {
  const promise = client.channel('a').publish('n', data, options);
  promise.catch(() => {});
  return promise;
};

describe('publishing', () => {
  it('resolves with the position', async () => {
    const socket = await live(client);
    const waiting = publish(1, { key: 'k', tags: { t: 'v' }, ttl: 5, ack: 'stored', if: 'e-0' });
    await settle();
    const [frame] = socket.of('publish');
    expect(frame).toMatchObject({
      channel: 'a',
      event: 'n',
      data: 1,
      key: 'k',
      tags: { t: 'v' },
      ttl_ms: 5,
      ack: 'stored',
      if: 'e-0',
    });
    expect(frame.id).toMatch(/^[\w-]{10,}$/);
    expect(client.pending).toBe(1);
    socket.ok(frame, { epoch: 'e', offset: 3, id: frame.id, duplicate: false });
    expect(await waiting).toEqual({ id: frame.id, position: 'e-3', offset: 3, duplicate: false });
    expect(client.pending).toBe(0);
  });

  it('sends what was unanswered again on the next connection: the same ids, in order, before what is new', async () => {
    const socket = await live(client);
    publish(1);
    publish(2);
    await settle();
    const ids = socket.of('publish').map(frame => frame.id);
    expect(ids.length).toBe(2);
    socket.end();
    publish(3);
    await pass(100);
    FakeSocket.last.welcome();
    const again = FakeSocket.last.of('publish');
    expect(again.map(frame => frame.data)).toEqual([1, 2, 3]);
    expect(again.slice(0, 2).map(frame => frame.id)).toEqual(ids);
  });

  it('does not repeat beyond the time in which the hub knows ids: outcome_unknown', async () => {
    const socket = await live(client);
    socket.welcome({ idempotency_ms: 20_000 });
    const waiting = publish(1);
    await settle();
    socket.end();
    for (let i = 0; i < 30; i++) {
      await pass(1000);
      if (FakeSocket.last.readyState === 0) FakeSocket.last.end();
    }
    await expect(waiting).rejects.toMatchObject({ code: 'outcome_unknown' });
    expect(client.pending).toBe(0);
  });

  it('asks again when an answer does not come', async () => {
    const socket = await live(client);
    const waiting = publish(1);
    await pass(10_000);
    expect(socket.of('ping').length).toBe(1);
    const [first, second] = socket.of('publish');
    expect(second).toMatchObject({ id: first.id, data: 1 });
    socket.ok(second, { epoch: 'e', offset: 1, id: first.id, duplicate: true });
    expect(await waiting).toMatchObject({ duplicate: true });
  });

  it('queues 100 for 60 s while there is no connection, and not one more', async () => {
    const first = publish(0);
    for (let i = 1; i < 100; i++) publish(i);
    await settle();
    expect(client.pending).toBe(100);
    await expect(publish(100)).rejects.toMatchObject({ code: 'limit_exceeded' });
    for (let i = 0; i < 60; i++) {
      await pass(1000);
      if (FakeSocket.last.readyState === 0) FakeSocket.last.end();
    }
    await expect(first).rejects.toMatchObject({ code: 'timeout' });
    expect(client.pending).toBe(0);
  });

  it('never queues ephemeral messages, nor those that are not to be', async () => {
    await expect(publish(1, { ephemeral: true })).rejects.toMatchObject({ code: 'offline' });
    await expect(publish(1, { offline: 'fail' })).rejects.toMatchObject({ code: 'offline' });
    const socket = await live(client);
    const sent = publish(1, { ephemeral: true });
    await settle();
    expect(socket.of('publish')[0]).toMatchObject({ ephemeral: true });
    expect(socket.of('publish')[0].id).toBeUndefined();
    socket.end();
    await expect(sent).rejects.toMatchObject({ code: 'outcome_unknown' });
    await pass(100);
    FakeSocket.last.welcome();
    expect(FakeSocket.last.of('publish')).toEqual([]);
  });

  it('signal takes it from the queue; once sent, nobody knows', async () => {
    const stop = new AbortController();
    const queued = publish(1, { signal: stop.signal });
    await settle();
    stop.abort();
    await expect(queued).rejects.toMatchObject({ code: 'aborted' });
    const socket = await live(client);
    expect(socket.of('publish')).toEqual([]);
    const other = new AbortController();
    const sent = publish(2, { signal: other.signal });
    await settle();
    other.abort();
    await expect(sent).rejects.toMatchObject({ code: 'outcome_unknown' });
    await expect(publish(3, { signal: AbortSignal.abort() })).rejects.toMatchObject({ code: 'aborted' });
  });

  it('passes on what the hub refuses', async () => {
    const socket = await live(client);
    const waiting = publish(1);
    await settle();
    socket.say({
      type: 'error',
      ref: socket.of('publish')[0].ref,
      code: 'rate_limited',
      detail: 'slow down',
      remedy: 'wait',
      retryable: true,
      retry_after_ms: 500,
    });
    await expect(waiting).rejects.toMatchObject({
      code: 'rate_limited',
      remedy: 'wait',
      retryable: true,
      retryAfter: 500,
    });
  });

  it('sends bytes as base64 and receives them as bytes', async () => {
    const seen: unknown[] = [];
    const socket = await live(client, seen);
    publish(new Uint8Array([1, 2, 3]));
    await settle();
    expect(socket.of('publish')[0]).toMatchObject({ data: 'AQID', encoding: 'base64' });
    socket.message(1, 'AQID', { encoding: 'base64' });
    expect(seen).toEqual([new Uint8Array([1, 2, 3])]);
  });
});
