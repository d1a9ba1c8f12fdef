import { backoff } from './backoff.ts';
import type { Core } from './core.ts';
import { FanfareError } from './errors.ts';
import { readPage } from './history.ts';
import type { Frame, Link } from './link.ts';
import { toMessage } from './message.ts';
import { parsePosition, position } from './position.ts';
import { RecentIds } from './recent-ids.ts';
import { Value } from './store.ts';
import type { Item, Subscriber } from './subscriber.ts';
import type { Tokens } from './token.ts';
import type { ChannelOptions, ChannelState, Gap, Message, Position } from './types.ts';

/** What the subscription tells its channel. */
export interface SubscriptionHooks {
  /** A message's data by its schema; `undefined`: it does not fit and was reported. */
  validate(message: Message): Message | undefined | Promise<Message | undefined>;
  /** A message for the state of a keyed channel, also when it is no news. */
  entry(message: Message): void;
  /** The state begins anew (`false`), or is whole (`true`). */
  state(whole: boolean): void;
  presence(frame: Frame): void;
  /** The state so far, for one who comes late. */
  entries(): Iterable<Message>;
}

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
  private _retry: unknown;
  private _ids = new RecentIds();
  /** Open while a schema takes its time; later items wait behind. */
  private _chain: Promise<void> | undefined;

  constructor(
    private _core: Core,
    private _name: string,
    readonly _options: ChannelOptions,
    private _channelTokens: () => Tokens | undefined,
    private _hooks: SubscriptionHooks,
  ) {
    this._state = new Value<ChannelState>({ state: 'idle', error: undefined }, _core.threw);
  }

  get _position(): Position | undefined {
    return this._unknown || this._epoch === undefined ? undefined : position(this._epoch, this._offset);
  }

  private get _tokens(): Tokens | undefined {
    return this._channelTokens();
  }

  get _behind(): boolean {
    return this._state.value.state === 'joining';
  }

  /** Somebody wants this channel. */
  _start(): void {
    this._core.connection.start();
    if (this._active) return;
    this._active = true;
    this._set('joining');
    // Those who subscribe in the same breath are asked for together.
    queueMicrotask(() => {
      const { link } = this._core.connection;
      if (this._active && link && this._sentOn !== link) this._subscribe(link);
    });
  }

  /** Nobody wants it any more: the next who does begins anew. */
  _stop(): void {
    if (!this._active) return;
    const { link } = this._core.connection;
    if (link && this._sentOn === link)
      this._core.connection.request({ type: 'unsubscribe', channel: this._name }, () => {});
    this._core.env.clearTimeout(this._retry);
    this._active = this._synced = false;
    this._sentOn = undefined;
    this._unknown = true;
    this._epoch = undefined;
    this._hooks.state(false);
    this._set('idle');
  }

  /** On a new link, or with other options. */
  _subscribe(link: Link): void {
    if (!this._active) return;
    const { _core: core, _tokens } = this;
    core.env.clearTimeout(this._retry);
    this._sentOn = link;
    this._synced = false;
    this._set('joining');
    const send = (token?: string) => {
      if (this._sentOn !== link || this._synced) return;
      const frame: Frame = { type: 'subscribe', channel: this._name, ...this._from() };
      for (const name of ['presence', 'rate', 'echo', 'snapshot'] as const) {
        if (this._options[name] !== undefined) frame[name] = this._options[name];
      }
      if (token) frame.token = token;
      this._asked = frame;
      for (const subscriber of this._subscribers) if (subscriber._floor === undefined) subscriber._asked = frame;
      const answered = (error: FanfareError | undefined, answer: Frame) => {
        if (this._asked !== frame || !this._active) return;
        if (!error) this._subscribed(answer);
        else if (error.code !== 'network') this._refused(error, link);
      };
      core.connection.request(frame, answered, undefined, link);
    };
    if (_tokens) _tokens.get().then(send, error => this._refused(error, link));
    else send();
  }

  /** From where we are; at first, from where those who listen want to begin. */
  private _from(): { since?: Position; last?: number } {
    if (this._position !== undefined) return { since: this._position };
    const from: { since?: Position; last?: number } = {};
    // Nothing has come yet: what was asked for is asked for again.
    for (const subscriber of this._subscribers) subscriber._floor = undefined;
    this._epoch = undefined;
    const fresh = [...this._subscribers];
    const since = fresh.find(subscriber => subscriber._options.since)?._options.since;
    if (since) from.since = since;
    const last = Math.max(
      0,
      ...fresh.map(({ _options }) => (!since || _options.since === since ? (_options.last ?? 0) : 0)),
    );
    if (last) from.last = Math.min(1000, last);
    return from;
  }

  /** A link is up that was being opened when this channel was first wanted. */
  _join(link: Link): void {
    if (this._sentOn !== link) this._subscribe(link);
  }

  /** The connection's token was renewed: what was refused may be allowed now. */
  _renewed(): void {
    const { link } = this._core.connection;
    if (link && this._state.value.state === 'refused') this._subscribe(link);
  }

  private _refused(error: FanfareError, link: Link): void {
    const { _core: core, _tokens } = this;
    const expired = error.code === 'token_expired' && _tokens?.renewable;
    if (expired) _tokens.drop();
    if (error.retryable || (expired && !this._tries)) {
      const delay = error.retryAfter ?? (expired ? 0 : backoff(++this._tries, core.env.random, core.env.options.retry));
      if (expired) this._tries++;
      this._retry = core.env.setTimeout(() => core.connection.link === link && this._subscribe(link), delay);
      return;
    }
    core.meter.log('refused', `${this._name}: ${error.message}`);
    this._synced = false;
    this._set('refused', error);
    const subscribers = [...this._subscribers];
    if (!subscribers.some(subscriber => subscriber._options.onError))
      console.warn(`fanfare: ${this._name} was refused: ${error.message}`);
    for (const subscriber of subscribers) subscriber._error(error);
  }

  private _set(state: ChannelState['state'], error?: FanfareError): void {
    const old = this._state.value;
    if (old.state !== state || old.error !== error) this._state.set({ state, error });
    this._core.connection.touch();
  }

  // ---- what comes

  _frame(frame: Frame): void {
    if (!this._synced) return;
    const { type } = frame;
    if (type === 'message') this._message(frame);
    else if (type === 'gap') this._gap(frame);
    else if (type === 'presence') this._hooks.presence(frame);
    // Without `ref` it answers nobody: the hub subscribed us by a token's claim, which our own subscribe follows.
    else if (type === 'subscribed' && frame.ref !== undefined) this._subscribed(frame);
    else if (type === 'unsubscribed') {
      this._synced = false;
      this._refused(new FanfareError(frame.code, undefined, { channel: this._name }), this._sentOn!);
    }
  }

  private _subscribed({ epoch, offset, replay }: Frame): void {
    this._synced = true;
    this._tries = 0;
    this._head = offset;
    this._remaining = replay;
    const since = this._asked?.since && parsePosition(this._asked.since);
    const first = this._epoch === undefined;
    if (first) {
      this._unknown = !since && replay > 0;
      // With a `since` that is lost, a gap follows and says where we are.
      this._offset = since ? (since.epoch === epoch ? since.offset : 0) : replay ? 0 : offset;
    }
    this._enter(epoch);
    for (const subscriber of this._subscribers) if (subscriber._floor === undefined) this._place(subscriber);
    if (this._options.snapshot && first && !since) this._hooks.state(false);
    this._caughtUp();
  }

  /** Another life of the log: offsets begin anew. */
  private _enter(epoch: string): void {
    if (this._epoch === epoch) return;
    if (this._epoch !== undefined) {
      this._offset = 0;
      for (const subscriber of this._subscribers) if (subscriber._floor !== undefined) subscriber._floor = 0;
    }
    this._epoch = epoch;
  }

  private _caughtUp(): void {
    if (this._state.value.state !== 'joining' || (this._remaining > 0 && this._offset <= this._head)) return;
    if (this._options.snapshot) this._hooks.state(true);
    this._set('live');
  }

  private _message(frame: Frame): void {
    const { meter, connection, env } = this._core;
    const { offset } = frame;
    const message = toMessage(frame, this._epoch!, offset !== undefined && offset <= this._head);
    if (offset !== undefined) {
      if (offset <= this._offset) {
        meter._duplicates++;
        return;
      }
      this._offset = offset;
      this._unknown = false;
      this._remaining--;
    }
    meter.message();
    if (!message.replayed && connection.clockOffset !== undefined)
      meter._latency.add(env.now() + connection.clockOffset - message.time);
    if (this._ids.repeats(message, connection.idempotency)) {
      meter._duplicates++;
      this._hooks.entry(message);
    } else this._check(message);
    if (this._behind && (this._remaining <= 0 || this._offset > this._head)) this._after(() => this._caughtUp());
  }

  private _gap({ epoch, offset, reason }: Frame): void {
    const { snapshot } = this._options;
    // From a link whose `since` was older than what we have had by now.
    if (!snapshot && reason !== 'epoch' && epoch === this._epoch && offset <= this._offset && !this._unknown) return;
    this._core.meter._gaps++;
    const before = this._offset;
    this._enter(epoch);
    this._offset = offset;
    this._unknown = false;
    const gap: Gap = { channel: this._name, reason, position: position(epoch, offset) };
    this._core.meter.log('gap', gap);
    this._after(() => {
      if (snapshot) this._hooks.state(false);
      for (const subscriber of [...this._subscribers]) {
        if (subscriber._floor === undefined || (subscriber._floor > before && subscriber._floor > offset)) continue;
        if (snapshot) subscriber._floor = 0;
        subscriber._push({ _gap: gap });
      }
    });
  }

  // ---- delivery

  /** Runs now, or after what a schema is still looking at. */
  private _after(fn: () => void): void {
    if (this._chain) this._wait(this._chain.then(fn));
    else fn();
  }

  private _wait(chain: Promise<void>): void {
    const mine: Promise<void> = chain.then(() => {
      if (this._chain === mine) this._chain = undefined;
    });
    this._chain = mine;
  }

  private _check(message: Message): void {
    const checked = this._hooks.validate(message);
    const deliver = (valid: Message | undefined) => {
      this._hooks.entry(valid ?? message);
      this._deliver(valid, message);
    };
    if (checked instanceof Promise) this._wait((this._chain ?? Promise.resolve()).then(() => checked.then(deliver)));
    else this._after(() => deliver(checked));
  }

  private _deliver(valid: Message | undefined, raw: Message): void {
    const { offset, replayed } = raw;
    for (const subscriber of [...this._subscribers]) {
      if (subscriber._floor === undefined || (offset !== undefined && offset <= subscriber._floor)) continue;
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
    const asked = subscriber._asked !== undefined && subscriber._asked === this._asked ? this._asked : undefined;
    const now = Math.max(this._offset, this._head);
    const placed = (replay: number) => subscriber._placed?.(this._epoch!, now, replay);
    subscriber._floor = now;
    if (since !== undefined) {
      const from = parsePosition(since);
      const ahead = from?.epoch === this._epoch && from!.offset >= this._offset;
      if (!ahead && asked?.since !== since) return void this._fill(subscriber, now);
      subscriber._floor = ahead ? from!.offset : 0;
      placed(this._remaining);
    } else if (last !== undefined) {
      if (asked && asked.since === undefined && asked.last >= Math.min(last, 1000)) {
        subscriber._floor = 0;
        subscriber._skip = Math.max(0, this._remaining - last);
        placed(Math.min(this._remaining, last));
      } else void this._fill(subscriber, now);
    } else if (!this._options.snapshot) placed(0);
    else if (asked) {
      subscriber._floor = 0;
      placed(this._remaining);
    } else {
      subscriber._floor = this._offset;
      const join = subscriber._hold();
      const state: Item[] = [...this._hooks.entries()].map(message => ({ _message: { ...message, replayed: true } }));
      placed(state.length);
      join(state);
    }
  }

  /** Reads a late listener's past from history, up to where live takes over. */
  private async _fill(subscriber: Subscriber, upTo: number): Promise<void> {
    const join = subscriber._hold();
    const past: Item[] = [];
    const { since, last = 0, signal } = subscriber._options;
    const epoch = this._epoch!;
    const add = async (messages: Message[]) => {
      for (const message of messages) {
        const wanted = message.offset! <= upTo;
        const valid = wanted && (subscriber._raw ? message : await this._hooks.validate(message));
        if (valid) past.push({ _message: valid });
      }
    };
    try {
      let missing = Math.min(last, 10_000);
      const read = (request: { since?: Position; before?: Position; reverse?: boolean }, limit = 1000) =>
        readPage(this._core, this._name, { ...request, limit }, signal);
      for (let from = since, more = since !== undefined; more; ) {
        const page = await read({ since: from });
        if (page._gap || page._epoch !== epoch)
          past.push({ _gap: page._gap ?? { channel: this._name, reason: 'epoch', position: position(epoch, upTo) } });
        const newest = page._messages.at(-1);
        if (page._epoch === epoch) await add(page._messages);
        more = page._more && newest !== undefined && newest.offset! < upTo && page._epoch === epoch;
        from = newest?.position;
      }
      const pages: Message[][] = [];
      for (let before = position(epoch, upTo + 1); since === undefined && missing > 0; ) {
        const page = await read({ before, reverse: true }, Math.min(1000, missing));
        if (page._epoch !== epoch) break;
        pages.unshift([...page._messages].reverse());
        missing -= page._messages.length;
        if (!page._more || !page._messages.length) break;
        before = page._messages.at(-1)!.position!;
      }
      for (const page of pages) await add(page);
    } catch (error) {
      // Closed meanwhile: begun anew when there is a connection again.
      if ((error as FanfareError).code === 'closed') subscriber._floor = undefined;
      else if (!signal?.aborted) subscriber._error(error as FanfareError);
    }
    if (subscriber._floor === undefined) return join([]);
    subscriber._placed?.(epoch, upTo, past.filter(item => '_message' in item).length);
    join(past);
  }
}
