import { afterEach, expect, it, vi } from 'vitest';
import { z } from 'zod';
import { createClient } from '../../src/index.ts';
import { FakeHub } from '../../src/testing/index.ts';

afterEach(() => {
  vi.doUnmock('../../src/http-link.ts');
  for (const part of ['past', 'membership', 'schema', 'renewal']) vi.doUnmock(`../../src/${part}.ts`);
});

/** A hub, and what a client needs to live there without code that is there beforehand. */
function bare() {
  const hub = new FakeHub();
  const { WebSocket, fetch, clock, random } = hub.options();
  const until = async (what: () => boolean) => {
    for (let i = 0; i < 100 && !what(); i++) {
      await vi.dynamicImportSettled();
      await hub.advance(100);
    }
    expect(what()).toBe(true);
  };
  return { hub, options: { WebSocket, fetch, clock, random }, until };
}
const missing = () => {
  throw new TypeError('Failed to fetch dynamically imported module');
};

it('takes a fallback whose code could not be loaded at first', async () => {
  const { hub, options, until } = bare();
  vi.doMock('../../src/http-link.ts', missing);
  hub.refuse('ws');
  const client = createClient(hub.url, options);
  const seen: unknown[] = [];
  client.channel('room').subscribe(m => seen.push(m.data));
  await until(() => client.status.value.attempt > 0);
  expect(client.status.value).toMatchObject({ state: 'connecting', error: { code: 'network' } });
  vi.doUnmock('../../src/http-link.ts');
  await until(() => client.status.value.transport === 'sse');
  hub.publish('room', 'say', 'hello');
  await until(() => seen.length === 1);
  await client.close();
});

it('does without a fallback whose code cannot be loaded, when a WebSocket works again', async () => {
  const { hub, options, until } = bare();
  vi.doMock('../../src/http-link.ts', missing);
  hub.refuse('ws');
  const client = createClient(hub.url, options);
  client.connect();
  await until(() => client.status.value.attempt > 0);
  hub.permit();
  await until(() => client.status.value.transport === 'ws');
  await client.close();
});

it('reads history whose code could not be loaded at first', async () => {
  const { hub, options, until } = bare();
  vi.doMock('../../src/past.ts', missing);
  hub.publish('room', 'say', 'hello');
  const client = createClient(hub.url, options);
  const seen: unknown[] = [];
  const reading = (async () => {
    for await (const message of client.channel('room').history()) seen.push(message.data);
  })();
  await until(() => client.status.value.state === 'connected');
  const began = hub.now();
  await until(() => hub.now() > began + 2000);
  expect(seen).toEqual([]);
  vi.doUnmock('../../src/past.ts');
  await until(() => seen.length === 1);
  await reading;
  await client.close();
});

it('does not connect again for history that was asked for before close()', async () => {
  const { hub, options, until } = bare();
  const client = createClient(hub.url, options);
  const room = client.channel('room');
  room.subscribe(() => {});
  await until(() => room.state.value.state === 'live');
  const reading = room.history().next();
  await Promise.resolve();
  await client.close();
  await expect(reading).rejects.toMatchObject({ code: 'closed' });
  const began = hub.now();
  await until(() => hub.now() > began + 2000);
  expect(client.status.value.state).toBe('idle');
  expect(hub.connections).toEqual([]);
});

it('enters, and tells who is there, when the code for it could not be loaded at first', async () => {
  const { hub, options, until } = bare();
  vi.doMock('../../src/membership.ts', missing);
  const client = createClient(hub.url, options);
  const room = client.channel('room', { presence: true });
  const seen: unknown[] = [];
  room.subscribe(m => seen.push(m.data));
  room.presence.subscribe(() => {});
  await until(() => client.debug().events.some(({ what }) => what === 'not loaded'));
  const entering = room.presence.enter({ name: 'Ada' });
  expect([room.state.value.state, room.presence.count]).toEqual(['joining', 0]);
  vi.doUnmock('../../src/membership.ts');
  await until(() => room.presence.members.length === 1);
  await entering;
  expect(room.presence.entered).toBe(true);
  hub.publish('room', 'say', 'hello');
  await until(() => seen.length === 1);
  await client.close();
});

it('leaves though what it entered with was not loaded yet', async () => {
  const { hub, options, until } = bare();
  const client = createClient(hub.url, options);
  const room = client.channel('room');
  const entering = room.presence.enter({ name: 'Ada' });
  const leaving = room.presence.leave();
  await until(() => hub.connections.length === 1);
  await hub.advance(1000);
  await Promise.all([entering, leaving]);
  expect(room.presence.entered).toBe(false);
  expect(hub.channel('room').members).toEqual([]);
  await client.close();
});

it('neither delivers nor publishes what it cannot validate yet', async () => {
  const { hub, options, until } = bare();
  vi.doMock('../../src/schema.ts', missing);
  const schema = { room: { message: { say: z.string().transform(text => `${text}!`) } } };
  const client = createClient(hub.url, { ...options, schema });
  const room = client.channel('room');
  const seen: unknown[] = [];
  room.subscribe('say', m => seen.push(m.data), { last: 10 });
  hub.publish('room', 'say', 'one');
  hub.publish('room', 'say', 2);
  await until(() => client.debug().events.some(({ what }) => what === 'not loaded'));
  const published = room.publish('say', 'three');
  await hub.advance(10);
  expect([seen, hub.count('publish')]).toEqual([[], 0]);
  vi.spyOn(console, 'warn').mockImplementation(() => {});
  vi.doUnmock('../../src/schema.ts');
  await until(() => seen.length === 2);
  await published;
  await expect(room.publish('say', 4 as never)).rejects.toMatchObject({ code: 'invalid' });
  expect(seen).toEqual(['one!', 'three!']);
  expect(console.warn).toHaveBeenCalledOnce();
  vi.restoreAllMocks();
  await client.close();
});
