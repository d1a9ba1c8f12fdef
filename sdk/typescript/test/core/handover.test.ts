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
