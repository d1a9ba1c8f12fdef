import type { Core } from './core.ts';
import { FanfareError, fromWire } from './errors.ts';
import type { Frame, Link } from './link.ts';
import type { Timer } from './timer.ts';

export type Done = (error: FanfareError | undefined, frame: Frame) => void;

interface Open {
  _link: Link;
  _channel: string;
  _done: Done;
  _at: number;
  _timer: Timer;
}

/** Commands that wait for their answers. */
export class Requests {
  private _open = new Map<number, Open>();
  private _ref = 0;

  constructor(private _core: Core) {}

  /** Sends a command; `done` is called once with its answer, or with an error when the link ends (`network`) or nothing comes (`timeout`). */
  _send(link: Link, frame: Frame, _done: Done, timeout?: number): void {
    const { _core: core } = this;
    const ref = ++this._ref;
    const _timer = core._timer();
    if (timeout)
      _timer._start(() => {
        core._connection._probe();
        this._answer({ ref, type: '' }, new FanfareError('timeout', `no answer to ${frame.type} for ${timeout} ms`));
      }, timeout);
    this._open.set(ref, { _link: link, _channel: frame.channel, _done, _at: core._now(), _timer });
    link._send({ ...frame, ref });
  }

  /** Whether somebody was waiting for it. */
  _answer(frame: Frame, error?: FanfareError): boolean {
    const open = this._open.get(frame.ref);
    if (!open) return false;
    this._open.delete(frame.ref);
    open._timer._stop();
    if (frame.type === 'error') {
      error ??= (frame._error as FanfareError) ?? fromWire(frame);
      error.channel ??= open._channel;
    }
    if (!error) this._core._meter._roundTrip._add(this._core._now() - open._at);
    open._done(error, frame);
    return true;
  }

  /** The link is gone, and with it the answers. */
  _forget(link: Link, cause?: FanfareError): void {
    for (const [ref, { _link }] of [...this._open])
      if (_link === link)
        this._answer(
          { ref, type: '' },
          new FanfareError('network', cause?.message ?? 'the connection ended', { cause }),
        );
  }
}
