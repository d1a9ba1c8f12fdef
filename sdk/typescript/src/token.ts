import { errorOf, FanfareError } from './errors.ts';
import type { TokenSource } from './types.ts';

/** A token that is fetched when it is needed: one call at a time, whoever asks. */
export interface Tokens {
  /** A new one can be had when this one is refused. */
  readonly _renewable: boolean;
  /** The token held, or else a new one; `undefined`: anonymous. Rejections are `unauthorized`, `forbidden` (final) or `network`. */
  _get(): Promise<string | undefined>;
  /** A new one, whether or not one is held. */
  _renew(): Promise<string | undefined>;
  /** The one held is no good any more, nor one that is being fetched. */
  _drop(): void;
  /** Ends a call that is under way, and forgets what it gave. */
  _abort(): void;
}

export function tokensOf(source: TokenSource | undefined): Tokens {
  const renewable = typeof source === 'function';
  let held: string | undefined;
  let call: Promise<string | undefined> | undefined;
  let stop: AbortController | undefined;

  const ask = async () => {
    const mine = (stop = new AbortController());
    try {
      const token = await (source as Function)({ signal: mine.signal });
      if (mine.signal.aborted) throw errorOf('aborted');
      return (held = token || undefined);
    } catch (cause) {
      throw refusal(cause);
    } finally {
      if (stop === mine) call = stop = undefined;
    }
  };
  const renew = async () => (renewable ? (call ??= ask()) : source);
  const abort = () => {
    stop?.abort();
    call = stop = undefined;
  };
  return {
    _renewable: renewable,
    _get: async () => held ?? renew(),
    _renew: renew,
    _drop() {
      abort();
      held = undefined;
    },
    _abort: abort,
  };
}

/** What a token function rejected with: a 401 or 403 answer is final, everything else passes. */
function refusal(cause: unknown): FanfareError {
  if (cause instanceof FanfareError) return cause;
  const { status, message = status ?? cause } = Object(cause);
  const code = status === 401 ? 'unauthorized' : status === 403 ? 'forbidden' : 'network';
  return errorOf(code, `no token: ${message}`, { cause });
}
