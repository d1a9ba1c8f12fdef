import { FanfareError } from './errors.ts';
import type { TokenSource } from './types.ts';

/** A token that is fetched when it is needed: one call at a time, whoever asks. */
export class Tokens {
  private _held: string | undefined;
  private _call: Promise<string | undefined> | undefined;
  private _stop: AbortController | undefined;

  constructor(private _source: TokenSource | undefined) {}

  /** A new one can be had when this one is refused. */
  get _renewable(): boolean {
    return typeof this._source === 'function';
  }

  /** The token held, or else a new one; `undefined`: anonymous. Rejections are `unauthorized`, `forbidden` (final) or `network`. */
  async _get(): Promise<string | undefined> {
    return this._held ?? this._renew();
  }

  /** A new one, whether or not one is held. */
  async _renew(): Promise<string | undefined> {
    const source = this._source;
    return typeof source === 'function' ? (this._call ??= this._ask(source)) : source;
  }

  private async _ask(source: TokenSource & Function): Promise<string | undefined> {
    const stop = (this._stop = new AbortController());
    const { signal } = stop;
    try {
      const token: string | null | undefined = await Promise.resolve({ signal }).then(source as never);
      if (signal.aborted) throw new FanfareError('aborted');
      return (this._held = token || undefined);
    } catch (cause) {
      throw refusal(cause);
    } finally {
      if (this._stop === stop) this._call = this._stop = undefined;
    }
  }

  /** The one held is no good any more. */
  _drop(): void {
    this._held = undefined;
  }

  /** Ends a call that is under way, and forgets what it gave. */
  _abort(): void {
    this._stop?.abort();
    this._call = this._stop = undefined;
  }
}

/** What a token function rejected with: a 401 or 403 answer is final, everything else passes. */
function refusal(cause: unknown): FanfareError {
  if (cause instanceof FanfareError) return cause;
  const { status, message = status ?? cause } = Object(cause);
  const code = status === 401 ? 'unauthorized' : status === 403 ? 'forbidden' : 'network';
  return new FanfareError(code, `no token: ${message}`, { cause });
}
