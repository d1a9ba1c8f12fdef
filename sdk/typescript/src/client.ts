import { ClientChannel } from './channel.ts';
import { Connection, type Sharing } from './connection.ts';
import type { Core } from './core.ts';
import { registerDebug } from './debug.ts';
import { globals, makeEnv, newId } from './env.ts';
import { FanfareError } from './errors.ts';
import { wire } from './http-link.ts';
import { Metering } from './metrics.ts';
import { schemaOf } from './patterns.ts';
import { parsePosition } from './position.ts';
import { Publisher } from './publisher.ts';
import { Subscriber } from './subscriber.ts';
import { Tokens } from './token.ts';
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
import { warnInvalid } from './validate.ts';

/**
 * A client of the hub at `url` (`http:` or `https:`). Opens nothing, sets no timer and touches no global before it is first used: by
 * `connect()`, or by subscribing or publishing.
 */
export function createClient<S extends Schema = {}>(url: string, options: ClientOptions<S> = {}): Client<S> {
  return new FanfareClient(url.replace(/\/+$/, '').replace(/^ws/, 'http'), options) as unknown as Client<S>;
}

class FanfareClient implements Client {
  readonly #core: Core;
  readonly #channels = new Map<string, ClientChannel>();
  #reports = new Set<{ start(): void; stop(): void }>();

  constructor(
    readonly url: string,
    private _options: ClientOptions,
  ) {
    const env = makeEnv(_options);
    const meter = new Metering(env.now);
    const publisher = new Publisher(env, meter);
    const threw = _options.onHandlerError ?? report;
    const connection = new Connection(
      url,
      env,
      new Tokens(_options.token),
      meter,
      {
        started: () => registerDebug(this),
        opening: link => this.#each(channel => channel._subscription._subscribe(link)),
        up: () => {
          this.#each(channel => {
            channel._subscription._join(connection.link!);
            channel.presence._reenter();
          });
          publisher.flush();
          for (const item of this.#reports) item.start();
        },
        frame: frame => this.#channels.get(frame.channel)?._subscription._frame(frame),
        renewed: () => this.#each(channel => channel._subscription._renewed()),
        failed: error => publisher.end(error),
        behind: () => [...this.#channels.values()].some(channel => channel._subscription._behind),
      },
      threw,
    );
    publisher._connection = connection;
    this.#core = { env, connection, meter, publisher, threw, invalid: _options.onInvalid ?? warnInvalid };
    const { tabs } = _options;
    if (tabs && tabs !== 'own') this.#share(tabs.share);
  }

  #each(fn: (channel: ClientChannel) => void): void {
    for (const channel of this.#channels.values()) fn(channel);
  }

  get id() {
    return this.#core.connection.id;
  }
  get user() {
    return this.#core.connection.user;
  }
  get status() {
    return this.#core.connection.status;
  }
  get pending() {
    return this.#core.publisher.pending;
  }

  channel<N extends string>(name: N, options: ChannelOptions = {}): Channel<TypesOf<Schema, N>> {
    let channel = this.#channels.get(name);
    if (channel) channel._merge(options);
    else
      this.#channels.set(
        name,
        (channel = new ClientChannel(this.#core, name, schemaOf(this._options.schema, name), options)),
      );
    return channel as unknown as Channel<TypesOf<Schema, N>>;
  }

  connect(): Promise<void> {
    return this.#core.connection.connect();
  }

  async close(): Promise<void> {
    this.#core.publisher.end(new FanfareError('closed'));
    this.#core.connection.stop();
    this.#each(channel => channel.presence._forget());
    for (const item of this.#reports) item.stop();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  wake(): void {
    this.#core.connection.wake();
  }

  share(key: string | undefined): void {
    const { connection, publisher } = this.#core;
    // What one user wrote is not published in the name of the next.
    publisher.end(new FanfareError('aborted', 'the user has changed'));
    connection.sharing?.resign();
    this.#share(key);
    connection.newIdentity();
  }

  /** Its code is loaded when it is first wanted. */
  #share(key: string | undefined): void {
    const { connection, meter } = this.#core;
    if (key === undefined) {
      connection.sharing = undefined;
      return;
    }
    let real: Promise<Sharing | undefined> | undefined;
    let here: Sharing | undefined;
    const sharing: Sharing = {
      async follow() {
        real ??= import('./tabs/sharing.ts').then(({ shareTabs }) =>
          shareTabs(
            {
              core: host,
              kit: { newId, wire, parsePosition, Subscriber, FanfareError },
              url: this_.url,
              channel: (name, options) => this_.channel(name, options) as unknown as ClientChannel,
            },
            key,
          ),
        );
        here = await real.catch(() => undefined);
        if (connection.sharing !== sharing) return here?.resign() as undefined;
        if (!here) meter.log('own connection', 'no Web Locks or BroadcastChannel here: tabs cannot share');
        return here?.follow();
      },
      lead: () => here?.lead(),
      down: () => here?.down(),
      resign: () => here?.resign(),
    };
    const this_ = this;
    const host = this.#core;
    connection.sharing = sharing;
  }

  metrics(): Metrics {
    const { meter, connection, env } = this.#core;
    const { since, uptime } = connection;
    return {
      connectionTime: meter._connectionTime,
      latency: meter._latency.read(),
      roundTrip: meter._roundTrip.read(),
      received: meter._received,
      sent: meter._sent,
      duplicates: meter._duplicates,
      reconnects: meter._reconnects,
      errors: meter._errors,
      gaps: meter._gaps,
      bytes: { received: meter._bytesIn, sent: meter._bytesOut },
      requests: meter._requests,
      perMinute: meter.perMinute(),
      uptime: uptime + (since === undefined ? 0 : env.now() - since),
      pending: this.pending,
      channels: [...this.#channels.values()].filter(channel => channel._used).length,
      transport: this.status.value.transport,
    };
  }

  report(every: number, fn: (metrics: Metrics) => void): Off {
    const { env, connection } = this.#core;
    let timer: unknown;
    const tick = () => {
      timer = env.setTimeout(tick, every);
      try {
        fn(this.metrics());
      } catch (error) {
        this.#core.threw(error);
      }
    };
    const item = {
      start: () => {
        if (timer === undefined) timer = env.setTimeout(tick, every);
      },
      stop: () => {
        env.clearTimeout(timer);
        timer = undefined;
      },
    };
    this.#reports.add(item);
    if (connection.link) item.start();
    return () => {
      item.stop();
      this.#reports.delete(item);
    };
  }

  debug(): DebugReport {
    return {
      url: this.url,
      status: this.status.value,
      metrics: this.metrics(),
      channels: [...this.#channels.values()].map(({ name, state, position, _used }) => ({
        name,
        state: state.value.state,
        position,
        subscribers: _used,
      })),
      events: [...this.#core.meter._events],
    };
  }
}

/** What a handler threw is the application's error, told as any uncaught one. */
function report(error: unknown): void {
  if (globals.reportError) globals.reportError(error);
  else console.error(error);
}
