import { describe, expect, it } from 'vitest';
import type { Hub } from '../test/contract/hub.ts';
import { got, inChromium, open, until, world } from './world.ts';

inChromium();

const TOTAL = 10_000;
const BATCH = 50;

/** Publishes 1, 2, 3, ..., each once and in order whatever happens to the hub: a batch without an answer is repeated with its ids. */
async function stream(hub: Hub, before: (done: number) => Promise<unknown>): Promise<void> {
  for (let from = 1; from <= TOTAL; from += BATCH) {
    await before(from - 1);
    const messages = Array.from({ length: BATCH }, (_, i) => ({ channel: 'log', data: from + i, id: `n${from + i}` }));
    for (;;) {
      const response = await fetch(`${hub.url}/v1/messages`, {
        method: 'POST',
        body: JSON.stringify({ messages }),
      }).catch(() => undefined);
      if (response?.ok) {
        const { results } = (await response.json()) as { results: { error?: unknown }[] };
        if (results.every(result => !result.error)) break;
      }
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }
}

describe.each([
  { over: 'ws', blocked: [] },
  { over: 'sse', blocked: ['ws'] as const },
])('a hub that is killed and restarted while it streams over $over', ({ over, blocked }) => {
  it(`shows ${TOTAL} distinct messages in order`, async () => {
    const { hub, front, context } = await world({
      durable: true,
      config: `[namespaces.default]
history = { size = 20000 }
anonymous = ["subscribe", "publish", "history"]
ack = "memory"
`,
    });
    front.block(...blocked);
    const tab = await open(context, front);
    await tab.evaluate(() => page.listen('log', { retry: { min: 50, max: 500 } }));
    await until('live', () => tab.evaluate(() => page.client.channel('log').state.value.state === 'live'));
    // It begins there; while the hub is away, whatever answers first may take over.
    expect(await tab.evaluate(() => page.client.status.value.transport)).toBe(over);
    let restarts = 0;
    let restarting: Promise<void> | undefined;
    await stream(hub, async done => {
      // While the page is reading, and not awaited: publishes meet a hub that is not there.
      if (done / TOTAL < (restarts + 1) / 4 || restarts === 3) return;
      restarts++;
      await restarting;
      restarting = hub.restart('SIGKILL');
    });
    await restarting;
    await until('all', async () => (await tab.evaluate(() => page.got.length)) >= TOTAL, 60_000);
    const data = (await got(tab)) as number[];
    expect(restarts).toBe(3);
    expect(data).toHaveLength(TOTAL);
    expect(data.findIndex((n, i) => n !== i + 1)).toBe(-1);
    expect(await tab.evaluate(() => page.gaps)).toEqual([]);
    expect(await tab.evaluate(() => page.client.metrics().reconnects)).toBeGreaterThanOrEqual(1);
  });
});
