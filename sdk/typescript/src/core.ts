import { ClientChannel } from './channel.ts';
import { Connection } from './connection.ts';
import { globals, newId, systemClock } from './env.ts';
import { FanfareError, fromWire } from './errors.ts';
import { toMessage } from './message.ts';
import { Metering } from './metrics.ts';
import { Publisher } from './publisher.ts';
import { type Guard, guardWith } from './store.ts';
import { Timer } from './timer.ts';
import type { Preloaded } from './transports.ts';
import type { ChannelOptions, ClientOptions, Clock, Invalid } from './types.ts';
import { warnInvalid } from './validate.ts';

/** What the parts of one client share. */
export class Core {
  readonly _clock: Clock;
  readonly _guard: Guard;
  /** Something of the application's threw. */
  readonly _threw: (error: unknown) => void;
  readonly _meter: Metering;
  readonly _channels = new Map<string, ClientChannel>();
  readonly _connection: Connection;
  readonly _publisher: Publisher;

  constructor(
    readonly _url: string,
    readonly _options: ClientOptions,
  ) {
    this._clock = _options.clock ?? systemClock;
    this._threw = _options.onHandlerError ?? uncaught;
    this._guard = guardWith(this._threw);
    this._meter = new Metering(this);
    this._connection = new Connection(this);
    this._publisher = new Publisher(this);
  }

  // For code that is loaded later: it imports nothing of this, which so stays in one piece.
  readonly _fromWire = fromWire;
  readonly _toMessage = toMessage;
  _error = (...args: ConstructorParameters<typeof FanfareError>) => new FanfareError(...args);

  /** Reads the past. Its code comes over the network: without one, it is tried again when there is a connection. */
  async _past(): Promise<typeof import('./past.ts')> {
    const { _connection: connection } = this;
    for (let tries = 1; ; tries++) {
      await connection._use();
      const past = (this._options as Preloaded)._past ?? (await import('./past.ts').catch(String));
      // Closed meanwhile: what was asked before does not open it again.
      if (connection._status.value.state === 'idle') throw new FanfareError('closed');
      if (typeof past !== 'string') return past;
      if (tries > 4) throw new FanfareError('network', past);
      await new Promise<void>(resolve => this._timer()._start(resolve, tries * 1000));
    }
  }

  _newId(length: number): string {
    return newId(this._random, length);
  }

  _now(): number {
    return this._clock.now();
  }

  _random = (): number => (this._options.random ?? Math.random)();

  /** The channel of that name, made when it is first asked for. */
  _channel(name: string, options: ChannelOptions): ClientChannel {
    const channel = this._channels.get(name) ?? new ClientChannel(this, name);
    channel._merge(options);
    this._channels.set(name, channel);
    return channel;
  }

  _invalid(invalid: Invalid): void {
    (this._options.onInvalid ?? warnInvalid)(invalid);
  }

  _timer(): Timer {
    return new Timer(this._clock);
  }
}

/** What a handler threw is the application's error, told as any uncaught one. */
function uncaught(error: unknown): void {
  (globals.reportError ?? console.error)(error);
}
