import type { Core } from './core.ts';
import { FanfareError } from './errors.ts';
import type { Timer } from './timer.ts';

/** How long an answer may take when we ask out of doubt. ms. */
const PROBE = 3000;

/** Notices that a link has died without a word. */
export class Liveness {
  /** When the hub last said something. */
  _heard = 0;
  /** How long it may say nothing, ms. */
  _ping = 25_000;
  readonly _timer: Timer;

  constructor(private _core: Core) {
    this._timer = _core._timer();
  }

  /** Asks after `ping` of silence, and gives up after one and a half. */
  _watch(): void {
    const left = this._heard + this._ping - this._core._now();
    this._timer._start(
      () => {
        if (this._heard + this._ping <= this._core._now()) this._probe(this._ping / 2);
        else this._watch();
      },
      Math.max(0, left),
    );
  }

  /** Is anybody there? */
  _probe(within = PROBE): void {
    const { _connection: connection } = this._core;
    const { _link: link } = connection;
    if (!link?._pings) return link?._refresh();
    const asked = this._core._now();
    this._timer._start(() => {
      if (this._heard > asked) this._watch();
      else connection._lost(new FanfareError('network', 'the connection is silent'));
    }, within);
    connection._request({ type: 'ping' }, (error, { time }) => {
      if (error) return;
      connection._clockTold(time);
      this._watch();
    });
  }
}
