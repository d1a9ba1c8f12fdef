import { type Env, globals, guarded, newId } from './env.ts';

/** The secret name of this tab, and how to give it up. */
export interface Session {
  id: string;
  release(): void;
}

const VALID = /^[\w-]{22,64}$/;

/**
 * The session of this tab: kept in sessionStorage, so that a reload is the same client, and guarded by a Web Lock, because a
 * duplicated tab begins with a copy of the storage and must not be the same client. Without these, one for as long as the page lives.
 */
export async function openSession(env: Env, url: string): Promise<Session> {
  const key = `fanfare:session:${url}`;
  const storage = guarded(() => globals.sessionStorage);
  const locks = guarded(() => globals.navigator?.locks);
  const fresh = newId(env.random);
  if (!storage || !locks) return { id: fresh, release() {} };
  const stored = guarded(() => storage.getItem(key));
  const held = stored && VALID.test(stored) ? await hold(locks, `${key}:${stored}`) : undefined;
  if (stored && held) return { id: stored, release: held };
  guarded(() => storage.setItem(key, fresh));
  return { id: fresh, release: (await hold(locks, `${key}:${fresh}`)) ?? (() => {}) };
}

/** Takes the lock if it is free; the function gives it back. */
function hold(locks: LockManager, name: string): Promise<(() => void) | undefined> {
  return new Promise(resolve => {
    locks
      .request(name, { ifAvailable: true }, lock => {
        if (!lock) return resolve(undefined);
        return new Promise<void>(release => resolve(release));
      })
      .catch(() => resolve(undefined));
  });
}

/** The public name of a session, as the hub computes it; `undefined` where this place has no SHA-256 (a page over plain http). */
export async function publicClient(session: string): Promise<string | undefined> {
  const digest = await guarded(() => globals.crypto?.subtle)?.digest('SHA-256', new TextEncoder().encode(session));
  if (!digest) return undefined;
  const text = btoa(String.fromCharCode(...new Uint8Array(digest)));
  return text.slice(0, 16).replace(/\+/g, '-').replace(/\//g, '_');
}
