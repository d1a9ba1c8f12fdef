import type { Core } from './core.ts';
import { type ChannelEntries, channelEntries } from './entries.ts';
import { errorOf } from './errors.ts';
import { iterate } from './iterate.ts';
import type { Frame, Link } from './link.ts';
import { toWire } from './message.ts';
import { onAbort } from './on-abort.ts';
import { type ChannelPresence, channelPresence } from './presence.ts';
import { type Listeners, listeners } from './store.ts';
import { type Subscriber, subscriberOf } from './subscriber.ts';
import { type Subscription, subscriptionOf } from './subscription.ts';
import { type Tokens, tokensOf } from './token.ts';
import type { Channel, ChannelOptions, ChannelSchema, Message, Off, SubscribeOptions } from './types.ts';

/** A channel as the application sees it, and what the client's other parts need of it. */
export interface ClientChannel extends Channel {
  readonly options: ChannelOptions;
  readonly presence: ChannelPresence;
  readonly entries: ChannelEntries;
  readonly _subscription: Subscription;
  /** Presence frames as the hub sends them, for tabs that follow over our connection. */
  readonly _relays: Listeners<Frame>;
  /** What the schema says of it, once that was asked. */
  _rules?: ChannelSchema;
  /** Rights for this channel alone. */
  _tokens: Tokens | undefined;
  /** The application has it. Otherwise it is here for other tabs only. */
  _own: boolean;
  /** Takes the options of a later call: what it leaves out agrees, what it adds is added, what contradicts throws. */
  _merge(options: ChannelOptions): void;
  _setToken(token: ChannelOptions['token']): void;
  /** Whether something has to come before it can be subscribed: code, or its own token. */
  _waits(): boolean;
  /** Waits for the code that the channel's messages need. */
  _ready(): Promise<unknown>;
  /** The command with the channel's own token. */
  _withToken(frame: Frame): Promise<Frame>;
  /** A link is up, the first one, another, or a better one. */
  _connected(link: Link): void;
  /** `placed`: for another tab. */
  _listen(
    event: string | undefined,
    handler: (messages: Message[]) => void,
    options: SubscribeOptions,
    placed?: Subscriber['_placed'],
  ): Off;
  /** Keeps the channel subscribed for a listener that needs `option`. */
  _watch(option: 'presence' | 'snapshot', add: () => Off): Off;
  /** Keeps it from being unsubscribed. */
  _hold(): Off;
  /** How many listen or keep it subscribed. */
  _used(): number;
  /** Unsubscribes when nobody is left; a member stays, since an `unsubscribe` ends a membership. */
  _settle(): void;
  /** The message by its schema; `undefined`: it does not fit, which was told. */
  _validate(message: Message): Message | undefined | Promise<Message | undefined>;
}

export function openChannel(core: Core, name: string): ClientChannel {
  const { _connection: connection, _publisher: publisher, _guard: guard, _code: code } = core;
  const { schema } = core._options;
  const own: ChannelOptions = {};
  /** Who keeps it subscribed without listening to messages. */
  let holds = 0;

  const wrong = (detail: string, code = 'bad_request') =>
    errorOf(code, `channel ${name} was opened ${detail}`, {
      remedy: 'give its options at its first use',
      channel: name,
    });
  const listen =
    (wrap: (handler: (it: never) => void) => (messages: never[]) => void) =>
    (...args: unknown[]): Off => {
      const event = typeof args[0] === 'string' ? (args.shift() as string) : undefined;
      const [handler, options = {}] = args as [(it: never) => void, SubscribeOptions?];
      return channel._listen(event, wrap(handler) as (messages: Message[]) => void, options);
    };

  const channel = {
    name,
    options: own,
    _relays: listeners(guard),
    _own: false,
    get position() {
      return subscription._position();
    },
    get state() {
      return subscription._state;
    },
    subscribe: listen(handler => messages => {
      for (const message of messages) guard(() => handler(message));
    }),
    subscribeBatches: listen(handler => handler as never),
    messages(options = {}) {
      return iterate(name, options, (message, onError, signal) =>
        channel._listen(options.event, messages => messages.forEach(message), { ...options, onError, signal }),
      ) as AsyncIterableIterator<never>;
    },
    async *history(options = {}) {
      await channel._ready();
      const { history } = await core._load('past');
      yield* history(core, channel, options) as AsyncGenerator<never>;
    },
    async publish(event, data, options = {}) {
      const { offline, signal, timeout, ttl, ...fields } = options;
      const { key, id, ephemeral } = fields;
      if (schema) await (await core._load('schema')).checkPublish(core, channel, event, data, key);
      const frame: Frame = { ...fields, type: 'publish', channel: name, event, ...toWire(data), ttl_ms: ttl };
      frame.id = id ?? (ephemeral ? undefined : core._newId(24));
      return publisher._publish(channel._tokens ? await channel._withToken(frame) : frame, options);
    },
    _merge(options) {
      const added: Record<string, unknown> = {};
      for (const option of ['presence', 'rate', 'echo', 'snapshot', 'token'] as const) {
        const value = options[option];
        const before = own[option];
        if (value == null || value === before) continue;
        if (before != null || (option === 'snapshot' && channel.position)) {
          const show = (it: unknown) => `${option}: ${option === 'token' ? it && 'another' : it}`;
          throw wrong(`with ${show(before)}, and now with ${show(value)}`, 'conflict');
        }
        added[option] = value;
      }
      Object.assign(own, added);
      if (added.token) channel._setToken(own.token);
      const { _link: link } = connection;
      if (link && Object.keys(added).length) subscription._subscribe(link);
    },
    _setToken(token) {
      channel._tokens = token ? tokensOf(token) : undefined;
    },
    _waits: () => !!(channel._tokens || (schema && !code.schema) || (own.presence && !code.membership)),
    _ready: async () => (schema && (await core._load('schema')), own.presence && (await core._load('membership'))),
    async _withToken(frame) {
      return channel._tokens ? { ...frame, token: await channel._tokens._get() } : frame;
    },
    _connected(link) {
      subscription._join(link);
      channel.presence._membership()?._reenter();
    },
    _listen(event, handler, options, placed) {
      const { signal } = options;
      if (signal?.aborted) return () => {};
      const subscriber = subscriberOf(core, event, handler, options, placed);
      const { error } = subscription._state.value;
      const off = () => {
        unsignal();
        subscriber._end();
        if (subscription._subscribers.delete(subscriber)) channel._settle();
      };
      const unsignal = onAbort(signal, off);
      subscription._subscribers.add(subscriber);
      subscription._start();
      subscription._place(subscriber);
      if (error) queueMicrotask(() => subscriber._error(error));
      return off;
    },
    _watch(option, add) {
      if (!own[option]) throw wrong(`without ${option}`);
      const release = channel._hold();
      subscription._start();
      const off = add();
      return () => {
        off();
        release();
      };
    },
    _hold() {
      let held = true;
      holds++;
      return () => {
        if (!held) return;
        held = false;
        holds--;
        channel._settle();
      };
    },
    _used: () => subscription._subscribers.size + holds,
    _settle() {
      if (channel._used() || channel.presence.entered) return;
      subscription._stop();
      channel.presence._clear();
      // Rights that nobody uses are not kept.
      channel._tokens?._abort();
      channel._setToken(own.token);
      if (!channel._own) core._channels.delete(name);
    },
    _validate: message => (schema ? code.schema!.validate(core, channel, message) : message),
  } as Partial<ClientChannel> as { -readonly [Name in keyof ClientChannel]: ClientChannel[Name] };
  channel.presence = channelPresence(core, channel);
  channel.entries = channelEntries(core, channel);
  const subscription = (channel._subscription = subscriptionOf(core, channel));
  return channel;
}
