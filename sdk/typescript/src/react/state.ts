import { useEffect, useMemo } from 'react';
import type { AnyChannel, Channel, ChannelTypes, Entries, PresenceState, Status, Store, Untyped } from '../types.ts';
import { type RegisteredTypes, useClient } from './context.ts';
import { LINGER, type Source, useSource } from './store.ts';

/** What it is before anything is known, on the server and while hydrating. */
const IDLE: Status = {
  state: 'idle',
  attempt: 0,
  maxAttempts: Infinity,
  retryAt: undefined,
  transport: undefined,
  error: undefined,
  stale: false,
};
const NOBODY: PresenceState<never> = { members: [], count: 0, users: 0 };
const NOTHING: ReadonlyMap<string, never> = new Map<string, never>();

const same = <T>(value: T) => value;

function useStore<T, R>(store: Store<T>, server: T, select: (value: T) => R, equal?: (a: R, b: R) => boolean): R {
  const source = useMemo<Source<T>>(
    () => ({ subscribe: listener => store.subscribe(listener), get: () => store.value }),
    [store],
  );
  return useSource(source, server, select, equal);
}

/** The connection's state, or what `select` takes of it. It does not connect; reading a channel does. */
export function useConnection(): Status;
export function useConnection<R>(select: (status: Status) => R, equal?: (a: R, b: R) => boolean): R;
export function useConnection(select: (status: Status) => unknown = same, equal?: (a: unknown, b: unknown) => boolean) {
  return useStore((useClient() as { status: Store<Status> }).status, IDLE, select, equal);
}

type PresenceOf<T extends ChannelTypes> = PresenceState<T['presence']['out']>;

export interface UsePresenceOptions<T extends ChannelTypes, R> {
  /** Be a member with this data as long as the component is mounted; a change updates it. `undefined`: only look. */
  enter?: T['presence']['in'];
  /** Whether what was selected is still the same. Default: equal, or arrays or objects of equal parts. */
  equal?: (a: R, b: R) => boolean;
  /** Entering failed. Default: a warning in the console. */
  onError?: (error: unknown) => void;
}

/** Who is there, or what `select` takes of it. A channel given by name gets the option `presence: true`; one given as an object needs it. */
export function usePresence<N extends string>(
  channel: N,
  select?: undefined,
  options?: UsePresenceOptions<RegisteredTypes<N>, PresenceOf<RegisteredTypes<N>>>,
): PresenceOf<RegisteredTypes<N>>;
export function usePresence<N extends string, R>(
  channel: N,
  select: (presence: PresenceOf<RegisteredTypes<N>>) => R,
  options?: UsePresenceOptions<RegisteredTypes<N>, R>,
): R;
export function usePresence<T extends ChannelTypes>(
  channel: Channel<T>,
  select?: undefined,
  options?: UsePresenceOptions<T, PresenceOf<T>>,
): PresenceOf<T>;
export function usePresence<T extends ChannelTypes, R>(
  channel: Channel<T>,
  select: (presence: PresenceOf<T>) => R,
  options?: UsePresenceOptions<T, R>,
): R;
export function usePresence(
  channel: AnyChannel | string,
  select: (presence: PresenceState<never>) => unknown = same,
  // biome-ignore lint/suspicious/noExplicitAny: any channel's data
  { enter, equal, onError }: UsePresenceOptions<any, any> = {},
): unknown {
  const found = useFound(channel, 'presence');
  const selected = useStore(
    found.presence as Store<PresenceState> as Store<PresenceState<never>>,
    NOBODY,
    select,
    equal,
  );
  const data = enter === undefined ? undefined : JSON.stringify(enter);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the data counts, not the object that holds it
  useEffect(() => (data === undefined ? undefined : stay(found, data, onError)), [found, data]);
  return selected;
}

type EntriesOf<T extends ChannelTypes> = Entries<T>['value'];

/** The state of a keyed channel, or what `select` takes of it. A channel given by name gets the option `snapshot: true`; one given as an object needs it. */
export function useEntries<N extends string>(channel: N): EntriesOf<RegisteredTypes<N>>;
export function useEntries<N extends string, R>(
  channel: N,
  select: (entries: EntriesOf<RegisteredTypes<N>>, ready: boolean) => R,
  equal?: (a: R, b: R) => boolean,
): R;
export function useEntries<T extends ChannelTypes>(channel: Channel<T>): EntriesOf<T>;
export function useEntries<T extends ChannelTypes, R>(
  channel: Channel<T>,
  select: (entries: EntriesOf<T>, ready: boolean) => R,
  equal?: (a: R, b: R) => boolean,
): R;
export function useEntries(
  channel: AnyChannel | string,
  select: (entries: EntriesOf<Untyped>, ready: boolean) => unknown = same,
  equal?: (a: unknown, b: unknown) => boolean,
): unknown {
  const { entries } = useFound(channel, 'snapshot');
  // Bound to the caller's selector, not to this render: what it took is kept as long as it is the same.
  const both = useMemo(() => (value: EntriesOf<Untyped>) => select(value, entries.ready), [select, entries]);
  return useStore(entries as Entries, NOTHING, both, equal);
}

/** The channel itself; one that is given by name has the option that its reader needs. */
export function useFound(channel: AnyChannel | string, option?: 'presence' | 'snapshot'): AnyChannel {
  const client = useClient() as { channel(name: string, options?: object): AnyChannel };
  return typeof channel === 'string' ? client.channel(channel, option && { [option]: true }) : channel;
}

/** Who of the components keeps us a member of a channel, and with what we entered last. */
interface Stay {
  count: number;
  data: string | undefined;
  timer: ReturnType<typeof setTimeout> | undefined;
}
const stays = new WeakMap<AnyChannel, Stay>();

function stay(channel: AnyChannel, data: string, onError: (error: unknown) => void = warn): () => void {
  let here = stays.get(channel);
  if (!here) stays.set(channel, (here = { count: 0, data: undefined, timer: undefined }));
  const mine = here;
  mine.count++;
  clearTimeout(mine.timer);
  if (mine.data !== data) {
    mine.data = data;
    channel.presence.enter(JSON.parse(data)).catch((error: unknown) => {
      if (mine.data === data) mine.data = undefined;
      onError(error);
    });
  }
  return () => {
    if (--mine.count) return;
    mine.timer = setTimeout(() => {
      if (mine.data !== undefined) channel.presence.leave().catch(() => {});
      mine.data = undefined;
    }, LINGER);
  };
}

const warn = (error: unknown) => console.warn('fanfare:', error);
