import { describe, expect, it } from 'vitest';
import type { Way } from './front.ts';
import { got, inChromium, open, until, world } from './world.ts';

inChromium();

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

describe('each fallback is taken when the better transports are blocked', () => {
  const steps: { blocked: Way[]; transport: string }[] = [
    { blocked: [], transport: 'ws' },
    { blocked: ['ws'], transport: 'sse' },
    { blocked: ['ws', 'sse'], transport: 'longpoll' },
    { blocked: ['ws', 'sse', 'longpoll'], transport: 'poll' },
  ];

  it.each(steps)('$transport, $blocked blocked', async ({ blocked, transport }) => {
    const { hub, front, context } = await world();
    front.block(...blocked);
    const tab = await open(context, front);
    await hub.publish('room', 1);
    await tab.evaluate(() => page.listen('room', {}, { last: 10 }));
    await until('the past', async () => (await got(tab)).length === 1, 40_000);
    for (const n of range(2, 20)) await hub.publish('room', n);
    await tab.evaluate(() => page.client.channel('room').publish('message', 21));
    await until('20 more', async () => (await got(tab)).length >= 21, 40_000);
    expect(await got(tab)).toEqual(range(1, 21));
    const status = () => tab.evaluate(() => page.client.status.value);
    // A long-poll that never comes back is given a second chance first; messages do not wait for that.
    await until(`connected over ${transport}`, async () => (await status()).transport === transport, 40_000);
    expect(await status()).toMatchObject({ state: 'connected' });
    for (const way of blocked) expect(front.asked[way], `${way} was tried`).toBeGreaterThan(0);
    expect(await tab.evaluate(() => [page.errors, page.gaps])).toEqual([[], []]);
  });

  it('goes from one to the next and back without losing or repeating', async () => {
    const { hub, front, context } = await world();
    const tab = await open(context, front);
    await tab.evaluate(() => page.listen('room', { retry: { min: 50, max: 200 } }));
    const transport = () => tab.evaluate(() => page.client.status.value.transport);
    let n = 0;
    const publish = async (count: number) => {
      for (let i = 0; i < count; i++) await hub.publish('room', ++n);
    };
    await until('ws', async () => (await transport()) === 'ws');
    for (const way of ['ws', 'sse'] as const) {
      await publish(20);
      front.block(way);
      await publish(20);
      await until(`not ${way}`, async () => ![way, undefined].includes((await transport()) as never), 40_000);
    }
    await publish(20);
    await until('all', async () => (await got(tab)).length >= n, 40_000);
    expect(await got(tab)).toEqual(range(1, n));
    front.blocked.clear();
    await tab.evaluate(() => page.client.wake());
    await publish(20);
    await until('all after that', async () => (await got(tab)).length >= n, 40_000);
    expect(await got(tab)).toEqual(range(1, n));
  });

  it('does not wait for a WebSocket that opens and stays mute', async () => {
    const { hub, front, context } = await world();
    front.muted.add('ws');
    const tab = await open(context, front);
    await tab.evaluate(() => page.listen('room'));
    await until('connected', () => tab.evaluate(() => page.client.status.value.state === 'connected'), 15_000);
    await until('live', () => tab.evaluate(() => page.client.channel('room').state.value.state === 'live'));
    await hub.publish('room', 'x');
    await until('the message', async () => (await got(tab)).length === 1);
    expect(await tab.evaluate(() => page.client.status.value.transport)).toBe('sse');
  });
});
