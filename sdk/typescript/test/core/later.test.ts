import { afterEach, expect, it, vi } from 'vitest';
import { createClient } from '../../src/index.ts';
import { FakeHub } from '../../src/testing/index.ts';

afterEach(() => {
  vi.doUnmock('../../src/http-link.ts');
  vi.doUnmock('../../src/past.ts');
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
