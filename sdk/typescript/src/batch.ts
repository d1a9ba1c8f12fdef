import { type Env, globals } from './env.ts';
import type { Message, SubscribeOptions } from './types.ts';

/** Gathers messages and hands them on together. A full batch goes at once. */
export class Batch {
  private _waiting: Message[] = [];
  private _keys = new Map<unknown, Message>();
  private _timer: unknown;
  private _frame: number | undefined;

  constructor(
    private _env: Env,
    private _options: SubscribeOptions,
    private _emit: (messages: Message[]) => void,
  ) {}

  add(message: Message): void {
    const { newest, buffer = 1000 } = this._options;
    const key = newest === 'key' ? message.key : newest?.(message);
    // A map keeps the place of a key that is set again: it is taken out first, so that the order is that of the newest.
    if (key !== undefined) {
      const older = this._keys.get(key);
      if (older) this._waiting.splice(this._waiting.indexOf(older), 1);
      this._keys.set(key, message);
    }
    this._waiting.push(message);
    if (this._waiting.length >= buffer) this.flush();
    else this._schedule();
  }

  private _schedule(): void {
    if (this._timer !== undefined) return;
    const { batch } = this._options;
    // Frames stop while a page is hidden; the timer goes on, at the browser's pace.
    this._timer = this._env.setTimeout(
      () => this.flush(),
      batch === 'frame' ? (globals.requestAnimationFrame ? 100 : 16) : batch!,
    );
    if (batch === 'frame') this._frame = globals.requestAnimationFrame?.(() => this.flush());
  }

  flush(): void {
    this.stop();
    const messages = this._waiting;
    this._waiting = [];
    this._keys.clear();
    if (messages.length) this._emit(messages);
  }

  /** Forgets the appointment. */
  stop(): void {
    this._env.clearTimeout(this._timer);
    this._timer = this._frame = undefined;
  }
}
