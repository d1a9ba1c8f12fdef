import type { FanfareError } from './errors.ts';
import { ask, failure, json, params } from './http.ts';
import type { Frame, LinkContext } from './link.ts';
import { sseParser } from './sse-parser.ts';
import type { Off } from './types.ts';

/** The hub says something at least every 15 s on a stream; one and a half times that is silence. */
const SILENCE = 22_500;
/** Seconds that a long-poll may wait; proxies often give up after 30. */
const WAIT = 25;
/** Presence is not told by polls; it is asked for this often, s. */
const PRESENCE = 5;

/** What the reader of a stream of some channels needs of their link. */
export interface Reader {
  _context: LinkContext;
  /** The link works: tells so once. */
  _works(): void;
  _frame(frame: Frame): void;
  /** A message: delivers it and moves its channel's position. */
  _message(frame: Frame): void;
  _alive(): void;
  /** A request for these channels failed. */
  _refuse(channels: string[], error: FanfareError): void;
  _end(error: FanfareError, unfit?: boolean): void;
  /** A request for these channels from where they stand now. */
  _path(endpoint: string, channels: string[], like: Frame): string;
  /** They stand there now. */
  _moved(channels: string[], cursor: string): void;
}

/** Reads until it is stopped, or ends its link. `like`: what was asked for each of the channels. */
export type Read = (reader: Reader, channels: string[], like: Frame) => Off;

/** Server-Sent Events by streaming fetch, since an EventSource cannot send headers. */
export const readSse: Read = (reader, channels, like) => {
  const { token } = like;
  const { _core: core, _mute } = reader._context;
  const timer = core._timer();
  const stop = new AbortController();
  const { signal } = stop;
  const finish = () => {
    timer._stop();
    stop.abort();
  };
  const watch = (ms: number, unfit?: boolean) =>
    timer._start(() => {
      finish();
      reader._end(core._error('network', 'sse: the stream is silent'), unfit);
    }, ms);
  const took = (event: string, frame: Frame) => {
    const type = event.replace('fanfare.', '');
    if (!type || type === 'message') reader._message(frame);
    else if (type === 'disconnect') {
      finish();
      reader._end(core._fromWire(frame));
    }
    // Where it stands was told when its past was read.
    else if (type !== 'subscribed') {
      if (type === 'gap')
        reader._moved(
          channels,
          channels.map(it => (it === frame.channel ? `${frame.epoch}-${frame.offset}` : '')).join('~'),
        );
      reader._frame({ ...frame, type });
    }
  };
  const run = async () => {
    watch(_mute, true);
    const { body } = await ask(reader._context, reader._path('sse', channels, { ...like, envelope: 1 }), {
      signal,
      token,
    });
    if (!body) throw core._error('unsupported', 'no streaming fetch here');
    const bytes = body.getReader();
    const decoder = new TextDecoder();
    const parse = sseParser();
    for (;;) {
      const { done, value } = await bytes.read();
      if (signal.aborted) return;
      if (done) throw core._error('network', 'sse: the stream ended');
      watch(SILENCE);
      core._meter._bytesIn += value.length;
      reader._alive();
      reader._works();
      for (const { _event, _data } of parse(decoder.decode(value, { stream: true })))
        if (!signal.aborted) took(_event, JSON.parse(_data));
    }
  };
  run().catch(error => {
    if (signal.aborted) return;
    finish();
    reader._refuse(channels, failure(reader._context, error));
  });
  return finish;
};

/** Long polls, or short ones as often as the hub proposes. */
export const readPolls =
  (long: boolean): Read =>
  (reader, channels, like) => {
    const { token, presence } = like;
    const { _core: core } = reader._context;
    const timer = core._timer();
    let limit: AbortController | undefined;
    let over = false;
    let presenceAt = -Infinity;
    let failures = 0;

    const sleep = (ms: number) => new Promise<void>(resolve => timer._start(resolve, ms));
    const get = (path: string, seconds: number) => {
      const { signal } = (limit = new AbortController());
      if (over) limit.abort();
      timer._start(() => limit!.abort(), seconds * 1000);
      return json(reader._context, path, { signal, token }).finally(() => timer._stop());
    };
    const members = async (channel: string) => {
      const all: unknown[] = [];
      for (let after: string | undefined; ; ) {
        const page = await get(`/v1/presence?${params(Object.entries({ channel, limit: 1000, after }))}`, 10);
        all.push(...page.members);
        after = page.next;
        if (after === undefined || all.length > 10_000)
          return reader._frame({ ...page, type: 'presence', channel, action: 'present', members: all });
      }
    };
    const poll = async (wait: number): Promise<number> => {
      if (presence && core._now() - presenceAt >= PRESENCE * 1000) {
        presenceAt = core._now();
        for (const channel of channels) await members(channel);
      }
      const page = await get(reader._path('poll', channels, { ...like, wait: wait || undefined }), wait + 10);
      if (over) return 0;
      reader._alive();
      for (const gap of page.gap ?? []) reader._frame({ ...gap, type: 'gap' });
      for (const message of page.messages) reader._message(message);
      reader._moved(channels, page.cursor);
      return page.poll_after_ms;
    };
    const run = async () => {
      while (!over) {
        const began = core._now();
        try {
          // Presence needs a look now and then, so a poll with it waits no longer than that.
          const after = await poll(long ? (presence ? PRESENCE : WAIT) : 0);
          failures = 0;
          if (!long) await sleep(after && Math.max(250, Math.min(30_000, after)));
        } catch (error) {
          const known = failure(reader._context, error);
          if (over || !long || (known.code !== 'network' && known.code !== 'unavailable')) throw known;
          await sleep(Math.min(1000, core._now() - began));
          // A proxy that ends what waits, though a short poll passes: twice in a row, and waiting does not work here.
          await poll(0);
          if (++failures > 1) return reader._end(known, true);
        }
      }
    };
    run().catch(error => over || reader._refuse(channels, failure(reader._context, error)));
    return () => {
      over = true;
      timer._stop();
      limit?.abort();
    };
  };
