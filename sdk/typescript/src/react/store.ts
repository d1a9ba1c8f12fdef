import { useCallback, useRef, useSyncExternalStore } from 'react';
import type { Off } from '../types.ts';

/** What is let go of stays for so long, ms: a component that is mounted again meanwhile (StrictMode, a route, a hot reload) finds it. */
export const LINGER = 1000;

/** What the hooks read: a snapshot that is the same object until it changes. */
export interface Source<T> {
  subscribe(listener: () => void): Off;
  get(): T;
}

/** Ends a subscription a little later; its listener hears nothing more from now on. */
export function linger(subscribe: (listener: () => void) => Off, listener: () => void): Off {
  let live = true;
  const off = subscribe(() => live && listener());
  return () => {
    live = false;
    setTimeout(off, LINGER);
  };
}

/** Follows a source, or what `select` takes of it; renders again only when that has changed. `server`: what there is before hydration. */
export function useSource<T, R>(
  source: Source<T>,
  server: T,
  select: (value: T) => R,
  equal: (a: R, b: R) => boolean = shallow,
): R {
  const last = useRef<[T, typeof select, R]>(undefined);
  const read = (value: T): R => {
    const memo = last.current;
    if (memo && memo[0] === value && memo[1] === select) return memo[2];
    let result = select(value);
    if (memo && equal(memo[2], result)) result = memo[2];
    last.current = [value, select, result];
    return result;
  };
  return useSyncExternalStore(
    useCallback(listener => linger(source.subscribe, listener), [source]),
    () => read(source.get()),
    () => read(server),
  );
}

/** Equal, or arrays or plain objects of equal parts: a selector may build a new one each time. */
function shallow(a: unknown, b: unknown): boolean {
  if (Object.is(a, b)) return true;
  if (!plain(a) || !plain(b) || Array.isArray(a) !== Array.isArray(b)) return false;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every(key => key in b && Object.is(a[key], b[key]));
}

function plain(value: unknown): value is Record<string, unknown> {
  const prototype = value && typeof value === 'object' && Object.getPrototypeOf(value);
  return prototype === Object.prototype || Array.isArray(value);
}
