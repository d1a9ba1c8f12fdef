// One channel by short poll: every answer comes at once and says when to ask again.

import { poll } from './polling.js';

/** For an answer that does not say. */
const DEFAULT_MS = 1000;

export function open(options) {
  return poll(options, { wait: 0, pause: (answer) => answer.poll_after_ms ?? DEFAULT_MS });
}
