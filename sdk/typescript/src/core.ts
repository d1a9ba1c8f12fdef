import { backoff } from './backoff.ts';
import { type ClientChannel, openChannel } from './channel.ts';
import { type Connection, makeConnection } from './connection.ts';
import { globals, newId } from './env.ts';
import { FanfareError, fromWire } from './errors.ts';
import { toMessage } from './message.ts';
import { makeMeter } from './metrics.ts';
import { makePublisher, type Publisher } from './publisher.ts';
import { type Guard, guardWith } from './store.ts';
import { type Timer, timerOn } from './timer.ts';
import type { Preloaded } from './transports.ts';
import type { ChannelOptions, ClientOptions, Invalid } from './types.ts';
import { warnInvalid } from './validate.ts';

/** What the parts of one client share. */
export interface Core {
  readonly _url: string;
  readonly _options: ClientOptions & Preloaded;
  readonly _meter: ReturnType<typeof makeMeter>;
  readonly _channels: Map<string, ClientChannel>;
  readonly _connection: Connection;
  readonly _publisher: Publisher;
  readonly _guard: Guard;
  readonly _invalid: (invalid: Invalid) => void;
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
  /** Reads the past. Its code comes over the network: without one, it is tried again when there is a connection. */
  readonly _past: () => Promise<typeof import('./past.ts')>;
  // For code that is loaded later: it imports nothing of this, which so stays in one piece.
  readonly _error: (...args: ConstructorParameters<typeof FanfareError>) => FanfareError;
  readonly _fromWire: typeof fromWire;
  readonly _toMessage: typeof toMessage;
}

type Writable<T> = { -readonly [Name in keyof T]: T[Name] };

export function makeCore(url: string, options: ClientOptions & Preloaded): Core {
  const { clock, retry, onHandlerError: threw = uncaught, onInvalid = warnInvalid } = options;
  const channels = new Map<string, ClientChannel>();
  const now = () => (clock ?? Date).now();
  const random = () => (options.random ?? Math.random)();
  const core = {
    _url: url,
    _options: options,
    _meter: makeMeter(now),
    _channels: channels,
    _guard: guardWith(threw),
    _invalid: onInvalid,
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
    async _past() {
      for (let tries = 1; ; tries++) {
        await core._connection._use();
        const past = options._past ?? (await import('./past.ts').catch(String));
        // Closed meanwhile: what was asked before does not open it again.
        if (core._connection._status.value.state === 'idle') throw new FanfareError('closed');
        if (typeof past !== 'string') return past;
        if (tries > 4) throw new FanfareError('network', past);
        await new Promise<void>(resolve => timerOn(clock)(resolve, tries * 1000));
      }
    },
    _error: (...args) => new FanfareError(...args),
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
