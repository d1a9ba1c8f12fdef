import type { FanfareError } from './errors.ts';
import { ask, framesOf, makeCursor } from './http.ts';
import type { Frame, LinkContext } from './link.ts';
import type { Off, Position } from './types.ts';

/** The hub says something at least every 15 s on a stream; one and a half times that is silence. ms. */
const SILENCE = 22_500;
/** How long a long-poll may wait; proxies often give up after 30. s. */
const WAIT = 25;
/** Presence is not told by polls; it is asked for this often. s. */
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

/** What the reader of some channels, which have the same options, needs of their link. */
export interface Reader {
  _context: LinkContext;
  /** `sse`, `longpoll` or `poll`. */
  _name: string;
  /** The link works. */
  _works(): void;
  /** What came; moves its channel's position. */
  _frame(frame: Frame): void;
  /** A request for these channels failed. */
  _refuse(group: Sub[], error: FanfareError): void;
  _end(error: FanfareError, unfit?: boolean): void;
}

/** Reads what follows the positions of these channels, until it is stopped or ends the link. */
export function readOn({ _context, _name, _works, _frame, _refuse, _end }: Reader, group: Sub[]): Off {
  const { _core: core, _mute } = _context;
  const [{ _token: token, _options }] = group as [Sub];
  const { presence } = _options;
  const channels = group.map(sub => sub._channel);
  const timer = core._timer();
  let request = new AbortController();
  let over = false;

  const get = (
    names: string[],
    endpoint: string,
    fields: object,
    seconds: number,
    read?: (it: Response) => Promise<never>,
  ) => {
    const mine = (request = new AbortController());
    timer(() => mine.abort(), seconds * 1000);
    return ask(_context, endpoint, names, fields, { signal: mine.signal, token }, read).finally(timer);
  };
  const follow = (endpoint: string, more: object, seconds: number, read?: (it: Response) => Promise<never>) =>
    get(channels, endpoint, { ..._options, ...more, since: makeCursor(group.map(sub => sub._at)) }, seconds, read);
  const sleep = (ms: number) => new Promise<void>(resolve => timer(resolve, ms));

  /** Server-Sent Events by streaming fetch, since an EventSource cannot send headers. */
  const stream = () => {
    const watch = (ms: number, unfit?: boolean) =>
      timer(() => _end(core._error('network', 'the connection is silent'), unfit), ms);
    const reading = follow('sse', { envelope: 1 }, 0, async ({ body }) => {
      if (!body) throw core._error('unsupported', 'no streaming fetch here');
      const bytes = body.getReader();
      const decoder = new TextDecoder();
      let text = '';
      for (;;) {
        const { done, value } = await bytes.read();
        if (over) throw 0;
        if (done) throw core._error('network', 'the connection was closed');
        core._meter._counts.bytes.received += value.length;
        watch(SILENCE);
        _works();
        // One event a block, its data on one line: so the hub writes them.
        const blocks = (text += decoder.decode(value, { stream: true })).split('\n\n');
        text = blocks.pop()!;
        for (const block of blocks) {
          const data = /^data: (.*)/m.exec(block);
          if (!data || over) continue;
          const frame = { type: 'message', ...JSON.parse(data[1]!) };
          if (frame.type === 'disconnect') _end(core._fromWire(frame));
          // Where it stands was told when its past was read.
          else if (frame.type !== 'subscribed') _frame(frame);
        }
      }
    });
    watch(_mute, true);
    return reading;
  };

  let presenceAt = -Infinity;
  const poll = async (wait: number): Promise<number> => {
    if (presence && core._now() - presenceAt >= PRESENCE * 1000) {
      presenceAt = core._now();
      for (const channel of channels)
        for (let pages = 10, after: unknown; pages--; ) {
          const page = await get([channel], 'presence', { limit: 1000, after }, 10);
          after = page.next;
          _frame({ ...page, type: 'presence', channel, action: 'present', more: after && pages });
          if (!after) break;
        }
    }
    const page = await follow('poll', { wait: wait || undefined }, wait + 10);
    if (over) return 0;
    framesOf(page).forEach(_frame);
    page.cursor.split('~').forEach((at: Position, i: number) => {
      if (at) group[i]!._at = at;
    });
    return page.poll_after_ms;
  };
  /** Long polls, or short ones as often as the hub proposes. */
  const polls = async () => {
    for (let failures = 0; !over; ) {
      const began = core._now();
      try {
        // Presence needs a look now and then, so a poll with it waits no longer than that.
        const wait = _name === 'poll' ? 0 : presence ? PRESENCE : WAIT;
        const after = await poll(wait);
        failures = 0;
        if (!wait) await sleep(after && Math.max(250, Math.min(30_000, after)));
      } catch (error) {
        if (over || _name === 'poll' || !/^(network|unavailable)$/.test((error as FanfareError).code)) throw error;
        await sleep(Math.min(1000, core._now() - began));
        // A proxy that ends what waits, though a short poll passes: twice in a row, and waiting does not work here.
        await poll(0);
        if (++failures > 1) return _end(error as FanfareError, true);
      }
    }
  };

  const off = () => {
    over = true;
    timer();
    request.abort();
  };
  (_name === 'sse' ? stream() : polls()).catch(error => {
    if (over) return;
    off();
    _refuse(group, error);
  });
  return off;
}
