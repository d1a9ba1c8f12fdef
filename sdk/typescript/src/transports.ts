import type { Core } from './core.ts';
import { globals, guarded } from './env.ts';
import type { LinkContext, Opener, Transport, TransportEvents } from './link.ts';
import type { TransportName } from './types.ts';
import { openWebSocket } from './ws-link.ts';

/** The transports that are allowed, from best to worst. */
export function allowed({ _options }: Core): TransportName[] {
  const names = _options.transports ?? ['ws', 'sse', 'poll'];
  return [...new Set(names.flatMap<TransportName>(name => (name === 'poll' ? ['longpoll', name] : name)))];
}

/** The transports to try: what worked here `last` (or as remembered for the origin) first, what is known to be `bad` last. */
export function inOrder(
  core: Core,
  names: TransportName[],
  bad: (name: TransportName) => boolean,
  last?: TransportName,
): TransportName[] {
  const first = last ?? guarded(() => globals.localStorage!.getItem(key(core)));
  const rank = (name: TransportName) => (bad(name) ? 2 : name === first ? 0 : 1);
  return [...names].sort((a, b) => rank(a) - rank(b));
}

/** What worked, for the next page of this origin; `''`: what worked does no more. */
export function remember(core: Core, name: TransportName | ''): void {
  // What an application narrowed down to says nothing about other pages.
  if (!core._options.transports) guarded(() => globals.localStorage!.setItem(key(core), name));
}

const key = (core: Core) => `fanfare:transport:${core._url}`;

/** Code that is here already, and need not be loaded: `fanfare-client/testing` brings it, since its time is not the network's. */
export interface Preloaded {
  _openHttp?: (name: TransportName, context: LinkContext, events: TransportEvents) => Transport;
  _past?: typeof import('./past.ts');
}

/**
 * The transport's code. Most clients never need that of HTTP. It comes by HTTP as well, so where it cannot be loaded, the transport
 * would hardly work; the next try loads it again.
 */
export function load({ _options }: Core, name: TransportName): Opener | Promise<Opener> {
  if (name === 'ws') return openWebSocket;
  const bind =
    (open: NonNullable<Preloaded['_openHttp']>): Opener =>
    (context, events) =>
      open(name, context, events);
  return _options._openHttp
    ? bind(_options._openHttp)
    : import('./http-link.ts').then(({ openHttp }) => bind(openHttp));
}
