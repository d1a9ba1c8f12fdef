import { type Env, globals, guarded } from './env.ts';
import type { TransportName } from './types.ts';

const ALL: readonly TransportName[] = ['ws', 'sse', 'longpoll', 'poll'];

/**
 * The transports to try: what worked here `last` (or as remembered for `url`) first, what is known to be `bad` last. With no `url`: from best to
 * worst.
 */
export function transportOrder(
  env: Env,
  url?: string,
  bad?: (name: TransportName) => boolean,
  last?: TransportName,
): TransportName[] {
  const allowed = (env.options.transports ?? ALL).flatMap(name =>
    name === 'poll' ? (['longpoll', 'poll'] as const) : name,
  );
  const names = [...new Set(allowed)];
  if (url === undefined) return names;
  const first = last ?? guarded(() => globals.localStorage?.getItem(key(url)));
  const rank = (name: TransportName) => (bad?.(name) ? 2 : name === first ? 0 : 1);
  return names.sort((a, b) => rank(a) - rank(b));
}

export function remember(url: string, name: TransportName): void {
  guarded(() => globals.localStorage?.setItem(key(url), name));
}

export function forget(url: string): void {
  guarded(() => globals.localStorage?.removeItem(key(url)));
}

const key = (url: string) => `fanfare:transport:${url}`;
