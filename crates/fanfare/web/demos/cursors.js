// examples/demos/cursors/cursors.ts
import { $, connect, el, fields, hue, join, number, put, text, visitorName } from "./kit.js";
var EVERY = 1e3 / 30;
var STILL = 4e3;
var GONE = 3e4;
var MOST = 60;
var SVG = "http://www.w3.org/2000/svg";
var Pointer = class {
  x = 0.5;
  y = 0.5;
  shownX = Number.NaN;
  shownY = Number.NaN;
  movedAt = performance.now();
  element;
  #label = el("span");
  constructor(id, own2 = false) {
    const arrow = document.createElementNS(SVG, "svg");
    for (const [name, value] of Object.entries({ width: 20, height: 22, viewBox: "0 0 20 22", "aria-hidden": "true" })) arrow.setAttribute(name, String(value));
    const path = document.createElementNS(SVG, "path");
    for (const [name, value] of Object.entries({ d: "M2 2l5 17 3.4-6.6L17 9z", fill: "currentColor", stroke: "var(--page)", "stroke-width": 1.4 })) path.setAttribute(name, String(value));
    arrow.append(path);
    this.element = el("div", { class: own2 ? "cursor own" : "cursor", "data-hue": hue(id) });
    this.element.append(arrow, this.#label);
    canvas.append(this.element);
  }
  name(called) {
    put(this.#label, called);
  }
  /** One frame further towards where it is. */
  draw(width, height, ease) {
    this.shownX = Number.isNaN(this.shownX) ? this.x : this.shownX + (this.x - this.shownX) * ease;
    this.shownY = Number.isNaN(this.shownY) ? this.y : this.shownY + (this.y - this.shownY) * ease;
    this.element.style.transform = `translate(${this.shownX * width}px, ${this.shownY * height}px)`;
    this.element.classList.toggle("left", this.shownX * width + this.element.offsetWidth > width);
    this.element.classList.toggle("still", performance.now() - this.movedAt > STILL);
  }
};
var canvas = $("canvas");
var client = connect();
var channel = join(client, "demo:cursors", { echo: false, presence: true });
var others = /* @__PURE__ */ new Map();
var me = visitorName();
var own;
var sent = { at: 0, x: -1, y: -1 };
var heard = 0;
var within = (value) => Math.min(1, Math.max(0, value));
function hear(message) {
  const data = fields(message.data);
  const robot = text(data.robot, 24);
  const id = robot || message.client;
  if (!id || id === client.id) return;
  heard += 1;
  let pointer = others.get(id);
  if (!pointer) {
    if (others.size >= MOST) return;
    pointer = new Pointer(id);
    others.set(id, pointer);
    pointer.name(robot || nameOf(id));
  }
  pointer.x = within(number(data.x));
  pointer.y = within(number(data.y));
  pointer.movedAt = performance.now();
}
function nameOf(id) {
  const member = channel.presence.members.find((member2) => member2.client === id);
  return text(fields(member?.data).name, 24) || "somebody";
}
function move(x, y) {
  own ??= new Pointer("own", true);
  own.name("you");
  own.x = own.shownX = within(x);
  own.y = own.shownY = within(y);
  own.movedAt = performance.now();
  $("hint").hidden = true;
}
function send() {
  const now = performance.now();
  if (!own || now - sent.at < EVERY || own.x === sent.x && own.y === sent.y) return;
  sent = { at: now, x: own.x, y: own.y };
  const round = (value) => Math.round(value * 1e4) / 1e4;
  channel.publish("move", { x: round(own.x), y: round(own.y) }, { ephemeral: true, offline: "fail" }).catch(() => void 0);
}
function frame() {
  requestAnimationFrame(frame);
  send();
  const { clientWidth, clientHeight } = canvas;
  const now = performance.now();
  for (const [id, pointer] of others) {
    if (now - pointer.movedAt > GONE) {
      pointer.element.remove();
      others.delete(id);
    } else pointer.draw(clientWidth, clientHeight, 0.35);
  }
  own?.draw(clientWidth, clientHeight, 1);
}
canvas.addEventListener("pointermove", (event) => {
  const box = canvas.getBoundingClientRect();
  move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
});
var STEPS = { ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, -0.03], ArrowDown: [0, 0.03] };
canvas.addEventListener("keydown", (event) => {
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  move((own?.x ?? 0.5) + step[0], (own?.y ?? 0.5) + step[1]);
});
channel.subscribe("move", hear);
channel.presence.subscribe(({ members, count }) => {
  put($("count"), count);
  const names = members.slice(0, 8).map((member) => member.client === client.id ? "you" : text(fields(member.data).name, 24) || "somebody");
  put($("names"), names.join(", "));
  const here = new Set(members.map((member) => member.client));
  for (const [id, pointer] of others) {
    if (id.startsWith("Robot ")) continue;
    pointer.name(nameOf(id));
    if (!here.has(id) && count === members.length) pointer.movedAt = Math.min(pointer.movedAt, performance.now() - GONE + 1e3);
  }
});
channel.presence.enter({ name: me }).catch(() => void 0);
setInterval(() => {
  put($("rate"), heard);
  heard = 0;
}, 1e3);
frame();
