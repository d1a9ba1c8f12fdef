// One channel over a WebSocket. The channel and where to go on from are in the URL, so a bare client sends nothing.
//
// Every module of this folder has the same interface: `open({channel, last, session, clock, on})` reads the channel
// from its newest `last` messages on, for ever, and calls
//   on.state({name, retryAt, reason})   name: connecting | live | reconnecting | paused | failed; retryAt: performance.now()
//   on.batch({epoch, messages, bytes, live})   what came in one piece; `live` is false for what was sent from the past
//   on.gap({epoch, offset, reason})     messages were lost for good, as the server says
// and returns `{cut(), pause(), resume()}`: break the connection as a network would, let go of it, take it up again.

import { position } from '../api.js';
import { Socket } from '../socket.js';

const STATES = { connecting: 'connecting', open: 'live', waiting: 'reconnecting', failed: 'failed' };

export function open({ channel, last, session, clock, on }) {
  let since = null;
  let epoch = null;
  let head = 0;
  let tried = false;

  function frame(frame, bytes) {
    if (frame.type === 'subscribed') {
      epoch = frame.epoch;
      head = frame.offset;
    } else if (frame.type === 'gap') {
      epoch = frame.epoch;
      since = position(epoch, frame.offset);
      on.gap(frame);
    } else if (frame.type === 'message') {
      if (frame.offset !== undefined) since = position(epoch, frame.offset);
      on.batch({ epoch, messages: [frame], bytes, live: frame.offset === undefined || frame.offset > head });
    }
  }

  const socket = new Socket({
    clock,
    parameters: () => ({ channel, since, last, session }),
    on: {
      frame,
      state: (state) => {
        const name = tried && state.name === 'connecting' ? 'reconnecting' : STATES[state.name];
        tried = true;
        on.state({ ...state, name });
      },
    },
  });
  socket.start();

  return {
    cut: () => socket.cut(),
    pause() {
      socket.stop();
      on.state({ name: 'paused' });
    },
    resume: () => socket.start(),
  };
}
