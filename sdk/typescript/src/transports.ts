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

/**
 * What worked here before, as far as it is known. With `name`, that works: the next page of this origin is to know it; `''`: what worked does no
 * more.
 */
export const remembered = ({ _url, _options }: Core, name?: string): string | null | void =>
  guarded(() => {
    const key = `fanfare:transport:${_url}`;
    if (name == null) return globals.localStorage!.getItem(key);
    // What an application narrowed down to says nothing about other pages.
    if (!_options.transports) globals.localStorage!.setItem(key, name);
  });

/**
 * The transport's code. Most clients never need that of HTTP. It comes by HTTP as well, so where it cannot be loaded, the transport
 * would hardly work; the next try loads it again.
 */
export function load({ _options }: Core, name: TransportName): Opener | Promise<Opener> {
  if (name === 'ws') return openWebSocket;
  return _options._openHttp?.(name) ?? import('./http-link.ts').then(({ openHttp }) => openHttp(name));
}
