// Generated from docs/vectors/codes.json by `npm run codes`; do not edit.

/** Every code of the protocol: [HTTP status (0: none), WebSocket close code, retryable]. */
export const CODES = {
  bad_request: [400, 4400, 0],
  unauthorized: [401, 4401, 0],
  token_expired: [401, 4402, 0],
  forbidden: [403, 4403, 0],
  not_found: [404, 4404, 0],
  revoked: [403, 4411, 0],
  conflict: [409, 4409, 0],
  too_large: [413, 4413, 0],
  rate_limited: [429, 4429, 1],
  limit_exceeded: [429, 4430, 0],
  internal: [500, 1011, 1],
  unavailable: [503, 1013, 1],
  draining: [503, 1012, 1],
  slow_consumer: [0, 4408, 1],
  no_pong: [0, 4410, 1],
} as const;

/** The name of a code that the hub sends. */
export type ServerCode = keyof typeof CODES;
