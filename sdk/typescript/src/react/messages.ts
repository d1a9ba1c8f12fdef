import type {
  AnyChannel,
  Channel,
  ChannelTypes,
  EventName,
  FanfareErrorFields,
  Gap,
  Message,
  MessageOf,
  Off,
  Position,
  SubscribeOptions,
} from '../types.ts';
import type { RegisteredTypes } from './context.ts';
import { useFound } from './state.ts';
import { type Source, useSource } from './store.ts';

export interface UseMessagesOptions<E extends string = string> {
  /** Only this event. */
  event?: E;
  /** Begin with the newest N; 0: only what comes. Default 50. */
  last?: number;
  /** Begin after this position. */
  since?: Position;
  /** Keep so many; older ones go, and `loadMore` brings them back. What `loadMore` brought does not count. Default 1,000. */
  keep?: number;
  /** How what comes is gathered before a render: `'frame'` (default) or ms. */
  batch?: SubscribeOptions['batch'];
}

export interface Messages<M = Message> {
  /** Oldest first, each once. A new array after each change, and only then. */
  readonly messages: readonly M[];
  /** Until the past that was asked for has come; also while `loadMore` reads. */
  readonly loading: boolean;
  /** Older messages may be there. */
  readonly hasMore: boolean;
  /** Reads `count` (50) older messages and puts them before the others. Never rejects: see `error`. Runs once at a time. */
  readonly loadMore: (count?: number) => Promise<void>;
  /** The last loss: messages are missing before the one after `gap.position`. */
  readonly gap: Gap | undefined;
  /** Why the channel or history refused. */
  readonly error: (Error & FanfareErrorFields) | undefined;
}

/** The past of a channel and what comes, as one list. Components that ask for the same share it. */
export function useMessages<N extends string, E extends EventName<RegisteredTypes<N>> = string>(
  channel: N,
  options?: UseMessagesOptions<E>,
): Messages<MessageOf<RegisteredTypes<N>, E>>;
export function useMessages<T extends ChannelTypes, E extends EventName<T> = string>(
  channel: Channel<T>,
  options?: UseMessagesOptions<E>,
): Messages<MessageOf<T, E>>;
export function useMessages(channel: AnyChannel | string, options: UseMessagesOptions = {}): Messages {
  return useSource(list(useFound(channel), options), BLANK, state => state);
}

const BLANK: Messages = {
  messages: [],
  loading: true,
  hasMore: false,
  loadMore: async () => {},
  gap: undefined,
  error: undefined,
};

const lists = new WeakMap<AnyChannel, Map<string, Source<Messages>>>();

// Found or made while rendering, which starts nothing: a list that nobody comes to read is only a key in a map.
function list(channel: AnyChannel, options: UseMessagesOptions): Source<Messages> {
  const { event, last = 50, since, keep = 1000, batch = 'frame' } = options;
  const key = JSON.stringify([event, last, since, keep, batch]);
  let ofChannel = lists.get(channel);
  if (!ofChannel) lists.set(channel, (ofChannel = new Map()));
  const map = ofChannel;
  const known = map.get(key);
  if (known) return known;
  const made = makeList(channel, { event, last, since, keep, batch }, read => {
    // A hidden component may come back to a list that was let go of.
    if (!read) map.delete(key);
    else if (!map.has(key)) map.set(key, made);
  });
  map.set(key, made);
  return made;
}

/** What a message is known by. */
const idOf = ({ position, id }: Message) => position ?? id ?? '';

function makeList(
  channel: AnyChannel,
  { event, last, since, keep, batch }: UseMessagesOptions & { last: number; keep: number },
  /** It is read from now on, or no more. */
  used: (read: boolean) => void,
): Source<Messages> {
  const listeners = new Set<() => void>();
  const seen = new Set<string>();
  let readers = 0;
  let offs: Off[] = [];
  /** How many of `messages` came from `loadMore`. */
  let loaded = 0;
  /** Nothing is older than what is here. */
  let complete = false;
  let caughtUp = false;
  let reading: Promise<void> | undefined;
  let state: Messages = { ...BLANK, loadMore };

  function set(change: Partial<Messages>): void {
    const messages = change.messages ?? state.messages;
    const first = messages[0];
    const hasMore = !complete && (first ? first.offset !== 1 : caughtUp && !last);
    const next = { ...state, ...change, hasMore, loading: !caughtUp || !!reading };
    if ((Object.keys(next) as (keyof Messages)[]).every(name => next[name] === state[name])) return;
    state = next;
    for (const listener of [...listeners]) listener();
  }

  const fresh = (messages: readonly Message[]) =>
    messages.filter(message => {
      const id = idOf(message);
      return !id || (!seen.has(id) && seen.add(id));
    });

  function add(messages: readonly Message[]): void {
    const all = [...state.messages, ...fresh(messages)];
    const over = all.length - keep - loaded;
    if (over > 0) {
      for (const gone of all.splice(0, over)) seen.delete(idOf(gone));
      loaded = Math.max(0, loaded - over);
      complete = false;
    }
    set({ messages: all });
  }

  function loadMore(count = 50): Promise<void> {
    reading ??= read(count).then(error => {
      reading = undefined;
      set({ error });
    });
    set({});
    return reading;
  }

  async function read(count: number): Promise<Messages['error']> {
    const before = state.messages.find(message => message.position)?.position;
    const older: Message[] = [];
    try {
      for await (const message of channel.history({ event, before, limit: count })) older.unshift(message as Message);
    } catch (error) {
      return error as Messages['error'];
    }
    complete = older.length < count;
    const added = fresh(older);
    loaded += added.length;
    set({ messages: [...added, ...state.messages] });
    return undefined;
  }

  function start(): void {
    const options: SubscribeOptions = {
      // Read again after a while: it goes on where it ended.
      since: state.messages.findLast(message => message.position)?.position ?? since,
      last: last || undefined,
      batch,
      onGap: gap => set({ gap }),
      onError: error => set({ error }),
    };
    offs = [
      event === undefined
        ? channel.subscribeBatches(add, options)
        : channel.subscribeBatches(event, add as (messages: readonly unknown[]) => void, options),
      channel.state.subscribe(({ state: now, error }) => {
        caughtUp ||= now === 'live' || now === 'refused';
        set(now === 'live' ? { error: undefined } : error ? { error } : {});
      }),
    ];
  }

  return {
    subscribe(listener) {
      listeners.add(listener);
      if (!readers++) {
        used(true);
        start();
      }
      return () => {
        listeners.delete(listener);
        if (--readers) return;
        for (const off of offs) off();
        used(false);
      };
    },
    get: () => state,
  };
}
