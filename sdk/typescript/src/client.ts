import { Core } from './core.ts';
import { registerDebug } from './debug.ts';
import { FanfareError } from './errors.ts';
import type {
  Channel,
  ChannelOptions,
  Client,
  ClientOptions,
  DebugReport,
  Metrics,
  Off,
  Schema,
  TypesOf,
} from './types.ts';

/**
 * A client of the hub at `url` (`http:` or `https:`). Opens nothing, sets no timer and touches no global before it is first used: by
 * `connect()`, or by subscribing or publishing.
 */
export function createClient<S extends Schema = {}>(url: string, options: ClientOptions<S> = {}): Client<S> {
  return new FanfareClient(url.replace(/\/+$/, '').replace(/^ws/, 'http'), options) as unknown as Client<S>;
}

class FanfareClient implements Client {
  private _core: Core;

  constructor(
    readonly url: string,
    options: ClientOptions,
  ) {
    this._core = new Core(url, options);
    this._connection._registered = () => registerDebug(this);
  }

  private get _connection() {
    return this._core._connection;
  }
  get id() {
    return this._connection._id;
  }
  get user() {
    return this._connection._user;
  }
  get status() {
    return this._connection._status;
  }
  get pending() {
    return this._core._publisher._pending;
  }

  channel<N extends string>(name: N, options: ChannelOptions = {}): Channel<TypesOf<Schema, N>> {
    const channel = this._core._channel(name, options);
    channel._own = true;
    return channel as unknown as Channel<TypesOf<Schema, N>>;
  }

  connect(): Promise<void> {
    return this._connection._connect();
  }

  async close(): Promise<void> {
    this._core._publisher._end(new FanfareError('closed'));
    this._connection._stop();
    for (const { presence } of this._core._channels.values()) presence._forget();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  wake(): void {
    this._connection._wake();
  }

  share(key: string | undefined): void {
    // What one user wrote is not published in the name of the next.
    this._core._publisher._end(new FanfareError('aborted', 'the user has changed'));
    this._connection._share(key);
  }

  metrics(): Metrics {
    const { _meter: meter, _connection: connection, _channels } = this._core;
    const { _since, _uptime } = connection;
    return {
      ...meter._counts,
      connectionTime: meter._connectionTime,
      latency: meter._latency._read(),
      roundTrip: meter._roundTrip._read(),
      bytes: { received: meter._bytesIn, sent: meter._bytesOut },
      perMinute: meter._perMinute(),
      uptime: _uptime + (_since === undefined ? 0 : this._core._now() - _since),
      pending: this.pending,
      channels: [..._channels.values()].filter(channel => channel._used).length,
      transport: this.status.value.transport,
    };
  }

  report(every: number, fn: (metrics: Metrics) => void): Off {
    const timer = this._core._timer();
    const plan = () => timer._start(tell, every);
    const tell = () => {
      plan();
      this._core._guard(() => fn(this.metrics()));
    };
    const off = this.status.subscribe(({ state }) => {
      if (state === 'idle' || state === 'failed') timer._stop();
      else if (!timer._running) plan();
    });
    return () => {
      off();
      timer._stop();
    };
  }

  debug(): DebugReport {
    const { _channels, _meter } = this._core;
    return {
      url: this.url,
      status: this.status.value,
      metrics: this.metrics(),
      channels: [..._channels.values()].map(({ name, state, position, _used }) => ({
        name,
        state: state.value.state,
        position,
        subscribers: _used,
      })),
      events: [..._meter._events],
    };
  }
}
