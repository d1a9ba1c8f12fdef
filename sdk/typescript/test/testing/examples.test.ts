import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createClient, type Gap } from '../../src/index.ts';
import { FakeHub, globalClock } from '../../src/testing/index.ts';

// What the README shows about testing, kept true.

describe('with the hub’s own clock', () => {
  it('reconnects and misses nothing', async () => {
    const hub = new FakeHub();
    const client = createClient(hub.url, hub.options());
    const got: unknown[] = [];
    client.channel('room').subscribe('say', m => got.push(m.data));
    await hub.settle();

    hub.down();
    hub.publish('room', 'say', 'while away');
    await hub.advance(60_000);
    expect(client.status.value.state).toBe('reconnecting');
    hub.up();
    await hub.until(() => client.status.value.state === 'connected');
    expect(got).toEqual(['while away']);
  });

  it('is told of a gap', async () => {
    const hub = new FakeHub();
    const client = createClient(hub.url, hub.options());
    const got: unknown[] = [];
    const gaps: Gap[] = [];
    client.channel('room').subscribe(m => got.push(m.data), { onGap: gap => void gaps.push(gap) });
    await hub.settle();
    hub.publish('room', 'say', 1);
    await hub.settle();

    hub.down();
    for (const n of [2, 3, 4]) hub.publish('room', 'say', n);
    hub.lose('room', 3);
    hub.up();
    await hub.until(() => got.length === 2);
    expect(got).toEqual([1, 4]);
    expect(gaps).toMatchObject([{ reason: 'expired', position: 'e1-3' }]);

    hub.restart();
    hub.publish('room', 'say', 5);
    await hub.until(() => got.length === 3);
    expect(gaps[1]).toMatchObject({ reason: 'epoch' });
  });

  it('sees others come and go', async () => {
    const hub = new FakeHub();
    const client = createClient(hub.url, hub.options());
    const { presence } = client.channel('room', { presence: true });
    const counts: number[] = [];
    presence.subscribe(({ count }) => counts.push(count));
    await settled(hub, () => presence.enter({ name: 'me' }));
    const ada = hub.enter('room', { name: 'Ada' }, { user: 'ada' });
    await hub.settle();
    expect(presence.members.map(member => member.data)).toEqual([{ name: 'me' }, { name: 'Ada' }]);
    hub.leave('room', ada);
    await hub.settle();
    expect(counts.slice(-3)).toEqual([1, 2, 1]);
    // A lost connection is forgiven for a while.
    hub.down();
    await hub.advance(4_999);
    expect(hub.channel('room').members).toHaveLength(1);
    await hub.advance(1);
    expect(hub.channel('room').members).toHaveLength(0);
  });

  it('falls back to what the network lets through', async () => {
    const hub = new FakeHub({ latency: 30 });
    hub.refuse('ws', 'sse');
    const client = createClient(hub.url, hub.options());
    const got: unknown[] = [];
    client.channel('room').subscribe(m => got.push(m.data));
    await hub.until(() => client.status.value.transport === 'longpoll');
    await hub.until(() => hub.connections.some(({ transport }) => transport === 'longpoll'));
    hub.publish('room', 'say', 'slowly');
    await hub.advance(1000);
    expect(got).toEqual(['slowly']);
    expect(hub.opened.ws).toBeGreaterThan(0);
  });

  it('publishes once, though the answer is lost', async () => {
    const hub = new FakeHub();
    const client = createClient(hub.url, hub.options());
    await settled(hub, () => client.connect());
    hub.loseNext('publish');
    const published = client.channel('room').publish('say', 'hello');
    await hub.until(() => hub.count('publish') === 2);
    await hub.settle();
    expect(await published).toMatchObject({ position: 'e1-1', duplicate: true });
    expect(hub.channel('room').messages).toHaveLength(1);
  });

  it('renews its token in band', async () => {
    const hub = new FakeHub({ anonymous: false });
    const client = createClient(hub.url, { ...hub.options(), token: () => hub.token('ada', { expiresIn: 60_000 }) });
    const got: unknown[] = [];
    client.channel('room').subscribe(m => got.push(m.data));
    await hub.advance(10 * 60_000);
    hub.publish('room', 'say', 'still here');
    await hub.settle();
    expect(got).toEqual(['still here']);
    expect([client.user, hub.opened.ws]).toEqual(['ada', 1]);
  });
});

describe('with vitest’s fake timers', () => {
  beforeEach(() => void vi.useFakeTimers());
  afterEach(() => void vi.useRealTimers());

  it('passes time for the application and the hub together', async () => {
    const hub = new FakeHub({ clock: globalClock });
    const client = createClient(hub.url, hub.options());
    const got: unknown[] = [];
    client.channel('room').subscribe(m => got.push(m.data));
    await vi.advanceTimersByTimeAsync(100);
    setTimeout(() => hub.publish('room', 'say', 'later'), 5000);
    hub.cut();
    await vi.advanceTimersByTimeAsync(6000);
    expect(got).toEqual(['later']);
    await expect(hub.advance(1)).rejects.toThrow('advance that one');
  });
});

/** Starts something and lets it settle. */
async function settled(hub: FakeHub, start: () => Promise<unknown>): Promise<void> {
  const done = start();
  await hub.advance(100);
  await done;
}
