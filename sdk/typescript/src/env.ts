import type { ClientOptions } from './types.ts';

type Globals = {
  WebSocket?: NonNullable<ClientOptions['WebSocket']>;
  fetch?: typeof fetch;
  localStorage?: Storage;
  sessionStorage?: Storage;
  navigator?: { onLine?: boolean; locks?: LockManager };
  document?: Document;
  crypto?: Crypto;
  requestAnimationFrame?: typeof requestAnimationFrame;
  reportError?: (error: unknown) => void;
  BroadcastChannel?: typeof BroadcastChannel;
  fanfare?: unknown;
};

/** The globals, none of which need be there. Each is looked up when it is used, so that making a client touches none. */
export const globals = globalThis as unknown as Globals;

/** Reads a global that may throw when it is touched (storage in a sandboxed frame, or with cookies blocked). */
export function guarded<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** `length` characters of `[0-9a-z]`, five bits each: unguessable where the platform has randomness of its own; else as random as `random`. */
export function newId(random: () => number, length: number): string {
  const bytes =
    globals.crypto?.getRandomValues?.(new Uint8Array(length)) ?? Uint8Array.from({ length }, () => random() * 256);
  return Array.from(bytes, byte => (byte % 36).toString(36)).join('');
}
