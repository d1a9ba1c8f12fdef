/**
 * The public types: what an application, and the React and RxJS parts of this package, are written against.
 */
import type { ServerCode } from './codes.gen.ts';
import type { ChannelTypes, EventInput, EventName, EventOutput, Schema, TypesOf, Untyped } from './pattern-types.ts';
import type { SchemaIssue } from './standard-schema.ts';

export type { ServerCode } from './codes.gen.ts';
export type * from './pattern-types.ts';
export type * from './standard-schema.ts';

declare global {
  // Not yet among the libraries of every application that uses this.
  interface SymbolConstructor {
    readonly asyncDispose: unique symbol;
  }
}

/** Undoes what returned it. Calling it again does nothing. */
export type Off = () => void;

/**
 * A value that changes. `subscribe` calls at once with the current value and then after each change (the Svelte store contract). `value` is
 * the same object until it changes, so that it can serve as a snapshot for `useSyncExternalStore`.
 */
export interface Store<T> {
  readonly value: T;
  subscribe(listener: (value: T) => void): Off;
}

// ---- errors

/** Codes that this package makes itself, beside the hub's. */
export type ClientCode =
  /** Aborted by the caller's `signal`, or the queue gave up on it when the client was closed for good. */
  | 'aborted'
  /** The client was closed. */
  | 'closed'
  /** Data that does not fit its schema; see `issues`. */
  | 'invalid'
  /** No transport could reach the hub. */
  | 'network'
  /** Not connected, and the publish was not to be queued. */
  | 'offline'
  /** Sent, but its answer did not come, and repeating it is no longer safe: it may or may not have been published. */
  | 'outcome_unknown'
  /** The reader did not keep up with its buffer. */
  | 'overflow'
  /** Nothing came in time, and nothing was sent. */
  | 'timeout'
  /** This place (browser, runtime) cannot do it. */
  | 'unsupported';

/** The hub's codes and ours; an unknown code of a newer hub is passed on. */
export type Code = ServerCode | ClientCode | (string & {});

/** Every error of this package. `class FanfareError` implements it. */
export interface FanfareErrorFields {
  readonly code: Code;
  /** What to do next. */
  readonly remedy: string;
  /** Whether the same call may succeed later without a change. */
  readonly retryable: boolean;
  /** How long to wait first, in ms, when the hub said so. */
  readonly retryAfter?: number;
  /** What a schema found wrong, for `invalid`. */
  readonly issues?: readonly SchemaIssue[];
  /** Where the channel stands, for the `conflict` of a conditional publish. */
  readonly position?: Position;
  /** The channel that it is about. */
  readonly channel?: string;
}

// ---- messages

/** `<epoch>-<offset>`: where a message stands in its channel. Opaque, but for equality. */
export type Position = string;

/** One message. */
export interface Message<E extends string = string, D = unknown> {
  readonly channel: string;
  readonly event: E;
  readonly data: D;
  /** The publisher's idempotency id, or one that the hub made; ephemeral messages may have none. */
  readonly id: string | undefined;
  /** Give it as `since` to go on after this message. Absent from ephemeral messages. */
  readonly position: Position | undefined;
  /** The number in `position`. Rises; need not be contiguous. Absent from ephemeral messages. */
  readonly offset: number | undefined;
  /** ms since 1970, by the hub's clock. */
  readonly time: number;
  /** The user who published, when known. */
  readonly user: string | undefined;
  /** The client who published, when known. */
  readonly client: string | undefined;
  readonly key: string | undefined;
  readonly tags: Readonly<Record<string, string>> | undefined;
  /** From the past (recovery, `since`, `last`, history, the state of a keyed channel), not as it happened. */
  readonly replayed: boolean;
}

/** A message of a typed channel. */
export type MessageOf<T extends ChannelTypes, E extends string> = Message<E, EventOutput<T, E>>;

/** Something was lost, and what is left follows. */
export interface Gap {
  readonly channel: string;
  /** `expired`: retention removed it; `epoch`: the channel lost its past; `slow`: the hub gave up on this reader; `overflow`: a buffer here was full. */
  readonly reason: 'expired' | 'epoch' | 'slow' | 'overflow' | (string & {});
  /** What follows comes after this position. */
  readonly position: Position;
}

// ---- connection

export type TransportName = 'ws' | 'sse' | 'longpoll' | 'poll';

export interface Status {
  readonly state: 'idle' | 'connecting' | 'connected' | 'reconnecting' | 'offline' | 'failed';
  /** Failed tries since the last stable connection. */
  readonly attempt: number;
  readonly maxAttempts: number;
  /** When the next try begins: ms since 1970, by the local clock. */
  readonly retryAt: number | undefined;
  /** What carries the traffic now; `tab` when another tab's connection does. */
  readonly transport: TransportName | 'tab' | undefined;
  /** Why it is not connected. */
  readonly error: (Error & FanfareErrorFields) | undefined;
  /** Something subscribed may be behind: not connected, or not caught up yet. */
  readonly stale: boolean;
}

/** Gives a token; called when one is needed or about to expire, never twice at a time. `null`: be anonymous. */
export type TokenSource =
  | string
  | ((context: { signal: AbortSignal }) => string | null | undefined | Promise<string | null | undefined>);

export interface RetryOptions {
  /** The base of the growing delay, ms. */
  min?: number;
  /** Never wait longer than this, ms. */
  max?: number;
  /** Give up (`failed`) after so many failed tries in a row. */
  attempts?: number;
}

/** The parts of a WebSocket that are used; the browser's, Node 22's and `ws` all fit. */
export interface WebSocketLike {
  binaryType?: string;
  readonly readyState: number;
  readonly bufferedAmount?: number;
  onopen: ((event: never) => void) | null;
  onmessage: ((event: never) => void) | null;
  onerror: ((event: never) => void) | null;
  onclose: ((event: never) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

export type WebSocketConstructor = new (url: string, protocols?: string | string[]) => unknown;

/** Time, for tests. */
export interface Clock {
  /** ms since 1970. */
  now(): number;
  setTimeout(callback: () => void, ms: number): unknown;
  clearTimeout(handle: unknown): void;
}

export interface ClientOptions<S extends Schema = Schema> {
  /** Who we are. Renewed before it expires, in band where the transport can. */
  token?: TokenSource;
  /** Types and validation, by pattern of channel name. */
  schema?: S;
  /** The transports to try, best first; `poll` is long-poll and, where that does not hold, short polls. Default: all. */
  transports?: readonly ('ws' | 'sse' | 'poll' | 'longpoll')[];
  /** `'own'` (default): this tab connects by itself. `{ share: key }`: tabs with an equal key share one connection; use the user's id. */
  tabs?: 'own' | { share: string };
  /** Default: `{ min: 500, max: 20000, attempts: Infinity }`. */
  retry?: RetryOptions;
  /** How publishes wait. Default: 100 messages, 60 s. */
  queue?: { size?: number; age?: number };
  /** ms that a publish, enter or history call waits for its answer before the connection is doubted. Default 10,000. */
  ackTimeout?: number;
  /** Data that did not fit its schema; it is not delivered. Default: a warning in the console. */
  onInvalid?: (invalid: Invalid) => void;
  /** What a handler threw. Default: reported as an uncaught error (`reportError`), or to the console. */
  onHandlerError?: (error: unknown) => void;
  /** Default: the global ones, looked up when they are first used. */
  WebSocket?: WebSocketConstructor;
  fetch?: typeof fetch;
  /** For cookies across origins: `'include'`. */
  credentials?: RequestCredentials;
  /** For tests. */
  clock?: Clock;
  /** For tests: numbers in [0, 1). */
  random?: () => number;
}

/** Data that did not fit its schema. */
export interface Invalid {
  readonly channel: string;
  /** Absent for presence. */
  readonly event?: string;
  readonly data: unknown;
  readonly issues: readonly SchemaIssue[];
  readonly position?: Position;
}

/** One connection to a hub, and the channels on it. Made by `createClient`; does nothing before its first use. */
export interface Client<S extends Schema = Schema> {
  readonly url: string;
  /** The public name of this client, told by the hub: what `m.client` and a member's `client` are compared with. */
  readonly id: string | undefined;
  /** The user that the hub knows us as. */
  readonly user: string | undefined;
  readonly status: Store<Status>;
  /** Publishes that wait to be sent or answered. */
  readonly pending: number;
  /**
   * The channel called `name`, the same object each time. Options are one set per channel: calls that leave them out agree with
   * any; a call that contradicts an earlier one throws.
   */
  channel<N extends string>(name: N, options?: ChannelOptions): Channel<TypesOf<S, N>>;
  /**
   * Calls the application's handler of that event (of the namespace `/`, unless it names another) with these arguments. Resolves with its
   * answer: one value as it is, several as an array. Waits for the connection; sent once, never repeated: when no answer comes, it rejects
   * with `outcome_unknown`.
   */
  call(event: string | { namespace: string; event: string }, ...args: unknown[]): Promise<unknown>;
  /** Connects now (subscribing does so too); resolves when connected, rejects when it has `failed`. Starts again after `failed` or `close()`. */
  connect(): Promise<void>;
  /** Ends the connection and all timers. Subscriptions stay, and go on at their positions with `connect()`. */
  close(): Promise<void>;
  /** `close()`, for `await using`. */
  [Symbol.asyncDispose](): Promise<void>;
  /** Looks at once whether the connection still lives, or tries again at once: call it when a phone's app comes to the front. */
  wake(): void;
  /** Shares the connection with the tabs of this key; `undefined`: own. Leaves the old group at once. Use it when the user changes. */
  share(key: string | undefined): void;
  metrics(): Metrics;
  /** Calls `fn` with the metrics every `every` ms while the client is open. */
  report(every: number, fn: (metrics: Metrics) => void): Off;
  /** Status, metrics, channels and the last 200 events, for a person; in the console, `fanfare.debug()` prints it for every client. */
  debug(): DebugReport;
}

/** A client of any schema. */
// biome-ignore lint/suspicious/noExplicitAny: any schema fits
export type AnyClient = Client<any>;

// ---- channels

/** One set per channel, whoever subscribes. */
export interface ChannelOptions {
  /** Follow who is there. */
  presence?: boolean;
  /** At most so many messages a second for each key, newest wins: (0, 1000]. */
  rate?: number;
  /** `false`: not what this client itself published. */
  echo?: boolean;
  /** Begin with the state of a keyed channel, and keep it in `entries`. */
  snapshot?: boolean;
  /** Rights for this channel alone. */
  token?: TokenSource;
}

export interface SubscribeOptions {
  /** Begin after this position. */
  since?: Position;
  /** Begin with the newest N. With `since`: only if `since` is lost. */
  last?: number;
  /** Something was lost. What follows waits for the promise that it returns, at most 10 s and 1,000 messages. */
  onGap?: (gap: Gap) => void | Promise<unknown>;
  /** The subscription was refused or ended by the hub (a right was missing or revoked). It is tried again when the identity changes or the client reconnects. */
  onError?: (error: Error & FanfareErrorFields) => void;
  /** Ends the subscription. */
  signal?: AbortSignal;
  /** Gather messages and hand them over together: on the next animation frame, or after so many ms. */
  batch?: 'frame' | number;
  /** With `batch`: of messages with an equal key, only the newest. `'key'`: the message's `key`. A key of `undefined` keeps the message. */
  newest?: 'key' | ((message: Message) => unknown);
  /** Messages held back (by `batch`, or while history is read) before something gives. Default 1,000. */
  buffer?: number;
}

export interface IterateOptions<E extends string = string> {
  /** Only this event. */
  event?: E;
  since?: Position;
  last?: number;
  onGap?: (gap: Gap) => void | Promise<unknown>;
  signal?: AbortSignal;
  /** Messages that may wait for the loop. Default 1,000. */
  buffer?: number;
  /** When more wait: `'error'` (default) throws `overflow` after what waits; `'oldest'` and `'newest'` drop that end and tell `onGap`. */
  overflow?: 'error' | 'oldest' | 'newest';
}

export interface HistoryOptions<E extends string = string> {
  event?: E;
  /** From after this position towards now. */
  since?: Position;
  /** From before this position towards the past. */
  before?: Position;
  /** End after so many. */
  limit?: number;
  /** Messages in one request. Default 100, at most 1,000. */
  page?: number;
  onGap?: (gap: Gap) => void | Promise<unknown>;
  signal?: AbortSignal;
}

export interface PublishOptions {
  key?: string;
  /** The idempotency id; made when left out. */
  id?: string;
  tags?: Record<string, string>;
  /** Kept nowhere, never queued. */
  ephemeral?: boolean;
  /** When to answer: accepted in memory, or on disk. */
  ack?: 'memory' | 'stored';
  /** With `key`: remove it after so long, ms. */
  ttl?: number;
  /** Only if the channel stands at this position, else `conflict`. */
  if?: Position;
  /** Not connected: wait in the queue (default), or reject with `offline`. */
  offline?: 'queue' | 'fail';
  /** Gives up waiting: takes it from the queue, or rejects with `outcome_unknown` when it was sent already. */
  signal?: AbortSignal;
  /** ms until giving up, as `signal`. Default: the queue's age while unsent, then the hub's idempotency window. */
  timeout?: number;
}

export interface Published {
  readonly id: string;
  /** Absent for ephemeral messages. */
  readonly position: Position | undefined;
  readonly offset: number | undefined;
  /** The hub had it already. */
  readonly duplicate: boolean;
}

export interface Channel<T extends ChannelTypes = Untyped> {
  readonly name: string;
  readonly options: Readonly<ChannelOptions>;
  /** Where the shared subscription stands: the last position delivered, or where it began. */
  readonly position: Position | undefined;
  /** Live, caught up, refused: what the shared subscription does. */
  readonly state: Store<ChannelState>;

  /** Every event. */
  subscribe(handler: (message: Message) => void, options?: SubscribeOptions): Off;
  /** One event. */
  subscribe<E extends EventName<T>>(
    event: E,
    handler: (message: MessageOf<T, E>) => void,
    options?: SubscribeOptions,
  ): Off;

  /** As `subscribe`, but the handler gets what came together (with `batch`: what was gathered) as one array. */
  subscribeBatches(handler: (messages: readonly Message[]) => void, options?: SubscribeOptions): Off;
  subscribeBatches<E extends EventName<T>>(
    event: E,
    handler: (messages: readonly MessageOf<T, E>[]) => void,
    options?: SubscribeOptions,
  ): Off;

  /** Messages as they come, for `for await`; leaving the loop ends the subscription. */
  messages<E extends string = string>(options?: IterateOptions<E>): AsyncIterableIterator<MessageOf<T, E>>;

  /** The past, page by page: newest first, or with `since` oldest first. */
  history<E extends string = string>(options?: HistoryOptions<E>): AsyncIterableIterator<MessageOf<T, E>>;

  /** Resolves when the hub has it. Safe to repeat: the same `id` is published once. */
  publish<E extends EventName<T>>(event: E, data: EventInput<T, E>, options?: PublishOptions): Promise<Published>;

  readonly presence: Presence<T['presence']['in'], T['presence']['out']>;
  /** The state of a keyed channel: the newest message of each key. Needs the option `snapshot: true`. */
  readonly entries: Entries<T>;
}

/** A channel of any types. */
// biome-ignore lint/suspicious/noExplicitAny: any types fit
export type AnyChannel = Channel<any>;

export interface ChannelState {
  /** `idle`: nobody listens; `joining`: asked for, or catching up; `live`: caught up; `refused`: see `error`. */
  readonly state: 'idle' | 'joining' | 'live' | 'refused';
  readonly error: (Error & FanfareErrorFields) | undefined;
}

export interface Member<D = unknown> {
  /** Compare with `client.id` to find oneself. */
  readonly client: string;
  readonly user: string | undefined;
  /** The token's `info`. */
  readonly info: unknown;
  /** What they entered with. */
  readonly data: D;
  /** ms since 1970, by the hub's clock. */
  readonly enteredAt: number;
}

export interface PresenceState<D = unknown> {
  /** In the order of entering. A new array after each change, and only then. */
  readonly members: readonly Member<D>[];
  /** Clients there, as the hub counts; more than `members` while pages are still coming. */
  readonly count: number;
  /** Distinct users. */
  readonly users: number;
}

export interface PresenceEvent<D = unknown> {
  readonly action: 'present' | 'enter' | 'update' | 'leave';
  readonly members: readonly Member<D>[];
}

/** Who is there. Seeing it needs the channel's option `presence: true`; entering does not. */
export interface Presence<In = unknown, Out = In> extends Store<PresenceState<Out>> {
  readonly members: readonly Member<Out>[];
  readonly count: number;
  readonly users: number;
  /** Become a member, or change one's data. Kept through reconnects until `leave()` or `close()`. */
  enter(data?: In): Promise<void>;
  /** Whether we entered, and did not leave. */
  readonly entered: boolean;
  leave(): Promise<void>;
  /** Follows the changes themselves: who entered, who left. */
  events(listener: (event: PresenceEvent<Out>) => void): Off;
}

/** The newest message of each key. The map is a new one after each change, and only then. */
export interface Entries<T extends ChannelTypes = Untyped>
  extends Store<ReadonlyMap<string, Message<string, Values<T>>>> {
  get(key: string): Message<string, Values<T>> | undefined;
  /** The whole state has been received. */
  readonly ready: boolean;
}

/** What the entries of a typed channel carry: any of the schema's events. */
export type Values<T extends ChannelTypes> = [keyof T['message']] extends [never]
  ? unknown
  : T['message'][keyof T['message']]['out'];

// ---- diagnostics

export interface Latency {
  readonly count: number;
  readonly mean: number;
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
}

export interface Metrics {
  /** ms from the start of the last successful try to connected. */
  readonly connectionTime: number | undefined;
  /** ms from the hub's stamp on a live message to its arrival here, on the hub's clock as `welcome` and `pong` told it. */
  readonly latency: Latency;
  /** ms from sending a command or ping to its answer. */
  readonly roundTrip: Latency;
  /** Messages. */
  readonly received: number;
  readonly sent: number;
  /** Messages that came again and were dropped. */
  readonly duplicates: number;
  readonly reconnects: number;
  readonly errors: number;
  readonly gaps: number;
  readonly bytes: { readonly received: number; readonly sent: number };
  /** Requests and sockets that were opened. */
  readonly requests: number;
  /** Messages received in the last minute. */
  readonly perMinute: number;
  /** ms connected, all in all. */
  readonly uptime: number;
  readonly pending: number;
  readonly channels: number;
  readonly transport: Status['transport'];
}

export interface DebugEvent {
  /** ms since 1970, by the local clock. */
  readonly at: number;
  readonly what: string;
  readonly detail?: unknown;
}

export interface DebugReport {
  readonly url: string;
  readonly status: Status;
  readonly metrics: Metrics;
  readonly channels: readonly { name: string; state: string; position: Position | undefined; subscribers: number }[];
  /** The last 200, oldest first. */
  readonly events: readonly DebugEvent[];
}

// ---- adaptive polling

export interface PollOptions<R> {
  /** The shortest interval, ms. Default 1,000. */
  min?: number;
  /** The longest, ms. Default 30,000. */
  max?: number;
  /** The interval grows by this when nothing changed. Default 1.5. */
  factor?: number;
  /** Each interval is up to this share longer or shorter. Default 0.1. */
  jitter?: number;
  /** True: the last result; polling stops. */
  until?: (result: R) => boolean;
  /** While this channel is live, no requests are made; a message on it makes one at once. */
  channel?: AnyChannel;
  /** Whether the result is another one. Default: the JSON differs. */
  changed?: (previous: R, result: R) => boolean;
  /** After so many errors in a row, give up. Default 5. */
  errors?: number;
  onResult?: (result: R) => void;
  onError?: (error: unknown) => void;
  signal?: AbortSignal;
  clock?: Clock;
  random?: () => number;
}

export interface Poll<R> extends Store<PollState<R>> {
  /** Resolves with the result that `until` accepted; rejects when it gave up or was stopped (`aborted`). */
  readonly done: Promise<R>;
  /** Asks at once and starts again from the shortest interval. */
  now(): void;
  stop(): void;
}

export interface PollState<R> {
  /** `quiet`: a live channel covers it. */
  readonly state: 'running' | 'waiting' | 'hidden' | 'quiet' | 'done' | 'failed' | 'stopped';
  readonly result: R | undefined;
  readonly error: unknown;
  /** The current interval, ms. */
  readonly interval: number;
  readonly requests: number;
}
