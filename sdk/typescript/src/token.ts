import { FanfareError } from './errors.ts';
import type { TokenSource } from './types.ts';

/** A token that is fetched when it is needed: one call at a time, whoever asks. */
export class Tokens {
  private _held: string | undefined;
  private _call: Promise<string | undefined> | undefined;
  private _stop: AbortController | undefined;

  constructor(private _source: TokenSource | undefined) {
    if (typeof _source === 'string') this._held = _source;
  }

  /** A new one can be had when this one is refused. */
  get renewable(): boolean {
    return typeof this._source === 'function';
  }

  /** The token held, or else a new one; `undefined`: anonymous. Rejections are `unauthorized`, `forbidden` (final) or `network`. */
  get(): Promise<string | undefined> {
    if (this._held !== undefined || !this.renewable) return Promise.resolve(this._held);
    return this.renew();
  }

  /** A new one, whether or not one is held. */
  renew(): Promise<string | undefined> {
    const source = this._source;
    if (typeof source !== 'function') return Promise.resolve(this._held);
    if (this._call) return this._call;
    const stop = (this._stop = new AbortController());
    const call = (async () => {
      try {
        const token = await source({ signal: stop.signal });
        if (stop.signal.aborted) throw new FanfareError('aborted');
        this._held = token || undefined;
        return this._held;
      } catch (cause) {
        throw refusal(cause);
      } finally {
        if (this._stop === stop) this._call = this._stop = undefined;
      }
    })();
    this._call = call;
    return call;
  }

  /** The one held is no good any more. */
  drop(): void {
    if (this.renewable) this._held = undefined;
  }

  /** Ends a call that is under way. */
  abort(): void {
    this._stop?.abort();
    this._call = this._stop = undefined;
  }
}

/** What a token function rejected with: a 401 or 403 answer is final, everything else passes. */
function refusal(cause: unknown): FanfareError {
  if (cause instanceof FanfareError) return cause;
  const status = (cause as { status?: unknown } | undefined)?.status;
  if (status === 401 || status === 403)
    return new FanfareError(status === 401 ? 'unauthorized' : 'forbidden', `the token was refused with ${status}`, {
      cause,
    });
  return new FanfareError('network', `no token: ${cause instanceof Error ? cause.message : String(status ?? cause)}`, {
    cause,
  });
}
