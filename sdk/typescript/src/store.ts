import type { Off, Store } from './types.ts';

/** A value with listeners. A listener that throws does not keep the others from hearing. */
export class Value<T> implements Store<T> {
  private _listeners = new Set<{ _fn: (value: T) => void }>();

  constructor(
    public value: T,
    private _onError: (error: unknown) => void,
  ) {}

  set(value: T): void {
    if (value === this.value) return;
    this.value = value;
    for (const listener of [...this._listeners]) if (this._listeners.has(listener)) this._call(listener._fn, value);
  }

  subscribe(fn: (value: T) => void): Off {
    const listener = { _fn: fn };
    this._listeners.add(listener);
    this._call(fn, this.value);
    return () => {
      this._listeners.delete(listener);
    };
  }

  private _call(fn: (value: T) => void, value: T): void {
    try {
      fn(value);
    } catch (error) {
      this._onError(error);
    }
  }
}
