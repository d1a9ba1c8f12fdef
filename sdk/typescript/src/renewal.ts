import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';

const DAY = 86_400_000;

/**
 * Brings a new token in band, a fifth of its life and at most a minute before its end, by the hub's clock. The function plans it for
 * a token that expires then; for none, it ends the plan.
 */
export function planRenewals(core: Core): (expiresAt?: number) => void {
  const timer = core._timer();

  const plan = (expiresAt?: number) => {
    const { _tokens: tokens, _clockOffset: offset } = core._connection;
    timer();
    if (!expiresAt || !tokens._renewable || offset == null) return;
    const life = expiresAt - core._now() - offset;
    const delay = Math.min(DAY, Math.max(0, life - Math.min(60_000, life / 5)));
    timer(() => (delay === DAY ? plan(expiresAt) : renew(1)), delay);
  };
  const renew = (attempt: number) => {
    const { _connection: connection } = core;
    const { _link: link } = connection;
    const current = () => connection._link === link;
    connection._tokens._renew().then(
      token => {
        if (!current()) return;
        // Nobody in particular any more: that is another connection.
        if (!token) return connection._newIdentity(true);
        link!._request({ type: 'auth', token }, (error, { expires_at }) => {
          if (!current()) return;
          if (error?.code === 'conflict') connection._newIdentity(true);
          else if (!error) {
            plan(expires_at);
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
  };
  return plan;
}
