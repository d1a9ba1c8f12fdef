/**
 * Channels, presence and state as RxJS observables. Whatever reads `Symbol.observable` can read them too. Everything that
 * looks at one channel shares its one subscription; reconnects are not errors.
 */
import { Observable, type Subscriber } from 'rxjs';
import type {
  Channel,
  ChannelTypes,
  Client,
  Entries,
  EventName,
  Message,
  MessageOf,
  Presence,
  Status,
  Store,
  SubscribeOptions,
} from '../types.ts';

/** Errors when the hub refuses or ends the subscription, unless `onError` is given: then it stays, and is tried again with the connection. */
export type FromChannelOptions = Omit<SubscribeOptions, 'signal'>;

/** The messages of a channel: of one event, or of all. Each subscriber gets the past that it asks for (`since`, `last`), then what comes. */
export function fromChannel<T extends ChannelTypes, E extends EventName<T>>(
  channel: Channel<T>,
  event: E,
  options?: FromChannelOptions,
): Observable<MessageOf<T, E>>;
export function fromChannel<T extends ChannelTypes>(
  channel: Channel<T>,
  options?: FromChannelOptions,
): Observable<Message>;
export function fromChannel(
  channel: Channel,
  first?: string | FromChannelOptions,
  second?: FromChannelOptions,
): Observable<Message> {
  return make(observer => {
    const next = (message: Message) => observer.next(message);
    const onError = (error: unknown) => observer.error(error);
    return typeof first === 'string'
      ? channel.subscribe(first, next, { onError, ...second })
      : channel.subscribe(next, { onError, ...first });
  });
}

/** A store's value now, then each change. */
export function fromStore<T>(store: Store<T>): Observable<T> {
  return make(observer => store.subscribe(value => observer.next(value)));
}

/** Who is there now, then each change. The channel needs the option `presence: true`. */
export const fromPresence = <T extends ChannelTypes>(
  channel: Channel<T>,
): Observable<Presence<T['presence']['in'], T['presence']['out']>['value']> => fromStore(channel.presence);

/** The state of a keyed channel now, then each change. The channel needs the option `snapshot: true`. */
export const fromEntries = <T extends ChannelTypes>(channel: Channel<T>): Observable<Entries<T>['value']> =>
  fromStore(channel.entries);

/** The connection's state now, then each change. Never errors: `failed` is a state. */
// biome-ignore lint/suspicious/noExplicitAny: clients of any schema
export const status$ = (client: Pick<Client<any>, 'status'>): Observable<Status> => fromStore(client.status);

function make<T>(open: (observer: Subscriber<T>) => () => void): Observable<T> {
  const made = new Observable<T>(open);
  // RxJS decides once, when it is loaded, which of its names this method has; a polyfill may come later.
  const symbol = (Symbol as { observable?: symbol }).observable;
  for (const name of ['@@observable', symbol])
    if (name && !(name in made)) Object.defineProperty(made, name, { value: () => made });
  return made;
}
