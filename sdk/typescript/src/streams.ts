import { FanfareError, fromWire } from './errors.ts';
import { failure } from './http.ts';
import type { Reader } from './http-link.ts';
import type { Frame } from './link.ts';
import { sseParser } from './sse-parser.ts';

/** The hub says something at least every 15 s on a stream; one and a half times that is silence. */
const SILENCE = 22_500;
/** Seconds that a long-poll may wait; proxies often give up after 30. */
const WAIT = 25;
/** Presence is not told by polls; it is asked for this often, ms. */
const PRESENCE = 5000;

/** A stream of some channels that goes on until it is stopped. */
export interface Stream {
  _key: string;
  _stop(): void;
}

/** What a stream reads. */
export interface Plan {
  _key: string;
  _channels: string[];
  _presence: boolean | undefined;
  _token: string | undefined;
  /** The request from where the channels stand now. */
  _path(endpoint: string, extra?: string): string;
  _moved(cursor: string): void;
}

/** Server-Sent Events by streaming fetch, since an EventSource cannot send headers. */
export function readSse(reader: Reader, plan: Plan): Stream {
  const { env, meter } = reader._context;
  const stop = new AbortController();
  let timer: unknown;
  let spoke = false;
  const watch = (ms: number) => {
    env.clearTimeout(timer);
    timer = env.setTimeout(() => end(new FanfareError('network', 'sse: the stream is silent'), !spoke), ms);
  };
  const finish = () => {
    env.clearTimeout(timer);
    stop.abort();
  };
  function end(error: FanfareError, unfit?: boolean): void {
    if (stop.signal.aborted) return;
    finish();
    reader.end({ error, unfit });
  }
  function took(event: string, data: string): void {
    const frame = JSON.parse(data) as Frame;
    if (!event || event === 'message') return reader.message(frame);
    if (event === 'fanfare.disconnect') return end(fromWire(frame));
    const type = event.replace('fanfare.', '');
    // Where it stands was told when its past was read.
    if (type === 'subscribed') return;
    if (type === 'gap')
      plan._moved(plan._channels.map(c => (c === frame.channel ? `${frame.epoch}-${frame.offset}` : '')).join('~'));
    reader.frame({ ...frame, type });
  }
  void (async () => {
    watch(reader._context.mute);
    try {
      const response = await reader._http.ask(plan._path('sse', '&envelope=1'), { signal: stop.signal }, plan._token);
      if (!response.body) return end(new FanfareError('unsupported', 'no streaming fetch here'), true);
      const body = response.body.getReader();
      const decoder = new TextDecoder();
      const parse = sseParser();
      for (;;) {
        const { done, value } = await body.read();
        if (stop.signal.aborted) return;
        if (done) break;
        spoke = true;
        watch(SILENCE);
        meter._bytesIn += value.length;
        reader.alive();
        reader.works();
        for (const { event, data } of parse(decoder.decode(value, { stream: true }))) {
          if (!stop.signal.aborted) took(event, data);
        }
      }
      end(new FanfareError('network', 'sse: the stream ended'));
    } catch (error) {
      if (stop.signal.aborted) return;
      finish();
      reader.refuse(plan._channels, failure(error));
    }
  })();
  return { _key: plan._key, _stop: finish };
}

/** A poll that the hub answers when there is something. */
export function readLongPoll(reader: Reader, plan: Plan): Stream {
  let failures = 0;
  return polling(reader, plan, async (poll, sleep) => {
    const { env } = reader._context;
    const began = env.now();
    try {
      await poll(`&wait=${WAIT}`, (WAIT + 10) * 1000);
      failures = 0;
    } catch (error) {
      const known = failure(error);
      if (known.code !== 'network' && known.code !== 'unavailable') throw known;
      await sleep(Math.min(1000, env.now() - began));
      // A proxy that ends what waits, though a short poll passes: twice in a row, and waiting does not work here.
      await poll('', 10_000);
      if (++failures === 2) throw new Unfit(known);
    }
  });
}

/** Short polls, as often as the hub proposes. */
export function readPoll(reader: Reader, plan: Plan): Stream {
  return polling(reader, plan, async (poll, sleep) => {
    const after = await poll('', 10_000);
    await sleep(Math.max(after === 0 ? 0 : 250, Math.min(30_000, after)));
  });
}

/** A transport that does not work, though the hub answers. */
class Unfit extends Error {
  constructor(readonly error: FanfareError) {
    super();
  }
}

type Once = (extra: string, timeout: number) => Promise<number>;

function polling(
  reader: Reader,
  plan: Plan,
  turn: (poll: Once, sleep: (ms: number) => Promise<void>) => Promise<void>,
): Stream {
  const { env } = reader._context;
  const stop = new AbortController();
  let timer: unknown;
  let presenceAt = Number.NEGATIVE_INFINITY;
  const sleep = (ms: number) =>
    new Promise<void>(resolve => {
      timer = env.setTimeout(resolve, ms);
    });
  const poll: Once = async (extra, timeout) => {
    if (plan._presence && env.now() - presenceAt >= PRESENCE) {
      presenceAt = env.now();
      for (const channel of plan._channels) await presence(channel);
    }
    const limit = new AbortController();
    const give = () => limit.abort();
    stop.signal.addEventListener('abort', give);
    timer = env.setTimeout(give, timeout);
    try {
      // Presence needs a look now and then, so a poll with it waits no longer than that.
      const page = await reader._http.json(
        plan._path('poll', plan._presence ? extra.replace(/\d\d$/, '5') : extra),
        { signal: limit.signal },
        plan._token,
      );
      if (stop.signal.aborted) return 0;
      reader.alive();
      for (const gap of page.gap ?? []) reader.frame({ ...gap, type: 'gap' });
      for (const message of page.messages) reader.message(message);
      plan._moved(page.cursor);
      return page.poll_after_ms;
    } finally {
      env.clearTimeout(timer);
      stop.signal.removeEventListener('abort', give);
    }
  };
  async function presence(channel: string): Promise<void> {
    const members: unknown[] = [];
    for (let after = ''; ; ) {
      const page = await reader._http.json(
        `/v1/presence?channel=${encodeURIComponent(channel)}&limit=1000${after}`,
        { signal: stop.signal },
        plan._token,
      );
      members.push(...page.members);
      if (page.next !== undefined && members.length < 10_000) after = `&after=${encodeURIComponent(page.next)}`;
      else
        return reader.frame({
          type: 'presence',
          channel,
          action: 'present',
          members,
          more: false,
          count: page.count,
          users: page.users,
        });
    }
  }
  void (async () => {
    while (!stop.signal.aborted) {
      try {
        await turn(poll, sleep);
      } catch (error) {
        if (stop.signal.aborted) return;
        if (error instanceof Unfit) reader.end({ error: error.error, unfit: true });
        else reader.refuse(plan._channels, failure(error));
        return;
      }
    }
  })();
  return {
    _key: plan._key,
    _stop() {
      env.clearTimeout(timer);
      stop.abort();
    },
  };
}
