import type { Core } from './core.ts';
import { globals, guarded } from './env.ts';
import type { Opener } from './link.ts';
import type { TransportName } from './types.ts';
import { openWebSocket } from './ws-link.ts';

/** The transports that are allowed, from best to worst. */
export function allowed({ _options }: Core): TransportName[] {
  const names = _options.transports ?? ['ws', 'sse', 'poll'];
  return [...new Set(names.flatMap<TransportName>(name => (name === 'poll' ? ['longpoll', name] : name)))];
}

/** What worked here before, as far as it is known. */
export const remembered = (core: Core): string | null | undefined =>
  guarded(() => globals.localStorage!.getItem(key(core)));

/** What worked, for the next page of this origin; `''`: what worked does no more. */
export function remember(core: Core, name: TransportName | ''): void {
  // What an application narrowed down to says nothing about other pages.
  if (!core._options.transports) guarded(() => globals.localStorage!.setItem(key(core), name));
}

const key = (core: Core) => `fanfare:transport:${core._url}`;

/**
 * The transport's code. Most clients never need that of HTTP. It comes by HTTP as well, so where it cannot be loaded, the transport
 * would hardly work; the next try loads it again.
 */
export function load({ _options }: Core, name: TransportName): Opener | Promise<Opener> {
  if (name === 'ws') return openWebSocket;
  return _options._openHttp?.(name) ?? import('./http-link.ts').then(({ openHttp }) => openHttp(name));
}
