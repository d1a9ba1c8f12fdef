import type { FanfareError } from './errors.ts';
import { ask, json, makeCursor, pathOf } from './http.ts';
import type { Frame, LinkContext } from './link.ts';
import { sseParser } from './sse-parser.ts';
import type { Off, Position } from './types.ts';

/** The hub says something at least every 15 s on a stream; one and a half times that is silence. */
const SILENCE = 22_500;
/** Seconds that a long-poll may wait; proxies often give up after 30. */
const WAIT = 25;
/** Presence is not told by polls; it is asked for this often, s. */
const PRESENCE = 5;

/** A subscription over HTTP, and how far it has come. */
export interface Sub {
  _channel: string;
  _ref: unknown;
  _token: string | undefined;
  /** From where it was to begin. */
  _since: Position | undefined;
  _last: number | undefined;
  /** As they stand in a request. */
  _options: { presence?: boolean };
  /** Where to go on; `undefined` until its past has been read. */
  _at?: Position;
  /** Its past is being read. */
  _reading?: boolean;
}

/** What the reader of a stream of some channels, which have the same options, needs of their link. */
export interface Reader {
  _context: LinkContext;
  /** The link works. */
  _works(): void;
  /** What came; moves its channel's position. */
  _frame(frame: Frame): void;
  /** A request for these channels failed. */
  _refuse(group: Sub[], error: FanfareError): void;
  _end(error: FanfareError, unfit?: boolean): void;
}

/** Reads until it is stopped, or ends its link. */
export type Read = (reader: Reader, group: Sub[]) => Off;

/** What a poll brought, as frames. */
export const framesOf = ({ gap = [], messages }: Record<string, Frame[]>): Frame[] => [
  ...gap.map(frame => ({ ...frame, type: 'gap' })),
  ...messages!.map(frame => ({ ...frame, type: 'message' })),
];

/** A request for these channels from where they stand now. */
const onwards = (endpoint: string, group: Sub[], more: object) =>
  pathOf(endpoint, namesOf(group), { ...group[0]!._options, ...more, since: makeCursor(group.map(sub => sub._at)) });

export const namesOf = (group: Sub[]): string[] => group.map(sub => sub._channel);

/** Server-Sent Events by streaming fetch, since an EventSource cannot send headers. */
export const readSse: Read = ({ _context, _works, _frame, _refuse, _end }, group) => {
  const { _core: core, _mute } = _context;
  const timer = core._timer();
  const stop = new AbortController();
  const { signal } = stop;
  const finish = () => {
    timer();
    stop.abort();
  };
  const watch = (ms: number, unfit?: boolean) =>
    timer(() => _end(core._error('network', 'the connection is silent'), unfit), ms);

  watch(_mute, true);
  ask(_context, onwards('sse', group, { envelope: 1 }), { signal, token: group[0]!._token }, async ({ body }) => {
    if (!body) throw core._error('unsupported', 'no streaming fetch here');
    const bytes = body.getReader();
    const decoder = new TextDecoder();
    const parse = sseParser();
    for (;;) {
      const { done, value } = await bytes.read();
      if (signal.aborted) return;
      if (done) throw core._error('network', 'the connection was closed');
      core._meter._counts.bytes.received += value.length;
      watch(SILENCE);
      _works();
      for (const { _event, _data } of parse(decoder.decode(value, { stream: true }))) {
        if (signal.aborted) return;
        const type = _event.replace('fanfare.', '') || 'message';
        const frame = JSON.parse(_data);
        if (type === 'disconnect') _end(core._fromWire(frame));
        // Where it stands was told when its past was read.
        else if (type !== 'subscribed') _frame({ ...frame, type });
      }
    }
  }).catch(error => {
    if (signal.aborted) return;
    finish();
    _refuse(group, error);
  });
  return finish;
};

/** Long polls, or short ones as often as the hub proposes. */
export const readPolls =
  (long: boolean): Read =>
  ({ _context, _frame, _refuse, _end }, group) => {
    const { _token: token, _options } = group[0]!;
    const { presence } = _options;
    const { _core: core } = _context;
    const timer = core._timer();
    let limit: AbortController | undefined;
    let over = false;
    let presenceAt = -Infinity;
    let failures = 0;

    const sleep = (ms: number) => new Promise<void>(resolve => timer(resolve, ms));
    const get = (path: string, seconds: number) => {
      limit = new AbortController();
      if (over) limit.abort();
      const { signal } = limit;
      timer(() => limit!.abort(), seconds * 1000);
      return json(_context, path, { signal, token }).finally(timer);
    };
    const poll = async (wait: number): Promise<number> => {
      if (presence && core._now() - presenceAt >= PRESENCE * 1000) {
        presenceAt = core._now();
        for (const channel of namesOf(group)) {
          const members: unknown[] = [];
          let page: Awaited<ReturnType<typeof json>> = {};
          do {
            page = await get(pathOf('presence', [channel], { limit: 1000, after: page.next }), 10);
            members.push(...page.members);
          } while (page.next != null && members.length < 10_000);
          _frame({ ...page, type: 'presence', channel, action: 'present', members });
        }
      }
      const page = await get(onwards('poll', group, { wait: wait || undefined }), wait + 10);
      if (over) return 0;
      framesOf(page).forEach(_frame);
      page.cursor.split('~').forEach((at: Position, i: number) => {
        if (at) group[i]!._at = at;
      });
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
          const { code } = error as FanfareError;
          if (over || !long || (code !== 'network' && code !== 'unavailable')) throw error;
          await sleep(Math.min(1000, core._now() - began));
          // A proxy that ends what waits, though a short poll passes: twice in a row, and waiting does not work here.
          await poll(0);
          if (++failures > 1) return _end(error as FanfareError, true);
        }
      }
    };
    run().catch(error => over || _refuse(group, error));
    return () => {
      over = true;
      timer();
      limit?.abort();
    };
  };
