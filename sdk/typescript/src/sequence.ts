/** Runs things in the order in which they were given, at once as long as nothing before them takes its time. */
export class Sequence {
  private _last: Promise<void> | undefined;
  /** How many wait. */
  _size = 0;

  _then<T>(value: T | Promise<T>, use: (value: T) => void): void {
    if (!this._last && !(value instanceof Promise)) return use(value);
    this._size++;
    const mine: Promise<void> = Promise.all([value, this._last]).then(([result]) => {
      this._size--;
      use(result);
      if (this._last === mine) this._last = undefined;
    });
    this._last = mine;
  }
}
