import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/index.ts';
import { FakeHub } from '../../src/testing/index.ts';

// State (keyed channels, presence) through random networks. A failure names its seed: SEED=n npx vitest run test/core/chaos-state.test.ts
const SEEDS = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: 30 }, (_, i) => i + 1);
const STEPS = 40;

/** Numbers in [0, 1), the same for a seed. */
function lehmer(seed: number): () => number {
  let state = (seed * 7919) % 2147483647 || 1;
  return () => (state = (state * 48271) % 2147483647) / 2147483647;
}

describe('state on a bad network', () => {
  it.each(SEEDS)('ends as the hub has it (seed %i)', async seed => {
    const random = lehmer(seed);
    const pick = <T>(...choices: T[]): T => choices[Math.floor(random() * choices.length)]!;
    const hub = new FakeHub({ latency: pick(0, 20) });
    const client = createClient(hub.url, { ...hub.options(), random, retry: { min: 100, max: 2000 } });
    const stock = client.channel('stock', { snapshot: true });
    const room = client.channel('room', { presence: true });
    // A listener that keeps a map of its own by what it is told has to end with the same.
    const told = new Map<string, unknown>();
    stock.subscribe(
      ({ key, data }) => {
        if (key !== undefined && data !== null) told.set(key, data);
        else if (key !== undefined) told.delete(key);
      },
      { onGap: () => told.clear() },
    );
    stock.entries.subscribe(() => {});
    room.presence.subscribe(() => {});
    const others: string[] = [];
    let n = 0;
    const steps: (() => unknown)[] = [
      () => hub.publish('stock', 'price', ++n, { key: pick('a', 'b', 'c', 'd') }),
      () => hub.publish('stock', 'price', ++n, { key: pick('a', 'b', 'c', 'd') }),
      () => hub.publish('stock', 'price', null, { key: pick('a', 'b', 'c', 'd') }),
      () => hub.publish('stock', 'price', ++n, { key: 'brief', ttl: pick(10, 5000) }),
      () => hub.publish('stock', 'news', ++n),
      () => hub.lose('stock', pick(1, 5, 100), { tombstones: pick(true, false) }),
      () => others.push(hub.enter('room', ++n)),
      () => {
        const gone = others.pop();
        if (gone && hub.channel('room').members.some(member => member.client === gone)) hub.leave('room', gone);
      },
      () => void room.presence.enter(pick('one', 'two')).catch(() => {}),
      () => void room.presence.leave().catch(() => {}),
      () => hub.cut(),
      () => (hub.down(), hub.clock.setTimeout(() => hub.up(), pick(50, 500, 8000))),
      () => (hub.freeze(), hub.clock.setTimeout(() => hub.thaw(), pick(50, 500, 45_000))),
      () => hub.refuse(pick('ws', 'sse', 'longpoll')),
      () => hub.permit(),
      () => hub.restart({ keep: pick(true, false), outage: pick(0, 300) }),
    ];
    for (let step = 0; step < STEPS; step++) {
      pick(...steps)();
      await hub.advance(pick(0, 1, 30, 400, 3000));
    }
    await hub.advance(60_000);
    hub.permit();
    hub.up();
    hub.thaw();
    hub.publish('stock', 'price', 'end', { key: 'end' });
    await hub.until(
      () => stock.entries.get('end')?.data === 'end' && client.status.value.transport === 'ws',
      1_200_000,
    );
    await hub.advance(60_000);

    const held = (map: ReadonlyMap<string, unknown>) => Object.fromEntries([...map].sort());
    const mine = new Map([...stock.entries.value].map(([key, { data }]) => [key, data]));
    const wanted = held(hub.channel('stock').entries);
    expect(held(mine), `seed ${seed}: entries`).toEqual(wanted);
    expect(held(told), `seed ${seed}: what the listener was told`).toEqual(wanted);
    const present = (list: readonly { client: string; data?: unknown }[]) =>
      Object.fromEntries(list.map(member => [member.client, member.data]).sort());
    expect(present(room.presence.members), `seed ${seed}: members`).toEqual(present(hub.channel('room').members));
    expect(room.presence.count, `seed ${seed}: count`).toBe(hub.channel('room').members.length);
    await client.close();
  });
});
