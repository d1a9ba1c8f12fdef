import type { Off, Store } from './types.ts';

/** Runs something of the application's; what it throws is told where such errors go, and to nobody else. */
export type Guard = (fn: () => void) => void;

export const guardWith =
  (threw: (error: unknown) => void): Guard =>
  fn => {
    try {
      fn();
    } catch (error) {
      threw(error);
    }
  };

/** Who is told of something. */
export interface Listeners<T> {
  _size(): number;
  _add(fn: (value: T) => void): Off;
  /** One that throws does not keep the others from hearing. */
  _tell(value: T): void;
}

export function listeners<T>(guard: Guard): Listeners<T> {
  const all = new Set<(value: T) => void>();
  return {
    _size: () => all.size,
    _add(fn) {
      const own = (value: T) => fn(value);
      all.add(own);
      return () => all.delete(own);
    },
    _tell(value) {
      for (const fn of [...all]) if (all.has(fn)) guard(() => fn(value));
    },
  };
}

/** A value with listeners. */
export interface Value<T> extends Store<T> {
  _set(value: T): void;
}

export function storeOf<T>(value: T, guard: Guard): Value<T> {
  const { _add, _tell } = listeners<T>(guard);
  const store = {
    value,
    _set(next: T) {
      if (next === store.value) return;
      store.value = next;
      _tell(next);
    },
    subscribe(fn: (value: T) => void) {
      const off = _add(fn);
      guard(() => fn(store.value));
      return off;
    },
  };
  return store;
}
