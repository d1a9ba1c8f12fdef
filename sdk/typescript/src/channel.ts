import type { Core } from './core.ts';
import { ChannelEntries } from './entries.ts';
import { FanfareError } from './errors.ts';
import { readPage } from './history.ts';
import { iterate } from './iterate.ts';
import type { Frame } from './link.ts';
import { toWire } from './message.ts';
import { ChannelPresence } from './presence.ts';
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
import { check, checkInput } from './validate.ts';

const OPTIONS = ['presence', 'rate', 'echo', 'snapshot', 'token'] as const;

/** A channel as the application sees it. */
export class ClientChannel implements Channel {
  readonly options: ChannelOptions = {};
  readonly presence: ChannelPresence;
  readonly entries: ChannelEntries;
  readonly _subscription: Subscription;
  _tokens: Tokens | undefined;
  /** Who keeps it subscribed without listening to messages. */
  private _holds = 0;
  /** Other tabs that follow presence over our connection. */
  private _relays = new Set<(frame: Frame) => void>();

  constructor(
    private _core: Core,
    readonly name: string,
    private _schema: ChannelSchema | undefined,
    options: ChannelOptions,
  ) {
    Object.assign(this.options, options);
    this._tokens = options.token === undefined ? undefined : new Tokens(options.token);
    this.presence = new ChannelPresence(_core, this, _schema?.presence);
    this.entries = new ChannelEntries(_core, () => this._watch('snapshot'));
    this._subscription = new Subscription(_core, name, this.options, () => this._tokens, {
      validate: message => this._validate(message),
      entry: message => options.snapshot !== false && this.options.snapshot && this.entries._put(message),
      state: whole => this.entries._set(whole),
      presence: frame => {
        this.presence._frame(frame);
        for (const relay of this._relays) relay(frame);
      },
      entries: () => this.entries.value.values(),
    });
  }

  get position() {
    return this._subscription._position;
  }

  get state() {
    return this._subscription._state;
  }

  /** Takes the options of a later call: what it leaves out agrees, what it adds is added, what contradicts throws. */
  _merge(options: ChannelOptions): void {
    const { options: own } = this;
    const added: ChannelOptions = {};
    for (const name of OPTIONS) {
      const value = options[name];
      if (value === undefined || value === own[name]) continue;
      const late = name === 'snapshot' && this._subscription._position !== undefined;
      if (own[name] !== undefined || late) {
        const show = (it: unknown) => `${name}: ${typeof it === 'function' ? 'another function' : it}`;
        throw new FanfareError(
          'conflict',
          `channel ${this.name} was opened with ${show(own[name])}, and now with ${show(value)}`,
          {
            remedy: 'give a channel its options where it is first used, or everywhere the same',
            channel: this.name,
          },
        );
      }
      Object.assign(added, { [name]: value });
    }
    if (!Object.keys(added).length) return;
    Object.assign(own, added);
    if (added.token !== undefined) this._tokens = new Tokens(added.token);
    const { link } = this._core.connection;
    if (link) this._subscription._subscribe(link);
  }

  subscribe(...args: unknown[]): Off {
    return this._subscribe(args, handler => messages => {
      for (const message of messages) this._guard(() => handler(message));
    });
  }

  subscribeBatches(...args: unknown[]): Off {
    return this._subscribe(args, handler => handler as never);
  }

  private _guard(fn: () => void): void {
    try {
      fn();
    } catch (error) {
      this._core.threw(error);
    }
  }

  private _subscribe(args: unknown[], wrap: (handler: (it: never) => void) => (messages: never[]) => void): Off {
    const event = typeof args[0] === 'string' ? (args.shift() as string) : undefined;
    const [handler, options = {}] = args as [(it: never) => void, SubscribeOptions?];
    return this._listen(new Subscriber(this._core, event, wrap(handler) as (messages: Message[]) => void, options));
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
  private _watch(option: 'presence' | 'snapshot'): Off {
    if (!this.options[option]) {
      throw new FanfareError('bad_request', `channel ${this.name} was opened without ${option}`, {
        remedy: `channel('${this.name}', { ${option}: true })`,
        channel: this.name,
      });
    }
    const release = this._hold();
    this._subscription._start();
    return release;
  }

  /** Keeps it from being unsubscribed. */
  _hold(): Off {
    this._holds++;
    let over = false;
    return () => {
      if (over) return;
      over = true;
      this._holds--;
      this._settle();
    };
  }

  /** Presence frames as the hub sends them. */
  _relay(relay: (frame: Frame) => void): Off {
    this._relays.add(relay);
    return () => this._relays.delete(relay);
  }

  _watchPresence(): Off {
    return this._watch('presence');
  }

  get _used(): number {
    return this._subscription._subscribers.size + this._holds;
  }

  /** Unsubscribes when nobody is left; a member stays, since an `unsubscribe` ends a membership. */
  _settle(): void {
    if (this._used || this.presence.entered) return;
    this._subscription._stop();
    this.presence._clear();
  }

  messages(options: IterateOptions = {}): AsyncIterableIterator<never> {
    const { event, since, last, onGap } = options;
    return iterate(this.name, options, source =>
      this._listen(
        new Subscriber(
          this._core,
          event,
          messages => {
            for (const message of messages) source.message(message);
          },
          { since, last, onGap, onError: error => source.error(error as FanfareError), buffer: options.buffer },
        ),
      ),
    ) as AsyncIterableIterator<never>;
  }

  history(options: HistoryOptions = {}): AsyncIterableIterator<never> {
    return this._history(options) as AsyncIterableIterator<never>;
  }

  private async *_history({
    event,
    since,
    before,
    limit = Number.POSITIVE_INFINITY,
    page = 100,
    onGap,
    signal,
  }: HistoryOptions) {
    const reverse = since === undefined;
    for (let given = 0; given < limit; ) {
      const read = await readPage(this._core, this.name, { since, before, limit: page, reverse }, signal);
      if (read._gap) await onGap?.(read._gap);
      for (const raw of read._messages) {
        if (event !== undefined && raw.event !== event) continue;
        const message = await this._validate(raw);
        if (!message) continue;
        yield message;
        if (++given >= limit) return;
      }
      const last = read._messages.at(-1);
      if (!read._more || !last) return;
      if (reverse) before = last.position;
      else since = last.position;
    }
  }

  async publish(event: string, data: unknown, options: PublishOptions = {}): Promise<Published> {
    const { key, id, tags, ephemeral, ack, ttl, if: condition } = options;
    // Removing a key carries no data that would have to be right.
    if (key === undefined || data !== null) {
      const schema = this._schema?.message?.[event];
      if (schema) await checkInput(schema, data, this.name);
    }
    const frame: Frame = { type: 'publish', channel: this.name, event, ...toWire(data) };
    const fields = {
      key,
      tags,
      ephemeral,
      ack,
      ttl_ms: ttl,
      if: condition,
      id: id ?? (ephemeral ? undefined : this._core.publisher.id()),
    };
    for (const [name, value] of Object.entries(fields)) if (value !== undefined) frame[name] = value;
    if (this._tokens) frame.token = await this._tokens.get();
    return this._core.publisher.publish(frame, options);
  }

  private _validate(message: Message): Message | undefined | Promise<Message | undefined> {
    const { event, data, position, key } = message;
    const schema = this._schema?.message?.[event];
    if (!schema) return message;
    const checked = check(schema, data);
    const use = (result: Awaited<typeof checked>): Message | undefined => {
      if ('value' in result) return { ...message, data: result.value };
      // A removal is told to those who follow every event, whose data is `unknown`; the entries have it anyway.
      if (data === null && key !== undefined) return undefined;
      this._core.invalid({ channel: this.name, event, data, issues: result.issues, position });
      return undefined;
    };
    return checked instanceof Promise ? checked.then(use) : use(checked);
  }
}
