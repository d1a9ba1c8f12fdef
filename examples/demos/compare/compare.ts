// The same channel heard four ways at once, for a minute. Three are the client over one transport each; the fourth is a short poll made
// with the package's `poll` and nothing but fetch.
import { type AnyClient, createClient, type Message, poll } from 'fanfare-client';
import { $, bytes, count, el, fields, HUB, join, many, ms, number, put, RETRY, showStatus } from '../shared/kit.ts';

const CHANNEL = 'demo:compare';
const LASTS = 60_000;

/** What one way cost and gave. */
class Way {
  requests = 0;
  received = 0;
  bytes = 0;
  first = 0;
  last = 0;
  seen = new Set<number>();
  latencies: number[] = [];
  #cells: HTMLElement[];
  #bar = el('i');
  #late = el('b', {}, '–');

  constructor(readonly name: string) {
    this.#cells = Array.from({ length: 7 }, () => el('td', { class: 'n' }, '–'));
    $('rows').append(el('tr', {}, el('th', { scope: 'row' }, name), ...this.#cells));
    $('bars').append(el('div', {}, el('span', {}, name), el('span', { class: 'rail' }, this.#bar), this.#late));
  }

  hear(n: number, time: number): void {
    this.seen.add(n);
    this.received += 1;
    this.first ||= n;
    this.last = Math.max(this.last, n);
    this.latencies.push(Math.max(0, Date.now() - time));
  }

  get missed(): number {
    return this.first ? this.last - this.first + 1 - this.seen.size : 0;
  }

  get mean(): number {
    return this.latencies.reduce((sum, one) => sum + one, 0) / Math.max(1, this.latencies.length);
  }

  get p99(): number {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * 0.99) - 1)] ?? 0;
  }

  draw(): void {
    const none = this.received === 0;
    const words = [
      count(this.received),
      count(this.missed),
      count(this.requests),
      none ? '–' : ms(this.mean),
      none ? '–' : ms(this.p99),
      bytes(this.bytes),
      none ? '–' : bytes(this.bytes / this.received),
    ];
    words.forEach((word, at) => {
      const cell = this.#cells[at];
      if (cell) put(cell, word);
    });
    // From 0.1 ms to 10 s.
    put(this.#late, none ? '–' : ms(this.mean));
    this.#bar.style.width = none ? '0' : `${Math.max(0.02, (Math.log10(Math.max(this.mean, 0.1)) + 1) / 5) * 100}%`;
  }
}

const ways = { poll: new Way('Poll'), longpoll: new Way('Long-poll'), sse: new Way('SSE'), ws: new Way('WebSocket') };
let ending: AbortController | undefined;

function hearOver(transport: 'longpoll' | 'sse' | 'ws', way: Way, signal: AbortSignal): AnyClient {
  const client: AnyClient = createClient(HUB, { transports: [transport], retry: RETRY });
  const hear = (message: Message) => way.hear(number(fields(message.data).n), message.time);
  join(client, CHANNEL).subscribe('update', hear, { signal });
  const figures = () => {
    const metrics = client.metrics();
    way.requests = metrics.requests;
    way.bytes = metrics.bytes.received;
  };
  const ticking = setInterval(figures, 250);
  signal.addEventListener('abort', () => {
    figures();
    clearInterval(ticking);
    void client.close();
  });
  return client;
}

function hearByPolling(way: Way, signal: AbortSignal): void {
  let cursor = '';
  const ask = async () => {
    way.requests += 1;
    const answer = await fetch(`${HUB}/v1/poll?channel=${CHANNEL}${cursor && `&since=${encodeURIComponent(cursor)}`}`, { signal });
    const body = await answer.text();
    way.bytes += body.length;
    for (const [name, value] of answer.headers) way.bytes += name.length + value.length + 4;
    if (!answer.ok) throw new Error(`the hub answered ${answer.status}`);
    const page: { cursor: string; messages: { data: unknown; time: number }[] } = JSON.parse(body);
    for (const { data, time } of page.messages) way.hear(number(fields(data).n), time);
    cursor = page.cursor;
    return cursor;
  };
  const asking = poll(ask, { min: 1000, max: 1000, jitter: 0, signal, errors: 100 });
  asking.done.catch(() => undefined); // Stopped when the minute is over.
}

function draw(): void {
  for (const way of Object.values(ways)) way.draw();
}

function start(): void {
  ending?.abort();
  $('rows').replaceChildren();
  $('bars').replaceChildren();
  Object.assign(ways, { poll: new Way('Poll'), longpoll: new Way('Long-poll'), sse: new Way('SSE'), ws: new Way('WebSocket') });
  const controller = new AbortController();
  ending = controller;
  const { signal } = controller;
  hearByPolling(ways.poll, signal);
  hearOver('longpoll', ways.longpoll, signal);
  hearOver('sse', ways.sse, signal);
  showStatus(hearOver('ws', ways.ws, signal), $('state'));
  put($('start'), 'Stop');
  put($('verdict'), '');
  const began = Date.now();
  const ticking = setInterval(() => {
    const passed = Date.now() - began;
    $<HTMLProgressElement>('left').value = passed / 1000;
    put($('seconds'), `${Math.max(0, Math.ceil((LASTS - passed) / 1000))} s left`);
    draw();
    if (passed >= LASTS) controller.abort();
  }, 500);
  signal.addEventListener('abort', () => {
    clearInterval(ticking);
    if (ending === controller) ending = undefined;
    put($('start'), 'Compare for a minute');
    put($('seconds'), Date.now() - began < LASTS ? 'stopped' : 'done');
    draw();
    const { poll: slow, ws: quick } = ways;
    if (quick.received > 0)
      put($('verdict'), `WebSocket took ${many(quick.requests, 'request')} for ${many(quick.received, 'update')}; polling took ${count(slow.requests)}, and was ${Math.round(slow.mean / Math.max(quick.mean, 0.5))} times as late.`);
  });
}

$('start').addEventListener('click', () => {
  if (ending) ending.abort();
  else start();
});
start();
