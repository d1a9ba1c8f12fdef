// One channel over Server-Sent Events. The browser's EventSource reconnects by itself and sends Last-Event-ID, its
// cursor; where it gives up (readyState CLOSED: any answer but 200) it is made anew with `since`.

import { apiUrl } from '../api.js';
import { Backoff, isFinal } from '../backoff.js';

/** Bytes of a block as it is on the wire, which EventSource does not show: its id and data lines and the empty one. */
function blockBytes(id, data) {
  return new Blob(['id: ', id, '\ndata: ', data, '\n\n']).size;
}

export function open({ channel, last, session, on }) {
  const backoff = new Backoff();
  let source = null;
  let timer = null;
  let cursor = null;
  let epoch = null;
  let head = 0;
  let farewell = null;

  function parsed({ data, lastEventId }) {
    if (lastEventId) cursor = lastEventId;
    try {
      return JSON.parse(data);
    } catch {
      return null;
    }
  }

  function listen() {
    source.addEventListener('fanfare.subscribed', (event) => {
      const frame = parsed(event);
      if (frame === null) return;
      epoch = frame.epoch;
      head = frame.offset;
      farewell = null;
      backoff.reset();
      on.state({ name: 'live' });
    });
    source.addEventListener('fanfare.gap', (event) => {
      const frame = parsed(event);
      if (frame === null) return;
      epoch = frame.epoch;
      on.gap(frame);
    });
    source.addEventListener('fanfare.disconnect', (event) => {
      farewell = parsed(event);
    });
    source.onmessage = (event) => {
      const message = parsed(event);
      if (message === null) return;
      const bytes = blockBytes(event.lastEventId, event.data);
      on.batch({ epoch, messages: [message], bytes, live: message.offset === undefined || message.offset > head });
    };
    source.onerror = failed;
  }

  function connect(state) {
    clearTimeout(timer);
    on.state({ name: state });
    source = new EventSource(apiUrl('v1/sse', { channel, envelope: 1, since: cursor, last, session }));
    listen();
  }

  function failed() {
    if (farewell !== null && isFinal(farewell.code)) {
      source.close();
      on.state({ name: 'failed', reason: farewell.detail ?? farewell.code });
      return;
    }
    if (source.readyState === EventSource.CLOSED) again(farewell?.retry_after_ms);
    // Otherwise the browser is at it, at a time that it does not tell.
    else on.state({ name: 'reconnecting', reason: 'the browser retries' });
  }

  function again(askedMs) {
    source.close();
    clearTimeout(timer);
    const delay = backoff.next(askedMs);
    timer = setTimeout(() => connect('reconnecting'), delay);
    on.state({ name: 'reconnecting', retryAt: performance.now() + delay });
  }

  connect('connecting');

  return {
    cut: () => again(),
    pause() {
      clearTimeout(timer);
      source.close();
      on.state({ name: 'paused' });
    },
    resume: () => connect('connecting'),
  };
}
