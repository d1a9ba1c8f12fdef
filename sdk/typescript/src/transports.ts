import type { Core } from './core.ts';
import { globals, guarded } from './env.ts';
import { FanfareError } from './errors.ts';
import type { Frame, Link, Opener } from './link.ts';
import type { TransportName } from './types.ts';
import { openWebSocket } from './ws-link.ts';

/** The transports that are allowed, from best to worst. */
export function allowed({ _options }: Core): TransportName[] {
  const names = _options.transports ?? ['ws', 'sse', 'poll'];
  return [...new Set(names.flatMap<TransportName>(name => (name === 'poll' ? ['longpoll', name] : name)))];
}

/** The transports to try: what worked here `last` (or as remembered for the origin) first, what is known to be `bad` last. */
export function inOrder(core: Core, bad: (name: TransportName) => boolean, last?: TransportName): TransportName[] {
  const first = last ?? guarded(() => globals.localStorage!.getItem(key(core)));
  const rank = (name: TransportName) => (bad(name) ? 2 : name === first ? 0 : 1);
  return allowed(core).sort((a, b) => rank(a) - rank(b));
}

/** What worked, for the next page of this origin; `''`: what worked does no more. */
export function remember(core: Core, name: TransportName | ''): void {
  // What an application narrowed down to says nothing about other pages.
  if (!core._options.transports) guarded(() => globals.localStorage!.setItem(key(core), name));
}

const key = (core: Core) => `fanfare:transport:${core._url}`;

/** Code that is here already, and need not be loaded: `fanfare-client/testing` brings it, since its time is not the network's. */
export interface Preloaded {
  _openHttp?: (name: TransportName, ...rest: Parameters<Opener>) => Link;
  _past?: typeof import('./past.ts');
}

export const opener =
  (name: TransportName): Opener =>
  (context, events) => {
    const { _openHttp } = context._core._options as Preloaded;
    if (name === 'ws') return openWebSocket(context, events);
    if (_openHttp) return _openHttp(name, context, events);
    // Most clients never need it. Its code comes by HTTP as well, so where it cannot be loaded, the transport would hardly work; the next try loads it again.
    let link: Link | undefined;
    let ended = false;
    const waiting: Frame[] = [];
    import('./http-link.ts').then(
      ({ openHttp }) => {
        if (ended) return;
        link = openHttp(name, context, events);
        for (const frame of waiting) link._send(frame);
      },
      error => ended || events._closed(new FanfareError('network', `${name}: ${error}`)),
    );
    return {
      _name: name,
      _send: frame => (link ? link._send(frame) : waiting.push(frame)),
      _refresh: () => link?._refresh(),
      _close() {
        ended = true;
        link?._close();
      },
    };
  };
