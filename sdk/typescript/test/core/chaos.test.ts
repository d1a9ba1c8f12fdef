import { describe, expect, it } from 'vitest';
import { createClient, type Gap, type Message } from '../../src/index.ts';
import { FakeHub } from '../../src/testing/index.ts';

// Random networks on virtual time. A failure names its seed: SEED=n npx vitest run test/core/chaos.test.ts
const SEEDS = process.env.SEED ? [Number(process.env.SEED)] : Array.from({ length: 40 }, (_, i) => i + 1);
const STEPS = 40;

function mulberry(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** One who listens, and what it may expect. */
interface Listener {
  got: Message[];
  gaps: Gap[];
  /** The first message that it is owed. */
  from: number;
}

async function run(seed: number, lossless: boolean) {
  const random = mulberry(seed);
  const pick = <T>(...choices: T[]): T => choices[Math.floor(random() * choices.length)]!;
  const hub = new FakeHub({ latency: pick(0, 5, 40) });
  const client = createClient(hub.url, { ...hub.options(), random, retry: { min: 100, max: 2000 } });
  const room = client.channel('room');
  const listeners: Listener[] = [];
  const outcomes = new Map<string, string>();
  let published = 0;
  let mine = 0;

  const listen = (since?: string, last?: number) => {
    const listener: Listener = { got: [], gaps: [], from: 0 };
    room.subscribe(message => listener.got.push(message), { since, last, onGap: gap => void listener.gaps.push(gap) });
    listeners.push(listener);
    return listener;
  };
  listen(hub.channel('room').position).from = 1;
  await hub.until(() => room.state.value.state === 'live');

  const steps: (() => unknown)[] = [
    () => {
      for (let n = pick(1, 3, 20); n > 0; n--) hub.publish('room', 'n', ++published);
    },
    () => {
      const data = `mine ${++mine}`;
      room.publish('mine', data).then(
        () => outcomes.set(data, 'published'),
        error => outcomes.set(data, error.code),
      );
    },
    () => hub.cut(),
    () => (hub.down(), hub.clock.setTimeout(() => hub.up(), pick(50, 500, 8000))),
    () => (hub.freeze(), hub.clock.setTimeout(() => hub.thaw(), pick(50, 500, 45_000))),
    () => hub.refuse(pick('ws', 'sse', 'longpoll')),
    () => hub.mute(pick('ws', 'sse')),
    () => hub.permit(),
    () => hub.permit(),
    () => hub.disconnect('draining', pick(undefined, 10, 1500)),
    () => hub.restart({ keep: lossless || pick(true, true, false), outage: pick(0, 300) }),
    () => hub.loseNext('publish'),
    () => hub.ignoreNext('publish'),
    () => lossless || hub.lose('room', pick(1, 5, 100)),
    () => listeners.length < 6 && listen(),
    () => listeners.length < 6 && listen(undefined, pick(1, 7)),
    () => client.wake(),
    () => {
      hub.latency = pick(0, 5, 40);
    },
  ];
  /** Whatever the log has ever held, by position. */
  const everything = new Map<string, { id: string | undefined }>();
  const remember = () => {
    const { position, messages } = hub.channel('room');
    for (const message of messages) everything.set(`${position.split('-')[0]}-${message.offset}`, message);
  };
  for (let step = 0; step < STEPS; step++) {
    pick(...steps)();
    await hub.advance(pick(0, 1, 30, 400, 3000));
    remember();
  }
  // At last the network is well, and everybody catches up.
  await hub.advance(60_000);
  hub.permit();
  hub.up();
  hub.thaw();
  await hub.until(() => client.status.value.state === 'connected' && client.pending === 0, 600_000);
  hub.publish('room', 'end', 'end');
  await hub.until(() => listeners.every(({ got }) => got.at(-1)?.event === 'end'), 600_000);
  remember();
  await client.close();
  return { hub, listeners, outcomes, published, everything };
}

const inOrder = (seed: number, { got }: Listener) => {
  const places = got.map(({ position }) => position);
  expect(new Set(places).size, `seed ${seed}: something came twice`).toBe(places.length);
  got.forEach((message, i) => {
    const before = got[i - 1];
    if (before && before.position!.split('-')[0] === message.position!.split('-')[0])
      expect(message.offset, `seed ${seed}: order`).toBeGreaterThan(before.offset!);
  });
};

describe('a client on a bad network', () => {
  it.each(SEEDS)('gets everything once and in order while the hub has it (seed %i)', async seed => {
    const { hub, listeners, outcomes, published } = await run(seed, true);
    const log = hub.channel('room').messages;
    expect(log.filter(({ event }) => event === 'n')).toHaveLength(published);
    for (const listener of listeners) {
      inOrder(seed, listener);
      expect(listener.gaps, `seed ${seed}`).toEqual([]);
      const from = listener.from || listener.got[0]!.offset!;
      expect(
        listener.got.map(({ offset }) => offset),
        `seed ${seed}: complete from ${from}`,
      ).toEqual(log.filter(({ offset }) => offset! >= from).map(({ offset }) => offset));
    }
    const times = (data: string) => log.filter(message => message.data === data).length;
    for (const [data, outcome] of outcomes)
      if (outcome === 'published') expect(times(data), `seed ${seed}: ${data}`).toBe(1);
      else if (outcome === 'outcome_unknown') expect(times(data), `seed ${seed}: ${data}`).toBeLessThanOrEqual(1);
      else expect(times(data), `seed ${seed}: ${data} ended with ${outcome}`).toBe(0);
  });

  it.each(SEEDS)('is told of every loss before what is left (seed %i)', async seed => {
    const { listeners, everything } = await run(seed, false);
    const ids = new Set(listeners.flatMap(({ got }) => got.map(({ id }) => id)));
    for (const listener of listeners) {
      inOrder(seed, listener);
      const places = new Set(listener.got.map(({ position }) => position));
      // Wherever offsets jump or the epoch changes, a gap says so: what follows it comes after its position.
      const told = new Set(listener.gaps.map(({ position }) => position));
      listener.got.forEach((message, i) => {
        const before = listener.got[i - 1];
        if (!before) return;
        const [epoch] = message.position!.split('-');
        // A publish that was repeated after the hub had forgotten its id stands there twice, and the channel gives it once.
        let last = message.offset! - 1;
        while (!places.has(`${epoch}-${last}`) && ids.has(everything.get(`${epoch}-${last}`)?.id)) last--;
        const follows = before.position === `${epoch}-${last}`;
        if (!follows)
          expect(
            told.has(`${epoch}-${last}`),
            `seed ${seed}: ${before.position} is followed by ${message.position}, gaps ${[...told]}`,
          ).toBe(true);
      });
    }
  });
});
