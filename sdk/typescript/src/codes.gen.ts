// Generated from docs/vectors/codes.json by `npm run codes`; do not edit.

/** Every code of the protocol: [HTTP status (0: none), WebSocket close code, retryable, remedy]. */
export const CODES = {
  bad_request: [400, 4400, 0, "correct the request; docs/protocol.md has its form"],
  unauthorized: [401, 4401, 0, "send a valid token or API key"],
  token_expired: [401, 4402, 0, "fetch a new token and connect with it"],
  forbidden: [403, 4403, 0, "ask for a token that grants this, or allow it in the namespace's configuration"],
  not_found: [404, 4404, 0, "check the name"],
  revoked: [403, 4411, 0, "sign in again"],
  conflict: [409, 4409, 0, "read the current state and decide again"],
  too_large: [413, 4413, 0, "send less, or raise the limit in the configuration"],
  rate_limited: [429, 4429, 1, "wait, then try again"],
  limit_exceeded: [429, 4430, 0, "use fewer, or raise the limit in the configuration"],
  internal: [500, 1011, 1, "try again; if it stays, look at the server's log"],
  unavailable: [503, 1013, 1, "try again in a moment"],
  draining: [503, 1012, 1, "connect again; another instance or the restarted one answers"],
  slow_consumer: [0, 4408, 1, "connect again from the last position, and read faster or ask for less"],
  no_pong: [0, 4410, 1, "connect again"],
} as const;

/** The name of a code that the hub sends. */
export type ServerCode = keyof typeof CODES;
