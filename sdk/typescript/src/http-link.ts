import type { FanfareError } from './errors.ts';
import { ask, failure, json, makeCursor, params } from './http.ts';
import type { Frame, Link, LinkContext, LinkEvents } from './link.ts';
import { publicClient } from './public-client.ts';
import { type Reader, readPolls, readSse } from './streams.ts';
import type { Off, Position, TransportName } from './types.ts';

/** Channels that one request may name. */
const PER_REQUEST = 16;

/** What may be asked of a stream or poll beside its channels. */
const OPTIONS = ['since', 'last', 'snapshot', 'presence', 'rate', 'echo', 'envelope', 'wait'];

/** A subscription and how far it has come. */
interface Sub {
  _frame: Frame;
  /** Where to go on; `undefined` until its past has been read. */
  _at?: Position;
}

/**
 * SSE, long-poll or poll for what comes, and requests for what goes, behind the frames of a WebSocket. The past of a subscription is
 * always read by a poll, which tells where the channel stands; from there on it joins a stream of channels with the same
 * options. So streams can be cut and opened anew at their cursor whenever channels come and go, or a token changes.
 */
export function openHttp(_name: TransportName, context: LinkContext, events: LinkEvents): Link {
  const { _core: core } = context;
  const subs = new Map<string, Sub>();
  /** By their channels and token. */
  const streams = new Map<string, Off>();
  /** Commands of one channel take effect in order: each waits for the one before. */
  const chains = new Map<string, Promise<unknown>>();
  const entered = new Map<string, Frame>();
  const lease = core._timer();
  const stop = new AbortController();
  const { signal } = stop;
  let fresh = new Set<string>();
  let held: Frame[] | undefined = [];
  const read = _name === 'sse' ? readSse : readPolls(_name !== 'poll');

  const reader: Reader = {
    _context: context,
    _works() {
      const frames = held;
      held = undefined;
      if (frames) for (const frame of [{ type: 'welcome' }, ...frames]) tell(frame);
    },
    _frame: frame => (held ? held.push(frame) : tell(frame)),
    _message(frame) {
      const sub = subs.get(frame.channel);
      if (!sub) return;
      if (sub._at && frame.offset) sub._at = sub._at.replace(/\d+$/, `${frame.offset}`);
      reader._frame({ ...frame, type: 'message' });
    },
    _alive: () => events._alive(),
    _refuse: refuse,
    _end(error, unfit) {
      if (signal.aborted) return;
      close();
      events._closed(error, unfit);
    },
    _path: (endpoint, channels, like) =>
      path(endpoint, channels, makeCursor(channels.map(channel => subs.get(channel)?._at)), {
        ...like,
        last: undefined,
      }),
    _moved(channels, cursor) {
      cursor.split('~').forEach((at, i) => {
        const sub = subs.get(channels[i]!);
        if (sub && at) sub._at = at;
      });
    },
  };
  function tell(frame: Frame): void {
    if (!signal.aborted) events._frame(frame);
  }
  function close(): void {
    lease._stop();
    stop.abort();
    for (const off of streams.values()) off();
  }

  /** Asks for channels alike, with the options of their `subscribe`. */
  const path = (endpoint: string, channels: string[], since: string | undefined, like: Frame) =>
    `/v1/${endpoint}?${params([
      ...channels.map((channel): [string, string] => ['channel', channel]),
      ...Object.entries({ ...like, since }).filter(([name]) => OPTIONS.includes(name)),
    ])}`;

  /** Channels with the same options, as many as one request may name. */
  function alike(channels: Iterable<string>, more: (sub: Sub) => unknown = () => 0): string[][] {
    const groups: string[][] = [];
    const open = new Map<string, string[]>();
    for (const channel of channels) {
      const sub = subs.get(channel);
      if (!sub) continue;
      const { _frame: frame } = sub;
      const key = `${path('', [], undefined, { ...frame, last: undefined })} ${frame.token} ${more(sub)}`;
      let group = open.get(key);
      if (!group || group.length === PER_REQUEST) {
        open.set(key, (group = []));
        groups.push(group);
      }
      group.push(channel);
    }
    return groups;
  }

  /** Reads the past of channels alike, and then lets them join streams. */
  async function begin(channels: string[]): Promise<void> {
    const { _frame: like } = subs.get(channels[0]!)!;
    const froms = channels.map((channel): Position | undefined => {
      const { _at, _frame } = subs.get(channel)!;
      return _at ?? _frame.since;
    });
    const messages: Frame[] = [];
    const gaps: Frame[] = [];
    let cursor: string | undefined = froms.some(Boolean) ? makeCursor(froms) : undefined;
    try {
      for (let more = true; more; ) {
        const page = await json(context, path('poll', channels, cursor, like), { signal, token: like.token });
        reader._alive();
        messages.push(...page.messages);
        gaps.push(...(page.gap ?? []));
        more = cursor !== page.cursor && page.poll_after_ms === 0 && page.messages.length > 0;
        cursor = page.cursor;
      }
    } catch (error) {
      return refuse(channels, failure(context, error));
    }
    cursor!.split('~').forEach((at, i) => {
      const channel = channels[i]!;
      const sub = subs.get(channel);
      // Unsubscribed or asked anew meanwhile.
      if (!sub || fresh.has(channel)) return;
      const own = messages.filter(message => message.channel === channel);
      const gap = gaps.find(item => item.channel === channel);
      const { ref } = sub._frame;
      const [epoch, offset] = at.split('-');
      reader._frame({ type: 'subscribed', ref, channel, epoch, offset: Number(offset), replay: own.length });
      if (gap) reader._frame({ ...gap, type: 'gap' });
      for (const message of own) reader._frame({ ...message, type: 'message' });
      sub._at = at;
    });
    // Short polls have nothing further to prove; a stream does so itself.
    if (_name !== 'sse') reader._works();
    arrange();
  }

  /** Several that are refused together are asked one by one, so that only those that deserve it are refused. */
  function refuse(channels: string[], error: FanfareError): void {
    const { code } = error;
    // Without a token, `unauthorized` is a right that is missing; with one, it is the token. A channel's own token is its own matter.
    const credentials = context._token && /^(unauthorized|token_expired|revoked)$/.test(code);
    const [channel, ...others] = channels as [string, ...string[]];
    const sub = subs.get(channel);
    if (error.retryable || code === 'network' || code === 'unsupported' || (credentials && !sub?._frame.token))
      return reader._end(error, code === 'unsupported');
    if (others.length) {
      for (const one of channels) if (subs.has(one)) begin([one]);
      return;
    }
    subs.delete(channel);
    if (sub)
      reader._frame({ type: sub._at ? 'unsubscribed' : 'error', ref: sub._frame.ref, channel, code, _error: error });
    // A refusal is an answer: the hub is there.
    if ([...subs.values()].every(other => other._at)) reader._works();
    arrange();
  }

  function startFresh(): void {
    if (signal.aborted) return;
    const groups = alike(fresh, ({ _frame }) => [_frame.last, _frame.since === undefined]);
    fresh = new Set();
    for (const channels of groups) begin(channels);
  }

  /** Brings the streams to what is wanted: channels whose past is read, with others of their kind. */
  function arrange(): void {
    if (signal.aborted) return;
    const ready = [...subs.keys()].filter(channel => subs.get(channel)!._at);
    const wanted = new Map(
      alike(ready).map(channels => {
        const like = subs.get(channels[0]!)!._frame;
        return [JSON.stringify([channels, like.token]), () => read(reader, channels, like)];
      }),
    );
    for (const [key, off] of streams)
      if (!wanted.has(key)) {
        off();
        streams.delete(key);
      }
    for (const [key, open] of wanted) if (!streams.has(key)) streams.set(key, open());
  }

  /** Runs a command as its request, after those of the same channel before it. */
  function command(frame: Frame): void {
    const { type, ref, channel, token, ...fields } = frame;
    const method = ({ publish: 'POST', enter: 'PUT', leave: 'DELETE' } as Record<string, string>)[type];
    const query = params(Object.entries({ channel, ...(!method && fields) }));
    const what = type === 'publish' || type === 'history' ? 'messages' : 'presence';
    if (type === 'enter') {
      entered.set(channel, frame);
      if (!lease._running) holdLease();
    }
    if (type === 'leave') entered.delete(channel);
    const run = Promise.resolve(method && chains.get(channel))
      .then(() =>
        signal.aborted ? undefined : json(context, `/v1/${what}?${query}`, { method, body: method && fields, token }),
      )
      .then(
        answer => {
          reader._alive();
          tell({ ...answer, type: 'ok', ref });
        },
        cause => {
          const error = failure(context, cause);
          if (error.code === 'network' || error.code === 'token_expired') reader._end(error);
          else tell({ type: 'error', ref, _error: error });
        },
      );
    if (method) chains.set(channel, run);
  }

  /** A membership without an open stream or poll lasts 30 s. */
  function holdLease(): void {
    lease._start(() => {
      if (!entered.size) return;
      if (_name === 'poll' || !streams.size)
        for (const frame of entered.values()) command({ ...frame, ref: undefined });
      holdLease();
    }, 20_000);
  }

  function refresh(): void {
    for (const off of streams.values()) off();
    streams.clear();
    arrange();
  }

  // A WebSocket is told its public name; here it is computed.
  publicClient(context._session).then(
    client => reader._frame({ type: 'welcome', client }),
    () => {},
  );
  queueMicrotask(() => {
    if (_name === 'sse' && !globalThis.ReadableStream)
      reader._end(core._error('unsupported', 'no streaming fetch here'), true);
    else if (!signal.aborted && !subs.size)
      // Nothing to read: any answer of the hub, also that a channel is missing, proves the way.
      ask(context, '/v1/poll', { signal }).then(reader._works, cause => {
        const error = failure(context, cause);
        if (error.code === 'bad_request') reader._works();
        else reader._end(error);
      });
  });
  return {
    _name,
    _send(frame) {
      const { type, channel, token, ref } = frame;
      if (signal.aborted) return;
      if (type === 'subscribe') {
        subs.set(channel, { _frame: { ...frame, since: frame.since ?? subs.get(channel)?._at } });
        if (!fresh.size) queueMicrotask(startFresh);
        fresh.add(channel);
        return;
      }
      if (type !== 'unsubscribe' && type !== 'auth') return command(frame);
      if (type === 'auth') {
        context._token = token;
        refresh();
      } else {
        subs.delete(channel);
        arrange();
      }
      tell({ type: 'ok', ref });
    },
    _refresh: refresh,
    _close: close,
  };
}
