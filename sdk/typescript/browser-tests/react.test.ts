import { describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { createClient } from '../src/index.ts';
import { framesSent, inChromium, open, until, world } from './world.ts';

inChromium();

describe('React in StrictMode', () => {
  it('makes one subscription, and enters once', async () => {
    const { hub, front, context } = await world();
    for (const n of [1, 2, 3]) await hub.publish('room', n);
    const watcher = createClient(hub.url, { WebSocket });
    const seen: string[] = [];
    const room = watcher.channel('room', { presence: true });
    room.presence.events(({ action, members }) => {
      if (action !== 'present') for (const { data } of members) seen.push(`${action} ${data}`);
    });
    await until('watching', () => room.state.value.state === 'live');

    const tab = await open(context, front);
    const sent = framesSent(tab);
    const complaints: string[] = [];
    tab.on('console', message => message.type() === 'error' && complaints.push(message.text()));
    await tab.evaluate(() => page.mount('room', 'Ada'));
    await until('the past', async () => (await tab.locator('li').allTextContents()).join() === '2,3');
    await until('Ada', async () => (await tab.locator('b').textContent()) === 'Ada');
    await hub.publish('room', 4);
    await until('what comes', async () => (await tab.locator('li').allTextContents()).join() === '2,3,4');
    await tab.getByRole('button').click();
    await until('more', async () => (await tab.locator('li').allTextContents()).join() === '1,2,3,4');
    // Longer than what was let go of would stay.
    await new Promise(resolve => setTimeout(resolve, 1500));
    const count = (type: string) => sent.filter(frame => frame.type === type).length;
    expect([count('subscribe'), count('enter'), count('leave'), count('unsubscribe')]).toEqual([1, 1, 0, 0]);
    expect(seen).toEqual(['enter Ada']);
    expect(front.asked.ws).toBe(1);

    await tab.evaluate(() => page.unmount());
    await until('left', () => seen.length === 2);
    expect(seen).toEqual(['enter Ada', 'leave Ada']);
    expect(complaints).toEqual([]);
    await watcher.close();
  });
});
