import { globals } from './env.ts';
import type { DebugReport } from './types.ts';

const clients = new Set<WeakRef<{ debug(): DebugReport }>>();

/** Makes `fanfare.debug()` work in the console, for every client that was used; nothing is kept alive by it. */
export function registerDebug(client: { debug(): DebugReport }): void {
  if (typeof WeakRef === 'undefined' || [...clients].some(ref => ref.deref() === client)) return;
  clients.add(new WeakRef(client));
  globals.fanfare ??= {
    debug() {
      const reports: DebugReport[] = [];
      for (const ref of clients) {
        const report = ref.deref()?.debug();
        if (!report) clients.delete(ref);
        else reports.push(report);
      }
      for (const { url, status, channels, metrics, events } of reports) {
        console.log(`fanfare ${url}: ${status.state}`, status, metrics);
        console.table?.(channels);
        console.table?.(
          events.map(({ at, what, detail }) => ({
            at: new Date(at).toISOString(),
            what,
            detail: detail === undefined ? '' : JSON.stringify(detail),
          })),
        );
      }
      return reports;
    },
  };
}
