// A hub that is killed, drained and killed again while 10,000 messages are published: a page that reads them six ways has each once, in
// order, every way. Three ways are bare: what a browser has, the documented protocol, no library.
import { newPage } from './browser.mjs';
import { startHub } from './hub.mjs';
import { until } from './until.mjs';

const TOTAL = 10_000;
const BATCH = 50;
const CONFIG = `[demos]
enabled = true
[namespaces.demo]
keyed = true
presence = true
anonymous = ["subscribe", "publish", "presence", "enter", "history"]
[namespaces.default]
history = { size = 20000 }
ack = "memory"
anonymous = ["subscribe", "publish", "history"]
`;
/** After which part of the messages the hub ends, and how. */
const ENDS = [[0.25, 'SIGKILL'], [0.5, 'SIGTERM'], [0.75, 'SIGKILL']];
const FAILED_CONNECTION = /ERR_|WebSocket connection to .* failed/;

/** Runs in the page: `window.readers`, by name, each with what it `got`, whether it is `live` yet, how often it was `cut` off, the gaps it was told of. */
async function readInThePage() {
  const hub = location.origin;
  const readers = {};
  window.readers = readers;
  const reader = name => (readers[name] = { got: [], gaps: 0, cut: 0, live: false });

  const socket = reader('bare WebSocket');
  let position;
  const dial = () => {
    let epoch;
    const ws = new WebSocket(`${hub.replace('http', 'ws')}/v1/ws?channel=log${position ? `&since=${position}` : ''}`);
    ws.onmessage = ({ data }) => {
      for (const frame of [JSON.parse(data)].flat()) {
        if (frame.type === 'subscribed') {
          epoch = frame.epoch;
          position ??= `${epoch}-${frame.offset}`;
          socket.live = true;
        } else if (frame.type === 'gap') socket.gaps += 1;
        else if (frame.type === 'message') {
          socket.got.push(frame.data);
          position = `${epoch}-${frame.offset}`;
        }
      }
    };
    ws.onclose = () => {
      socket.cut += 1;
      setTimeout(dial, 100);
    };
  };
  dial();

  // Comes back by itself, with Last-Event-ID; only after an answer that is no stream must it be made anew.
  const events = reader('bare EventSource');
  let cursor;
  const listen = () => {
    const source = new EventSource(`${hub}/v1/sse?channel=log${cursor ? `&since=${cursor}` : ''}`);
    source.addEventListener('n', ({ data, lastEventId }) => {
      cursor = lastEventId;
      events.got.push(JSON.parse(data));
    });
    source.addEventListener('fanfare.subscribed', ({ lastEventId }) => {
      cursor = lastEventId || cursor;
      events.live = true;
    });
    source.addEventListener('fanfare.gap', () => (events.gaps += 1));
    source.onerror = () => {
      events.cut += 1;
      if (source.readyState === EventSource.CLOSED) setTimeout(listen, 100);
    };
  };
  listen();

  const asking = reader('bare long-poll');
  const ask = async () => {
    for (let since = ''; ; ) {
      try {
        const answer = await fetch(`${hub}/v1/poll?channel=log&wait=20${since && `&since=${since}`}`);
        if (!answer.ok) throw new Error(String(answer.status));
        const { messages, gap = [], cursor } = await answer.json();
        asking.got.push(...messages.map(({ data }) => data));
        asking.gaps += gap.length;
        asking.live = true;
        since = cursor;
      } catch {
        asking.cut += 1;
        await new Promise(resolve => setTimeout(resolve, 100));
      }
    }
  };
  void ask();

  const { createClient } = await import(`${hub}/demos/fanfare-client.min.js`);
  for (const transport of ['ws', 'sse', 'longpoll']) {
    const own = reader(`client, ${transport}`);
    const client = createClient(hub, { transports: [transport], retry: { min: 50, max: 500 } });
    const channel = client.channel('log');
    channel.subscribe('n', message => own.got.push(message.data), { onGap: () => void (own.gaps += 1) });
    channel.state.subscribe(({ state }) => {
      own.live ||= state === 'live';
    });
    client.status.subscribe(({ state }) => {
      if (state === 'reconnecting') own.cut += 1;
    });
  }
}

/** Publishes 1, 2, 3, ..., each once and in order whatever becomes of the hub: a batch without an answer is repeated with its ids. */
async function publish(hub, before) {
  for (let from = 1; from <= TOTAL; from += BATCH) {
    before(from / TOTAL);
    const messages = Array.from({ length: BATCH }, (_, at) => ({ channel: 'log', event: 'n', data: from + at, id: `n${from + at}` }));
    for (;;) {
      const answer = await fetch(`${hub.url}/v1/messages`, { method: 'POST', body: JSON.stringify({ messages }) }).catch(() => undefined);
      if (answer?.ok && (await answer.json()).results.every(({ error }) => !error)) break;
      await new Promise(resolve => setTimeout(resolve, 20));
    }
  }
}

/** Runs in the page: of each reader the first thing that is wrong, or nothing. */
function judge(total) {
  return Object.entries(window.readers).flatMap(([name, { got, gaps, cut }]) => {
    const wrong = got.findIndex((n, at) => n !== at + 1);
    if (wrong >= 0) return [`${name}: ${got[wrong]} where ${wrong + 1} should be, of ${got.length}`];
    if (got.length !== total || gaps > 0) return [`${name}: ${got.length} messages, ${gaps} gaps`];
    // The client mends a long-poll that fails once without losing its connection.
    return cut === 0 && name !== 'client, longpoll' ? [`${name} was never cut off`] : [];
  });
}

/** Gives what is wrong. */
export async function restart(browser) {
  const complaints = [];
  const hub = await startHub(CONFIG);
  const profile = await browser.profile();
  try {
    const page = await newPage(profile, complaints, FAILED_CONNECTION);
    await page.goto(`${hub.url}/demos/`);
    await page.evaluate(readInThePage);
    await until('six readers', () => page.evaluate(() => Object.values(window.readers).filter(({ live }) => live).length === 6));
    const ends = [...ENDS];
    let coming = Promise.resolve();
    await publish(hub, done => {
      if (ends.length === 0 || done < ends[0][0]) return;
      const [, signal] = ends.shift();
      // Not awaited: publishes, and readers, meet a hub that is not there.
      coming = coming.then(() => hub.end(signal)).then(() => hub.start());
    });
    await coming;
    await until('all of them', () => page.evaluate(total => Object.values(window.readers).every(({ got }) => got.length >= total), TOTAL), 60).catch(() => undefined);
    complaints.unshift(...(await page.evaluate(judge, TOTAL)));
    if (ends.length > 0) complaints.push('the hub was not ended as often as it should have been');
  } catch (error) {
    complaints.unshift(error.message);
  } finally {
    await profile.close();
    await hub.stop();
  }
  return complaints;
}
