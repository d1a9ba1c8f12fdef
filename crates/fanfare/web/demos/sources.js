// examples/demos/sources/sources.ts
import { createClient, poll } from "./fanfare-client.min.js";
import { $, count, el, fields, flash, HUB, join, many, number, put, RETRY, showStatus, text } from "./kit.js";
var CHANNEL = "demo:orders";
var ROWS = 12;
var kept = /* @__PURE__ */ new Map();
var rows = /* @__PURE__ */ new Map();
var taken = 0;
var dropped = 0;
function take(by, { position, data, key }) {
  if (!position || !key) return false;
  const known = kept.get(position);
  if (known) {
    dropped += 1;
    if (!known.also.includes(by) && by !== known.by) known.also.push(by);
    put(known.cell, known.also.map((by2) => SHORT[by2] ?? by2).join(", "));
    put($("dropped"), count(dropped));
    return false;
  }
  taken += 1;
  put($("kept"), count(taken));
  const order = fields(data);
  const cell = el("td", { class: "n" }, "");
  kept.set(position, { by, also: [], cell });
  if (kept.size > 2e3) kept.delete(kept.keys().next().value ?? "");
  rows.get(key)?.remove();
  const row = el(
    "tr",
    {},
    el("td", {}, `#${number(order.id)}`),
    el("td", {}, text(order.what, 40)),
    el("td", { class: "n" }, `${count(number(order.amount))} \u20AC`),
    el("td", {}, text(order.state, 20)),
    el("td", {}, el("span", { class: "badge", "data-hue": HUES[by] }, by)),
    cell
  );
  rows.set(key, row);
  $("rows").prepend(row);
  flash(row, "flash-new");
  while ($("rows").childElementCount > ROWS) $("rows").lastElementChild?.remove();
  $("empty").hidden = true;
  return true;
}
var HUES = { WebSocket: 0, SSE: 2, poll: 4 };
var SHORT = { WebSocket: "WS" };
function source(name, note, open) {
  let first = 0;
  let repeats = 0;
  const words = el("p", {}, "");
  const state = el("span", { class: "tag" }, "");
  const heard = (given) => {
    if (take(name, given)) first += 1;
    else repeats += 1;
    put(words, `${count(first)} first, ${many(repeats, "repeat")}`);
  };
  const toggle = el("input", { type: "checkbox", checked: true, "aria-label": `${name} on` });
  const panel = el(
    "section",
    { class: "panel source", "aria-label": name },
    el("div", { class: "bar" }, el("label", { class: "check" }, toggle, el("span", { class: "badge", "data-hue": HUES[name] }, name)), state),
    words,
    el("p", { class: "muted" }, note)
  );
  let close = open(state, heard);
  toggle.addEventListener("change", () => {
    panel.classList.toggle("off", !toggle.checked);
    if (toggle.checked) {
      close = open(state, heard);
    } else {
      close();
      put(state, "off");
      state.dataset.state = "idle";
    }
  });
  put(words, "0 first, 0 repeats");
  $("sources").append(panel);
}
var live = (transport, main) => (state, heard) => {
  const client = createClient(HUB, { transports: [transport], retry: RETRY });
  showStatus(client, state);
  if (main) showStatus(client, $("state"));
  const off = join(client, CHANNEL).subscribe("order", heard);
  return () => {
    off();
    void client.close();
  };
};
function polling(state, heard) {
  let cursor;
  const ask = async () => {
    const answer = await fetch(`${HUB}/v1/poll?channel=${CHANNEL}${cursor ? `&since=${encodeURIComponent(cursor)}` : ""}`);
    if (!answer.ok) throw new Error(`the hub answered ${answer.status}`);
    const page = await answer.json();
    const epoch = page.cursor.split("-")[0];
    for (const { offset, data, key } of page.messages) heard({ position: `${epoch}-${offset}`, data, key });
    cursor = page.cursor;
    return cursor;
  };
  const asking = poll(ask, { min: 1e3, max: 5e3, errors: Number.POSITIVE_INFINITY });
  asking.done.catch(() => void 0);
  asking.subscribe(({ state: now, requests, error }) => {
    state.dataset.state = error ? "reconnecting" : "connected";
    put(state, now === "stopped" ? "off" : many(requests, "request"));
  });
  return () => asking.stop();
}
source("WebSocket", "One connection, both ways.", live("ws", true));
source("SSE", "One answer that does not end.", live("sse", false));
source("poll", "A request every second or slower, with the cursor of the last answer.", polling);
