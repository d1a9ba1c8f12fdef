// examples/demos/resilience/resilience.ts
import { $, connect, count, describe, el, fields, join, number, put, time } from "./kit.js";

// examples/demos/resilience/network.ts
var Network = class {
  WebSocket;
  #lines = /* @__PURE__ */ new Set();
  #state = "whole";
  constructor() {
    const network2 = this;
    const lines = this.#lines;
    this.WebSocket = class extends Line {
      constructor(url, protocols) {
        super(url, protocols, network2);
        lines.add(this);
      }
      ended() {
        lines.delete(this);
      }
    };
  }
  get state() {
    return this.#state;
  }
  /** Breaks every connection; in the dark: nothing comes or goes, and nobody is told. */
  cut(dark) {
    this.#state = dark ? "dark" : "cut";
    if (!dark) for (const line of [...this.#lines]) line.cut();
  }
  mend() {
    this.#state = "whole";
    for (const line of [...this.#lines]) line.mend();
  }
};
var Line = class {
  onopen = null;
  onmessage = null;
  onerror = null;
  onclose = null;
  #network;
  #socket;
  /** What would have come or gone in the dark: TCP repeats it until it arrives, if nobody gives up before. */
  #held = [];
  constructor(url, protocols, network2) {
    this.#network = network2;
    if (network2.state !== "whole") {
      if (network2.state === "cut") setTimeout(() => this.cut(), 50);
      return;
    }
    const socket = new WebSocket(url, protocols);
    this.#socket = socket;
    socket.onopen = (event) => this.#pass(() => this.onopen?.call(this, event));
    socket.onmessage = (event) => this.#pass(() => this.onmessage?.call(this, event));
    socket.onclose = (event) => this.#pass(() => {
      this.ended();
      this.onclose?.call(this, event);
    });
  }
  ended() {
  }
  get readyState() {
    return this.#socket?.readyState ?? WebSocket.CONNECTING;
  }
  get bufferedAmount() {
    return this.#socket?.bufferedAmount ?? 0;
  }
  #pass(happen) {
    if (this.#network.state === "dark") this.#held.push(happen);
    else happen();
  }
  send(data) {
    this.#pass(() => this.#socket?.readyState === WebSocket.OPEN && this.#socket.send(data));
  }
  close(code, reason) {
    this.#held = [];
    this.#socket?.close(code, reason);
    if (!this.#socket) this.ended();
  }
  /** As when the cable is pulled and the system notices. */
  cut() {
    const socket = this.#socket;
    if (socket) {
      socket.onopen = socket.onmessage = socket.onclose = null;
      socket.close();
    }
    this.ended();
    this.onclose?.call(this, new CloseEvent("close", { code: 1006 }));
  }
  mend() {
    if (!this.#socket) return this.cut();
    for (const happen of this.#held.splice(0)) happen();
  }
};

// examples/demos/resilience/resilience.ts
var network = new Network();
var client = connect({ WebSocket: network.WebSocket, transports: ["ws"] });
var cut = $("cut");
var seconds = Array.from({ length: 60 }, () => ({ live: 0, late: 0 }));
var tally = { received: 0, replayed: 0, lost: 0, repeated: 0, disordered: 0 };
var expected;
var backAt = 0;
function tell(words) {
  $("log").prepend(el("li", {}, el("time", {}, time(Date.now())), words));
  while ($("log").childElementCount > 60) $("log").lastElementChild?.remove();
}
function hear(message) {
  const n = number(fields(message.data).n);
  tally.received += 1;
  if (message.replayed) tally.replayed += 1;
  const second = seconds.at(-1);
  if (second) second[message.replayed ? "late" : "live"] += 1;
  if (expected !== void 0 && n > expected) tally.lost += n - expected;
  else if (expected !== void 0 && n === expected - 1) tally.repeated += 1;
  else if (expected !== void 0 && n < expected) tally.disordered += 1;
  expected = Math.max(n + 1, expected ?? 0);
}
join(client, "demo:ticks").subscribe("tick", hear, {
  onGap: (gap) => {
    tell(`The hub says that something is gone: ${gap.reason}`);
    if (gap.reason === "epoch") expected = void 0;
  }
});
var before = "";
var tried = 0;
client.status.subscribe((status) => {
  put($("now"), status.state);
  if (status.state === "reconnecting") tried = status.attempt;
  put($("attempt"), status.state === "reconnecting" ? status.attempt : "\u2013");
  put($("transport"), status.transport ?? "\u2013");
  const words = status.state === "reconnecting" ? `Reconnecting${status.error ? `: ${status.error.message}` : ""}` : describe(status);
  if (words !== before) tell(status.state === "connected" && tried > 0 ? `${words}, at attempt ${tried}` : words);
  if (status.state === "connected") tried = 0;
  before = words;
});
var strip = $("strip");
strip.append(...seconds.map(() => el("i")));
function draw() {
  put($("last"), expected === void 0 ? "\u2013" : count(expected - 1));
  for (const [name, value] of Object.entries(tally)) {
    put($(name), count(value));
    $(name).classList.toggle("bad", value > 0 && (name === "lost" || name === "repeated" || name === "disordered"));
  }
  const { state, retryAt } = client.status.value;
  const left = (retryAt ?? 0) - Date.now();
  put($("retry"), state === "reconnecting" && left > 0 ? `${(left / 1e3).toFixed(1)} s` : "\u2013");
  put($("back"), backAt > Date.now() ? `${((backAt - Date.now()) / 1e3).toFixed(1)} s` : "\u2013");
  put($("reconnects"), count(client.metrics().reconnects));
}
function drawStrip() {
  seconds.push({ live: 0, late: 0 });
  seconds.shift();
  seconds.forEach(({ live, late }, at) => {
    const bar = strip.children[at];
    bar.style.height = `${Math.min(100, Math.log2(1 + live + late) / 8 * 100)}%`;
    bar.classList.toggle("late", late > 0);
  });
}
cut.addEventListener("click", () => {
  const length = Number(document.querySelector("input[name=for]:checked")?.value ?? 3);
  const dark = $("dark").checked;
  cut.disabled = true;
  backAt = Date.now() + length * 1e3;
  tell(`The network is ${dark ? "dark" : "cut"} for ${length} s`);
  network.cut(dark);
  setTimeout(() => {
    network.mend();
    if (!dark) client.wake();
    cut.disabled = false;
    tell("The network is back");
  }, length * 1e3);
});
setInterval(draw, 100);
setInterval(drawStrip, 1e3);
