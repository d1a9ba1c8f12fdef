// examples/demos/compare/compare.ts
import { createClient, poll } from "./fanfare-client.min.js";
import { $, bytes, count, el, fields, HUB, join, many, ms, number, put, RETRY, showStatus } from "./kit.js";
var CHANNEL = "demo:compare";
var LASTS = 6e4;
var Way = class {
  constructor(name) {
    this.name = name;
    this.#cells = Array.from({ length: 7 }, () => el("td", { class: "n" }, "\u2013"));
    $("rows").append(el("tr", {}, el("th", { scope: "row" }, name), ...this.#cells));
    $("bars").append(el("div", {}, el("span", {}, name), el("span", { class: "rail" }, this.#bar), this.#late));
  }
  name;
  requests = 0;
  received = 0;
  bytes = 0;
  first = 0;
  last = 0;
  seen = /* @__PURE__ */ new Set();
  latencies = [];
  #cells;
  #bar = el("i");
  #late = el("b", {}, "\u2013");
  hear(n, time) {
    this.seen.add(n);
    this.received += 1;
    this.first ||= n;
    this.last = Math.max(this.last, n);
    this.latencies.push(Math.max(0, Date.now() - time));
  }
  get missed() {
    return this.first ? this.last - this.first + 1 - this.seen.size : 0;
  }
  get mean() {
    return this.latencies.reduce((sum, one) => sum + one, 0) / Math.max(1, this.latencies.length);
  }
  get p99() {
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return sorted[Math.min(sorted.length - 1, Math.ceil(sorted.length * 0.99) - 1)] ?? 0;
  }
  draw() {
    const none = this.received === 0;
    const words = [
      count(this.received),
      count(this.missed),
      count(this.requests),
      none ? "\u2013" : ms(this.mean),
      none ? "\u2013" : ms(this.p99),
      bytes(this.bytes),
      none ? "\u2013" : bytes(this.bytes / this.received)
    ];
    words.forEach((word, at) => {
      const cell = this.#cells[at];
      if (cell) put(cell, word);
    });
    put(this.#late, none ? "\u2013" : ms(this.mean));
    this.#bar.style.width = none ? "0" : `${Math.max(0.02, (Math.log10(Math.max(this.mean, 0.1)) + 1) / 5) * 100}%`;
  }
};
var ways = { poll: new Way("Poll"), longpoll: new Way("Long-poll"), sse: new Way("SSE"), ws: new Way("WebSocket") };
var ending;
function hearOver(transport, way, signal) {
  const client = createClient(HUB, { transports: [transport], retry: RETRY });
  const hear = (message) => way.hear(number(fields(message.data).n), message.time);
  join(client, CHANNEL).subscribe("update", hear, { signal });
  const figures = () => {
    const metrics = client.metrics();
    way.requests = metrics.requests;
    way.bytes = metrics.bytes.received;
  };
  const ticking = setInterval(figures, 250);
  signal.addEventListener("abort", () => {
    figures();
    clearInterval(ticking);
    void client.close();
  });
  return client;
}
function hearByPolling(way, signal) {
  let cursor = "";
  const ask = async () => {
    way.requests += 1;
    const answer = await fetch(`${HUB}/v1/poll?channel=${CHANNEL}${cursor && `&since=${encodeURIComponent(cursor)}`}`, { signal });
    const body = await answer.text();
    way.bytes += body.length;
    for (const [name, value] of answer.headers) way.bytes += name.length + value.length + 4;
    if (!answer.ok) throw new Error(`the hub answered ${answer.status}`);
    const page = JSON.parse(body);
    for (const { data, time } of page.messages) way.hear(number(fields(data).n), time);
    cursor = page.cursor;
    return cursor;
  };
  const asking = poll(ask, { min: 1e3, max: 1e3, jitter: 0, signal, errors: 100 });
  asking.done.catch(() => void 0);
}
function draw() {
  for (const way of Object.values(ways)) way.draw();
}
function start() {
  ending?.abort();
  $("rows").replaceChildren();
  $("bars").replaceChildren();
  Object.assign(ways, { poll: new Way("Poll"), longpoll: new Way("Long-poll"), sse: new Way("SSE"), ws: new Way("WebSocket") });
  const controller = new AbortController();
  ending = controller;
  const { signal } = controller;
  hearByPolling(ways.poll, signal);
  hearOver("longpoll", ways.longpoll, signal);
  hearOver("sse", ways.sse, signal);
  showStatus(hearOver("ws", ways.ws, signal), $("state"));
  put($("start"), "Stop");
  put($("verdict"), "");
  const began = Date.now();
  const ticking = setInterval(() => {
    const passed = Date.now() - began;
    $("left").value = passed / 1e3;
    put($("seconds"), `${Math.max(0, Math.ceil((LASTS - passed) / 1e3))} s left`);
    draw();
    if (passed >= LASTS) controller.abort();
  }, 500);
  signal.addEventListener("abort", () => {
    clearInterval(ticking);
    if (ending === controller) ending = void 0;
    put($("start"), "Compare for a minute");
    put($("seconds"), Date.now() - began < LASTS ? "stopped" : "done");
    draw();
    const { poll: slow, ws: quick } = ways;
    if (quick.received > 0)
      put($("verdict"), `WebSocket took ${many(quick.requests, "request")} for ${many(quick.received, "update")}; polling took ${count(slow.requests)}, and was ${Math.round(slow.mean / Math.max(quick.mean, 0.5))} times as late.`);
  });
}
$("start").addEventListener("click", () => {
  if (ending) ending.abort();
  else start();
});
start();
