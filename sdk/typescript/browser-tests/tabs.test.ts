import type { Page as Tab } from 'playwright-core';
import { describe, expect, it } from 'vitest';
import { BACKEND, CONFIG, token } from './token.ts';
import { got, inChromium, open, until, world } from './world.ts';

inChromium();

const range = (from: number, to: number) => Array.from({ length: to - from + 1 }, (_, i) => from + i);

const listen = (tab: Tab, channel: string, key: string) =>
  tab.evaluate(
    ([name, share]) => page.listen(name!, { tabs: { share: share! }, retry: { min: 50, max: 500 } }),
    [channel, key],
  );
const transport = (tab: Tab) => tab.evaluate(() => page.client.status.value.transport);
const live = (tab: Tab, channel: string) =>
  until(`${channel} live`, () => tab.evaluate(name => page.client.channel(name).state.value.state === 'live', channel));

/** Two tabs that share, the leader first. */
async function two() {
  const all = await world();
  const leader = await open(all.context, all.front);
  await listen(leader, 'room', 'ada');
  await live(leader, 'room');
  const follower = await open(all.context, all.front);
  await listen(follower, 'room', 'ada');
  await live(follower, 'room');
  return { ...all, leader, follower };
}

describe('tabs of one key', () => {
  it('share one socket', async () => {
    const { hub, front, leader, follower } = await two();
    expect([await transport(leader), await transport(follower)]).toEqual(['ws', 'tab']);
    expect(front.asked.ws).toBe(1);
    for (const n of range(1, 50)) await hub.publish('room', n);
    await follower.evaluate(() => page.client.channel('room').publish('message', 51));
    for (const tab of [leader, follower]) {
      await until('51', async () => (await got(tab)).length >= 51);
      expect(await got(tab)).toEqual(range(1, 51));
    }
    // What one tab listens to is not the other's business.
    await follower.evaluate(() => page.client.channel('other').subscribe(m => page.got.push(`other ${m.data}`)));
    await live(follower, 'other');
    await hub.publish('other', 1);
    await until('the other channel', async () => (await got(follower)).length === 52);
    expect((await got(follower)).at(-1)).toBe('other 1');
    expect(await got(leader)).toHaveLength(51);
    expect(front.asked).toMatchObject({ ws: 1, sse: 0, longpoll: 0, poll: 0 });
  });

  it('lose and repeat nothing when the leader is closed', async () => {
    const { hub, front, leader, follower } = await two();
    let n = 0;
    const publish = async (count: number) => {
      for (let i = 0; i < count; i++) await hub.publish('room', ++n);
    };
    await publish(100);
    const [, results] = await Promise.all([
      leader.close(),
      follower.evaluate(async () => {
        const publishes = Array.from({ length: 50 }, (_, i) => page.client.channel('mine').publish('message', i + 1));
        return (await Promise.allSettled(publishes)).map(result => result.status);
      }),
      publish(100),
    ]);
    await until('the follower leads', async () => (await transport(follower)) === 'ws');
    await publish(100);
    await until('all', async () => (await got(follower)).length >= n);
    expect(await got(follower)).toEqual(range(1, n));
    expect(results).toEqual(Array(50).fill('fulfilled'));
    const response = await fetch(`${hub.url}/v1/channels/mine/messages?limit=1000`);
    const { messages } = (await response.json()) as { messages: { data: number }[] };
    expect(messages.map(message => message.data)).toEqual(range(1, 50));
    expect(front.asked.ws).toBe(2);
  });

  it('stay with one socket when the hub is killed and comes back', async () => {
    const { hub, leader, follower } = await two();
    await hub.restart('SIGKILL');
    for (const tab of [leader, follower]) await live(tab, 'room');
    await hub.publish('room', 'after');
    for (const tab of [leader, follower]) await until('after', async () => (await got(tab)).includes('after'));
    expect([await transport(leader), await transport(follower)].sort()).toEqual(['tab', 'ws']);
  });
});

describe('logout and login as another user', () => {
  const say = async (url: string, channel: string, data: unknown) => {
    const response = await fetch(`${url}/v1/messages?channel=${channel}`, {
      method: 'POST',
      headers: BACKEND,
      body: JSON.stringify({ data }),
    });
    expect(response.status).toBe(200);
  };

  it.each(['leader', 'follower'] as const)(
    'of the %s leaves the shared connection at once, and nothing leaks',
    async who => {
      const { hub, front, context } = await world({ config: CONFIG });
      const tabs: Tab[] = [];
      for (let i = 0; i < 2; i++) {
        const tab = await open(context, front);
        await tab.evaluate(jwt => {
          page.token = jwt;
        }, token('ada'));
        await listen(tab, 'user:ada', 'ada');
        await live(tab, 'user:ada');
        tabs.push(tab);
      }
      const [changes, stays] = (who === 'leader' ? tabs : [...tabs].reverse()) as [Tab, Tab];
      expect(front.asked.ws).toBe(1);
      await say(hub.url, 'user:ada', 'for ada');
      for (const tab of tabs) await until('ada’s', async () => (await got(tab)).length === 1);

      await changes.evaluate(jwt => {
        page.token = jwt;
        page.client.share('eve');
      }, token('eve'));
      await until('eve', () => changes.evaluate(() => page.client.user === 'eve'));
      await until('refused', () =>
        changes.evaluate(() => page.client.channel('user:ada').state.value.state === 'refused'),
      );
      await live(stays, 'user:ada');
      await say(hub.url, 'user:ada', 'for ada alone');
      await until('ada’s second', async () => (await got(stays)).length === 2);
      expect(await got(changes)).toEqual(['for ada']);
      expect(await changes.evaluate(() => page.errors)).toEqual(['forbidden']);
      expect(await stays.evaluate(() => [page.client.user, page.errors])).toEqual(['ada', []]);

      await stays.evaluate(() => page.listen('room'));
      await live(stays, 'room');
      for (const tab of tabs) await tab.evaluate(() => page.client.channel('room').publish('message', 'who am I?'));
      const authors = async () => {
        const response = await fetch(`${hub.url}/v1/channels/room/messages`, { headers: BACKEND });
        const { messages } = (await response.json()) as { messages: { user: string; client: string }[] };
        return messages;
      };
      const users = await authors();
      expect(users.map(message => message.user).sort()).toEqual(['ada', 'eve']);
      expect(new Set(users.map(message => message.client)).size).toBe(2);
    },
  );
});
