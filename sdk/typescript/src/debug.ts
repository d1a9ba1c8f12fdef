import { globals } from './env.ts';
import type { DebugReport } from './types.ts';

const clients = new Set<WeakRef<{ debug(): DebugReport }>>();

/** Makes `fanfare.debug()` work in the console, for every client that was used; nothing is kept alive by it. */
export function registerDebug(client: { debug(): DebugReport }): void {
  if (!globalThis.WeakRef) return;
  clients.add(new WeakRef(client));
  globals.fanfare ??= {
    debug: () =>
      [...clients].flatMap(ref => {
        const report = ref.deref()?.debug();
        if (!report) {
          clients.delete(ref);
          return [];
        }
        const { url, status, metrics, channels, events } = report;
        console.log('fanfare', url, status, metrics);
        console.table?.(channels);
        console.table?.(events.map(event => ({ ...event, at: new Date(event.at).toISOString() })));
        return report;
      }),
  };
}
