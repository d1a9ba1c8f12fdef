import { makeCore } from './core.ts';
import { registerDebug } from './debug.ts';
import { errorOf, isLost } from './errors.ts';
import type { Client, ClientOptions, Schema } from './types.ts';

/**
 * A client of the hub at `url` (`http:` or `https:`). Opens nothing, sets no timer and touches no global before it is first used: by
 * `connect()`, or by subscribing or publishing.
 */
export function createClient<S extends Schema = {}>(address: string, options: ClientOptions<S> = {}): Client<S> {
  const url = address.replace(/\/+$/, '').replace(/^ws/, 'http');
  const core = makeCore(url, options);
  const { _connection: connection, _publisher: publisher, _meter: meter } = core;
  const { _status: status } = connection;

  const client: Client = {
    url,
    status,
    get id() {
      return connection._id;
    },
    get user() {
      return connection._user;
    },
    get pending() {
      return publisher._pending();
    },
    channel(name, own = {}) {
      const channel = core._channel(name, own);
      channel._own = true;
      return channel as never;
    },
    async call(event, ...args) {
      await connection._use();
      const called = typeof event === 'string' ? { event } : event;
      const { data } = await connection._ask({ type: 'call', ...called, data: args }).catch(cause => {
        throw isLost(cause) ? errorOf('outcome_unknown', '', { cause }) : cause;
      });
      return data.length > 1 ? data : data[0];
    },
    connect: () => connection._connect(),
    async close() {
      publisher._end(errorOf('closed'));
      connection._stop();
      for (const { presence } of core._all()) presence._clear(true);
    },
    [Symbol.asyncDispose]: () => client.close(),
    wake: () => connection._wake(),
    share(key) {
      // What one user wrote is not published in the name of the next.
      publisher._end(errorOf('aborted'));
      connection._share(key);
    },
    metrics() {
      const { _since, _uptime } = connection;
      return {
        ...meter._counts,
        latency: meter._latency._read(),
        roundTrip: meter._roundTrip._read(),
        bytes: { ...meter._counts.bytes },
        perMinute: meter._perMinute(),
        uptime: _uptime + (_since ? core._now() - _since : 0),
        pending: client.pending,
        channels: core._all().filter(channel => channel._used()).length,
        transport: status.value.transport,
      };
    },
    report(every, fn) {
      const timer = core._timer();
      const plan = () => timer(tell, every);
      const tell = () => {
        plan();
        core._guard(() => fn(client.metrics()));
      };
      const off = status.subscribe(({ state }) => {
        if (/idle|failed/.test(state)) timer();
        else if (!timer._running) plan();
      });
      return () => {
        off();
        timer();
      };
    },
    debug: () => ({
      url,
      status: status.value,
      metrics: client.metrics(),
      channels: core._all().map(({ name, state, position, _used }) => ({
        name,
        state: state.value.state,
        position,
        subscribers: _used(),
      })),
      events: [...meter._events],
    }),
  };
  const off = status.subscribe(({ state }) => {
    if (state === 'idle') return;
    off();
    registerDebug(client);
  });
  return client as unknown as Client<S>;
}
