// The page: four transports read the same channel side by side, a chat room, commands to copy.

import { apiUrl, tabSession } from './api.js';
import { Card } from './card.js';
import { ChatView } from './chatview.js';
import { Clock } from './clock.js';
import { HostView } from './host.js';
import { open as openLongPoll } from './transports/longpoll.js';
import { open as openPoll } from './transports/poll.js';
import { open as openSse } from './transports/sse.js';
import { open as openWebSocket } from './transports/ws.js';

const METRICS = 'host:metrics';
const LOBBY = 'chat:lobby';
const HUB = apiUrl('.').href.replace(/\/$/, '');
const DEFAULT_HUB = 'http://127.0.0.1:8000';
/** A minute of samples: three keys a second. */
const LAST = 180;
const TICK_MS = 250;
const DRAW_AFTER_MS = 60;
const HIDDEN_MS = 10000;

const TRANSPORTS = [
  { title: 'WebSocket', note: 'One frame a message', open: openWebSocket, holdsHttp: false },
  { title: 'SSE', note: 'EventSource, with the whole message', open: openSse, holdsHttp: true },
  { title: 'Long-poll', note: 'Held until there is news', open: openLongPoll, holdsHttp: true },
  { title: 'Short poll', note: 'Asks again when told to', open: openPoll, holdsHttp: true },
];

const clock = new Clock();
const session = tabSession();
const host = new HostView(clock);
let dirty = false;

const cards = TRANSPORTS.map(({ title, note, open, holdsHttp }) => {
  const card = new Card({
    title,
    note,
    clock,
    onChange: summarise,
    onFresh: (epoch, messages) => {
      host.add(epoch, messages);
      redrawSoon();
    },
    open: (on) => open({ channel: METRICS, last: LAST, session, clock, on }),
  });
  return { card, holdsHttp };
});
const chat = new ChatView({ channel: LOBBY, session, clock, onChange: summarise });

/**
 * However many messages come in one go, and from how many transports, the plots are drawn once, a little later: drawing
 * while the others still arrive would be measured as their latency.
 */
function redrawSoon() {
  if (dirty) return;
  dirty = true;
  setTimeout(() => requestAnimationFrame(draw), DRAW_AFTER_MS);
}

function draw() {
  dirty = false;
  host.draw();
  for (const { card } of cards) card.draw();
}

/** The pill in the header: the state of all connections of the page. */
function summarise() {
  // The first states come while the cards are being made.
  queueMicrotask(() => {
    const states = cards.map(({ card }) => card.state.name).filter((name) => name !== 'paused');
    const live = states.filter((name) => name === 'live').length + (chat.live ? 1 : 0);
    const all = states.length + 1;
    const pill = document.getElementById('state');
    pill.dataset.state = live === all ? 'live' : live === 0 && states.includes('connecting') ? 'connecting' : 'reconnecting';
    const waiting = pill.dataset.state === 'connecting' ? 'Connecting…' : 'Hub unreachable, reconnecting…';
    const text = live === all ? 'All connections live' : live > 0 ? `${live} of ${all} connections live` : waiting;
    if (pill.textContent !== text) pill.textContent = text;
  });
}

/**
 * A browser allows six HTTP/1.1 connections to one host, across all its tabs. A few forgotten tabs of this page would
 * hold them all, so a hidden one lets go of those after a while; their cursors bring them up to date when it is seen again.
 */
function pauseWhileHidden() {
  let timer = null;
  let paused = false;
  const holding = cards.filter(({ holdsHttp }) => holdsHttp);
  document.addEventListener('visibilitychange', () => {
    clearTimeout(timer);
    if (document.hidden) {
      timer = setTimeout(() => {
        paused = true;
        for (const { card } of holding) if (card.state.name !== 'failed') card.handle.pause();
      }, HIDDEN_MS);
    } else if (paused) {
      paused = false;
      for (const { card } of holding) if (card.state.name === 'paused') card.handle.resume();
    }
  });
}

async function copy(code, button) {
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = 'Copied';
  } catch {
    // Refused, or no secure context: select it, the rest is one key press.
    getSelection().selectAllChildren(code);
    button.textContent = 'Selected';
  }
  setTimeout(() => {
    button.textContent = 'Copy';
  }, 1600);
}

function fillCommands() {
  const commands = {
    hear: `curl -N '${apiUrl('v1/sse', { channel: LOBBY })}'`,
    say: `curl -d '{"event":"say","data":{"text":"hi"}}' '${apiUrl(`v1/channels/${LOBBY}/messages`)}'`,
    // The command's own default need not be said.
    tail: `fanfare sub ${HUB === DEFAULT_HUB ? '' : `--url ${HUB} `}${METRICS}`,
  };
  for (const [name, command] of Object.entries(commands)) {
    const row = document.querySelector(`[data-command="${name}"]`);
    const code = row.querySelector('code');
    const button = row.querySelector('button');
    // Long addresses may be broken at their slashes; what is copied stays one line.
    command.split(/(?=\/v1|\/chat|\/messages)/).forEach((part, index) => {
      if (index > 0) code.append(document.createElement('wbr'));
      code.append(part);
    });
    button.addEventListener('click', () => copy(code, button));
  }
}

fillCommands();
pauseWhileHidden();
// Time passes in the plots even when nothing comes: a transport that stalls is seen to fall behind.
setInterval(redrawSoon, 1000);
setInterval(() => {
  for (const { card } of cards) card.tick();
  chat.tick();
}, TICK_MS);
redrawSoon();
