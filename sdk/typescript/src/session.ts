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
  const open = async (_id: string): Promise<Session | undefined> => {
    const _release = await hold(locks!, `${key}:${_id}`);
    return _release && { _id, _release };
  };
  if (storage && locks) {
    const stored = guarded(() => storage.getItem(key)) ?? '';
    const session = /^[\w-]{22,64}$/.test(stored) && (await open(stored));
    if (session) return session;
    guarded(() => storage.setItem(key, fresh));
    const made = await open(fresh);
    if (made) return made;
  }
  return { _id: fresh, _release() {} };
}

/** Takes the lock if it is free; the function gives it back. */
const hold = (locks: LockManager, name: string): Promise<(() => void) | undefined> =>
  new Promise(resolve => {
    locks
      .request(name, { ifAvailable: true }, lock => new Promise<void>(release => (lock ? resolve(release) : release())))
      // Not available, or refused altogether; what was resolved before stays.
      .finally(() => resolve(undefined))
      .catch(() => {});
  });
