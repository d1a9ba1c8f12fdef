import { globals, guarded } from './env.ts';
import type { Off } from './types.ts';

/**
 * Listens to what a page tells that matters to a connection, as far as this place has it.
 *
 * `wake`: the network came back, or the page is looked at again. `offline`: the network went away. `hide`: the page goes to the back/forward
 * cache (`true`) or ends. `show`: it came back from that cache.
 */
export function watchLifecycle(
  wake: () => void,
  offline: () => void,
  hide: (persisted: boolean) => void,
  show: () => void,
): Off {
  // Given as the listeners' options, of which `signal` is one.
  const stop = new AbortController();
  const page = guarded(() => globals.document);
  const listen = (target: unknown, name: string, fn: (event: PageTransitionEvent) => void) =>
    (target as EventTarget | undefined)?.addEventListener?.(name, fn as never, stop);
  listen(globals, 'online', wake);
  listen(globals, 'offline', offline);
  listen(page, 'visibilitychange', () => page!.visibilityState === 'visible' && wake());
  listen(globals, 'pageshow', event => event.persisted && show());
  listen(globals, 'pagehide', event => hide(event.persisted));
  return () => stop.abort();
}

/** The browser is sure that there is no network. */
export const isOffline = (): boolean => guarded(() => globals.navigator!.onLine) === false;
