import { createServer, type Server } from 'node:http';
import { afterAll, afterEach, beforeAll, expect, it } from 'vitest';
import WebSocket from 'ws';
import { type Client, type ClientOptions, createClient } from '../../src/index.ts';
import { Hub, until } from './hub.ts';

/** Time passes ten times as fast for the client's own timers. */
const fast = {
  now: () => Date.now(),
  setTimeout: (fn: () => void, ms: number) => setTimeout(fn, ms / 10),
  clearTimeout: (handle: unknown) => clearTimeout(handle as never),
};

/** Takes the request and never says a word. */
let mute: Server;
let muteUrl: string;
let hub: Hub;
const open: Client[] = [];
beforeAll(async () => {
  hub = await Hub.start();
  mute = createServer(() => {});
  mute.on('upgrade', () => {});
  await new Promise<void>(resolve => mute.listen(0, '127.0.0.1', resolve));
  muteUrl = `127.0.0.1:${(mute.address() as { port: number }).port}`;
});
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});
afterAll(async () => {
  mute.closeAllConnections();
  mute.close();
  await hub.stop();
});

/** What is blocked, and how: answers with an error, or with silence. */
function blocked(
  paths: RegExp,
  how: 'refused' | 'mute',
  state = { on: true },
): ClientOptions & { state: typeof state; tried: string[] } {
  const tried: string[] = [];
  const divert = (url: string) => {
    const { pathname, host } = new URL(url);
    const away = state.on && paths.test(pathname);
    tried.push(`${pathname}${away ? ' blocked' : ''}`);
    return away ? url.replace(host, how === 'mute' ? muteUrl : '127.0.0.1:1') : url;
  };
  class Socket extends WebSocket {
    constructor(url: string, protocols?: string[]) {
      super(divert(url), protocols);
    }
  }
  return {
    state,
    tried,
    clock: fast,
    WebSocket: Socket as never,
    fetch: (url, init) => {
      const path = new URL(String(url)).pathname;
      const waits = /wait=[1-9]/.test(String(url));
      return fetch(
        paths.source.includes('wait') && waits && state.on
          ? String(url).replace(new URL(String(url)).host, '127.0.0.1:1')
          : divert(String(url)),
        init,
      ).catch(error => {
        throw new Error(`${path}: ${error}`);
      });
    },
  };
}

it.each([
  ['sse', /ws$/],
  ['longpoll', /ws$|sse$/],
  ['poll', /ws$|sse$|wait/],
] as const)(
  'falls back to %s where the better ones are refused, and messages pass both ways',
  async (transport, paths) => {
    const options = blocked(paths, 'refused');
    const client = createClient(hub.url, options);
    open.push(client);
    const room = client.channel(`fall:${transport}`);
    const seen: unknown[] = [];
    room.subscribe(m => seen.push(m.data));
    await until(
      'the transport is found',
      () => client.status.value.transport === transport && room.state.value.state === 'live',
    );
    await room.publish('n', 1);
    await room.publish('n', 2);
    await until('both came', () => seen.length === 2);
    expect(seen).toEqual([1, 2]);
    expect(options.tried).toContain('/v1/ws blocked');
  },
);

it.each([
  ['sse', /ws$/],
  ['longpoll', /ws$|sse$/],
] as const)('falls back to %s where the better ones open and stay mute', async (transport, paths) => {
  const client = createClient(hub.url, blocked(paths, 'mute'));
  open.push(client);
  client.channel(`mute:${transport}`).subscribe(() => {});
  await until('the transport is found', () => client.status.value.transport === transport);
});

it('moves up when the better transport works again: nothing lost, nothing twice, still the same member', async () => {
  const options = blocked(/ws$/, 'refused');
  const client = createClient(hub.url, options);
  const watcher = createClient(hub.url, { WebSocket: WebSocket as never });
  open.push(client, watcher);
  const room = client.channel('up');
  const seen: unknown[] = [];
  const gone: string[] = [];
  watcher
    .channel('up', { presence: true })
    .presence.events(({ action }) => void (action === 'leave' && gone.push(action)));
  room.subscribe(m => seen.push(m.data));
  await until('sse', () => client.status.value.transport === 'sse' && room.state.value.state === 'live');
  await room.presence.enter({ name: 'Ada' });
  const states: string[] = [];
  client.status.subscribe(s => states.push(`${s.state} ${s.transport}`));
  let count = 0;
  let pouring = true;
  const pour = (async () => {
    for (; pouring; count++) await hub.publish('up', count);
  })();
  options.state.on = false;
  await until('ws', () => client.status.value.transport === 'ws', 10_000);
  await until('a while longer', () => count > (seen.length ? 0 : 1) && seen.length > 50);
  pouring = false;
  await pour;
  await until('all came', () => seen.length === count);
  expect(seen).toEqual([...Array(count).keys()]);
  expect(states.filter(state => !state.startsWith('connected'))).toEqual([]);
  // Longer than the hub waits before it counts a lost member as gone.
  await new Promise(resolve => setTimeout(resolve, 6000));
  expect(gone).toEqual([]);
  expect(watcher.channel('up').presence.members).toMatchObject([{ data: { name: 'Ada' } }]);
}, 30_000);

it('a token that expires is renewed over sse and long-poll at the cursor', async () => {
  const secret = 'a secret of at least thirty-two bytes, for tests';
  const { createHmac } = await import('node:crypto');
  const guarded = await Hub.start({
    config: `[auth]\nhmac_secret = "${secret}"\n[namespaces.default]\nauthenticated = ["subscribe", "publish"]\n`,
  });
  const encode = (it: unknown) => Buffer.from(JSON.stringify(it)).toString('base64url');
  const token = (seconds: number) => {
    const body = `${encode({ alg: 'HS256', typ: 'JWT' })}.${encode({ sub: 'ada', exp: Math.floor(Date.now() / 1000) + seconds })}`;
    return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
  };
  try {
    const seen: Record<string, unknown[]> = { ws: [], sse: [], longpoll: [] };
    const calls: Record<string, number> = { ws: 0, sse: 0, longpoll: 0 };
    const clients = (['ws', 'sse', 'longpoll'] as const).map(transport => {
      const client = createClient(guarded.url, {
        WebSocket: WebSocket as never,
        transports: [transport],
        token: () => {
          calls[transport]!++;
          return token(2);
        },
      });
      client.channel('a').subscribe(m => seen[transport]!.push(m.data));
      open.push(client);
      return client;
    });
    await until('all are live', () => clients.every(client => client.channel('a').state.value.state === 'live'));
    const end = Date.now() + 6000;
    let count = 0;
    for (; Date.now() < end; count++) {
      await clients[0]!.channel('a').publish('n', count);
      await new Promise(resolve => setTimeout(resolve, 20));
    }
    await until('all came', () => Object.values(seen).every(list => list.length === count));
    for (const list of Object.values(seen)) expect(list).toEqual([...Array(count).keys()]);
    for (const [transport, times] of Object.entries(calls)) expect(times, transport).toBeGreaterThan(1);
    expect(clients[0]!.metrics().reconnects).toBe(0);
    expect(clients[0]!.user).toBe('ada');
  } finally {
    await guarded.stop();
  }
}, 30_000);

it('what is refused is told to whoever asked, and the rest goes on', async () => {
  const guarded = await Hub.start({
    config: '[namespaces.default]\n[namespaces.open]\nanonymous = ["subscribe", "publish"]\n',
  });
  try {
    for (const transport of ['ws', 'sse', 'longpoll'] as const) {
      const client = createClient(guarded.url, { WebSocket: WebSocket as never, transports: [transport] });
      open.push(client);
      const errors: string[] = [];
      const seen: unknown[] = [];
      client.channel('shut').subscribe(() => {}, { onError: error => errors.push(`${error.code} ${error.channel}`) });
      client.channel('open:a').subscribe(m => seen.push(m.data));
      await until(
        `${transport}: one is refused, one is live`,
        () => errors.length && client.channel('open:a').state.value.state === 'live',
      );
      await client.channel('open:a').publish('n', 1);
      await until('it came', () => seen.length);
      expect(errors).toEqual(['unauthorized shut']);
      await expect(client.channel('shut').publish('n', 1)).rejects.toMatchObject({ code: 'unauthorized' });
      expect(client.channel('shut').state.value).toMatchObject({ state: 'refused' });
      expect(client.status.value).toMatchObject({ state: 'connected', transport });
    }
  } finally {
    await guarded.stop();
  }
});
