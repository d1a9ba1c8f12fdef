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

/** Who is told of something. One that throws does not keep the others from hearing. */
export class Listeners<T> {
  _all = new Set<(value: T) => void>();

  constructor(readonly _guard: Guard) {}

  _add(fn: (value: T) => void): Off {
    const own = (value: T) => fn(value);
    this._all.add(own);
    return () => this._all.delete(own);
  }

  _tell(value: T): void {
    for (const fn of [...this._all]) if (this._all.has(fn)) this._guard(() => fn(value));
  }
}

/** A value with listeners. */
export class Value<T> extends Listeners<T> implements Store<T> {
  constructor(
    public value: T,
    guard: Guard,
  ) {
    super(guard);
  }

  _set(value: T): void {
    if (value === this.value) return;
    this.value = value;
    this._tell(value);
  }

  subscribe(fn: (value: T) => void): Off {
    const off = this._add(fn);
    this._guard(() => fn(this.value));
    return off;
  }
}
