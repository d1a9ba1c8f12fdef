import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { type Client, createClient, type Message } from '../../src/index.ts';
import { Hub, until } from './hub.ts';

let hub: Hub;
const open: Client[] = [];
beforeAll(async () => {
  hub = await Hub.start();
});
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});
afterAll(() => hub.stop());

const TRANSPORTS = { ws: ['ws'], sse: ['sse'], longpoll: ['longpoll'] } as const;
let count = 0;

describe.each(Object.keys(TRANSPORTS) as (keyof typeof TRANSPORTS)[])('over %s', transport => {
  const make = (url = hub.url) => {
    const client = createClient(url, { WebSocket: WebSocket as never, transports: TRANSPORTS[transport] });
    open.push(client);
    return client;
  };
  const name = () => `room:${transport}-${++count}`;

  it('delivers what is published, to itself and to others, in order', async () => {
    const channel = name();
    const [a, b] = [make(), make()];
    const seen: Message[][] = [[], []];
    a.channel(channel).subscribe('say', m => seen[0]!.push(m));
    b.channel(channel).subscribe(m => seen[1]!.push(m));
    await until('both are live', () => [a, b].every(c => c.channel(channel).state.value.state === 'live'));
    const published = [];
    for (let i = 0; i < 20; i++) published.push(a.channel(channel).publish('say', { i }));
    const answers = await Promise.all(published);
    await until('all came', () => seen.every(list => list.length === 20));
    for (const list of seen) {
      expect(list.map(m => (m.data as { i: number }).i)).toEqual([...Array(20).keys()]);
      expect(list.map(m => m.position)).toEqual(answers.map(answer => answer.position));
      expect(list.every(m => !m.replayed)).toBe(true);
    }
    expect(seen[1]!.every(m => m.client === a.id && m.client !== b.id)).toBe(true);
    expect(b.status.value).toMatchObject({ state: 'connected', transport, stale: false });
  });

  it('begins with the past that was asked for', async () => {
    const channel = name();
    const at = [];
    for (let i = 1; i <= 10; i++) at.push(await hub.publish(channel, i));
    const seen: Record<string, [unknown, boolean][]> = { last: [], since: [], now: [] };
    const room = make().channel(channel);
    const add = (list: string) => (m: Message) => seen[list]!.push([m.data, m.replayed]);
    room.subscribe(add('last'), { last: 3 });
    await until('the newest three', () => seen.last!.length === 3);
    // Late: its past comes from history.
    room.subscribe(add('since'), { since: `${at[0]!.epoch}-6` });
    room.subscribe(add('now'));
    await hub.publish(channel, 11);
    await until('all', () => seen.now!.length === 1 && seen.since!.length === 5 && seen.last!.length === 4);
    expect(seen).toEqual({
      last: [
        [8, true],
        [9, true],
        [10, true],
        [11, false],
      ],
      since: [
        [7, true],
        [8, true],
        [9, true],
        [10, true],
        [11, false],
      ],
      now: [[11, false]],
    });
  });

  it('tells a gap before what is left, for a cursor of another life', async () => {
    const channel = name();
    for (let i = 1; i <= 3; i++) await hub.publish(channel, i);
    const seen: unknown[] = [];
    make()
      .channel(channel)
      .subscribe(m => seen.push(m.data), { since: 'zzz-1', onGap: gap => void seen.push(gap.reason) });
    await until('the rest', () => seen.length === 4);
    expect(seen).toEqual(['epoch', 1, 2, 3]);
  });

  it('reads history both ways', async () => {
    const channel = name();
    for (let i = 1; i <= 25; i++) await hub.publish(channel, i, { event: i % 2 ? 'odd' : 'even' });
    const room = make().channel(channel);
    const backwards = [];
    for await (const m of room.history({ page: 10 })) backwards.push(m.data);
    expect(backwards).toEqual([...Array(25).keys()].map(i => 25 - i));
    const forwards = [];
    for await (const m of room.history({
      since: (await room.history({ limit: 1, event: 'even' }).next()).value!.position.replace(/\d+$/, '4'),
      event: 'odd',
      limit: 3,
      page: 2,
    }))
      forwards.push(m.data);
    expect(forwards).toEqual([5, 7, 9]);
  });

  it('knows who is there', async () => {
    const channel = name();
    const [a, b] = [make(), make()];
    const names = () => a.channel(channel).presence.members.map(member => (member.data as { name: string }).name);
    a.channel(channel, { presence: true }).presence.subscribe(() => {});
    b.channel(channel).subscribe(() => {});
    await b.channel(channel).presence.enter({ name: 'Ada' });
    await until('Ada is there', () => names().join() === 'Ada');
    await b.channel(channel).presence.enter({ name: 'Bob' });
    await until('and has another name', () => names().join() === 'Bob');
    await b.channel(channel).presence.leave();
    await until('and is gone', () => !names().length);
  });

  it('keeps the state of a keyed channel', async () => {
    const channel = name();
    await hub.publish(channel, 1, { key: 'a' });
    await hub.publish(channel, 2, { key: 'b' });
    await hub.publish(channel, 3, { key: 'a' });
    const room = make().channel(channel, { snapshot: true });
    let state: unknown[] = [];
    room.entries.subscribe(map => {
      state = [...map].map(([key, m]) => [key, m.data]);
    });
    await until('the state', () => state.length === 2 && room.entries.ready);
    expect(state).toEqual([
      ['b', 2],
      ['a', 3],
    ]);
    await room.publish('message', null, { key: 'b' });
    await until('one less', () => state.length === 1);
    expect(room.entries.get('a')?.data).toBe(3);
  });

  it('says what is wrong with a publish', async () => {
    const room = make().channel('room:x');
    await expect(room.publish('phx_join', 1)).rejects.toMatchObject({ code: 'bad_request', retryable: false });
    await expect(room.publish('say', 1, { if: 'zzz-7' })).rejects.toMatchObject({
      code: 'conflict',
      position: expect.stringMatching(/-\d+$/),
    });
    const first = await room.publish('say', 1, { id: `x-${transport}` });
    expect(await room.publish('say', 1, { id: `x-${transport}` })).toEqual({ ...first, duplicate: true });
  });
});
