// What long-poll and short poll share: a request with the cursor of the last answer, again and again. They differ in
// `wait` (how long the server may hold the request) and in the pause between requests.

import { apiUrl, epochOf } from '../api.js';
import { Backoff, isFinal } from '../backoff.js';

/** Beyond what the server was allowed to hold the request, in seconds. */
const GRACE_S = 8;

/** What the server refused, with its `application/problem+json` if it sent one. */
class Refused extends Error {
  constructor(status, problem) {
    super(problem.detail ?? `HTTP ${status}`);
    this.code = problem.code;
    this.retryAfterMs = problem.retry_after_ms;
  }
}

/** Bytes of an answer: status line, the headers that the browser shows, body. */
function answerBytes(response, body) {
  let bytes = 'HTTP/1.1 200 OK\r\n\r\n'.length;
  for (const [name, value] of response.headers) bytes += name.length + value.length + 4;
  return bytes + (Number(response.headers.get('content-length')) || new Blob([body]).size);
}

async function ask(parameters, session, signal) {
  const response = await fetch(apiUrl('v1/poll', parameters), {
    signal,
    cache: 'no-store',
    headers: { 'Fanfare-Session': session },
  });
  const body = await response.text();
  if (!response.ok) {
    let problem = {};
    try {
      problem = JSON.parse(body);
    } catch {
      // Not the hub's own answer (a proxy's, say): the status has to do.
    }
    throw new Refused(response.status, problem);
  }
  return { answer: JSON.parse(body), bytes: answerBytes(response, body) };
}

/** `wait` in seconds; `pause(answer)` in milliseconds until the next request. */
export function poll({ channel, last, session, on }, { wait, pause }) {
  const backoff = new Backoff();
  let cursor = null;
  let timer = null;
  let request = null;
  // The first answer, and the first after a failure, tell the past: their age is no latency.
  let caughtUp = false;

  function schedule(delay) {
    clearTimeout(timer);
    timer = setTimeout(turn, delay);
  }

  async function turn() {
    const mine = new AbortController();
    request = mine;
    const limit = setTimeout(() => mine.abort(), (wait + GRACE_S) * 1000);
    try {
      const held = caughtUp && wait > 0 ? wait : undefined;
      const { answer, bytes } = await ask({ channel, since: cursor, last, wait: held }, session, mine.signal);
      if (request === mine) heard(answer, bytes);
    } catch (error) {
      if (request === mine) failed(error);
    } finally {
      clearTimeout(limit);
    }
  }

  function heard(answer, bytes) {
    backoff.reset();
    on.state({ name: 'live' });
    for (const gap of answer.gap ?? []) on.gap(gap);
    cursor = answer.cursor;
    on.batch({ epoch: epochOf(cursor), messages: answer.messages, bytes, live: caughtUp });
    // The past may take several answers; `poll_after_ms: 0` says that more of it waits.
    const more = answer.poll_after_ms === 0 && answer.messages.length > 0;
    caughtUp ||= !more || wait > 0;
    schedule(more ? 0 : pause(answer));
  }

  function failed(error) {
    caughtUp = false;
    if (error.code === 'bad_request' && cursor !== null) {
      // The cursor is what it did not like: begin anew from the newest.
      cursor = null;
    } else if (isFinal(error.code)) {
      on.state({ name: 'failed', reason: error.message });
      return;
    }
    const delay = backoff.next(error.retryAfterMs);
    schedule(delay);
    on.state({ name: 'reconnecting', retryAt: performance.now() + delay });
  }

  function letGo() {
    clearTimeout(timer);
    const mine = request;
    request = null;
    mine?.abort();
  }

  on.state({ name: 'connecting' });
  turn();

  return {
    cut() {
      letGo();
      failed(new Error('cut by you'));
    },
    pause() {
      letGo();
      caughtUp = false;
      on.state({ name: 'paused' });
    },
    resume() {
      on.state({ name: 'connecting' });
      turn();
    },
  };
}
