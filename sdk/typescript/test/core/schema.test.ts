import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { z } from 'zod';
import type { Invalid, StandardSchemaV1 } from '../../src/index.ts';
import { schemaOf } from '../../src/patterns.ts';
import { live, make, reset, settle } from './fake.ts';

beforeEach(reset);
afterEach(() => vi.useRealTimers());

describe('patterns', () => {
  const schema = Object.fromEntries(
    ['*', 'room:*', 'room:a*', 'room:{id}', 'room:lobby', 'room:{id}:log', 'room:x{id}'].map(name => [name, { name }]),
  ) as never;
  it.each([
    ['room:lobby', 'room:lobby'],
    ['room:42', 'room:{id}'],
    ['room:x1', 'room:x{id}'],
    ['room:42:log', 'room:{id}:log'],
    ['room:42:else', 'room:*'],
    ['room:a:b', 'room:a*'],
    ['other', '*'],
    ['room:', 'room:*'],
  ])('%s is described by %s', (channel, pattern) => {
    expect(schemaOf(schema, channel)).toEqual({ name: pattern });
  });
});

describe('validation', () => {
  it('gives the output, and reports what does not fit', async () => {
    const invalid: Invalid[] = [];
    const client = make({
      schema: { a: { message: { n: z.string().transform(Number).pipe(z.number()) } } },
      onInvalid: item => invalid.push(item),
    });
    const seen: unknown[] = [];
    client.channel('a').subscribe('n', m => seen.push(m.data));
    const socket = await live(client);
    socket.message(1, '7');
    socket.message(2, { not: 'a string' });
    socket.message(3, '8');
    expect(seen).toEqual([7, 8]);
    expect(invalid).toMatchObject([{ channel: 'a', event: 'n', data: { not: 'a string' }, position: 'e-2' }]);
    await expect(client.channel('a').publish('n', 5 as never)).rejects.toMatchObject({
      code: 'invalid',
      issues: expect.any(Array),
    });
    void client
      .channel('a')
      .publish('n', '9')
      .catch(() => {});
    await settle();
    expect(socket.of('publish').map(frame => frame.data)).toEqual(['9']);
    await client.close();
  });

  it('that takes its time keeps the order, of gaps too', async () => {
    const open: (() => void)[] = [];
    const slow: StandardSchemaV1<number, number> = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: value =>
          value === 2 ? { value: 2 } : new Promise(resolve => open.push(() => resolve({ value: value as number }))),
      },
    };
    const client = make({ schema: { a: { message: { n: slow } } } });
    const seen: unknown[] = [];
    client.channel('a').subscribe(m => seen.push(m.data), { onGap: () => void seen.push('gap') });
    const socket = await live(client);
    socket.message(1);
    socket.message(2);
    socket.say({ type: 'gap', channel: 'a', epoch: 'e', offset: 3, reason: 'slow' });
    socket.message(4);
    open[1]!();
    await settle();
    expect(seen).toEqual([]);
    open[0]!();
    await settle();
    expect(seen).toEqual([1, 2, 'gap', 4]);
    await client.close();
  });

  it('lets removals pass to the entries and to those who follow every event', async () => {
    const onInvalid = vi.fn();
    const client = make({ schema: { a: { message: { n: z.number() } } }, onInvalid });
    const room = client.channel('a', { snapshot: true });
    const seen: unknown[] = [];
    room.subscribe('n', m => seen.push(m.data));
    const socket = await live(client);
    socket.message(1, 1, { key: 'k' });
    expect(room.entries.get('k')?.data).toBe(1);
    socket.message(2, null, { key: 'k' });
    expect(room.entries.value.size).toBe(0);
    expect([seen, onInvalid.mock.calls]).toEqual([[1], []]);
    await client.close();
  });

  it('leaves in the log what a slow schema has no time for, and loses nothing', async () => {
    const waiting: (() => void)[] = [];
    const slow = {
      '~standard': {
        version: 1,
        vendor: 'test',
        validate: (value: unknown) => new Promise(resolve => waiting.push(() => resolve({ value }))),
      },
    } as unknown as StandardSchemaV1<unknown, number>;
    const client = make({ schema: { a: { message: { n: slow } } } });
    const seen: unknown[] = [];
    client.channel('a').subscribe('n', m => seen.push(m.data));
    const socket = await live(client);
    for (let n = 1; n <= 3000; n++) socket.message(n);
    expect(waiting.length).toBeLessThan(1100);
    expect(socket.of('subscribe').length).toBe(1);
    for (let turn = 2; seen.length < 3000; turn++) {
      for (const go of waiting.splice(0)) go();
      await settle();
      if (seen.length === 3000) break;
      expect(socket.of('subscribe').length).toBe(turn);
      const from = Number(socket.of('subscribe').at(-1).since.split('-')[1]);
      expect(from).toBe(seen.length);
      socket.subscribed({ offset: 3000, replay: 3000 - from });
      for (let n = from + 1; n <= 3000; n++) socket.message(n);
    }
    expect(seen).toEqual(Array.from({ length: 3000 }, (_, i) => i + 1));
    await client.close();
  });
});
