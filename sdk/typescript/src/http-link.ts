import { FanfareError } from './errors.ts';
import { failure, Http } from './http.ts';
import type { End, Frame, Link, LinkContext, LinkEvents } from './link.ts';
import { makeCursor, parsePosition } from './position.ts';
import { readLongPoll, readPoll, readSse, type Stream } from './streams.ts';
import type { Position } from './types.ts';

/** Channels that one request may name. */
const PER_REQUEST = 16;

/** A subscription and how far it has come. */
export interface Sub {
  _frame: Frame;
  /** Where to go on; `undefined` until its past has been read. */
  _at: Position | undefined;
}

/** What the readers of streams need of their link. */
export interface Reader {
  _context: LinkContext;
  _http: Http;
  /** The link works: tells so once. */
  works(): void;
  frame(frame: Frame): void;
  /** A message of one of `stream`'s channels: delivers it and moves its position. */
  message(frame: Frame): void;
  alive(): void;
  /** A request for these channels failed. */
  refuse(channels: string[], error: FanfareError): void;
  end(end: End): void;
}

/**
 * SSE, long-poll or poll for what comes, and requests for what goes, behind the frames of a WebSocket. The past of a subscription is
 * always read by a poll, which tells where the channel stands; from there on it joins a stream of channels with the same
 * options. So streams can be cut and opened anew at their cursor whenever channels come and go, or a token changes.
 */
export function openHttp(name: 'sse' | 'longpoll' | 'poll', context: LinkContext, events: LinkEvents): Link {
  const { env } = context;
  const http = new Http(context);
  const subs = new Map<string, Sub>();
  const streams: Stream[] = [];
  /** Commands of one channel take effect in order: each waits for the one before. */
  const chains = new Map<string, Promise<unknown>>();
  const entered = new Map<string, Frame>();
  let fresh = new Set<string>();
  let held: Frame[] | undefined = [];
  let ended = false;
  let lease: unknown;
  const stop = new AbortController();
  const read = { sse: readSse, longpoll: readLongPoll, poll: readPoll }[name];

  const reader: Reader = {
    _context: context,
    _http: http,
    works() {
      if (ended || !held) return;
      const frames = held;
      held = undefined;
      events.frame({ type: 'welcome' });
      for (const frame of frames) if (!ended) events.frame(frame);
    },
    frame(frame) {
      if (ended) return;
      if (held) held.push(frame);
      else events.frame(frame);
    },
    message(frame) {
      const sub = subs.get(frame.channel);
      if (!sub) return;
      const at = sub._at && parsePosition(sub._at);
      if (at && frame.offset !== undefined) sub._at = `${at.epoch}-${frame.offset}`;
      reader.frame({ ...frame, type: 'message' });
    },
    alive: () => !ended && events.alive(),
    refuse: (channels, error) => refuse(channels, error),
    end(end) {
      if (ended) return;
      close();
      events.closed(end);
    },
  };
  function close(): void {
    ended = true;
    env.clearTimeout(lease);
    stop.abort();
    for (const stream of streams) stream._stop();
  }

  /** What a stream's channels must have in common. */
  const kind = ({ _frame: { presence, rate, echo, snapshot, token } }: Sub) =>
    JSON.stringify([presence, rate, echo, snapshot, token]);

  const query = (channels: string[], cursor: string | undefined, frame: Frame, extra = ''): string => {
    let text = channels.map(channel => `channel=${encodeURIComponent(channel)}`).join('&');
    if (cursor !== undefined) text += `&since=${cursor}`;
    for (const option of ['last', 'snapshot', 'presence', 'rate', 'echo']) {
      if (frame[option] !== undefined) text += `&${option}=${frame[option]}`;
    }
    return `?${text}${extra}`;
  };

  /** Reads the past of channels alike, and then lets them join streams. */
  async function begin(channels: string[]): Promise<void> {
    const { _frame } = subs.get(channels[0]!)!;
    const froms = channels.map(channel => {
      const sub = subs.get(channel)!;
      return sub._at ?? (sub._frame.since as Position | undefined);
    });
    const messages: Frame[] = [];
    const gaps: Frame[] = [];
    let cursor: string | undefined = froms.some(Boolean) ? makeCursor(froms) : undefined;
    try {
      for (let more = true; more; ) {
        const page = await http.json(
          `/v1/poll${query(channels, cursor, _frame)}`,
          { signal: stop.signal },
          _frame.token,
        );
        reader.alive();
        messages.push(...(page.messages ?? []));
        gaps.push(...(page.gap ?? []));
        more = cursor !== page.cursor && page.poll_after_ms === 0 && page.messages.length > 0;
        cursor = page.cursor;
      }
    } catch (error) {
      return refuse(channels, failure(error));
    }
    const positions = cursor!.split('~');
    channels.forEach((channel, i) => {
      const sub = subs.get(channel);
      const at = parsePosition(positions[i]!);
      // Unsubscribed or asked anew meanwhile.
      if (!sub || !at || fresh.has(channel)) return;
      const own = messages.filter(message => message.channel === channel);
      const gap = gaps.find(item => item.channel === channel);
      const recovered = froms[i] === undefined ? undefined : !gap;
      reader.frame({ type: 'subscribed', ref: sub._frame.ref, channel, ...at, recovered, replay: own.length });
      if (gap) reader.frame({ ...gap, type: 'gap' });
      for (const message of own) reader.frame({ ...message, type: 'message' });
      sub._at = positions[i];
    });
    // Short polls have nothing further to prove; a stream does so itself.
    if (name !== 'sse') reader.works();
    arrange();
  }

  /** Several that are refused together are asked one by one, so that only those that deserve it are refused. */
  function refuse(channels: string[], error: FanfareError): void {
    if (ended) return;
    // Without a token, `unauthorized` is a right that is missing; with one, it is the token. A channel's own token is its own matter.
    const credentials = http.known && ['unauthorized', 'token_expired', 'revoked'].includes(error.code);
    const ours = channels.every(channel => subs.get(channel)?._frame.token);
    if (error.retryable || error.code === 'network' || (credentials && !ours)) return reader.end({ error });
    if (channels.length > 1) {
      for (const channel of channels) if (subs.has(channel)) void begin([channel]);
      return;
    }
    const [channel] = channels as [string];
    const sub = subs.get(channel);
    subs.delete(channel);
    if (sub?._at) reader.frame({ type: 'unsubscribed', channel, code: error.code });
    else if (sub) reader.frame({ ...wire(error), ref: sub._frame.ref, channel });
    // A refusal is an answer: the hub is there.
    if (![...subs.values()].some(other => !other._at)) reader.works();
    arrange();
  }

  function startFresh(): void {
    if (ended) return;
    const groups = new Map<string, string[]>();
    for (const channel of fresh) {
      const sub = subs.get(channel);
      if (!sub) continue;
      const { since, last } = sub._frame;
      const key = kind(sub) + last + (since !== undefined);
      const group = groups.get(key);
      if (group && group.length < PER_REQUEST) group.push(channel);
      else groups.set(key, [channel]);
    }
    fresh = new Set();
    for (const channels of groups.values()) void begin(channels);
  }

  /** Brings the streams to what is wanted: channels whose past is read, with others of their kind. */
  function arrange(): void {
    if (ended) return;
    const wanted = new Map<string, string[][]>();
    for (const [channel, sub] of subs) {
      if (!sub._at) continue;
      const chunks = wanted.get(kind(sub)) ?? [];
      if (!wanted.has(kind(sub))) wanted.set(kind(sub), chunks);
      const last = chunks.at(-1);
      if (last && last.length < PER_REQUEST) last.push(channel);
      else chunks.push([channel]);
    }
    const chunks = [...wanted.values()].flat();
    const same = (a: string[], stream: Stream) => stream._key === JSON.stringify([a, subs.get(a[0]!)!._frame.token]);
    for (const stream of [...streams]) {
      if (chunks.some(chunk => same(chunk, stream))) continue;
      stream._stop();
      streams.splice(streams.indexOf(stream), 1);
    }
    for (const chunk of chunks) if (!streams.some(stream => same(chunk, stream))) streams.push(openStream(chunk));
  }

  function openStream(channels: string[]): Stream {
    const { _frame } = subs.get(channels[0]!)!;
    const { last, ...options } = _frame;
    return read(reader, {
      _key: JSON.stringify([channels, _frame.token]),
      _channels: channels,
      _presence: _frame.presence,
      _token: _frame.token,
      _path: (endpoint, extra) =>
        `/v1/${endpoint}${query(channels, makeCursor(channels.map(channel => subs.get(channel)?._at)), options as Frame, extra)}`,
      _moved(cursor) {
        cursor.split('~').forEach((at, i) => {
          const sub = subs.get(channels[i]!);
          if (sub && at) sub._at = at;
        });
      },
    });
  }

  /** Runs a command as its request, after those of the same channel before it. */
  function command(frame: Frame): void {
    const { type, ref, channel, token, ...fields } = frame;
    const at = `?channel=${encodeURIComponent(channel)}`;
    const paging = () =>
      Object.entries(fields)
        .map(([name, value]) => `&${name}=${encodeURIComponent(String(value))}`)
        .join('');
    const requests: Record<string, () => Promise<Record<string, unknown>>> = {
      publish: () => http.json(`/v1/messages${at}`, { method: 'POST', body: fields }, token),
      history: () => http.json(`/v1/messages${at}${paging()}`, {}, token),
      members: () => http.json(`/v1/presence${at}${paging()}`, {}, token),
      enter: () => http.json(`/v1/presence${at}`, { method: 'PUT', body: { data: fields.data } }, token),
      leave: () => http.json(`/v1/presence${at}`, { method: 'DELETE' }, token),
    };
    const request = requests[type];
    if (!request) return;
    if (type === 'enter') entered.set(channel, frame);
    if (type === 'leave') entered.delete(channel);
    if (!streams.length && entered.size) holdLease();
    const after = type === 'history' || type === 'members' ? undefined : chains.get(channel);
    const run = (after ?? Promise.resolve())
      .then(() => (ended ? undefined : request()))
      .then(
        answer => {
          reader.alive();
          if (answer && ref !== undefined) answered({ ...answer, type: 'ok', ref });
        },
        error => {
          const known = failure(error);
          if (known.code === 'network' || known.code === 'token_expired') reader.end({ error: known });
          else answered({ ...wire(known), ref });
        },
      );
    if (after || !(type === 'history' || type === 'members')) {
      chains.set(channel, run);
      void run.then(() => chains.get(channel) === run && chains.delete(channel));
    }
  }
  const answered = (frame: Frame) => !ended && events.frame(frame);

  /** A membership without an open stream or poll lasts 30 s. */
  function holdLease(): void {
    env.clearTimeout(lease);
    lease = env.setTimeout(() => {
      if (name === 'poll' || !streams.length)
        for (const frame of entered.values()) command({ ...frame, ref: undefined });
      if (entered.size) holdLease();
    }, 20_000);
  }

  const link: Link = {
    name,
    pings: false,
    send(frame) {
      if (ended) return;
      const { type, channel } = frame;
      if (type === 'subscribe') {
        const since = frame.since ?? subs.get(channel)?._at;
        subs.set(channel, { _frame: since === undefined ? frame : { ...frame, since }, _at: undefined });
        if (!fresh.size) queueMicrotask(startFresh);
        fresh.add(channel);
      } else if (type === 'unsubscribe') {
        subs.delete(channel);
        arrange();
        answered({ type: 'ok', ref: frame.ref });
      } else if (type === 'auth') {
        http.setToken(frame.token);
        link.refresh();
        answered({ type: 'ok', ref: frame.ref });
      } else command(frame);
    },
    refresh() {
      for (const stream of streams.splice(0)) stream._stop();
      arrange();
    },
    close,
  };
  if (name === 'sse' && typeof ReadableStream === 'undefined') {
    queueMicrotask(() =>
      reader.end({ error: new FanfareError('unsupported', 'no streaming fetch here'), unfit: true }),
    );
  } else {
    queueMicrotask(async () => {
      if (ended || subs.size) return;
      // Nothing to read: any answer of the hub, also that a channel is missing, proves the way.
      const error = await http.ask('/v1/poll', { signal: stop.signal }).then(() => undefined, failure);
      if (!error || error.code === 'bad_request') reader.works();
      else reader.end({ error });
    });
  }
  return link;
}

/** An error as the frame that it came as. */
export function wire(error: FanfareError): Frame {
  const { code, remedy, retryable, retryAfter, position, message } = error;
  const at = position === undefined ? undefined : parsePosition(position);
  return {
    type: 'error',
    code,
    detail: message.replace(`${code}: `, ''),
    remedy,
    retryable,
    retry_after_ms: retryAfter,
    ...at,
  };
}
