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

  it.each([
    ['ada', ['ada']],
    ['eve', []],
  ])('is a member of what ada had entered: %s', async (user, users) => {
    const { hub, client, here } = world();
    const room = client.channel('room');
    await Promise.all([
      room.presence.enter({ name: 'Ada' }),
      hub.until(() => client.status.value.state === 'connected'),
    ]);
    here.user = user;
    client.share(undefined);
    await hub.until(() => client.user === user);
    // What the connection before held is let go of after the grace period.
    await hub.advance(10_000);
    expect(hub.channel('room').members.map(member => member.user)).toEqual(users);
    expect(room.presence.entered).toBe(users.length > 0);
  });

  it('asks for the tokens of channels anew', async () => {
    const { hub, client, here } = world();
    const asked: string[] = [];
    const token = () => {
      asked.push(here.user);
      return hub.token(here.user);
    };
    const off = client.channel('room', { token }).subscribe(() => {});
    await hub.until(() => client.channel('room').state.value.state === 'live');
    here.user = 'eve';
    client.share(undefined);
    await hub.until(() => client.user === 'eve' && client.channel('room').state.value.state === 'live');
    expect(asked).toEqual(['ada', 'eve']);
    // And when nobody has used one for a while.
    off();
    await hub.settle();
    client.channel('room').subscribe(() => {});
    await hub.until(() => client.channel('room').state.value.state === 'live');
    expect(asked).toEqual(['ada', 'eve', 'eve']);
  });
});
