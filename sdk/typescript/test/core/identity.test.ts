import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/index.ts';
import { FakeHub } from '../../src/testing/index.ts';

/** A client whose user is whoever `world.user` names. */
function world() {
  const hub = new FakeHub({ anonymous: false });
  const here = { user: 'ada' };
  const client = createClient(hub.url, { ...hub.options(), token: () => hub.token(here.user) });
  return { hub, client, here };
}

describe('another user on the same client', () => {
  it('gets a connection, a token and a session of their own', async () => {
    const { hub, client, here } = world();
    client.channel('room').subscribe(() => {});
    await hub.until(() => client.status.value.state === 'connected');
    const [before] = hub.connections;
    here.user = 'eve';
    client.share(undefined);
    await hub.until(() => client.user === 'eve');
    await hub.settle();
    expect(hub.connections).toMatchObject([{ user: 'eve', channels: ['room'] }]);
    expect(hub.connections[0]!.client).not.toBe(before!.client);
  });

  it('does not publish what waited for the one before', async () => {
    const { hub, client, here } = world();
    const room = client.channel('room');
    room.subscribe(() => {});
    await hub.until(() => client.status.value.state === 'connected');
    hub.ignoreNext('publish');
    const outcomes: unknown[] = [];
    const publish = (data: string) =>
      room.publish('say', data).then(
        () => outcomes.push('published'),
        error => outcomes.push(error.code),
      );
    const sent = publish('sent as ada');
    await hub.settle();
    hub.down();
    await hub.settle();
    const queued = publish('queued as ada');
    here.user = 'eve';
    client.share(undefined);
    await Promise.all([sent, queued]);
    hub.up();
    await hub.until(() => client.user === 'eve');
    await hub.advance(60_000);
    expect(outcomes).toEqual(['outcome_unknown', 'aborted']);
    expect(hub.channel('room').messages).toEqual([]);
    expect(client.pending).toBe(0);
  });
});
