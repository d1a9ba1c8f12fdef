// Trades: far more in than an eye can see, so the hub conflates them (`rate`). Each trade carries its number, which tells how many there
// were. A real feed can take the simulated market's place: this page then publishes what it hears to the hub, with the feed's own trade ids,
// so that two pages that relay the same feed publish each trade once.
import type { AnyClient, Message } from 'fanfare-client';
import { $, bytes, connect, count, el, fields, join, ms, number, price, problem, put, solved, text, time } from '../shared/kit.ts';
import { readTrade, type Trade } from './feeds.ts';

const MOST = 50;
const rows = $('rows');
let client: AnyClient;
let channel = 'demo:trades';
let rate = 10;
let first: Trade | undefined;
let last: Trade | undefined;
let heard = 0;
let waiting: [Trade, number][] = [];

function open(): void {
  void client?.close();
  client = connect();
  first = last = undefined;
  rows.replaceChildren();
  join(client, channel, rate > 0 ? { rate } : {}).subscribe('trade', hear);
  previous = undefined;
}

function hear(message: Message): void {
  const data = fields(message.data);
  const trade = { n: number(data.n), price: number(data.price), amount: number(data.amount), side: text(data.side) };
  first ??= trade;
  last = trade;
  heard += 1;
  waiting.push([trade, message.time]);
  if (waiting.length > MOST) waiting = waiting.slice(-MOST);
}

/** What was heard since the last frame, newest on top. */
function draw(): void {
  requestAnimationFrame(draw);
  if (!last || waiting.length === 0) return;
  const made = waiting.map(([trade, at]) =>
    el(
      'tr',
      { class: trade.side === 'sell' ? 'sell' : 'buy' },
      el('td', {}, time(at)),
      el('td', {}, trade.side),
      el('td', { class: 'n' }, price(trade.price)),
      el('td', { class: 'n' }, trade.amount.toFixed(4)),
      el('td', { class: 'n' }, count(trade.n)),
    ),
  );
  waiting = [];
  rows.prepend(...made.reverse());
  while (rows.childElementCount > MOST) rows.lastElementChild?.remove();
  put($('price'), price(last.price));
  $('price').className = `big ${last.side === 'sell' ? 'down' : 'up'}`;
  const moved = last.price - (first?.price ?? last.price);
  put($('change'), `${moved < 0 ? '−' : '+'}${price(Math.abs(moved))} since you came`);
}

let previous: { at: number; n: number; heard: number; bytes: number } | undefined;

function figures(): void {
  const metrics = client.metrics();
  const now = { at: performance.now(), n: last?.n ?? 0, heard, bytes: metrics.bytes.received };
  if (previous && last && previous.n > 0) {
    const seconds = (now.at - previous.at) / 1000;
    put($('in'), count(Math.round(Math.max(0, now.n - previous.n) / seconds)));
    put($('out'), count(Math.round((now.heard - previous.heard) / seconds)));
    put($('bytes'), bytes((now.bytes - previous.bytes) / seconds));
    put($('latency'), metrics.latency.count ? ms(metrics.latency.p50) : '–');
  }
  previous = now;
}

// ---- a real feed instead of the simulated market

let relay: WebSocket | undefined;

function useFeed(url: string): void {
  relay?.close();
  relay = undefined;
  let socket: WebSocket;
  try {
    socket = new WebSocket(url);
  } catch {
    problem('feed', 'That is not the address of a WebSocket: it begins with wss://');
    return;
  }
  relay = socket;
  let n = 0;
  const state = (words: string) => put($('pair'), words);
  state(`Connecting to ${new URL(url).host}`);
  socket.onopen = () => {
    solved('feed');
    state(new URL(url).host);
    // Coinbase's feed must be told what to send; others ignore it.
    if (url.includes('coinbase')) socket.send(JSON.stringify({ type: 'subscribe', product_ids: ['BTC-USD'], channels: ['matches'] }));
    channel = `demo:feed:${new URL(url).host}`;
    open();
  };
  socket.onmessage = ({ data }) => {
    const trade = readTrade(data);
    if (!trade) return;
    n += 1;
    const { id, ...rest } = trade;
    client.channel(channel).publish('trade', { n, ...rest }, { id: `trade-${id}`, key: 'trade', offline: 'fail' }).catch(() => undefined);
  };
  socket.onclose = () => {
    if (relay !== socket) return;
    problem('feed', `${new URL(url).host} cannot be reached from here; the simulated market goes on.`);
    simulate();
  };
}

function simulate(): void {
  const closing = relay;
  relay = undefined;
  closing?.close();
  put($('pair'), 'FAN / USD');
  put($('feed-do'), 'Use it');
  if (channel !== 'demo:trades') {
    channel = 'demo:trades';
    open();
  }
}

$('feed').addEventListener('submit', event => {
  event.preventDefault();
  if (relay) {
    simulate();
    solved('feed');
    return;
  }
  const url = $<HTMLInputElement>('url').value.trim();
  if (!url) return;
  useFeed(url);
  if (relay) put($('feed-do'), 'Stop');
});
$('rates').addEventListener('change', event => {
  rate = Number((event.target as HTMLInputElement).value);
  open();
});
open();
draw();
setInterval(figures, 1000);
