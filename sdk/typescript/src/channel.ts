import type { Core } from './core.ts';
import { ChannelEntries } from './entries.ts';
import { FanfareError } from './errors.ts';
import { iterate } from './iterate.ts';
import type { Frame, Link } from './link.ts';
import { toWire } from './message.ts';
import { schemaOf } from './patterns.ts';
import { ChannelPresence } from './presence.ts';
import { Listeners } from './store.ts';
import { Subscriber } from './subscriber.ts';
import { Subscription } from './subscription.ts';
import { Tokens } from './token.ts';
import type {
  Channel,
  ChannelOptions,
  ChannelSchema,
  HistoryOptions,
  IterateOptions,
  Message,
  Off,
  Published,
  PublishOptions,
  SubscribeOptions,
} from './types.ts';
import { type Checked, check, checkInput } from './validate.ts';

/** What a message was before its schema transformed it: other tabs get that, and validate for themselves. */
export const originals = new WeakMap<Message, Message>();

/** A channel as the application sees it. */
export class ClientChannel implements Channel {
  readonly options: ChannelOptions = {};
  readonly presence: ChannelPresence;
  readonly entries: ChannelEntries;
  readonly _subscription: Subscription;
  /** Presence frames as the hub sends them, for tabs that follow over our connection. */
  readonly _relays: Listeners<Frame>;
  /** Rights for this channel alone. */
  _tokens: Tokens | undefined;
  /** The application has it. Otherwise it is here for other tabs only. */
  _own = false;
  /** Who keeps it subscribed without listening to messages. */
  private _holds = 0;
  private _schema: ChannelSchema | undefined;

  constructor(
    private _core: Core,
    readonly name: string,
  ) {
    this._schema = schemaOf(_core._options.schema, name);
    this._relays = new Listeners(_core._guard);
    this.presence = new ChannelPresence(_core, this, this._schema?.presence);
    this.entries = new ChannelEntries(_core, () => this._watch('snapshot'));
    this._subscription = new Subscription(_core, this);
  }

  get position() {
    return this._subscription._position;
  }

  get state() {
    return this._subscription._state;
  }

  /** Takes the options of a later call: what it leaves out agrees, what it adds is added, what contradicts throws. */
  _merge(options: ChannelOptions): void {
    const { options: own, name: channel, _subscription: subscription, _core: core } = this;
    const added: Record<string, unknown> = {};
    for (const name of ['presence', 'rate', 'echo', 'snapshot', 'token'] as const) {
      const value = options[name];
      if (value === undefined || value === own[name]) continue;
      if (own[name] !== undefined || (name === 'snapshot' && subscription._position)) {
        const show = (it: unknown) => `${name}: ${name === 'token' ? (it ? 'another' : it) : it}`;
        const detail = `channel ${channel} was opened with ${show(own[name])}, and now with ${show(value)}`;
        throw new FanfareError('conflict', detail, { remedy: 'give its options where it is first used', channel });
      }
      added[name] = value;
    }
    Object.assign(own, added);
    if (added.token) this._setToken(own.token);
    const { _link: link } = core._connection;
    if (link && Object.keys(added).length) subscription._subscribe(link);
  }

  /** Whether messages go to `entries` too. */
  get _keyed(): boolean {
    return !!this.options.snapshot;
  }

  _setToken(token: ChannelOptions['token']): void {
    this._tokens = token ? new Tokens(token) : undefined;
  }

  /** The command with the channel's own token. */
  async _withToken(frame: Frame): Promise<Frame> {
    return this._tokens ? { ...frame, token: await this._tokens._get() } : frame;
  }

  /** A link is up, the first one, another, or a better one. */
  _connected(link: Link): void {
    this._subscription._join(link);
    this.presence._reenter();
  }

  subscribe(...args: unknown[]): Off {
    return this._subscribe(args, handler => messages => {
      for (const message of messages) this._core._guard(() => handler(message));
    });
  }

  subscribeBatches(...args: unknown[]): Off {
    return this._subscribe(args, handler => handler as never);
  }

  private _subscribe(args: unknown[], wrap: (handler: (it: never) => void) => (messages: never[]) => void): Off {
    const event = typeof args[0] === 'string' ? (args.shift() as string) : undefined;
    const [handler, options = {}] = args as [(it: never) => void, SubscribeOptions?];
    return this._listen(this._reader(event, wrap(handler) as (messages: Message[]) => void, options));
  }

  /** One who will listen. */
  _reader(event: string | undefined, handler: (messages: Message[]) => void, options: SubscribeOptions): Subscriber {
    return new Subscriber(this._core, event, handler, options);
  }

  _listen(subscriber: Subscriber): Off {
    const { _subscription: subscription } = this;
    const { signal } = subscriber._options;
    if (signal?.aborted) return () => {};
    const { error } = subscription._state.value;
    const off = () => {
      signal?.removeEventListener('abort', off);
      subscriber._end();
      if (subscription._subscribers.delete(subscriber)) this._settle();
    };
    signal?.addEventListener('abort', off);
    subscription._subscribers.add(subscriber);
    subscription._start();
    subscription._place(subscriber);
    if (error) queueMicrotask(() => subscriber._error(error as FanfareError));
    return off;
  }

  /** Keeps the channel subscribed for what needs `option`. */
  _watch(option: 'presence' | 'snapshot'): Off {
    const { name } = this;
    if (!this.options[option]) {
      const remedy = `channel('${name}', { ${option}: true })`;
      throw new FanfareError('bad_request', `channel ${name} was opened without ${option}`, { remedy, channel: name });
    }
    const release = this._hold();
    this._subscription._start();
    return release;
  }

  /** Keeps it from being unsubscribed. */
  _hold(): Off {
    let held = 1;
    this._holds++;
    return () => {
      this._holds -= held;
      if (held--) this._settle();
      held = 0;
    };
  }

  get _used(): number {
    return this._subscription._subscribers.size + this._holds;
  }

  /** Unsubscribes when nobody is left; a member stays, since an `unsubscribe` ends a membership. */
  _settle(): void {
    const { _core: core, options, name } = this;
    if (this._used || this.presence.entered) return;
    this._subscription._stop();
    this.presence._clear();
    // Rights that nobody uses are not kept.
    this._tokens?._abort();
    this._setToken(options.token);
    if (!this._own) core._channels.delete(name);
  }

  messages(options: IterateOptions = {}): AsyncIterableIterator<never> {
    const { event, since, last, onGap, buffer } = options;
    return iterate(this.name, options, (message, onError) =>
      this._listen(this._reader(event, messages => messages.forEach(message), { since, last, onGap, onError, buffer })),
    ) as AsyncIterableIterator<never>;
  }

  async *history(options: HistoryOptions = {}): AsyncGenerator<never> {
    const { history } = await this._core._past();
    yield* history(this._core, this, options) as AsyncGenerator<never>;
  }

  async publish(event: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    const { offline, signal, timeout, ttl, ...fields } = options;
    const { key, id, ephemeral } = fields;
    const { name: channel, _core: core } = this;
    const { _publisher: publisher } = core;
    // Removing a key carries no data that would have to be right.
    const schema = key === undefined || data !== null ? this._schema?.message?.[event] : undefined;
    if (schema) await checkInput(schema, data, channel);
    const frame: Frame = { ...fields, type: 'publish', channel, event, ...toWire(data), ttl_ms: ttl };
    frame.id = id ?? (ephemeral ? undefined : publisher._id());
    return publisher._publish(this._tokens ? await this._withToken(frame) : frame, options);
  }

  /** The message by its schema; `undefined`: it does not fit, which was told. */
  _validate(message: Message): Message | undefined | Promise<Message | undefined> {
    const { event, data, position, key } = message;
    const schema = this._schema?.message?.[event];
    if (!schema) return message;
    const use = ({ value, issues }: Checked): Message | undefined => {
      if (!issues) {
        const valid = { ...message, data: value };
        originals.set(valid, message);
        return valid;
      }
      // A removal is told to those who follow every event, whose data is `unknown`; the entries have it anyway.
      if (data !== null || key === undefined)
        this._core._invalid({ channel: this.name, event, data, issues, position });
      return undefined;
    };
    const checked = check(schema, data);
    return checked instanceof Promise ? checked.then(use) : use(checked);
  }
}
