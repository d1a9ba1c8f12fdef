import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Timer } from './timer.ts';

// This is loaded when a token that can be renewed is about to expire. It imports nothing of the core, so that the core stays in one piece.

const DAY = 86_400_000;

/** Brings a new token in band, a fifth of its life and at most a minute before its end, by the hub's clock. Ended by ending `timer`. */
export function planRenewal(core: Core, timer: Timer, expiresAt: number): void {
  const { _connection: connection } = core;
  const { _tokens: tokens, _link: link } = connection;
  const life = expiresAt - core._now() - (connection._clockOffset ?? 0);
  const delay = Math.min(DAY, Math.max(0, life - Math.min(60_000, life / 5)));
  const current = () => connection._link === link;

  const renew = (attempt: number) =>
    tokens._renew().then(
      token => {
        if (!current()) return;
        // Nobody in particular any more: that is another connection.
        if (!token) return connection._newIdentity(true);
        link!._request({ type: 'auth', token }, (error, { expires_at }) => {
          if (!current()) return;
          if (error?.code === 'conflict') connection._newIdentity(true);
          else if (!error) {
            if (expires_at) planRenewal(core, timer, expires_at);
            for (const channel of core._all()) channel._subscription._renewed();
          }
        });
      },
      (error: FanfareError) => {
        if (!current()) return;
        if (!error.retryable && error.code !== 'aborted') return connection._fail(error);
        // The hub says when it is too late; until then it is asked for again.
        timer(() => renew(attempt + 1), core._backoff(attempt + 1));
      },
    );
  timer(() => (delay === DAY ? planRenewal(core, timer, expiresAt) : renew(1)), delay);
}
