// examples/demos/stocks/stocks.ts
import { $, connect, count, el, fields, flash, HUB, join, number, price, put, text, time } from "./kit.js";
var client = connect({ transports: ["sse"] });
var stocks = join(client, "demo:stocks", { snapshot: true });
var rows = /* @__PURE__ */ new Map();
var heard = { quote: 0, news: 0, halt: 0 };
var Row = class {
  #row;
  #price = el("td", { class: "n" });
  #change = el("td", { class: "n" });
  #at = el("td", { class: "n" });
  #name = el("td");
  #last = 0;
  /** Percent since trading opened. */
  #moved = 0;
  constructor(symbol) {
    this.#row = el("tr", {}, el("td", {}, el("b", {}, symbol)), this.#name, this.#price, this.#change, this.#at);
    const after = [...rows.keys()].sort().find((other) => other > symbol);
    $("rows").insertBefore(this.#row, after === void 0 ? null : rows.get(after)?.element ?? null);
  }
  get element() {
    return this.#row;
  }
  quote(message) {
    const data = fields(message.data);
    const now = number(data.price);
    const open = number(data.open) || now;
    this.#moved = Math.round((now - open) / open * 1e4) / 100;
    put(this.#name, text(data.name, 40));
    put(this.#price, price(now));
    this.halt(false);
    put(this.#at, time(message.time));
    if (this.#last !== 0 && now !== this.#last) flash(this.#price, now > this.#last ? "flash-up" : "flash-down");
    this.#last = now;
  }
  halt(halted) {
    const moved = this.#moved;
    this.#row.toggleAttribute("data-halted", halted);
    put(this.#change, halted ? "halted" : `${moved < 0 ? "\u2212" : moved > 0 ? "+" : ""}${Math.abs(moved).toFixed(2)} %`);
    this.#change.className = `n ${halted || moved === 0 ? "" : moved < 0 ? "down" : "up"}`;
  }
};
function row(symbol) {
  let known = rows.get(symbol);
  if (!known) {
    known = new Row(symbol);
    rows.set(symbol, known);
    $("empty").hidden = true;
  }
  return known;
}
function tell(message, words) {
  $("quiet").hidden = true;
  const line = el("li", {}, el("time", {}, time(message.time)), words);
  $("news").prepend(line);
  if (!message.replayed) flash(line, "flash-new");
  while ($("news").childElementCount > 8) $("news").lastElementChild?.remove();
}
function counted(kind) {
  heard[kind] += 1;
  put($("events"), `Heard here: quote ${count(heard.quote)}, news ${count(heard.news)}, halt ${count(heard.halt)}`);
}
stocks.subscribe("quote", (message) => {
  counted("quote");
  row(text(fields(message.data).symbol, 12)).quote(message);
});
stocks.subscribe("halt", (message) => {
  counted("halt");
  const { symbol, halted } = fields(message.data);
  row(text(symbol, 12)).halt(halted === true);
  tell(message, `${text(symbol, 12)}: trading ${halted === true ? "halted" : "resumed"}`);
});
stocks.subscribe("news", (message) => {
  counted("news");
  tell(message, text(fields(message.data).headline));
});
put($("wire"), `const events = new EventSource(
  '${HUB}/v1/sse?channel=demo:stocks&snapshot=1');
events.addEventListener('quote',
  e => show(JSON.parse(e.data)));

curl -N '${HUB}/v1/sse?channel=demo:stocks'`);
