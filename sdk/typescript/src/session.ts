import type { Core } from './core.ts';
import { globals, guarded } from './env.ts';

/** The secret name of this tab, and how to give it up. */
export interface Session {
  _id: string;
  _release(): void;
}

/**
 * The session of this tab: kept in sessionStorage, so that a reload is the same client, and guarded by a Web Lock, because a
 * duplicated tab begins with a copy of the storage and must not be the same client. Without these, one for as long as the page lives.
 */
export async function openSession(core: Core): Promise<Session> {
  const key = `fanfare:session:${core._url}`;
  const storage = guarded(() => globals.sessionStorage);
  const locks = guarded(() => globals.navigator!.locks);
  const fresh = core._newId(24);
  /** Takes the lock of that name if it is free. */
  const open = (_id: string) =>
    new Promise<Session | undefined>(resolve => {
      locks!
        .request(
          `${key}:${_id}`,
          { ifAvailable: true },
          lock => lock && new Promise<void>(_release => resolve({ _id, _release })),
        )
        // Not available, or refused altogether; what was resolved before stays.
        .finally(() => resolve(undefined))
        .catch(() => {});
    });
  if (storage && locks)
    for (const id of [guarded(() => storage.getItem(key)), fresh])
      if (id && /^[\w-]{22,64}$/.test(id)) {
        guarded(() => storage.setItem(key, id));
        const session = await open(id);
        if (session) return session;
      }
  return { _id: fresh, _release() {} };
}
