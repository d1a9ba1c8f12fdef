/** Runs things in the order in which they were given, at once as long as nothing before them takes its time. */
export interface Sequence {
  <T>(value: T | Promise<T>, use: (value: T) => void): void;
  /** How many wait. */
  _size: number;
}

export function sequence(): Sequence {
  let last: Promise<void> | undefined;
  const run: Sequence = (value, use) => {
    if (!last && !(value instanceof Promise)) return use(value);
    run._size++;
    const mine: Promise<void> = Promise.all([value, last]).then(([result]) => {
      run._size--;
      use(result);
      if (last === mine) last = undefined;
    });
    last = mine;
  };
  run._size = 0;
  return run;
}
