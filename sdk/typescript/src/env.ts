import type { ClientOptions, Clock } from './types.ts';

/** What the rest may ask of the world. Every global is looked up when it is used, so that making a client touches none. */
export interface Env extends Clock {
  random(): number;
  options: ClientOptions;
}

type Globals = {
  WebSocket?: NonNullable<ClientOptions['WebSocket']>;
  fetch?: typeof fetch;
  localStorage?: Storage;
  sessionStorage?: Storage;
  navigator?: { onLine?: boolean; locks?: LockManager };
  document?: Document;
  crypto?: Crypto;
  addEventListener?: typeof addEventListener;
  removeEventListener?: typeof removeEventListener;
  requestAnimationFrame?: typeof requestAnimationFrame;
  reportError?: (error: unknown) => void;
  BroadcastChannel?: typeof BroadcastChannel;
  fanfare?: unknown;
};

/** The globals, none of which need be there. */
export const globals = globalThis as unknown as Globals;

export function makeEnv(options: ClientOptions): Env {
  const clock = options.clock ?? systemClock;
  return {
    now: () => clock.now(),
    setTimeout: (fn, ms) => clock.setTimeout(fn, ms),
    clearTimeout: handle => clock.clearTimeout(handle),
    random: () => (options.random ?? Math.random)(),
    options,
  };
}

export const systemClock: Clock = {
  now: () => Date.now(),
  setTimeout: (fn, ms) => setTimeout(fn, ms),
  clearTimeout: handle => clearTimeout(handle as never),
};

/** Reads a global that may throw when it is touched (storage in a sandboxed frame, or with cookies blocked). */
export function guarded<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** 24 unguessable characters of `[A-Za-z0-9_-]` where the platform has randomness of its own; else as random as `random`. */
export function newId(random: () => number, length = 24): string {
  const bytes = new Uint8Array(length);
  if (globals.crypto?.getRandomValues) globals.crypto.getRandomValues(bytes);
  else for (let i = 0; i < length; i++) bytes[i] = random() * 256;
  let text = '';
  for (const byte of bytes) text += 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'[byte & 63];
  return text;
}
