import { backoff } from './backoff.ts';
import { CODES, type ServerCode } from './codes.gen.ts';
import type { Core } from './core.ts';
import { FanfareError } from './errors.ts';
import { isOffline, watchLifecycle } from './lifecycle.ts';
import type { Frame, Link, LinkContext, Opener } from './link.ts';
import { Liveness } from './liveness.ts';
import { Renewal } from './renewal.ts';
import { type Done, Requests } from './requests.ts';
import { openSession, type Session } from './session.ts';
import { Value } from './store.ts';
import type { Sharing } from './tabs/sharing.ts';
import type { Timer } from './timer.ts';
import { Tokens } from './token.ts';
import { allowed, inOrder, opener, remember } from './transports.ts';
import type { Status, TransportName } from './types.ts';

/** Connected for so long, and the next loss begins a new count of tries. ms. */
const STABLE = 5000;
/** How long a transport that opens may say nothing. Doubled with each failed try up to four times, for slow networks. ms. */
const MUTE = 3000;
/** A better transport is tried again after so long, then twice as long, at most the second. ms. */
const UPGRADE = [30_000, 600_000] as const;

/** Keeps one link to the hub: chooses its transport, notices its death, brings it back, and moves it to a better transport. */
export class Connection {
  readonly _status: Value<Status>;
  readonly _tokens: Tokens;
  _id: string | undefined;
  _user: string | undefined;
  /** How long the hub recognises a publish's id, ms. Cautious until it has told. */
  _idempotency = 30_000;
  /** The hub's clock minus ours, ms. */
  _clockOffset: number | undefined;
  /** Tabs of this key share one connection. */
  _shareKey: string | undefined;
  _session: Session | undefined;
  _link: Link | undefined;
  /** Since when connected, and for how long before that. */
  _since: number | undefined;
  _uptime = 0;
  /** Called once, when it is first used. */
  _registered: (() => void) | undefined;

  private _sharing: Sharing | undefined;
  private _wanted = false;
  /** The try that is under way; another value ends it. */
  private _run: object = {};
  private _trial: Link | undefined;
  private _attempt = 0;
  private _wasUp = false;
  private _renewed = false;
  /** What carried us last. */
  private _proven: TransportName | undefined;
  private _upgradeAfter: number = UPGRADE[0];
  private _waiting: { resolve(): void; reject(error: FanfareError): void }[] = [];
  private _unwatch: (() => void) | undefined;
  /** Transports that do not work here, and until when. */
  private _bad = new Map<TransportName, number>();
  private _liveness: Liveness;
  private _renewal: Renewal;
  private _requests: Requests;
  private _retry: Timer;
  private _stable: Timer;
  private _mute: Timer;
  private _upgrade: Timer;

  constructor(private _core: Core) {
    const { retry, token, tabs } = _core._options;
    this._tokens = new Tokens(token);
    this._liveness = new Liveness(_core);
    this._renewal = new Renewal(_core);
    this._requests = new Requests(_core);
    this._retry = _core._timer();
    this._stable = _core._timer();
    this._mute = _core._timer();
    this._upgrade = _core._timer();
    if (tabs && tabs !== 'own') this._shareKey = tabs.share;
    this._status = new Value<Status>(
      {
        state: 'idle',
        attempt: 0,
        maxAttempts: retry?.attempts ?? Infinity,
        retryAt: undefined,
        transport: undefined,
        error: undefined,
        stale: false,
      },
      _core._guard,
    );
  }

  /** Connects, also after it has failed; resolves when connected. */
  _connect(): Promise<void> {
    if (this._status.value.state === 'failed') this._set({ state: 'idle', error: undefined });
    return this._use();
  }

  /** Connects unless it has failed; resolves when connected. */
  _use(): Promise<void> {
    const { state, error } = this._status.value;
    if (state === 'failed') return Promise.reject(error);
    if (this._link) return Promise.resolve();
    const promise = new Promise<void>((resolve, reject) => this._waiting.push({ resolve, reject }));
    // Whoever does not wait for it learns of a failure from `status`.
    promise.catch(() => {});
    this._start();
    return promise;
  }

  _start(): void {
    if (this._wanted || this._status.value.state === 'failed') return;
    this._wanted = true;
    this._registered?.();
    this._registered = undefined;
    this._unwatch = watchLifecycle(
      () => this._wake(),
      () => this._probe(),
      persisted => this._hide(persisted),
      () => this._link || this._tryNow(),
    );
    this._tryNow();
  }

  _stop(): void {
    this._halt(new FanfareError('closed'));
    this._set({ state: 'idle', error: undefined });
  }

  /** Looks whether the connection lives, or tries again now. */
  _wake(): void {
    if (this._retry._running) this._tryNow();
    else this._probe();
  }

  /** Is anybody there? */
  _probe(): void {
    this._liveness._probe();
  }

  /** Gives up the link and begins anew: another token, another leader. */
  _restart(): void {
    if (!this._wanted) return;
    this._drop(new FanfareError('network', 'begins anew'));
    this._tryNow();
  }

  /** Sends a command; `done` is called once with its answer, or with an error when the link ends (`network`) or nothing comes (`timeout`). */
  _request(frame: Frame, done: Done, timeout?: number, link = this._link): void {
    if (link) this._requests._send(link, frame, done, timeout);
    else done(new FanfareError('offline'), frame);
  }

  /** The same as a promise. */
  _ask(frame: Frame): Promise<Frame> {
    return new Promise((resolve, reject) =>
      this._request(frame, (error, answer) => (error ? reject(error) : resolve(answer)), this._ackTimeout),
    );
  }

  get _ackTimeout(): number {
    return this._core._options.ackTimeout ?? 10_000;
  }

  /** Says again what the status is, after a channel has caught up or fallen behind. */
  _touch(): void {
    const { value } = this._status;
    if (value.stale !== this._stale(value.state)) this._set({});
  }

  private _stale(state: Status['state']): boolean {
    const { _channels } = this._core;
    return state !== 'idle' && (state !== 'connected' || [..._channels.values()].some(it => it._subscription._behind));
  }

  private _set(change: Partial<Status>): void {
    const { value } = this._status;
    const next = { ...value, attempt: this._attempt, transport: this._link?._name, retryAt: undefined, ...change };
    next.stale = this._stale(next.state);
    if (next.state !== value.state) this._core._meter._log(next.state, next.error?.message);
    this._status._set(next);
  }

  // ---- trying

  private _clear(): void {
    for (const { _timer } of [this._liveness, this._renewal]) _timer._stop();
    for (const timer of [this._retry, this._stable, this._mute, this._upgrade]) timer._stop();
  }

  private _tryNow(): void {
    this._clear();
    this._trial?._close();
    this._trial = undefined;
    const run = (this._run = {});
    this._set({ state: this._wasUp ? 'reconnecting' : 'connecting' });
    this._try(() => run === this._run).catch(error => run === this._run && this._failedTry(error));
  }

  private async _try(current: () => boolean): Promise<void> {
    const { _core: core } = this;
    if (!this._session) {
      const session = await openSession(core);
      if (!current()) return session._release();
      this._session = session;
    }
    const follow = await this._follow();
    if (!current()) return;
    // A leader that is silent (frozen, say) is not waited for: then this tab is on its own.
    if (follow && !this._attempt) return this._open([follow], undefined);
    const token = await this._tokens._get();
    if (!current()) return;
    // What carried us before is tried alone at first: a hub that restarts is no reason to change the transport.
    const names =
      this._proven && this._attempt < 3
        ? [this._proven]
        : inOrder(core, name => this._bad.get(name)! > core._now(), this._proven);
    this._open([...(follow ? [follow] : []), ...names.map(opener)], token);
  }

  /** The way to the tab that leads, or nothing when this one does or is on its own. The code is loaded when it is first wanted. */
  private async _follow(): Promise<Opener | undefined> {
    const key = this._shareKey;
    if (key === undefined) return undefined;
    const { shareTabs } = await import('./tabs/sharing.ts').catch(() => ({ shareTabs: undefined }));
    if (key !== this._shareKey) return undefined;
    this._sharing ??= shareTabs?.(this._core, key);
    if (!this._sharing) this._core._meter._log('own connection', 'tabs cannot share here');
    // Where tabs cannot talk to each other after all, this one is on its own.
    return this._sharing?._follow().catch(() => undefined);
  }

  private _open([open, ...others]: Opener[], token: string | undefined, upgrade?: boolean): void {
    const { _core: core, _run: run } = this;
    const began = core._now();
    const mute = MUTE * 2 ** Math.min(this._attempt, 2);
    const context: LinkContext = { _core: core, _session: this._session!._id, _token: token, _mute: mute };
    const closed = (error: FanfareError, unfit?: boolean) => {
      if (this._link === link) return this._lost(error, unfit);
      if (this._trial !== link) return;
      this._trial = undefined;
      this._mute._stop();
      this._requests._forget(link);
      core._meter._log('try failed', `${link._name}: ${error.message}`);
      if (run !== this._run) return;
      const passes = unfit || error.code === 'network' || error.code === 'unsupported';
      if (passes && others.length) this._open(others, token, upgrade);
      else if (upgrade) this._planUpgrade();
      else this._failedTry(error);
    };
    const link = open!(context, {
      _frame: frame => {
        if (this._link === link) return this._frame(frame);
        if (frame.type !== 'welcome' || this._trial !== link) return;
        core._meter._connectionTime = core._now() - began;
        this._up(link, frame);
      },
      _alive: () => {
        if (this._link === link) this._liveness._heard = core._now();
      },
      _closed: closed,
    });
    this._trial = link;
    this._mute._start(() => {
      link._close();
      closed(new FanfareError('network', `${link._name}: nothing came for ${mute} ms`), true);
    }, mute);
    for (const channel of core._channels.values()) channel._subscription._subscribe(link);
  }

  private _up(link: Link, welcome: Frame): void {
    const { _core: core, _link: old } = this;
    const { _meter: meter, _publisher: publisher } = core;
    this._clear();
    this._trial = undefined;
    this._link = link;
    this._renewed = false;
    this._liveness._heard = core._now();
    this._since ??= core._now();
    this._welcomed(welcome);
    if (old) {
      meter._log('moved', `${old._name} to ${link._name}`);
      old._close();
      this._requests._forget(old);
    } else if (this._wasUp) meter._counts.reconnects++;
    this._wasUp = true;
    this._stable._start(() => {
      this._attempt = 0;
      this._set({});
    }, STABLE);
    if (link._name !== 'tab') {
      remember(core, (this._proven = link._name));
      this._planUpgrade();
      this._sharing?._lead();
    }
    this._set({ state: 'connected', error: undefined });
    for (const channel of core._channels.values()) channel._connected(link);
    publisher._flush();
    for (const waiter of this._waiting.splice(0)) waiter.resolve();
  }

  /** The link has ended. */
  _lost(error: FanfareError, unfit?: boolean): void {
    const name = this._link!._name;
    if (unfit && name !== 'tab') {
      this._bad.set(name, this._core._now() + UPGRADE[1]);
      remember(this._core, '');
      this._proven = undefined;
    }
    this._drop(error);
    this._failedTry(error);
  }

  /** No link any more; what was asked on it is told so. */
  private _drop(error: FanfareError): void {
    this._clear();
    this._run = {};
    const { _link: link, _trial: trial } = this;
    this._link = this._trial = undefined;
    for (const open of [link, trial]) {
      open?._close();
      if (open) this._requests._forget(open, error);
    }
    if (link && link._name !== 'tab') this._sharing?._down();
    if (this._since !== undefined) this._uptime += this._core._now() - this._since;
    this._since = undefined;
  }

  /** Decides what follows a try or a connection that ended (docs/protocol.md, section 9). */
  private _failedTry(error: FanfareError): void {
    const { _core: core } = this;
    const { code, retryAfter } = error;
    core._meter._counts.errors++;
    const refused = code === 'unauthorized';
    if ((refused || code === 'token_expired') && this._tokens._renewable && !(error.cause instanceof Object)) {
      this._tokens._drop();
      if (!this._renewed) {
        this._renewed = true;
        return this._tryNow();
      }
      // A fresh token that has expired already is a matter of clocks, and may pass.
      if (refused) return this._fail(error);
    } else if (CODES[code as ServerCode] && !error.retryable) return this._fail(error);
    const { value } = this._status;
    if (++this._attempt > value.maxAttempts) return this._fail(error);
    const { _random: random, _options } = core;
    const offline = isOffline();
    const delay =
      retryAfter !== undefined
        ? retryAfter * (1 + random() * 0.1)
        : offline
          ? (_options.retry?.max ?? 20_000)
          : backoff(this._attempt, random, _options.retry);
    this._retry._start(() => this._tryNow(), delay);
    this._set({
      state: offline ? 'offline' : this._wasUp ? 'reconnecting' : 'connecting',
      error,
      retryAt: core._now() + delay,
    });
  }

  /** Not connected any more until `connect()`. */
  _fail(error: FanfareError): void {
    this._halt(error);
    this._set({ state: 'failed', error });
    this._core._publisher._end(error);
  }

  private _halt(error: FanfareError): void {
    this._wanted = this._wasUp = this._renewed = false;
    this._attempt = 0;
    this._drop(error);
    this._tokens._abort();
    this._sharing?._resign();
    this._unwatch?.();
    this._leave();
    for (const waiter of this._waiting.splice(0)) waiter.reject(error);
  }

  /** The session is free for another. */
  private _leave(): void {
    this._session?._release();
    this._session = undefined;
  }

  /** The page rests in the back/forward cache, where an open socket may not be. */
  private _hide(persisted: boolean): void {
    this._sharing?._resign();
    if (!persisted) return;
    this._drop(new FanfareError('network', 'the page is hidden'));
    this._leave();
    this._set({ state: 'reconnecting' });
  }

  /** Another user, or none: nothing of the old connection may be carried over, its session and token least of all. `known`: the token is the new one's. */
  _newIdentity(known?: boolean): void {
    for (const tokens of [!known && this._tokens, ...[...this._core._channels.values()].map(it => it._tokens)])
      if (tokens) {
        tokens._abort();
        tokens._drop();
      }
    this._user = undefined;
    this._leave();
    this._restart();
  }

  /** Shares with the tabs of another key, or none. */
  _share(key: string | undefined): void {
    this._sharing?._resign();
    this._sharing = undefined;
    this._shareKey = key;
    this._newIdentity();
  }

  // ---- a better transport

  private _planUpgrade(): void {
    const better = () => {
      const all = allowed(this._core);
      return all.slice(0, Math.max(0, all.indexOf(this._link?._name as TransportName)));
    };
    if (!better().length) return;
    this._upgrade._start(() => {
      this._upgradeAfter = Math.min(UPGRADE[1], this._upgradeAfter * 2);
      const run = this._run;
      this._tokens._get().then(
        token => run === this._run && this._link && !this._trial && this._open(better().map(opener), token, true),
        () => this._planUpgrade(),
      );
    }, this._upgradeAfter);
  }

  // ---- frames

  _clockTold(time: number | undefined): void {
    if (time) this._clockOffset = time - this._core._now();
  }

  private _frame(frame: Frame): void {
    const { type, channel } = frame;
    if (type === 'welcome') return this._welcomed(frame);
    if (this._requests._answer(frame) || type === 'error' || type === 'ok') return;
    this._core._channels.get(channel)?._subscription._frame(frame);
  }

  private _welcomed({ client, user, ping_ms, idempotency_ms, time, expires_at }: Frame): void {
    const { _liveness: liveness } = this;
    if (client) this._id = client;
    if (ping_ms) liveness._ping = ping_ms;
    // HTTP transports are not told who we are.
    if (idempotency_ms) {
      this._idempotency = idempotency_ms;
      this._user = user;
    }
    this._clockTold(time);
    this._renewal._plan(expires_at);
    if (this._link?._pings) liveness._watch();
  }
}
