// One channel by long-poll: the server holds each request until there is something to say, and the next follows at once.

import { poll } from './polling.js';

const WAIT_S = 25;

export function open(options) {
  return poll(options, { wait: WAIT_S, pause: () => 0 });
}
