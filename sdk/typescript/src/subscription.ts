import type { ClientChannel } from './channel.ts';
import type { Core } from './core.ts';
import { errorOf, type FanfareError } from './errors.ts';
import type { Frame, Link } from './link.ts';
import { toMessage } from './message.ts';
import { partsOf, position } from './position.ts';
import { recentIds } from './recent-ids.ts';
import { sequence } from './sequence.ts';
import { storeOf } from './store.ts';
import type { Item, Subscriber } from './subscriber.ts';
import type { ChannelState, Gap, Position, Store } from './types.ts';

/** The newest messages that one request may ask for. */
const PAGE = 1000;

/** A channel's one subscription at the hub, shared by all who listen: its position, and what each of them gets of it. */
export interface Subscription {
  readonly _state: Store<ChannelState>;
  readonly _subscribers: Set<Subscriber>;
  _position(): Position | undefined;
  /** Something may be missing yet. */
  _behind(): boolean;
  /** Somebody wants this channel. */
  _start(): void;
  /** Nobody wants it any more: the next who does begins anew. */
  _stop(): void;
  /** On a new link, or with other options. */
  _subscribe(link: Link): void;
  /** A link is up that was being opened when this channel was first wanted. */
  _join(link: Link | undefined): void;
  /** There are other rights: what was refused may be allowed now. */
  _renewed(): void;
  _frame(frame: Frame): void;
  /** A new listener: decides what it gets of the past, and from where its live messages begin. */
  _place(subscriber: Subscriber): void;
}

export function subscriptionOf(core: Core, channel: ClientChannel): Subscription {
  const { _connection: connection, _meter: meter } = core;
  const { name, entries } = channel;
  const state = storeOf<ChannelState>({ state: 'idle', error: undefined }, core._guard);
  const subscribers = new Set<Subscriber>();
  const retry = core._timer();
  const repeats = recentIds();
  /** A schema may take its time; later items wait behind. */
  const order = sequence();
  let active = false;
  let epoch: string | undefined;
  /** The last offset taken, in `epoch`. */
  let offset = 0;
  /** Replay is on its way, and its first message will tell where we are. */
  let unknown = true;
  /** The head when we were subscribed: up to it is the past. */
  let head = 0;
  /** How much of the past is still to come. */
  let remaining = 0;
  /** The link that our subscribe was sent on, and whether it was answered: what comes before is not ours. */
  let sentOn: Link | undefined;
  let synced = false;
  let asked: Frame | undefined;
  let tries = 0;

  const at = () => (unknown || epoch == null ? undefined : position(epoch, offset));
  const behind = () => state.value.state === 'joining';
  /** Whether messages make up `entries` too. */
  const keyed = () => channel.options.snapshot;
  const set = (next: ChannelState['state'], error?: FanfareError) => {
    const { value } = state;
    if (value.state !== next || value.error !== error) state._set({ state: next, error });
    connection._touch();
  };

  // ---- asking

  const subscribe = (link: Link) => {
    const { token, ...options } = channel.options;
    if (!active) return;
    retry();
    sentOn = link;
    synced = false;
    set('joining');
    const send = (frame: Frame) => {
      if (sentOn !== link || synced) return;
      asked = Object.assign(frame, from());
      for (const subscriber of subscribers) if (subscriber._floor == null) subscriber._asked = frame;
      link._request(frame, (error, answer) => {
        if (asked !== frame || !active) return;
        if (!error) subscribed(answer);
        else if (error.code !== 'network') refused(error);
      });
    };
    const frame: Frame = { type: 'subscribe', channel: name, ...options };
    if (channel._waits())
      channel
        ._ready()
        .then(() => channel._withToken(frame))
        .then(send, error => sentOn === link && refused(error));
    else send(frame);
  };
  /** From where we are; at first, from where those who listen want to begin. */
  const from = (): { since?: Position; last?: number } => {
    let since = at();
    if (since) return { since };
    // Nothing has come yet: what was asked for is asked for again.
    epoch = undefined;
    let last = 0;
    for (const { _options } of subscribers) since ??= _options.since;
    for (const subscriber of subscribers) {
      const { since: own, last: count = 0 } = subscriber._options;
      subscriber._floor = undefined;
      if (own === since || !since) last = Math.max(last, count);
    }
    return { since, last: Math.min(PAGE, last) || undefined };
  };
  const join = (link: Link | undefined) => {
    if (link && sentOn !== link) subscribe(link);
  };
  const refused = (error: FanfareError) => {
    const { _tokens: tokens } = channel;
    const link = sentOn;
    const expired = error.code === 'token_expired' && tokens?._renewable;
    if (expired) tokens._drop();
    synced = false;
    if (error.retryable || (expired && !tries)) {
      const again = core._backoff(++tries);
      return retry(() => connection._link === link && subscribe(link!), error.retryAfter ?? (expired ? 0 : again));
    }
    const detail = `${name}: ${error.message}`;
    meter._log('refused', detail);
    set('refused', error);
    if (![...subscribers].some(({ _options }) => _options.onError)) console.warn('fanfare refused', detail);
    for (const subscriber of [...subscribers]) subscriber._error(error);
  };

  // ---- what comes

  const subscribed = ({ epoch: now, offset: newest, replay }: Frame) => {
    const since = asked?.since && partsOf(asked.since);
    const first = epoch == null;
    synced = true;
    tries = 0;
    if (first) {
      unknown = !since && replay > 0;
      // With a `since` that is lost, a gap follows and says where we are.
      offset = since ? (since.epoch === now ? since.offset : 0) : replay ? 0 : newest;
    }
    enter(now);
    head = newest;
    remaining = replay;
    for (const subscriber of subscribers) if (subscriber._floor == null) place(subscriber);
    if (first && !since) entries._set(false);
    caughtUp();
  };
  /** Another life of the log: offsets begin anew. */
  const enter = (now: string) => {
    if (epoch !== now && epoch != null) {
      offset = head = 0;
      for (const subscriber of subscribers) if (subscriber._floor) subscriber._floor = 0;
    }
    epoch = now;
  };
  const caughtUp = () => {
    if (!behind() || (remaining > 0 && offset <= head)) return;
    entries._set(!!keyed());
    set('live');
  };
  const took = (frame: Frame) => {
    const link = sentOn;
    // A schema that does not keep up: what follows is left in the log, and read again from here.
    if (order._size > PAGE) {
      synced = false;
      return order([], () => {
        if (sentOn === link && !synced) subscribe(link!);
      });
    }
    const message = toMessage(frame, epoch!, frame.offset <= head);
    if (message.offset != null) {
      if (message.offset <= offset) {
        meter._counts.duplicates++;
        return;
      }
      offset = message.offset;
      unknown = false;
      remaining--;
    }
    meter._message();
    if (!message.replayed && connection._clockOffset != null)
      meter._latency._add(core._now() + connection._clockOffset - message.time);
    if (repeats(message, connection._idempotency)) {
      meter._counts.duplicates++;
      entries._put(message);
    } else
      order([channel._validate(message)], ([valid]) => {
        entries._put(valid ?? message);
        for (const subscriber of [...subscribers]) {
          if (subscriber._floor == null || message.offset! <= subscriber._floor) continue;
          const own = subscriber._placed ? message : valid;
          if (own) subscriber._push({ _message: own });
        }
      });
    if (behind()) order([], caughtUp);
  };
  const gap = ({ epoch: now, offset: to, reason }: Frame) => {
    const before = offset;
    const all = keyed();
    // From a link whose `since` was older than what we have had by now.
    if (!all && reason !== 'epoch' && now === epoch && to <= before && !unknown) return;
    const _gap: Gap = { channel: name, reason, position: position(now, to) };
    meter._counts.gaps++;
    meter._log('gap', _gap);
    enter(now);
    offset = to;
    unknown = false;
    order([], () => {
      entries._set(false);
      for (const subscriber of [...subscribers]) {
        const { _floor: floor } = subscriber;
        if (floor == null || (floor > before && floor > to)) continue;
        if (all) subscriber._floor = 0;
        subscriber._push({ _gap });
      }
    });
  };

  // ---- those who listen

  const place = (subscriber: Subscriber) => {
    if (!synced) return;
    const { since, last } = subscriber._options;
    const from = since && partsOf(since);
    /** The subscribe that was answered asked for this one too. */
    const ours = subscriber._asked === asked ? asked : undefined;
    const now = Math.max(offset, head);
    const begin = (floor: number, replay = 0) => {
      subscriber._floor = floor;
      subscriber._placed?.(epoch!, now, replay);
    };
    subscriber._floor = now;
    if (from && from.epoch === epoch && from.offset >= offset) begin(from.offset, remaining);
    else if (
      since
        ? ours?.since === since
        : last == null
          ? keyed() && ours
          : ours && !ours.since && ours.last === Math.min(last, PAGE)
    )
      begin(0, remaining);
    else if (since ?? last != null) fill(subscriber, now);
    else if (keyed()) {
      const join = subscriber._hold();
      const items = [...entries.value.values()].map((message): Item => {
        const own = (subscriber._placed && core._originals.get(message)) || message;
        return { _message: { ...own, replayed: true } };
      });
      begin(offset, items.length);
      join(items);
    } else begin(now);
  };
  /** Reads a late listener's past from history, up to where live takes over. */
  const fill = async (subscriber: Subscriber, upTo: number) => {
    const then = epoch!;
    const join = subscriber._hold();
    let past: Item[] = [];
    try {
      past = await (await core._load('past')).before(core, channel, subscriber, then, upTo);
    } catch (error) {
      // Closed meanwhile: begun anew when there is a connection again.
      if ((error as FanfareError).code === 'closed') subscriber._floor = undefined;
      else if (!subscriber._options.signal?.aborted) subscriber._error(error as FanfareError);
    }
    if (subscriber._floor != null) subscriber._placed?.(then, upTo, past.filter(({ _gap }) => !_gap).length);
    join(past);
  };

  return {
    _state: state,
    _subscribers: subscribers,
    _position: at,
    _behind: behind,
    _start() {
      connection._start();
      if (active) return;
      active = true;
      set('joining');
      // Those who subscribe in the same breath are asked for together.
      queueMicrotask(() => join(connection._link));
    },
    _stop() {
      if (!active) return;
      const { _link: link } = connection;
      if (link && sentOn === link) link._request({ type: 'unsubscribe', channel: name }, () => {});
      retry();
      active = synced = false;
      sentOn = epoch = undefined;
      unknown = true;
      entries._set(false);
      set('idle');
    },
    _subscribe: subscribe,
    _join: join,
    _renewed() {
      const { _link: link } = connection;
      if (link && state.value.state === 'refused') subscribe(link);
    },
    _frame(frame) {
      const { type, code, ref, _error } = frame;
      if (!synced) return;
      if (type === 'message') took(frame);
      else if (type === 'gap') gap(frame);
      else if (type === 'presence') {
        channel.presence._membership()?._frame(frame);
        channel._relays._tell(frame);
      }
      // Without `ref` it answers nobody: the hub subscribed us by a token's claim, which our own subscribe follows.
      else if (type === 'subscribed' && ref != null) subscribed(frame);
      else if (type === 'unsubscribed') refused(_error ?? errorOf(code, undefined, { channel: name }));
    },
    _place: place,
  };
}
