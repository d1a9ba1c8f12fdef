// When to try again.

const FIRST_MS = 300;
const LIMIT_MS = 5000;

/** Codes after which the same request cannot succeed: everything else is tried again. */
const FINAL = new Set([
  'bad_request', 'unauthorized', 'token_expired', 'forbidden', 'not_found', 'revoked', 'conflict', 'too_large',
]);
/** The WebSocket close codes of the same. */
const FINAL_CLOSE = new Set([4400, 4401, 4402, 4403, 4404, 4409, 4411, 4413]);

export const isFinal = (code) => FINAL.has(code);
export const isFinalClose = (code) => FINAL_CLOSE.has(code);

/** Doubling delays from 0.3 s to 5 s, spread at random so that clients of a restarted server do not return in step. */
export class Backoff {
  #attempt = 0;

  /** Milliseconds to wait now; what the server asked for (`retry_after_ms`) wins. */
  next(askedMs) {
    const ceiling = Math.min(LIMIT_MS, FIRST_MS * 2 ** (this.#attempt + 1));
    this.#attempt = Math.min(this.#attempt + 1, 8);
    if (Number.isFinite(askedMs) && askedMs >= 0) return askedMs;
    return FIRST_MS + Math.random() * (ceiling - FIRST_MS);
  }

  reset() {
    this.#attempt = 0;
  }
}
