import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import WebSocket from 'ws';
import { type Client, type ClientOptions, createClient } from '../../src/index.ts';
import { Hub, until } from './hub.ts';
import { TcpProxy } from './proxy.ts';

const TOTAL = 10_000;
let hub: Hub;
let proxy: TcpProxy;
const open: Client[] = [];
const make = (url: string, options: ClientOptions = {}) => {
  const client = createClient(url, { WebSocket: WebSocket as never, ...options });
  open.push(client);
  return client;
};

beforeAll(async () => {
  hub = await Hub.start({
    config: '[namespaces.default]\nhistory = { size = 20000 }\nanonymous = ["subscribe", "publish", "history"]\n',
  });
  proxy = await TcpProxy.to(hub.port);
});
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});
afterAll(async () => {
  await proxy.stop();
  await hub.stop();
});

/** Publishes 0 to TOTAL - 1, at most 90 unanswered: the queue while cut holds 100. */
async function pour(client: Client, channel: string, during: (i: number) => void): Promise<void> {
  const waiting = new Set<Promise<unknown>>();
  for (let i = 0; i < TOTAL; i++) {
    const sent: Promise<unknown> = client
      .channel(channel)
      .publish('n', i)
      .then(() => waiting.delete(sent));
    waiting.add(sent);
    during(i);
    if (waiting.size >= 90) await Promise.race(waiting);
  }
  await Promise.all(waiting);
}

describe.each(['ws', 'sse', 'longpoll'] as const)('10,000 messages over %s', transport => {
  it('come once and in order although connections are cut, of reader and publisher alike', async () => {
    const channel = `stream-${transport}`;
    const seen: number[] = [];
    const gaps: string[] = [];
    const reader = make(proxy.url, { transports: [transport] });
    reader
      .channel(channel)
      .subscribe('n', m => seen.push(m.data as number), { onGap: gap => void gaps.push(gap.reason) });
    await until('the reader is live', () => reader.channel(channel).state.value.state === 'live');
    const publisher = make(proxy.url);
    await pour(publisher, channel, i => {
      if (i && i % 2500 === 0) proxy.cut();
    });
    await until('all have come', () => seen.length >= TOTAL, 40_000);
    expect(gaps).toEqual([]);
    expect(seen).toEqual([...Array(TOTAL).keys()]);
    // A cut long-poll is asked again without ado.
    if (transport !== 'longpoll') expect(reader.metrics().reconnects).toBeGreaterThan(0);
    expect(publisher.metrics().reconnects).toBeGreaterThan(0);
  });
});

describe('a hub on disk', () => {
  it('is killed and started again in the middle of 10,000 messages, and none is lost or repeated', async context => {
    const durable = await Hub.start({
      durable: true,
      config: '[namespaces.default]\nhistory = { size = 20000 }\nanonymous = ["subscribe", "publish"]\n',
    }).catch(error => {
      if (/comes with the next release/.test(String(error))) return undefined;
      throw error;
    });
    if (!durable) return context.skip('this hub has no disk log');
    try {
      const seen: number[] = [];
      const gaps: string[] = [];
      const reader = make(durable.url);
      reader
        .channel('stream')
        .subscribe('n', m => seen.push(m.data as number), { onGap: gap => void gaps.push(gap.reason) });
      await until('the reader is live', () => reader.channel('stream').state.value.state === 'live');
      let restart: Promise<void> | undefined;
      await pour(make(durable.url), 'stream', i => {
        if (i === TOTAL / 2) restart = durable.restart();
      });
      await restart;
      await until('all have come', () => seen.at(-1) === TOTAL - 1, 40_000);
      expect(gaps).toEqual([]);
      expect(seen).toEqual([...Array(TOTAL).keys()]);
    } finally {
      await durable.stop();
    }
  });
});

describe('a hub in memory', () => {
  it('is killed and started again: the loss is told, and what follows comes', async () => {
    const memory = await Hub.start({ config: '[namespaces.default]\nanonymous = ["subscribe", "publish"]\n' });
    try {
      const seen: unknown[] = [];
      const [reader, publisher] = [make(memory.url), make(memory.url)];
      reader.channel('a').subscribe(m => seen.push(m.data), { onGap: gap => void seen.push(gap.reason) });
      await until('live', () => reader.channel('a').state.value.state === 'live');
      await publisher.channel('a').publish('n', 1);
      await until('the first', () => seen.length === 1);
      await memory.kill();
      const waiting = publisher.channel('a').publish('n', 2);
      await until('it is noticed', () => reader.status.value.state === 'reconnecting' && publisher.pending === 1);
      await memory.up();
      await waiting;
      await until('the second', () => seen.includes(2));
      expect(seen).toEqual([1, 'epoch', 2]);
      expect(reader.status.value.transport).toBe('ws');
    } finally {
      await memory.stop();
    }
  });
});
