import { backoff } from './backoff.ts';
import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Timer } from './timer.ts';

const DAY = 86_400_000;

/** Brings a new token in band, a fifth of its life and at most a minute before its end, by the hub's clock. */
export class Renewal {
  readonly _timer: Timer;

  constructor(private _core: Core) {
    this._timer = _core._timer();
  }

  _plan(expiresAt: number | undefined): void {
    const { _connection: connection } = this._core;
    if (!expiresAt || !connection._tokens._renewable || connection._clockOffset === undefined) return;
    const life = expiresAt - this._core._now() - connection._clockOffset;
    const delay = Math.min(DAY, Math.max(0, life - Math.min(60_000, life / 5)));
    this._timer._start(() => (delay === DAY ? this._plan(expiresAt) : this._renew(1)), delay);
  }

  private _renew(attempt: number): void {
    const { _connection: connection, _options, _random } = this._core;
    const { _link: link } = connection;
    const current = () => connection._link === link;
    connection._tokens._renew().then(
      token => {
        if (!current()) return;
        // Nobody in particular any more: that is another connection.
        if (!token) return connection._newIdentity(true);
        connection._request({ type: 'auth', token }, (error, { expires_at }) => {
          if (!current()) return;
          if (error?.code === 'conflict') connection._newIdentity(true);
          else if (!error) {
            this._plan(expires_at);
            for (const channel of this._core._channels.values()) channel._subscription._renewed();
          }
        });
      },
      (error: FanfareError) => {
        if (!current()) return;
        if (!error.retryable && error.code !== 'aborted') return connection._fail(error);
        // The hub says when it is too late; until then it is asked for again.
        this._timer._start(() => this._renew(attempt + 1), backoff(attempt + 1, _random, _options.retry));
      },
    );
  }
}
