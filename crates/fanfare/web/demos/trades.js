// examples/demos/trades/trades.ts
import { $, bytes, connect, count, el, fields as fields2, join, ms, number, price, problem, put, solved, text as text2, time } from "./kit.js";

// examples/demos/trades/feeds.ts
import { fields, text } from "./kit.js";
var amountOf = (value) => {
  const made = typeof value === "string" || typeof value === "number" ? Number(value) : Number.NaN;
  return Number.isFinite(made) ? made : Number.NaN;
};
function readTrade(message) {
  if (typeof message !== "string") return void 0;
  let said;
  try {
    said = JSON.parse(message);
  } catch {
    return void 0;
  }
  const data = fields(said);
  const price2 = amountOf(data.p ?? data.price);
  const amount = amountOf(data.q ?? data.size ?? data.qty ?? data.amount);
  const id = data.t ?? data.trade_id ?? data.id;
  if (Number.isNaN(price2) || Number.isNaN(amount) || id === void 0) return void 0;
  const side = typeof data.m === "boolean" ? data.m ? "sell" : "buy" : text(data.side) === "sell" ? "sell" : "buy";
  return { price: price2, amount, side, id: String(id).slice(0, 64) };
}

// examples/demos/trades/trades.ts
var MOST = 50;
var rows = $("rows");
var client;
var channel = "demo:trades";
var rate = 10;
var first;
var last;
var heard = 0;
var waiting = [];
function open() {
  void client?.close();
  client = connect();
  first = last = void 0;
  rows.replaceChildren();
  join(client, channel, rate > 0 ? { rate } : {}).subscribe("trade", hear);
  previous = void 0;
}
function hear(message) {
  const data = fields2(message.data);
  const trade = { n: number(data.n), price: number(data.price), amount: number(data.amount), side: text2(data.side) };
  first ??= trade;
  last = trade;
  heard += 1;
  waiting.push([trade, message.time]);
  if (waiting.length > MOST) waiting = waiting.slice(-MOST);
}
function draw() {
  requestAnimationFrame(draw);
  if (!last || waiting.length === 0) return;
  const made = waiting.map(
    ([trade, at]) => el(
      "tr",
      { class: trade.side === "sell" ? "sell" : "buy" },
      el("td", {}, time(at)),
      el("td", {}, trade.side),
      el("td", { class: "n" }, price(trade.price)),
      el("td", { class: "n" }, trade.amount.toFixed(4)),
      el("td", { class: "n" }, count(trade.n))
    )
  );
  waiting = [];
  rows.prepend(...made.reverse());
  while (rows.childElementCount > MOST) rows.lastElementChild?.remove();
  put($("price"), price(last.price));
  $("price").className = `big ${last.side === "sell" ? "down" : "up"}`;
  const moved = last.price - (first?.price ?? last.price);
  put($("change"), `${moved < 0 ? "\u2212" : "+"}${price(Math.abs(moved))} since you came`);
}
var previous;
function figures() {
  const metrics = client.metrics();
  const now = { at: performance.now(), n: last?.n ?? 0, heard, bytes: metrics.bytes.received };
  if (previous && last && previous.n > 0) {
    const seconds = (now.at - previous.at) / 1e3;
    put($("in"), count(Math.round(Math.max(0, now.n - previous.n) / seconds)));
    put($("out"), count(Math.round((now.heard - previous.heard) / seconds)));
    put($("bytes"), bytes((now.bytes - previous.bytes) / seconds));
    put($("latency"), metrics.latency.count ? ms(metrics.latency.p50) : "\u2013");
  }
  previous = now;
}
var relay;
function useFeed(url) {
  relay?.close();
  relay = void 0;
  let socket;
  try {
    socket = new WebSocket(url);
  } catch {
    problem("feed", "That is not the address of a WebSocket: it begins with wss://");
    return;
  }
  relay = socket;
  let n = 0;
  const state = (words) => put($("pair"), words);
  state(`Connecting to ${new URL(url).host}`);
  socket.onopen = () => {
    solved("feed");
    state(new URL(url).host);
    if (url.includes("coinbase")) socket.send(JSON.stringify({ type: "subscribe", product_ids: ["BTC-USD"], channels: ["matches"] }));
    channel = `demo:feed:${new URL(url).host}`;
    open();
  };
  socket.onmessage = ({ data }) => {
    const trade = readTrade(data);
    if (!trade) return;
    n += 1;
    const { id, ...rest } = trade;
    client.channel(channel).publish("trade", { n, ...rest }, { id: `trade-${id}`, key: "trade", offline: "fail" }).catch(() => void 0);
  };
  socket.onclose = () => {
    if (relay !== socket) return;
    problem("feed", `${new URL(url).host} cannot be reached from here; the simulated market goes on.`);
    simulate();
  };
}
function simulate() {
  const closing = relay;
  relay = void 0;
  closing?.close();
  put($("pair"), "FAN / USD");
  put($("feed-do"), "Use it");
  if (channel !== "demo:trades") {
    channel = "demo:trades";
    open();
  }
}
$("feed").addEventListener("submit", (event) => {
  event.preventDefault();
  if (relay) {
    simulate();
    solved("feed");
    return;
  }
  const url = $("url").value.trim();
  if (!url) return;
  useFeed(url);
  if (relay) put($("feed-do"), "Stop");
});
$("rates").addEventListener("change", (event) => {
  rate = Number(event.target.value);
  open();
});
open();
draw();
setInterval(figures, 1e3);
