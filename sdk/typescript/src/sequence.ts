/** Uses values in the order in which they were given, at once as long as nothing before them takes its time. */
export interface Sequence {
  <T>(values: (T | Promise<T>)[], use: (values: T[]) => void): void;
  /** How many wait. */
  _size: number;
}

export function sequence(): Sequence {
  let last: Promise<void> | undefined;
  const run: Sequence = <T>(values: (T | Promise<T>)[], use: (values: T[]) => void) => {
    if (!last && !values.some(value => value instanceof Promise)) return use(values as T[]);
    run._size++;
    const mine: Promise<void> = Promise.all([last, ...values]).then(([, ...done]) => {
      run._size--;
      use(done as T[]);
      if (last === mine) last = undefined;
    });
    last = mine;
  };
  run._size = 0;
  return run;
}
