import { globals, guarded } from './env.ts';
import type { Off } from './types.ts';

/** What a page tells that matters to a connection. */
export interface LifecycleHooks {
  /** The network came back, the page is looked at again: see at once how things are. */
  wake(): void;
  /** The network went away. */
  offline(): void;
  /** The page goes to the back/forward cache, or ends. */
  hide(persisted: boolean): void;
  /** It came back from that cache. */
  show(): void;
}

/** Listens to whichever of these events this place has. */
export function watchLifecycle(hooks: LifecycleHooks): Off {
  const offs: Off[] = [];
  const listen = (target: EventTarget | undefined, name: string, fn: (event: Event) => void) => {
    if (typeof target?.addEventListener !== 'function') return;
    target.addEventListener(name, fn);
    offs.push(() => target.removeEventListener(name, fn));
  };
  const scope = globals as unknown as EventTarget;
  const page = guarded(() => globals.document);
  listen(scope, 'online', () => hooks.wake());
  listen(scope, 'offline', () => hooks.offline());
  listen(page, 'visibilitychange', () => page?.visibilityState === 'visible' && hooks.wake());
  listen(scope, 'pageshow', event => (event as PageTransitionEvent).persisted && hooks.show());
  listen(scope, 'pagehide', event => hooks.hide((event as PageTransitionEvent).persisted));
  return () => {
    for (const off of offs) off();
  };
}

/** The browser is sure that there is no network. */
export const isOffline = (): boolean => guarded(() => globals.navigator?.onLine === false) ?? false;
