import { backoff } from './backoff.ts';
import { type ClientChannel, originals } from './channel.ts';
import type { Core } from './core.ts';
import { FanfareError } from './errors.ts';
import type { Frame, Link } from './link.ts';
import { toMessage } from './message.ts';
import { parsePosition, position } from './position.ts';
import { RecentIds } from './recent-ids.ts';
import { Sequence } from './sequence.ts';
import { Value } from './store.ts';
import type { Item, Subscriber } from './subscriber.ts';
import type { Timer } from './timer.ts';
import type { ChannelState, Gap, Message, Position } from './types.ts';

/** The newest messages that one request may ask for. */
const PAGE = 1000;

/** A channel's one subscription at the hub, shared by all who listen: its position, and what each of them gets of it. */
export class Subscription {
  readonly _state: Value<ChannelState>;
  readonly _subscribers = new Set<Subscriber>();
  private _active = false;
  private _epoch: string | undefined;
  /** The last offset taken, in `_epoch`. */
  private _offset = 0;
  /** Replay is on its way, and its first message will tell where we are. */
  private _unknown = true;
  /** The head when we were subscribed: up to it is the past. */
  private _head = 0;
  /** How much of the past is still to come. */
  private _remaining = 0;
  /** The link that our subscribe was sent on, and whether it was answered: what comes before is not ours. */
  private _sentOn: Link | undefined;
  private _synced = false;
  private _asked: Frame | undefined;
  private _tries = 0;
  private _retry: Timer;
  private _ids = new RecentIds();
  /** A schema may take its time; later items wait behind. */
  private _order = new Sequence();

  constructor(
    private _core: Core,
    private _channel: ClientChannel,
  ) {
    this._retry = _core._timer();
    this._state = new Value<ChannelState>({ state: 'idle', error: undefined }, _core._guard);
  }

  get _position(): Position | undefined {
    return this._unknown || this._epoch === undefined ? undefined : position(this._epoch, this._offset);
  }

  get _behind(): boolean {
    return this._state.value.state === 'joining';
  }

  /** Somebody wants this channel. */
  _start(): void {
    this._core._connection._start();
    if (this._active) return;
    this._active = true;
    this._set('joining');
    // Those who subscribe in the same breath are asked for together.
    queueMicrotask(() => this._join(this._core._connection._link));
  }

  /** Nobody wants it any more: the next who does begins anew. */
  _stop(): void {
    if (!this._active) return;
    const { _connection: connection } = this._core;
    const { _link: link } = connection;
    if (link && this._sentOn === link)
      connection._request({ type: 'unsubscribe', channel: this._channel.name }, () => {});
    this._retry._stop();
    this._active = this._synced = false;
    this._sentOn = this._epoch = undefined;
    this._unknown = true;
    this._channel.entries._set(false);
    this._set('idle');
  }

  /** On a new link, or with other options. */
  _subscribe(link: Link): void {
    const { _channel: channel, _core: core } = this;
    const { token, ...options } = channel.options;
    if (!this._active) return;
    this._retry._stop();
    this._sentOn = link;
    this._synced = false;
    this._set('joining');
    const send = (frame: Frame) => {
      if (this._sentOn !== link || this._synced) return;
      Object.assign(frame, this._from());
      this._asked = frame;
      for (const subscriber of this._subscribers) if (subscriber._floor === undefined) subscriber._asked = frame;
      core._connection._request(
        frame,
        (error, answer) => {
          if (this._asked !== frame || !this._active) return;
          if (!error) this._subscribed(answer);
          else if (error.code !== 'network') this._refused(error);
        },
        undefined,
        link,
      );
    };
    const frame: Frame = { type: 'subscribe', channel: channel.name, ...options };
    if (channel._tokens) channel._withToken(frame).then(send, error => this._sentOn === link && this._refused(error));
    else send(frame);
  }

  /** From where we are; at first, from where those who listen want to begin. */
  private _from(): { since?: Position; last?: number } {
    const { _position: since } = this;
    if (since) return { since };
    // Nothing has come yet: what was asked for is asked for again.
    this._epoch = undefined;
    let last = 0;
    let from: Position | undefined;
    for (const { _options } of this._subscribers) from ??= _options.since;
    for (const subscriber of this._subscribers) {
      const { since: own, last: count = 0 } = subscriber._options;
      subscriber._floor = undefined;
      if (own === from || !from) last = Math.max(last, count);
    }
    return { since: from, last: Math.min(PAGE, last) || undefined };
  }

  /** A link is up that was being opened when this channel was first wanted. */
  _join(link: Link | undefined): void {
    if (link && this._sentOn !== link) this._subscribe(link);
  }

  /** There are other rights: what was refused may be allowed now. */
  _renewed(): void {
    const { _link: link } = this._core._connection;
    if (link && this._state.value.state === 'refused') this._subscribe(link);
  }

  private _refused(error: FanfareError): void {
    const { _core: core, _sentOn: link, _subscribers: subscribers } = this;
    const { name, _tokens: tokens } = this._channel;
    const expired = error.code === 'token_expired' && tokens?._renewable;
    if (expired) tokens._drop();
    if (error.retryable || (expired && !this._tries)) {
      const again = backoff(++this._tries, core._random, core._options.retry);
      this._retry._start(
        () => core._connection._link === link && this._subscribe(link!),
        error.retryAfter ?? (expired ? 0 : again),
      );
      return;
    }
    core._meter._log('refused', `${name}: ${error.message}`);
    this._synced = false;
    this._set('refused', error);
    if (![...subscribers].some(({ _options }) => _options.onError))
      console.warn(`fanfare: ${name} was refused: ${error.message}`);
    for (const subscriber of [...subscribers]) subscriber._error(error);
  }

  private _set(state: ChannelState['state'], error?: FanfareError): void {
    const { value } = this._state;
    if (value.state !== state || value.error !== error) this._state._set({ state, error });
    this._core._connection._touch();
  }

  // ---- what comes

  _frame(frame: Frame): void {
    const { type, code, ref, _error } = frame;
    const { _channel: channel } = this;
    if (!this._synced) return;
    if (type === 'message') this._message(frame);
    else if (type === 'gap') this._gap(frame);
    else if (type === 'presence') {
      channel.presence._frame(frame);
      channel._relays._tell(frame);
    }
    // Without `ref` it answers nobody: the hub subscribed us by a token's claim, which our own subscribe follows.
    else if (type === 'subscribed' && ref !== undefined) this._subscribed(frame);
    else if (type === 'unsubscribed') {
      this._synced = false;
      this._refused(_error ?? new FanfareError(code, undefined, { channel: channel.name }));
    }
  }

  private _subscribed({ epoch, offset, replay }: Frame): void {
    const since = this._asked?.since && parsePosition(this._asked.since);
    const first = this._epoch === undefined;
    this._synced = true;
    this._tries = 0;
    this._head = offset;
    this._remaining = replay;
    if (first) {
      this._unknown = !since && replay > 0;
      // With a `since` that is lost, a gap follows and says where we are.
      this._offset = since ? (since.epoch === epoch ? since.offset : 0) : replay ? 0 : offset;
    }
    this._enter(epoch);
    for (const subscriber of this._subscribers) if (subscriber._floor === undefined) this._place(subscriber);
    if (this._channel._keyed && first && !since) this._channel.entries._set(false);
    this._caughtUp();
  }

  /** Another life of the log: offsets begin anew. */
  private _enter(epoch: string): void {
    if (this._epoch !== epoch && this._epoch !== undefined) {
      this._offset = 0;
      for (const subscriber of this._subscribers) if (subscriber._floor) subscriber._floor = 0;
    }
    this._epoch = epoch;
  }

  private _caughtUp(): void {
    if (!this._behind || (this._remaining > 0 && this._offset <= this._head)) return;
    if (this._channel._keyed) this._channel.entries._set(true);
    this._set('live');
  }

  private _message(frame: Frame): void {
    const { _core: core, _channel: channel, _order: order } = this;
    const { _meter: meter, _connection: connection } = core;
    const { offset } = frame;
    // A schema that does not keep up: what follows is left in the log, and read again from here.
    if (order._size > PAGE) {
      const { _sentOn: link } = this;
      this._synced = false;
      return order._then(undefined, () => {
        if (this._sentOn === link && !this._synced) this._subscribe(link!);
      });
    }
    const message = toMessage(frame, this._epoch!, offset <= this._head);
    if (offset !== undefined) {
      if (offset <= this._offset) {
        meter._counts.duplicates++;
        return;
      }
      this._offset = offset;
      this._unknown = false;
      this._remaining--;
    }
    meter._message();
    if (!message.replayed && connection._clockOffset !== undefined)
      meter._latency._add(core._now() + connection._clockOffset - message.time);
    if (this._ids._repeats(message, connection._idempotency)) {
      meter._counts.duplicates++;
      this._entry(message);
    } else
      order._then(channel._validate(message), valid => {
        this._entry(valid ?? message);
        this._deliver(valid, message);
      });
    if (this._behind) order._then(undefined, () => this._caughtUp());
  }

  private _entry(message: Message): void {
    if (this._channel._keyed) this._channel.entries._put(message);
  }

  private _gap({ epoch, offset, reason }: Frame): void {
    const { _core: core, _channel: channel, _offset: before } = this;
    const { _meter: meter } = core;
    const keyed = channel._keyed;
    // From a link whose `since` was older than what we have had by now.
    if (!keyed && reason !== 'epoch' && epoch === this._epoch && offset <= before && !this._unknown) return;
    meter._counts.gaps++;
    this._enter(epoch);
    this._offset = offset;
    this._unknown = false;
    const gap: Gap = { channel: channel.name, reason, position: position(epoch, offset) };
    meter._log('gap', gap);
    this._order._then(undefined, () => {
      if (keyed) channel.entries._set(false);
      for (const subscriber of [...this._subscribers]) {
        const { _floor: floor } = subscriber;
        if (floor === undefined || (floor > before && floor > offset)) continue;
        if (keyed) subscriber._floor = 0;
        subscriber._push({ _gap: gap });
      }
    });
  }

  // ---- delivery

  private _deliver(valid: Message | undefined, raw: Message): void {
    const { offset, replayed } = raw;
    for (const subscriber of [...this._subscribers]) {
      if (subscriber._floor === undefined || offset! <= subscriber._floor) continue;
      if (replayed && subscriber._skip > 0) subscriber._skip--;
      else {
        const message = subscriber._raw ? raw : valid;
        if (message) subscriber._push({ _message: message });
      }
    }
  }

  /** A new listener: decides what it gets of the past, and from where its live messages begin. */
  _place(subscriber: Subscriber): void {
    if (!this._synced) return;
    const { since, last } = subscriber._options;
    const asked = subscriber._asked === this._asked ? this._asked : undefined;
    const remaining = this._remaining;
    const now = Math.max(this._offset, this._head);
    const begin = (floor: number, replay = 0) => {
      subscriber._floor = floor;
      subscriber._placed?.(this._epoch!, now, replay);
    };
    subscriber._floor = now;
    if (since !== undefined) {
      const from = parsePosition(since);
      if (from?.epoch === this._epoch && from!.offset >= this._offset) begin(from!.offset, remaining);
      else if (asked?.since === since) begin(0, remaining);
      else this._fill(subscriber, now);
    } else if (last !== undefined) {
      if (asked && !asked.since && asked.last >= Math.min(last, PAGE)) {
        subscriber._skip = Math.max(0, remaining - last);
        begin(0, Math.min(remaining, last));
      } else this._fill(subscriber, now);
    } else if (!this._channel._keyed) begin(now);
    else if (asked) begin(0, remaining);
    else {
      const join = subscriber._hold();
      const state = [...this._channel.entries.value.values()].map((message): Item => {
        const own = (subscriber._raw && originals.get(message)) || message;
        return { _message: { ...own, replayed: true } };
      });
      begin(this._offset, state.length);
      join(state);
    }
  }

  /** Reads a late listener's past from history, up to where live takes over. */
  private async _fill(subscriber: Subscriber, upTo: number): Promise<void> {
    const { _core: core, _channel: channel } = this;
    const epoch = this._epoch!;
    const join = subscriber._hold();
    let past: Item[] = [];
    try {
      past = await (await core._past()).before(core, channel, subscriber, epoch, upTo);
    } catch (error) {
      // Closed meanwhile: begun anew when there is a connection again.
      if ((error as FanfareError).code === 'closed') subscriber._floor = undefined;
      else if (!subscriber._options.signal?.aborted) subscriber._error(error as FanfareError);
    }
    if (subscriber._floor !== undefined) subscriber._placed?.(epoch, upTo, past.filter(({ _gap }) => !_gap).length);
    join(past);
  }
}
