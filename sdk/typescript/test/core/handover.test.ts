import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/index.ts';
import { FakeHub, type FakeTransport } from '../../src/testing/index.ts';

describe('from one transport to another', () => {
  it.each([
    [['ws'], 'sse'],
    [['ws', 'sse'], 'longpoll'],
    [['ws', 'sse', 'longpoll'], 'poll'],
  ] as [FakeTransport[], string][])(
    'without %j, and back: the same client, still a member, nothing lost or repeated',
    async (refused, transport) => {
      const hub = new FakeHub({ latency: 10 });
      const client = createClient(hub.url, hub.options());
      const room = client.channel('room', { presence: true });
      const got: unknown[] = [];
      room.subscribe('n', m => got.push(m.data));
      const watcher = createClient(hub.url, hub.options());
      const changes: string[] = [];
      const watched = watcher.channel('room', { presence: true });
      // The watcher's own network stays well: only what happens to the other's membership is looked at.
      await hub.until(() => client.status.value.state === 'connected');
      const id = client.id!;
      const entered = room.presence.enter({ name: 'Ada' });
      await hub.advance(100);
      await entered;
      watched.presence.events(({ action, members }) => {
        for (const member of members) if (member.client === id) changes.push(action);
      });
      await hub.until(() => watched.state.value.state === 'live');
      changes.length = 0;

      let n = 0;
      const published: number[] = [];
      const publish = () => {
        published.push(++n);
        hub.publish('room', 'n', n);
      };
      publish();
      hub.refuse(...refused);
      publish();
      await hub.until(() => client.status.value.transport === transport, 120_000);
      publish();
      await hub.advance(20_000);
      expect(got).toEqual(published);
      expect(client.id).toBe(id);
      expect(hub.channel('room').members).toMatchObject([{ client: id, data: { name: 'Ada' } }]);
      hub.permit();
      publish();
      await hub.until(() => client.status.value.transport === 'ws', 600_000);
      publish();
      await hub.advance(60_000);
      expect(got).toEqual(published);
      expect(client.id).toBe(id);
      expect(hub.channel('room').members).toMatchObject([{ client: id, data: { name: 'Ada' } }]);
      expect(changes).not.toContain('leave');
    },
  );
});

describe('a better transport that still does not work', () => {
  it.each([
    ['refuse', ['ws'], 'sse'],
    ['mute', ['ws'], 'sse'],
    ['refuse', ['ws', 'sse'], 'longpoll'],
    ['mute', ['ws', 'sse'], 'longpoll'],
  ] as ['refuse' | 'mute', FakeTransport[], string][])(
    '%s %j: what comes over %s goes on while it is tried and afterwards',
    async (how, bad, transport) => {
      const hub = new FakeHub({ latency: 5 });
      hub[how](...bad);
      const client = createClient(hub.url, hub.options());
      const room = client.channel('room');
      const got: unknown[] = [];
      const sent: number[] = [];
      room.subscribe(m => got.push(m.data));
      await hub.until(() => room.state.value.state === 'live');
      const tried = () => client.debug().events.filter(({ what }) => what === 'try failed').length;
      const before = tried();
      for (let n = 1; n <= 120; n++) {
        hub.publish('room', 'n', n);
        sent.push(n);
        await hub.advance(1000);
        // Finding out that a stream is mute takes 3 s.
        expect(got.length).toBeGreaterThan(n - 5);
      }
      await hub.advance(5000);
      expect(got).toEqual(sent);
      expect(client.status.value).toMatchObject({ state: 'connected', transport, stale: false });
      expect(tried()).toBeGreaterThan(before + 1);
      expect(client.metrics().reconnects).toBe(0);
      await client.close();
    },
  );
});
