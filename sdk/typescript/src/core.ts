import { backoff } from './backoff.ts';
import { type ClientChannel, openChannel } from './channel.ts';
import { type Connection, makeConnection } from './connection.ts';
import { globals, newId } from './env.ts';
import { errorOf, fromWire } from './errors.ts';
import { type Code, load, type Preloaded } from './later.ts';
import { toMessage } from './message.ts';
import { makeMeter } from './metrics.ts';
import { makePublisher, type Publisher } from './publisher.ts';
import { type Guard, guardWith } from './store.ts';
import { type Timer, timerOn } from './timer.ts';
import type { ChannelOptions, ClientOptions, Message } from './types.ts';

/** What the parts of one client share. */
export interface Core {
  readonly _url: string;
  readonly _options: ClientOptions & Preloaded;
  readonly _meter: ReturnType<typeof makeMeter>;
  readonly _channels: Map<string, ClientChannel>;
  readonly _connection: Connection;
  readonly _publisher: Publisher;
  readonly _guard: Guard;
  /** Something of the application's threw. */
  readonly _threw: (error: unknown) => void;
  readonly _now: () => number;
  readonly _random: () => number;
  readonly _backoff: (attempt: number) => number;
  readonly _timer: () => Timer;
  readonly _newId: (length: number) => string;
  /** Every channel. */
  readonly _all: () => ClientChannel[];
  /** The channel of that name, made when it is first asked for. */
  readonly _channel: (name: string, options: ChannelOptions) => ClientChannel;
  /** What messages were before their schema transformed them: other tabs get that, and validate for themselves. */
  readonly _originals: WeakMap<Message, Message>;
  /** What has been loaded. */
  readonly _code: Partial<Code>;
  readonly _load: <Name extends keyof Code>(name: Name) => Promise<Code[Name]>;
  // For code that is loaded later: it imports nothing of this, which so stays in one piece.
  readonly _error: typeof errorOf;
  readonly _fromWire: typeof fromWire;
  readonly _toMessage: typeof toMessage;
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

export function makeCore(url: string, options: ClientOptions & Preloaded): Core {
  const { clock, retry, onHandlerError: threw = uncaught } = options;
  const channels = new Map<string, ClientChannel>();
  const now = () => (clock ?? Date).now();
  const random = () => (options.random ?? Math.random)();
  const core = {
    _url: url,
    _options: options,
    _meter: makeMeter(now),
    _channels: channels,
    _guard: guardWith(threw),
    _originals: new WeakMap(),
    _code: options._code ?? {},
    _load: name => load(core, name),
    _threw: threw,
    _now: now,
    _random: random,
    _backoff: attempt => backoff(attempt, random, retry),
    _timer: () => timerOn(clock),
    _newId: length => newId(random, length),
    _all: () => [...channels.values()],
    _channel(name, own) {
      const channel = channels.get(name) ?? openChannel(core, name);
      channel._merge(own);
      channels.set(name, channel);
      return channel;
    },
    _error: errorOf,
    _fromWire: fromWire,
    _toMessage: toMessage,
  } as Writable<Core>;
  core._connection = makeConnection(core);
  core._publisher = makePublisher(core);
  return core;
}

/** What a handler threw is the application's error, told as any uncaught one. */
function uncaught(error: unknown): void {
  (globals.reportError ?? console.error)(error);
}
