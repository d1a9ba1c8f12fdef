import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { WebSocket } from 'ws';
import { FakeHub } from '../../src/testing/index.ts';
import { Hub } from './hub.ts';

// The fake hub of `./testing` is asked the same as the real one, and has to answer the same.

// biome-ignore lint/suspicious/noExplicitAny: frames are read field by field
type Frame = Record<string, any>;

/** A hub without its particulars: how to reach it, and how to wait until it is quiet. */
interface Side {
  url: string;
  fetch: typeof fetch;
  WebSocket: new (
    url: string,
    protocols: string[],
  ) => { onmessage: ((event: never) => void) | null; send(data: string): void; close(): void };
  quiet(): Promise<unknown>;
}

const SESSION = 'session-of-a-bare-client';

let hub: Hub;
beforeAll(async () => {
  hub = await Hub.start();
});
afterAll(() => hub.stop());

function sides(): [real: Side, fake: Side] {
  const fake = new FakeHub();
  const { fetch: fakeFetch, WebSocket: FakeSocket } = fake.options();
  return [
    { url: hub.url, fetch, WebSocket: WebSocket as unknown as Side['WebSocket'], quiet: () => sleep(120) },
    { url: fake.url, fetch: fakeFetch, WebSocket: FakeSocket as Side['WebSocket'], quiet: () => fake.advance(120) },
  ];
}

/** What differs between any two hubs (epochs, times, ids, words for people) is made equal; the rest has to be. */
function plain(value: unknown, epochs: Map<string, string>): unknown {
  const text = JSON.stringify(value, (name, it) => {
    if (['time', 'entered_at', 'poll_after_ms'].includes(name)) return 0;
    if (['detail', 'remedy', 'title', 'type'].includes(name) && (name !== 'type' || String(it).startsWith('urn:')))
      return undefined;
    if (name === 'id' && !String(it).startsWith('mine')) return 'by the hub';
    if (name === 'client' || name === 'session') return `${name}`;
    if (['version', 'ping_ms', 'idempotency_ms'].includes(name)) return undefined;
    if (name === 'epoch') epochs.set(it, 'E');
    return it;
  });
  let out = text;
  for (const epoch of epochs.keys()) out = out.replaceAll(`"${epoch}"`, '"E"').replaceAll(`${epoch}-`, 'E-');
  return JSON.parse(out);
}

/** Runs the script over a WebSocket. What answers a command is told apart from what comes by itself, since their order is not promised. */
async function overSocket(side: Side, script: (Frame | string | ((epoch: string) => Frame))[]) {
  const socket = new side.WebSocket(`${side.url.replace('http', 'ws')}/v1/ws?session=${SESSION}`, ['fanfare.v1.json']);
  let frames: Frame[] = [];
  socket.onmessage = ({ data }: { data: string }) => frames.push(JSON.parse(String(data)));
  await side.quiet();
  await side.quiet();
  const epochs = new Map<string, string>();
  let epoch = '';
  const steps: unknown[] = [];
  for (const item of [undefined, ...script]) {
    if (item !== undefined) {
      const frame = typeof item === 'function' ? item(epoch) : item;
      socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
      await side.quiet();
    }
    epoch = frames.find(frame => frame.epoch)?.epoch ?? epoch;
    if (epoch) epochs.set(epoch, 'E');
    const [answers, rest] = [true, false].map(wanted =>
      frames.filter(frame => ('ref' in frame || frame.type === 'error') === wanted),
    );
    const said = typeof item === 'function' ? item('E') : item;
    steps.push({
      said: typeof said === 'string' ? said.slice(0, 60) : said,
      answers: plain(answers, epochs),
      rest: plain(rest, epochs),
    });
    frames = [];
  }
  socket.close();
  await side.quiet();
  return steps;
}

async function same(script: Parameters<typeof overSocket>[1]): Promise<void> {
  const [real, fake] = sides();
  const wanted = await overSocket(real, script);
  const got = await overSocket(fake, script);
  for (const [i, step] of wanted.entries()) expect(got[i], 'the fake hub answers as the real one').toEqual(step);
}

const publish = (ref: number, channel: string, more: Frame): Frame => ({
  type: 'publish',
  ref,
  channel,
  id: `mine-${channel}-${ref}`,
  event: 'e',
  ...more,
});

describe('the fake hub answers as the real one', () => {
  it('subscribing, publishing, history', () =>
    same([
      { type: 'subscribe', ref: 1, channel: 'a', presence: true },
      publish(2, 'a', { data: { n: 1 } }),
      publish(3, 'a', { data: 2, key: 'k', tags: { lang: 'en' } }),
      publish(4, 'a', { data: null, event: undefined }),
      { type: 'publish', ref: 5, channel: 'a', data: 5, event: 'e' },
      publish(2, 'a', { data: { n: 1 } }),
      epoch => publish(6, 'a', { data: 1, if: `${epoch}-1` }),
      epoch => publish(7, 'a', { data: 1, if: `${epoch}-4` }),
      publish(8, 'a', { data: 1, ephemeral: true }),
      { type: 'history', ref: 9, channel: 'a', limit: 2 },
      { type: 'history', ref: 10, channel: 'a', limit: 2, reverse: true },
      epoch => ({ type: 'history', ref: 11, channel: 'a', since: `${epoch}-2`, limit: 2 }),
      epoch => ({ type: 'history', ref: 12, channel: 'a', before: `${epoch}-3`, reverse: true }),
      { type: 'history', ref: 13, channel: 'a', since: 'zz-2' },
      { type: 'ping', ref: 14 },
      { type: 'unsubscribe', ref: 15, channel: 'a' },
      publish(16, 'a', { data: 1 }),
    ]));

  it('beginnings: positions, last, gaps, seeks, echo', () =>
    same([
      publish(1, 'b', { data: 1 }),
      publish(2, 'b', { data: 2 }),
      publish(3, 'b', { data: 3 }),
      { type: 'subscribe', ref: 4, channel: 'b', last: 2 },
      epoch => ({ type: 'subscribe', ref: 5, channel: 'b', since: `${epoch}-1` }),
      epoch => ({ type: 'subscribe', ref: 6, channel: 'b', since: `${epoch}-3` }),
      epoch => ({ type: 'subscribe', ref: 7, channel: 'b', since: `${epoch}-0` }),
      epoch => ({ type: 'subscribe', ref: 8, channel: 'b', since: `${epoch}-9` }),
      { type: 'subscribe', ref: 9, channel: 'b', since: 'zz-2' },
      { type: 'subscribe', ref: 10, channel: 'b', since: 'zz-2', last: 1 },
      { type: 'subscribe', ref: 11, channel: 'b' },
      { type: 'subscribe', ref: 12, channel: 'b', echo: false },
      publish(13, 'b', { data: 'not for me' }),
      { type: 'subscribe', ref: 14, channel: 'b', echo: true },
      publish(15, 'b', { data: 'for me' }),
    ]));

  it('keyed state', () =>
    same([
      publish(1, 'c', { data: 1, key: 'x' }),
      publish(2, 'c', { data: 2, key: 'y' }),
      publish(3, 'c', { data: 3, key: 'x' }),
      publish(4, 'c', { data: null, key: 'y' }),
      publish(5, 'c', { data: 'keyless' }),
      { type: 'subscribe', ref: 6, channel: 'c', snapshot: true },
      publish(7, 'c', { data: 4, key: 'x' }),
      publish(8, 'c', { data: null, key: 'x' }),
      epoch => ({ type: 'subscribe', ref: 9, channel: 'c', snapshot: true, since: `${epoch}-2` }),
      { type: 'subscribe', ref: 10, channel: 'c', snapshot: true, since: 'zz-2' },
    ]));

  it('presence', () =>
    same([
      { type: 'enter', ref: 1, channel: 'd', data: { name: 'Ada' } },
      { type: 'subscribe', ref: 2, channel: 'd', presence: true },
      { type: 'enter', ref: 3, channel: 'd', data: { name: 'Ada L' } },
      { type: 'members', ref: 4, channel: 'd' },
      { type: 'leave', ref: 5, channel: 'd' },
      { type: 'leave', ref: 6, channel: 'd' },
      { type: 'enter', ref: 7, channel: 'd' },
      { type: 'members', ref: 8, channel: 'd', limit: 0 },
    ]));

  it('bad input', () =>
    same([
      'not JSON',
      { ref: 1 },
      { type: 'fly', ref: 2 },
      { type: 'subscribe', ref: 3, channel: 'no spaces' },
      { type: 'subscribe', ref: 4, channel: '$reserved' },
      { type: 'subscribe', ref: 5, channel: 'f', since: 'garbage' },
      { type: 'subscribe', ref: 6, channel: 'f', last: 0 },
      { type: 'history', ref: 7, channel: 'f', limit: 0 },
      { type: 'unsubscribe', ref: 8, channel: 'f' },
      publish(9, 'f', { event: 'fanfare.x', data: 1 }),
      publish(10, 'f', { key: 'k', data: undefined }),
      publish(11, 'f', { data: 'x'.repeat(70_000) }),
      JSON.stringify(Array(101).fill({ type: 'ping', ref: 1 })),
      [
        { type: 'ping', ref: 12 },
        { type: 'fly', ref: 13 },
      ] as Frame,
    ]));

  it('requests and streams over HTTP', async () => {
    const [real, fake] = sides();
    const ask = async (side: Side) => {
      const out: unknown[] = [];
      const epochs = new Map<string, string>();
      let epoch = '-';
      const request = async (path: string, init?: RequestInit) => {
        const asked = side.fetch(`${side.url}/v1${path}`, init);
        await side.quiet();
        const response = await asked;
        const body = response.status === 304 ? null : await response.json();
        for (const [, epoch] of JSON.stringify(body).matchAll(/"epoch":"(\w+)"/g)) epochs.set(epoch!, 'E');
        const type = response.headers.get('content-type')?.split(';')[0];
        out.push([
          path.replaceAll(epoch, 'E'),
          response.status,
          type,
          plain([body, response.headers.get('etag')], epochs),
        ]);
        return body;
      };
      const post = (data: Frame) => ({ method: 'POST', body: JSON.stringify(data) });
      ({ epoch } = await request('/channels/g/messages', post({ data: 1, key: 'k', id: 'mine-1' })));
      await request('/messages?channel=g', post({ data: 2, id: 'mine-2' }));
      await request('/messages', post({ messages: [{ channel: 'g', data: 3, id: 'mine-3' }, { channel: '$' }] }));
      await request('/channels/g/messages', post({ data: 1, if: `${epoch}-1` }));
      await request('/channels/g/messages?reverse=1&limit=2');
      await request('/channels/g/snapshot');
      await request('/poll?channel=g');
      await request('/poll?channel=g&last=2');
      await request(`/poll?channel=g&channel=h&since=${epoch}-1~`);
      await request(`/poll?channel=g&since=zz-1`);
      await request(`/poll?channel=g&since=${epoch}-3`, { headers: { 'if-none-match': `W/"${epoch}-3"` } });
      await request('/poll');
      await request('/poll?channel=g&channel=g');
      await request('/poll?channel=g&since=garbage');
      await request('/sse');
      await request('/channels/g/presence', { method: 'PUT', body: '{"data":1}' });
      await request(`/channels/g/presence?session=${SESSION}`, { method: 'PUT', body: '{"data":1}' });
      await request('/channels/g/presence');
      await request('/channels/g/presence?limit=0');
      await request(`/channels/g/presence?session=${SESSION}`, { method: 'DELETE' });
      for (const [path, headers] of [
        ['/sse?channel=g&channel=h&last=2', {}],
        [`/sse?channel=g&envelope=1&since=${epoch}-2`, {}],
        ['/sse?channel=g', { 'last-event-id': 'what' }],
        ['/stream?channel=g&last=1&presence=1', {}],
      ] as [string, HeadersInit][]) {
        const stop = new AbortController();
        const asked = side.fetch(`${side.url}/v1${path}`, { headers, signal: stop.signal });
        await side.quiet();
        const reader = (await asked).body!.getReader();
        let text = '';
        const read = (async () => {
          const decoder = new TextDecoder();
          for (let chunk = await reader.read(); !chunk.done; chunk = await reader.read())
            text += decoder.decode(chunk.value);
        })().catch(() => {});
        await side.quiet();
        stop.abort();
        await read;
        const blocks = text.split('\n').map(line => {
          const json = /^(?:data: )?(\{.*\})$/.exec(line);
          return json ? plain(JSON.parse(json[1]!), epochs) : plain(line, epochs);
        });
        out.push([path.replace(epoch, 'E'), blocks]);
      }
      return out;
    };
    const wanted = await ask(real);
    const got = await ask(fake);
    for (const [i, step] of wanted.entries()) expect(got[i], 'the fake hub answers as the real one').toEqual(step);
  });
});
