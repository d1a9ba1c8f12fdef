// examples/demos/shared/kit.ts
import { createClient } from "./fanfare-client.min.js";
var HUB = new URL("..", new URL("./", location.href)).href.replace(/\/$/, "");
function $(id) {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found;
}
function el(tag, props = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") made.addEventListener(name.slice(2), value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== void 0 && value !== false) made.setAttribute(name, String(value));
  }
  made.append(...children.filter((child) => child !== void 0));
  return made;
}
function put(element, text2) {
  const wanted = String(text2);
  if (element.textContent !== wanted) element.textContent = wanted;
}
function flash(element, name) {
  for (const other of [...element.classList]) if (other.startsWith("flash")) element.classList.remove(other);
  void element.offsetWidth;
  element.classList.add(name);
}
function fields(data) {
  return typeof data === "object" && data !== null && !Array.isArray(data) ? data : {};
}
function text(value, most = 200) {
  return typeof value === "string" ? value.slice(0, most) : "";
}
function number(value) {
  return typeof value === "number" && Number.isFinite(value) ? value : 0;
}
var clock = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
var brief = new Intl.DateTimeFormat([], { hour: "2-digit", minute: "2-digit" });
var plain = new Intl.NumberFormat("en");
var prices = new Intl.NumberFormat("en", { minimumFractionDigits: 2, maximumFractionDigits: 2 });
var time = (ms2) => clock.format(ms2);
var shortTime = (ms2) => brief.format(ms2);
var count = (n) => plain.format(n);
var price = (n) => prices.format(n);
var many = (n, one) => `${count(n)} ${one}${n === 1 ? "" : "s"}`;
var ms = (n) => n < 1 ? "< 1 ms" : n < 10 ? `${n.toFixed(1)} ms` : n < 1e4 ? `${Math.round(n)} ms` : `${(n / 1e3).toFixed(1)} s`;
function bytes(n) {
  if (n < 1e3) return `${Math.round(n)} B`;
  return n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(2)} MB`;
}
var NAMES = {
  ws: "WebSocket",
  sse: "SSE",
  longpoll: "long-poll",
  poll: "poll",
  tab: "another tab"
};
function describe(status) {
  switch (status.state) {
    case "connected":
      return `Live over ${NAMES[status.transport ?? "ws"]}`;
    case "connecting":
      return "Connecting\u2026";
    case "reconnecting": {
      const left = (status.retryAt ?? 0) - Date.now();
      const tries = status.attempt > 1 ? ` (try ${status.attempt})` : "";
      return left > 100 ? `Retry in ${(left / 1e3).toFixed(1)} s${tries}` : `Reconnecting\u2026${tries}`;
    }
    case "offline":
      return "Offline: waiting for the network";
    case "failed":
      return status.error?.message ?? "Stopped";
    case "idle":
      return "Not connected";
  }
}
function showStatus(client, pill) {
  let ticking;
  const draw = () => put(pill, describe(client.status.value));
  client.status.subscribe(({ state }) => {
    pill.dataset.state = state;
    draw();
    clearInterval(ticking);
    if (state === "reconnecting") ticking = setInterval(draw, 100);
  });
}
var RETRY = { min: 250, max: 4e3 };
function connect(options = {}) {
  const client = createClient(HUB, { retry: RETRY, ...options });
  showStatus(client, $("state"));
  client.status.subscribe(({ state, error }) => {
    if (state === "failed") problem("connection", `Stopped: ${error?.message ?? "the hub refused"}. ${error?.remedy ?? ""}`);
    else if (state === "connected") solved("connection");
  });
  return client;
}
function join(client, name, options = {}) {
  const channel = client.channel(name, options);
  channel.state.subscribe(({ state, error }) => {
    if (state === "live") solved(name);
    else if (error) problem(name, `The hub refused ${name}: ${error.message}. [namespaces.demo] in its configuration says who may do what there.`);
  });
  return channel;
}
var shown = /* @__PURE__ */ new Map();
function problem(name, message) {
  solved(name);
  const notice = el("p", { class: "notice error" }, message);
  shown.set(name, notice);
  $("problems").append(notice);
}
function solved(name) {
  shown.get(name)?.remove();
  shown.delete(name);
}
function orProblem(name, doing) {
  doing.then(
    () => solved(name),
    (error) => problem(name, `${error.message}${error.remedy ? `. ${error.remedy}` : ""}`)
  );
}
function toast(words, level = "info") {
  const all = $("toasts");
  while (all.childElementCount >= 3) all.firstElementChild?.remove();
  const one = el("div", { class: "toast", "data-level": level }, el("span", {}, words));
  const close = () => one.remove();
  one.append(el("button", { type: "button", class: "small", "aria-label": "Dismiss", onclick: close }, "\xD7"));
  all.append(one);
  setTimeout(close, 5e3);
}
function remembered(key) {
  try {
    return localStorage.getItem(`fanfare.demos.${key}`);
  } catch {
    return null;
  }
}
function remember(key, value) {
  try {
    localStorage.setItem(`fanfare.demos.${key}`, value);
  } catch {
  }
}
var random = () => Math.random().toString(36).slice(2, 10).padEnd(8, "0");
var ANIMALS = ["Otter", "Heron", "Lynx", "Badger", "Wren", "Marten", "Swift", "Hare", "Ibis", "Seal", "Finch", "Puffin"];
function visitorName() {
  const known = remembered("name");
  if (known) return known;
  const made = `${ANIMALS[Math.floor(Math.random() * ANIMALS.length)]} ${Math.floor(Math.random() * 90) + 10}`;
  remember("name", made);
  return made;
}
function hue(of) {
  let hash = 7;
  for (let at = 0; at < of.length; at += 1) hash = hash * 31 + of.charCodeAt(at) >>> 0;
  return hash % 8;
}
export {
  $,
  HUB,
  RETRY,
  bytes,
  connect,
  count,
  describe,
  el,
  fields,
  flash,
  hue,
  join,
  many,
  ms,
  number,
  orProblem,
  price,
  problem,
  put,
  random,
  remember,
  remembered,
  shortTime,
  showStatus,
  solved,
  text,
  time,
  toast,
  visitorName
};
