import { backoff } from './backoff.ts';
import { CODES, type ServerCode } from './codes.gen.ts';
import type { Env } from './env.ts';
import { FanfareError, fromWire } from './errors.ts';
import { openHttp } from './http-link.ts';
import { isOffline, watchLifecycle } from './lifecycle.ts';
import type { End, Frame, Link, LinkContext, LinkEvents } from './link.ts';
import type { Metering } from './metrics.ts';
import { openSession, publicClient, type Session } from './session.ts';
import { Value } from './store.ts';
import type { Tokens } from './token.ts';
import { forget, remember, transportOrder } from './transports.ts';
import type { Status, TransportName } from './types.ts';
import { openWebSocket } from './ws-link.ts';

/** Connected for so long, and the next loss begins a new count of tries. ms. */
const STABLE = 5000;
/** How long a transport that opens may say nothing. Doubled with each failed try up to four times, for slow networks. ms. */
const MUTE = 3000;
/** How long an answer may take when we ask out of doubt. ms. */
const PROBE = 3000;
/** A better transport is tried again after so long, then twice as long, at most the second. ms. */
const UPGRADE = [30_000, 600_000] as const;
const DAY = 86_400_000;

/** What the connection tells the channels and the publisher. */
export interface ConnectionHooks {
  /** Used for the first time, or again. */
  started(): void;
  /** A link is being opened: subscribe on it. */
  opening(link: Link): void;
  /** Connected, the first time, again, or by a better transport. */
  up(): void;
  /** A frame that answers no request. */
  frame(frame: Frame): void;
  /** The hub has accepted a new token. */
  renewed(): void;
  /** Not to be connected until `connect()`. */
  failed(error: FanfareError): void;
  /** Something subscribed is not caught up. */
  behind(): boolean;
}

/** Whether and how another tab's connection is to be used. */
export interface Sharing {
  /** Waits until we know: a way to the leader, or nothing when we lead. */
  follow(): Promise<((context: LinkContext, events: LinkEvents) => Link) | undefined>;
  /** Our link is up, and we lead. */
  lead(): void;
  /** Our link is gone. */
  down(): void;
  /** The page goes away, or the client is closed. */
  resign(): void;
}

type Done = (error: FanfareError | undefined, frame: Frame) => void;

/** Keeps one link to the hub: chooses its transport, notices its death, brings it back, and moves it to a better transport. */
export class Connection {
  readonly status: Value<Status>;
  id: string | undefined;
  user: string | undefined;
  /** How long the hub recognises a publish's id, ms. Cautious until it has told. */
  idempotency = 30_000;
  /** The hub's clock minus ours, ms. */
  clockOffset: number | undefined;
  /** Set while tabs are to share. */
  sharing: Sharing | undefined;
  session: Session | undefined;
  link: Link | undefined;
  /** Since when connected, and for how long before that. */
  since: number | undefined;
  uptime = 0;

  private _wanted = false;
  /** The try that is under way; another value ends it. */
  private _run: object = {};
  private _trial: Link | undefined;
  private _attempt = 0;
  private _wasUp = false;
  private _renewed = false;
  /** What carried us last. */
  private _proven: TransportName | undefined;
  private _retry: unknown;
  private _stable: unknown;
  private _muteTimer: unknown;
  private _upgradeTimer: unknown;
  private _upgradeAfter: number = UPGRADE[0];
  private _renewal: unknown;
  private _live: unknown;
  private _ping = 25_000;
  private _heard = 0;
  /** The session whose public name is known. */
  private _named: Session | undefined;
  private _ref = 0;
  private _pending = new Map<number, { _link: Link; _channel: string; _done: Done; _at: number; _timer: unknown }>();
  private _waiting: { _resolve: () => void; _reject: (error: FanfareError) => void }[] = [];
  private _unwatch: (() => void) | undefined;
  /** Transports that do not work here, and until when. */
  private _bad = new Map<TransportName, number>();

  constructor(
    private _url: string,
    private _env: Env,
    private _tokens: Tokens,
    private _meter: Metering,
    private _hooks: ConnectionHooks,
    onError: (error: unknown) => void,
  ) {
    this.status = new Value<Status>(
      {
        state: 'idle',
        attempt: 0,
        maxAttempts: _env.options.retry?.attempts ?? Number.POSITIVE_INFINITY,
        retryAt: undefined,
        transport: undefined,
        error: undefined,
        stale: false,
      },
      onError,
    );
  }

  /** Connects, also after it has failed; resolves when connected. */
  connect(): Promise<void> {
    if (this.status.value.state === 'failed') this._set({ state: 'idle', error: undefined });
    return this.use();
  }

  /** Connects unless it has failed; resolves when connected. */
  use(): Promise<void> {
    const { state, error } = this.status.value;
    if (state === 'failed') return Promise.reject(error);
    if (this.link) return Promise.resolve();
    const promise = new Promise<void>((_resolve, _reject) => this._waiting.push({ _resolve, _reject }));
    // Whoever does not wait for it learns of a failure from `status`.
    promise.catch(() => {});
    this.start();
    return promise;
  }

  start(): void {
    if (this._wanted || this.status.value.state === 'failed') return;
    this._wanted = true;
    this._hooks.started();
    this._unwatch = watchLifecycle({
      wake: () => this.wake(),
      offline: () => this._probe(),
      hide: persisted => this._hide(persisted),
      show: () => this._wanted && !this.link && this._tryNow(),
    });
    this._tryNow();
  }

  stop(): void {
    const error = new FanfareError('closed');
    this._halt(error);
    this._set({ state: 'idle', attempt: 0, error: undefined });
  }

  /** Looks whether the connection lives, or tries again now. */
  wake(): void {
    if (!this._wanted) return;
    if (this._retry !== undefined) this._tryNow();
    else this._probe();
  }

  /** Gives up the link and begins anew: another token, another leader. */
  restart(): void {
    if (!this._wanted) return;
    this._drop(new FanfareError('network', 'the connection begins anew'));
    this._tryNow();
  }

  /** Sends a command; `done` is called once with its answer, or with an error when the link ends (`network`) or nothing comes (`timeout`). */
  request(frame: Frame, done: Done, timeout?: number, link = this.link): void {
    if (!link) return done(new FanfareError('offline'), frame);
    const ref = ++this._ref;
    const _timer =
      timeout &&
      this._env.setTimeout(() => {
        this._probe();
        this._answer(ref, new FanfareError('timeout', `no answer to ${frame.type} for ${timeout} ms`), frame);
      }, timeout);
    this._pending.set(ref, { _link: link, _channel: frame.channel, _done: done, _at: this._env.now(), _timer });
    link.send({ ...frame, ref });
  }

  /** The same as a promise. */
  ask(frame: Frame): Promise<Frame> {
    const timeout = this._env.options.ackTimeout ?? 10_000;
    return new Promise((resolve, reject) =>
      this.request(frame, (error, answer) => (error ? reject(error) : resolve(answer)), timeout),
    );
  }

  /** Says again what the status is, after a channel has caught up or fallen behind. */
  touch(): void {
    if (this.status.value.stale !== this._stale()) this._set({});
  }

  private _stale(state = this.status.value.state): boolean {
    return state !== 'idle' && (state !== 'connected' || this._hooks.behind());
  }

  private _set(change: Partial<Status>): void {
    const next = {
      ...this.status.value,
      attempt: this._attempt,
      transport: this.link?.name,
      retryAt: undefined,
      ...change,
    };
    next.stale = this._stale(next.state);
    if (next.state !== this.status.value.state) this._meter.log(next.state, next.error?.message);
    this.status.set(next);
  }

  // ---- trying

  private _clear(): void {
    for (const timer of [this._retry, this._stable, this._muteTimer, this._upgradeTimer, this._renewal, this._live]) {
      this._env.clearTimeout(timer);
    }
    this._retry = undefined;
  }

  private _tryNow(): void {
    this._clear();
    this._trial?.close();
    this._trial = undefined;
    const run = (this._run = {});
    this._set({ state: this._wasUp ? 'reconnecting' : 'connecting' });
    void this._try(run);
  }

  private async _try(run: object): Promise<void> {
    const current = () => run === this._run;
    try {
      if (!this.session) {
        const session = await openSession(this._env, this._url);
        if (!current()) return session.release();
        this.session = session;
      }
      const follow = await this.sharing?.follow();
      if (!current()) return;
      // A leader that is silent (frozen, say) is not waited for: then this tab is on its own.
      const token = follow && !this._attempt ? undefined : await this._tokens.get();
      if (!current()) return;
      if (follow && !this._attempt) return this._open(run, [follow], token);
      const bad = (name: TransportName) => (this._bad.get(name) ?? 0) > this._env.now();
      const names = transportOrder(this._env, this._url, bad, this._proven);
      // What carried us before is tried alone at first: a hub that restarts is no reason to change the transport.
      const tried = this._proven && this._attempt < 3 ? [this._proven] : names;
      this._open(run, [...(follow ? [follow] : []), ...tried.map(opener)], token);
    } catch (error) {
      if (current()) this._failedTry({ error: error as FanfareError });
    }
  }

  private _open(run: object, openers: Opener[], token: string | undefined, upgrade = false): void {
    const [open, ...others] = openers;
    const { _env: env } = this;
    const began = env.now();
    const mute = MUTE * 2 ** Math.min(this._attempt, 2);
    const context: LinkContext = { env, url: this._url, session: this.session!.id, token, meter: this._meter, mute };
    const lost = (end: End) => {
      if (this._trial !== link) return this.link === link ? this._lost(link, end) : undefined;
      this._trial = undefined;
      env.clearTimeout(this._muteTimer);
      this._forgetRequests(link);
      this._meter.log('try failed', `${link.name}: ${end.error.message}`);
      if (run !== this._run) return;
      const passes = end.unfit || end.error.code === 'network' || end.error.code === 'unsupported';
      if (passes && others.length) this._open(run, others, token, upgrade);
      else if (upgrade) this._planUpgrade();
      else this._failedTry(end);
    };
    const link = open!(context, {
      frame: frame => {
        if (this.link !== link) {
          if (frame.type !== 'welcome' || this._trial !== link) return;
          this._meter._connectionTime = env.now() - began;
          this._up(link);
        }
        this._frame(frame);
      },
      alive: () => {
        if (this.link === link) this._heard = env.now();
      },
      closed: lost,
    });
    this._trial = link;
    this._muteTimer = env.setTimeout(() => {
      link.close();
      lost({ error: new FanfareError('network', `${link.name}: nothing came for ${mute} ms`), unfit: true });
    }, mute);
    this._hooks.opening(link);
  }

  private _up(link: Link): void {
    const { _env: env } = this;
    const old = this.link;
    this._clear();
    this._trial = undefined;
    this.link = link;
    this._wasUp = true;
    this._renewed = false;
    this._heard = env.now();
    this.since ??= env.now();
    if (old) {
      this._meter.log('moved', `${old.name} to ${link.name}`);
      old.close();
      this._forgetRequests(old);
    } else if (this._meter._connects++) this._meter._reconnects++;
    this._stable = env.setTimeout(() => {
      this._attempt = 0;
      this._set({});
    }, STABLE);
    if (link.name !== 'tab') {
      // What an application narrowed down to says nothing about the origin's other pages.
      if (!env.options.transports) remember(this._url, link.name);
      this._proven = link.name;
      this._planUpgrade();
      this.sharing?.lead();
    }
    if (link.pings) this._watch();
    this._set({ state: 'connected', error: undefined });
    this._hooks.up();
    for (const waiter of this._waiting.splice(0)) waiter._resolve();
  }

  private _lost(link: Link, end: End): void {
    if (end.unfit && link.name !== 'tab') {
      this._bad.set(link.name, this._env.now() + UPGRADE[1]);
      forget(this._url);
      this._proven = undefined;
    }
    this._drop(end.error);
    this._failedTry(end);
  }

  /** No link any more; what was asked on it is told so. */
  private _drop(error: FanfareError): void {
    this._clear();
    this._run = {};
    const { link, _trial } = this;
    this.link = this._trial = undefined;
    for (const open of [link, _trial]) {
      open?.close();
      if (open) this._forgetRequests(open, error);
    }
    if (link && link.name !== 'tab') this.sharing?.down();
    if (this.since !== undefined) this.uptime += this._env.now() - this.since;
    this.since = undefined;
  }

  /** Decides what follows a try or a connection that ended (docs/protocol.md, section 9). */
  private _failedTry({ error }: End): void {
    this._meter._errors++;
    const { code } = error;
    if (
      (code === 'token_expired' || code === 'unauthorized') &&
      this._tokens.renewable &&
      !(error.cause instanceof Object)
    ) {
      this._tokens.drop();
      if (!this._renewed) {
        this._renewed = true;
        return this._tryNow();
      }
      // A fresh token that has expired already is a matter of clocks, and may pass.
      if (code === 'unauthorized') return this._fail(error);
    } else if (code in CODES && !CODES[code as ServerCode][2] && !error.retryable) {
      return this._fail(error);
    }
    const max = this._env.options.retry?.attempts ?? Number.POSITIVE_INFINITY;
    if (++this._attempt > max) return this._fail(error);
    const { random, options } = this._env;
    const offline = isOffline();
    const delay =
      error.retryAfter !== undefined
        ? error.retryAfter * (1 + random() * 0.1)
        : offline
          ? (options.retry?.max ?? 20_000)
          : backoff(this._attempt, random, options.retry);
    this._retry = this._env.setTimeout(() => this._tryNow(), delay);
    this._set({
      state: offline ? 'offline' : this._wasUp ? 'reconnecting' : 'connecting',
      error,
      retryAt: this._env.now() + delay,
    });
  }

  private _fail(error: FanfareError): void {
    this._halt(error);
    this._set({ state: 'failed', error });
    this._hooks.failed(error);
  }

  private _halt(error: FanfareError): void {
    this._wanted = false;
    this._drop(error);
    this._tokens.abort();
    this.sharing?.resign();
    this._unwatch?.();
    this._attempt = 0;
    this._wasUp = this._renewed = false;
    this.session?.release();
    this.session = undefined;
    for (const waiter of this._waiting.splice(0)) waiter._reject(error);
  }

  /** The page rests in the back/forward cache, where an open socket may not be, and its session is free for another. */
  private _hide(persisted: boolean): void {
    this.sharing?.resign();
    if (!persisted) return;
    this._drop(new FanfareError('network', 'the page is hidden away'));
    this.session?.release();
    this.session = undefined;
    this._set({ state: 'reconnecting' });
  }

  // ---- a better transport

  private _planUpgrade(): void {
    const name = this.link?.name;
    const better = this._better();
    if (!better.length || !name) return;
    this._env.clearTimeout(this._upgradeTimer);
    this._upgradeTimer = this._env.setTimeout(() => {
      this._upgradeAfter = Math.min(UPGRADE[1], this._upgradeAfter * 2);
      const run = this._run;
      this._tokens.get().then(
        token =>
          run === this._run && this.link && !this._trial && this._open(run, this._better().map(opener), token, true),
        () => this._planUpgrade(),
      );
    }, this._upgradeAfter);
  }

  private _better(): TransportName[] {
    const all = transportOrder(this._env);
    const at = all.indexOf(this.link?.name as TransportName);
    return all.slice(0, Math.max(0, at));
  }

  // ---- liveness

  /** Asks after `ping` of silence, and gives up after one and a half. */
  private _watch(): void {
    const quiet = this._env.now() - this._heard;
    this._live = this._env.setTimeout(
      () => {
        if (this._env.now() - this._heard >= this._ping) this._probe(this._ping / 2);
        else this._watch();
      },
      Math.max(0, this._ping - quiet),
    );
  }

  /** Is anybody there? */
  private _probe(within = PROBE): void {
    const { link } = this;
    if (!link) return;
    if (!link.pings) return link.refresh();
    const asked = this._env.now();
    this._env.clearTimeout(this._live);
    this._live = this._env.setTimeout(() => {
      if (this._heard > asked || this.link !== link) return this._watch();
      link.close();
      this._lost(link, { error: new FanfareError('network', 'the connection is silent') });
    }, within);
    this.request({ type: 'ping' }, (error, frame) => {
      if (error || this.link !== link) return;
      if (frame.time) this._clockTold(frame.time);
      this._env.clearTimeout(this._live);
      this._watch();
    });
  }

  private _clockTold(time: number): void {
    this.clockOffset = time - this._env.now();
  }

  // ---- frames

  private _frame(frame: Frame): void {
    const { type, ref } = frame;
    if (type === 'welcome') {
      const { client, user, ping_ms, idempotency_ms, time, expires_at } = frame;
      const { session } = this;
      const known = this._named === session;
      this._named = session;
      if (client) this.id = client;
      // Only a WebSocket is told; elsewhere it is computed. That takes a moment, in which the session may have become another.
      else if (session && !known)
        publicClient(session.id).then(
          id => this.session === session && (this.id = id),
          () => {},
        );
      if (client || user) this.user = user;
      if (ping_ms) this._ping = ping_ms;
      if (idempotency_ms) this.idempotency = idempotency_ms;
      if (time) this._clockTold(time);
      if (expires_at) this._planRenewal(expires_at);
      if (this.link?.pings) {
        this._env.clearTimeout(this._live);
        this._watch();
      }
      return;
    }
    const failed = type === 'error';
    if (
      ref !== undefined &&
      this._answer(ref, failed ? fromWire(frame, this._pending.get(ref)?._channel) : undefined, frame)
    )
      return;
    if (frame.channel !== undefined && !failed && type !== 'ok') this._hooks.frame(frame);
  }

  /** Whether somebody was waiting for it. */
  private _answer(ref: number, error: FanfareError | undefined, frame: Frame): boolean {
    const pending = this._pending.get(ref);
    if (!pending) return false;
    this._pending.delete(ref);
    this._env.clearTimeout(pending._timer);
    if (!error) this._meter._roundTrip.add(this._env.now() - pending._at);
    pending._done(error, frame);
    return true;
  }

  private _forgetRequests(link: Link, error = new FanfareError('network', 'the connection ended')): void {
    for (const [ref, { _link }] of [...this._pending]) {
      if (_link === link)
        this._answer(ref, new FanfareError('network', error.message, { cause: error }), { type: 'error' });
    }
  }

  // ---- the token

  /** Renews in band, a fifth of its life and at most a minute before the end, by the hub's clock. */
  private _planRenewal(expiresAt: number): void {
    if (!this._tokens.renewable || this.clockOffset === undefined) return;
    const life = expiresAt - this._env.now() - this.clockOffset;
    const delay = Math.min(DAY, Math.max(0, life - Math.min(60_000, life / 5)));
    this._env.clearTimeout(this._renewal);
    this._renewal = this._env.setTimeout(
      () => (delay === DAY ? this._planRenewal(expiresAt) : this._renew(expiresAt, 1)),
      delay,
    );
  }

  private _renew(expiresAt: number, attempt: number): void {
    const { link } = this;
    this._tokens.renew().then(
      token => {
        if (this.link !== link) return;
        // Nobody in particular any more: that is another connection.
        if (!token) return this.newIdentity(true);
        this.request({ type: 'auth', token }, (error, frame) => {
          if (this.link !== link) return;
          if (error?.code === 'conflict') this.newIdentity(true);
          else if (!error) {
            if (frame.expires_at) this._planRenewal(frame.expires_at);
            this._hooks.renewed();
          }
        });
      },
      (error: FanfareError) => {
        if (this.link !== link) return;
        if (!error.retryable && error.code !== 'aborted') return this._fail(error);
        // The hub says when it is too late; until then it is asked for again.
        const delay = backoff(attempt + 1, this._env.random, this._env.options.retry);
        this._renewal = this._env.setTimeout(() => this._renew(expiresAt, attempt + 1), delay);
      },
    );
  }

  /** Another user, or none: nothing of the old connection may be carried over, its session and token least of all. `known`: the token is the new one's. */
  newIdentity(known = false): void {
    if (!known) {
      this._tokens.abort();
      this._tokens.drop();
    }
    this.session?.release();
    this.session = undefined;
    this.restart();
  }
}

type Opener = (context: LinkContext, events: LinkEvents) => Link;

const opener = (name: TransportName): Opener =>
  name === 'ws' ? openWebSocket : (context, events) => openHttp(name, context, events);
