import type { Message } from './types.ts';

const KEPT = 1000;

/**
 * The newest ids of a channel. A hub that lost its memory may take a repeated publish as new: the same id at another position, within the
 * time in which ids are recognised, is the same message.
 */
export class RecentIds {
  /** By id: position and time. */
  private _seen = new Map<string, [string, number]>();

  /** Whether it is a repeat; remembers it if not. */
  _repeats({ id, position, time }: Message, window: number): boolean {
    if (!id || !position) return false;
    const seen = this._seen.get(id);
    if (seen && seen[0] !== position && Math.abs(time - seen[1]) < window) return true;
    this._seen.delete(id);
    this._seen.set(id, [position, time]);
    if (this._seen.size > KEPT) this._seen.delete(this._seen.keys().next().value!);
    return false;
  }
}
