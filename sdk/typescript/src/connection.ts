import { CODES, type ServerCode } from './codes.gen.ts';
import type { Core } from './core.ts';
import { errorOf, type FanfareError } from './errors.ts';
import { isOffline, watchLifecycle } from './lifecycle.ts';
import { type Done, type Frame, type Link, type Opener, openLink } from './link.ts';
import { openSession, type Session } from './session.ts';
import { storeOf, type Value } from './store.ts';
import type { Sharing } from './tabs/sharing.ts';
import { type Tokens, tokensOf } from './token.ts';
import { allowed, load, remembered } from './transports.ts';
import type { Off, Status, TransportName } from './types.ts';

/** Connected for so long, and the next loss begins a new count of tries. ms. */
const STABLE = 5000;
/** How long a transport that opens may say nothing. Doubled with each failed try up to four times, for slow networks. ms. */
const MUTE = 3000;
/** A better transport is tried again after so long, then twice as long, at most the second. ms. */
const UPGRADE = 30_000;
const UPGRADE_MAX = 600_000;

/** Keeps one link to the hub: chooses its transport, notices its death, brings it back, and moves it to a better transport. */
export interface Connection {
  readonly _status: Value<Status>;
  readonly _tokens: Tokens;
  _id?: string;
  _user?: string;
  /** How long the hub recognises a publish's id, ms. Cautious until it has told. */
  _idempotency: number;
  /** The hub's clock minus ours, ms. */
  _clockOffset?: number;
  _session?: Session;
  _link?: Link;
  /** Since when connected, and for how long before that. */
  _since?: number;
  _uptime: number;

  /** Connects, also after it has failed; resolves when connected. */
  _connect(): Promise<void>;
  /** Connects unless it has failed; resolves when connected. */
  _use(): Promise<void>;
  _start(): void;
  _stop(): void;
  /** Looks whether the connection lives, or tries again now. */
  _wake(): void;
  /** Gives up the link and begins anew: another token, another leader. */
  _restart(): void;
  /** Sends a command; no answer in time is an error. */
  _request(frame: Frame, done: Done): void;
  /** The same as a promise. */
  _ask(frame: Frame): Promise<Frame>;
  /** Says again what the status is, after a channel has caught up or fallen behind. */
  _touch(): void;
  /** Not connected any more until `connect()`. */
  _fail(error: FanfareError): void;
  /** Another user, or none: nothing of the old connection may be carried over, its session and token least of all. `known`: the token is the new one's. */
  _newIdentity(known?: boolean): void;
  /** Shares with the tabs of another key, or none. */
  _share(key: string | undefined): void;
  /** What the hub's clock says. */
  _clockTold(time: number | undefined): void;
}

export function makeConnection(core: Core): Connection {
  const { _options: options, _meter: meter, _now: now } = core;
  const { retry, token: source, tabs, ackTimeout = 10_000 } = options;
  const tokens = tokensOf(source);
  /** For the next try; while connected, for being stable and then for a better transport. */
  const timer = core._timer();
  /** For the next token. */
  const renewal = core._timer();
  const transports = allowed(core);
  /** Transports that do not work here, and until when. */
  const bad = new Map<string, number>();
  let shareKey = tabs && tabs !== 'own' ? tabs.share : undefined;
  let sharing: Sharing | undefined;
  /** The try that is under way, or the link; another value ends it. */
  let run = {};
  let trial: Link | undefined;
  let attempt = 0;
  let wasUp = false;
  let renewed = false;
  /** What carried us last. */
  let proven: TransportName | undefined;
  let upgradeAfter = UPGRADE;
  let ready: Promise<void> | undefined;
  let settle: ((error?: FanfareError) => void) | undefined;
  /** It is wanted, and listens to what the page tells. */
  let unwatch: Off | undefined;

  const status = storeOf<Status>(
    { state: 'idle', attempt, maxAttempts: retry?.attempts ?? Infinity, stale: false } as Status,
    core._guard,
  );
  const isStale = (state: Status['state']) =>
    state !== 'idle' && (state !== 'connected' || core._all().some(channel => channel._subscription._behind()));
  const set = (change?: Partial<Status>) => {
    const { value } = status;
    const next = { ...value, attempt, transport: it._link?._name, retryAt: undefined, ...change };
    next.stale = isStale(next.state);
    if (next.state !== value.state) meter._log(next.state, next.error?.message);
    status._set(next);
  };
  const trying = (change?: Partial<Status>) => set({ state: wasUp ? 'reconnecting' : 'connecting', ...change });

  const start = () => {
    if (unwatch || status.value.state === 'failed') return;
    unwatch = watchLifecycle(it._wake, probe, hide, () => it._link || tryNow());
    tryNow();
  };
  const probe = () => it._link?._probe();

  // ---- trying

  const clear = () => {
    timer();
    renewal();
  };
  const tryNow = () => {
    clear();
    trial?._close();
    trial = undefined;
    const mine = (run = {});
    trying();
    search(() => run === mine).catch(error => run === mine && failed(error));
  };
  const search = async (current: () => boolean) => {
    if (!it._session) {
      const session = await openSession(core);
      if (!current()) return session._release();
      it._session = session;
    }
    const follow = await findLeader();
    if (!current()) return;
    // A leader that is silent (frozen, say) is not waited for: then this tab is on its own.
    if (follow && !attempt) return open(['tab'], undefined, follow);
    const token = await tokens._get();
    if (!current()) return;
    // What carried us before is tried alone at first: a hub that restarts is no reason to change the transport.
    const first = proven ?? remembered(core);
    const rank = (name: TransportName) => (bad.get(name)! > now() ? 2 : name === first ? 0 : 1);
    const names = proven && attempt < 3 ? [proven] : [...transports].sort((a, b) => rank(a) - rank(b));
    open(follow ? ['tab', ...names] : names, token, follow);
  };
  /** The way to the tab that leads, or nothing when this one does or is on its own. The code is loaded when it is first wanted. */
  const findLeader = async (): Promise<Opener | undefined> => {
    const key = shareKey;
    if (key == null) return undefined;
    const code = await import('./tabs/sharing.ts').catch(() => undefined);
    if (key !== shareKey) return undefined;
    sharing ??= code?.shareTabs(core, key);
    // Where tabs cannot talk to each other, this one is on its own.
    if (!sharing) meter._log('own connection');
    return sharing?._follow();
  };
  /** Tries them one after the other. */
  const open = ([name, ...others]: Link['_name'][], token?: string, follow?: Opener): void => {
    const began = now();
    const link = (trial = openLink(
      name!,
      name === 'tab' ? follow! : load(core, name!),
      { _core: core, _session: it._session!._id, _token: token, _mute: MUTE * 2 ** Math.min(attempt, 2) },
      {
        _up(welcome) {
          meter._counts.connectionTime = now() - began;
          up(link, welcome);
        },
        _frame(frame) {
          if (frame.type === 'welcome') welcomed(frame);
          else core._channels.get(frame.channel)?._subscription._frame(frame);
        },
        _closed(error, unfit) {
          if (it._link === link) return lost(error, unfit);
          link._close();
          trial = undefined;
          meter._log('try failed', `${name}: ${error.message}`);
          if (others.length && (unfit || /^(network|unsupported)$/.test(error.code))) open(others, token, follow);
          else if (it._link) {
            for (const channel of core._all()) channel._subscription._join(it._link);
            planUpgrade();
          } else failed(error);
        },
      },
    ));
    // What is subscribed goes there at once, for that proves a stream. A WebSocket proves itself, and need not stop what comes meanwhile.
    if (!it._link || name !== 'ws') for (const channel of core._all()) channel._subscription._subscribe(link);
  };

  const up = (link: Link, welcome: Frame) => {
    const { _link: old } = it;
    const { _name: name } = link;
    clear();
    trial = undefined;
    it._link = link;
    renewed = false;
    it._since ??= now();
    welcomed(welcome);
    if (old) {
      meter._log('moved', name);
      old._close();
    } else if (wasUp) meter._counts.reconnects++;
    wasUp = true;
    timer(() => {
      attempt = 0;
      set();
      planUpgrade(STABLE);
    }, STABLE);
    if (name !== 'tab') {
      remembered(core, (proven = name));
      sharing?._lead();
    }
    set({ state: 'connected', error: undefined });
    for (const channel of core._all()) channel._connected(link);
    core._publisher._flush();
    settle?.();
  };

  /** The link has ended. */
  const lost = (error: FanfareError, unfit?: boolean) => {
    const { _name: name } = it._link!;
    if (unfit && name !== 'tab') {
      bad.set(name, now() + UPGRADE_MAX);
      remembered(core, '');
      proven = undefined;
    }
    drop(error);
    failed(error);
  };
  /** No link any more; what was asked on it is told so. */
  const drop = (error = errorOf('network')) => {
    const { _link: link } = it;
    const open = [link, trial];
    clear();
    run = {};
    it._link = trial = undefined;
    for (const one of open) one?._close(error);
    if (link && link._name !== 'tab') sharing?._down();
    if (it._since) it._uptime += now() - it._since;
    it._since = undefined;
  };
  /** Decides what follows a try or a connection that ended (docs/protocol.md, section 9). */
  const failed = (error: FanfareError) => {
    const { code, retryAfter } = error;
    const refused = code === 'unauthorized';
    meter._counts.errors++;
    if ((refused || code === 'token_expired') && tokens._renewable && !(error.cause instanceof Object)) {
      tokens._drop();
      if (!renewed) {
        renewed = true;
        return tryNow();
      }
      // A fresh token that has expired already is a matter of clocks, and may pass.
      if (refused) return fail(error);
    } else if (CODES[code as ServerCode] && !error.retryable) return fail(error);
    if (++attempt > status.value.maxAttempts) return fail(error);
    const offline = isOffline();
    const delay =
      retryAfter != null
        ? retryAfter * (1 + core._random() * 0.1)
        : offline
          ? (retry?.max ?? 20_000)
          : core._backoff(attempt);
    timer(tryNow, delay);
    trying({ error, retryAt: now() + delay, ...(offline && { state: 'offline' as const }) });
  };
  const fail = (error: FanfareError) => {
    halt(error);
    set({ state: 'failed', error });
    core._publisher._end(error);
  };
  const halt = (error: FanfareError) => {
    wasUp = renewed = false;
    attempt = 0;
    drop(error);
    tokens._abort();
    sharing?._resign();
    unwatch?.();
    unwatch = undefined;
    leave();
    settle?.(error);
  };
  /** The session is free for another. */
  const leave = () => {
    it._session?._release();
    it._session = undefined;
  };
  /** The page goes away. It may rest in the back/forward cache, where an open socket may not be. */
  const hide = (persisted: boolean) => {
    sharing?._resign();
    if (!persisted) return;
    drop();
    leave();
    trying();
  };

  // ---- a better transport

  /** After the link has been up for `ms` already. */
  const planUpgrade = (ms = 0) => {
    const mine = run;
    const better = transports.filter((_, i) => i < transports.indexOf(it._link?._name as TransportName));
    if (better.length)
      timer(() => {
        upgradeAfter = Math.min(UPGRADE_MAX, upgradeAfter * 2);
        tokens._get().then(
          token => run === mine && open(better, token),
          () => run === mine && planUpgrade(),
        );
      }, upgradeAfter - ms);
  };

  // ---- what the hub tells of us

  const welcomed = ({ client, user, idempotency_ms, time, expires_at }: Frame) => {
    if (client) it._id = client;
    // HTTP transports are not told who we are.
    if (idempotency_ms) {
      it._idempotency = idempotency_ms;
      it._user = user;
    }
    it._clockTold(time);
    renewal();
    const { _link: link } = it;
    if (expires_at && tokens._renewable)
      core._load('renewal').then(
        ({ planRenewal }) => it._link === link && planRenewal(core, renewal, expires_at),
        () => {},
      );
  };

  const idle = () => set({ state: 'idle', error: undefined });

  const it: Connection = {
    _status: status,
    _tokens: tokens,
    _idempotency: 30_000,
    _uptime: 0,
    _connect() {
      if (status.value.state === 'failed') idle();
      return it._use();
    },
    _use() {
      const { state, error } = status.value;
      if (state === 'failed') return Promise.reject(error);
      if (it._link) return Promise.resolve();
      ready ??= new Promise((resolve, reject) => {
        settle = error => {
          ready = settle = undefined;
          if (error) reject(error);
          else resolve();
        };
      });
      // Whoever does not wait for it learns of a failure from `status`.
      ready.catch(() => {});
      start();
      return ready;
    },
    _start: start,
    _stop() {
      halt(errorOf('closed'));
      idle();
    },
    _wake() {
      if (it._link) probe();
      else if (timer._running) tryNow();
    },
    _restart() {
      if (!unwatch) return;
      drop();
      tryNow();
    },
    _request(frame, done) {
      if (it._link) it._link._request(frame, done, ackTimeout);
      else done(errorOf('offline'), frame);
    },
    _ask: frame =>
      new Promise((resolve, reject) =>
        it._request(frame, (error, answer) => (error ? reject(error) : resolve(answer))),
      ),
    _touch() {
      const { value } = status;
      if (value.stale !== isStale(value.state)) set();
    },
    _fail: fail,
    _newIdentity(known) {
      if (!known) tokens._drop();
      for (const channel of core._all()) channel._tokens?._drop();
      it._user = undefined;
      leave();
      it._restart();
    },
    _share(key) {
      sharing?._resign();
      sharing = undefined;
      shareKey = key;
      it._newIdentity();
    },
    _clockTold(time) {
      if (time) it._clockOffset = time - now();
    },
  };
  return it;
}
