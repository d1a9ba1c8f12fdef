// Generated from docs/vectors/codes.json by `npm run codes`; do not edit.

/** What the hub answers with each of its codes: [HTTP status (0: none), WebSocket close code, retryable, remedy]. Clients are told remedies, and need no table of them. */
export const ANSWERS = {
  bad_request: [400, 4400, false, "correct the request; docs/protocol.md has its form"],
  unauthorized: [401, 4401, false, "send a valid token or API key"],
  token_expired: [401, 4402, false, "fetch a new token and connect with it"],
  forbidden: [403, 4403, false, "ask for a token that grants this, or allow it in the namespace's configuration"],
  not_found: [404, 4404, false, "check the name"],
  revoked: [403, 4411, false, "sign in again"],
  conflict: [409, 4409, false, "read the current state and decide again"],
  too_large: [413, 4413, false, "send less, or raise the limit in the configuration"],
  rate_limited: [429, 4429, true, "wait, then try again"],
  limit_exceeded: [429, 4430, false, "use fewer, or raise the limit in the configuration"],
  internal: [500, 1011, true, "try again; if it stays, look at the server's log"],
  unavailable: [503, 1013, true, "try again in a moment"],
  draining: [503, 1012, true, "connect again; another instance or the restarted one answers"],
  slow_consumer: [0, 4408, true, "connect again from the last position, and read faster or ask for less"],
  no_pong: [0, 4410, true, "connect again"],
} as const;
