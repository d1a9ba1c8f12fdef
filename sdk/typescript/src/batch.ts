import type { Core } from './core.ts';
import { globals } from './env.ts';
import type { Timer } from './timer.ts';
import type { Message, SubscribeOptions } from './types.ts';

/** Gathers messages and hands them on together. A full batch goes at once. */
export class Batch {
  /** By key, in the order of the newest; what has no key is its own. */
  private _waiting = new Map<unknown, Message>();
  private _timer: Timer;

  constructor(
    core: Core,
    private _options: SubscribeOptions,
    private _emit: (messages: Message[]) => void,
  ) {
    this._timer = core._timer();
  }

  _add(message: Message): void {
    const { newest, buffer = 1000, batch } = this._options;
    const { requestAnimationFrame: frame } = globals;
    const key = (newest === 'key' ? message.key : newest?.(message)) ?? message;
    this._waiting.delete(key);
    this._waiting.set(key, message);
    const flush = () => this._flush();
    if (this._waiting.size >= buffer) flush();
    else if (!this._timer._running) {
      // Frames stop while a page is hidden; the timer goes on, at the browser's pace.
      this._timer._start(flush, batch === 'frame' ? (frame ? 100 : 16) : batch!);
      if (batch === 'frame') frame?.(flush);
    }
  }

  _flush(): void {
    const messages = [...this._waiting.values()];
    this._stop();
    if (messages.length) this._emit(messages);
  }

  /** Forgets what has been gathered. */
  _stop(): void {
    this._timer._stop();
    this._waiting.clear();
  }
}
