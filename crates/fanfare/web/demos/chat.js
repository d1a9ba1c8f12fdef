// examples/demos/chat/chat.ts
import { $, connect, el, hue, orProblem, put, random, remember, remembered, shortTime, text as text2, fields as fields2, visitorName } from "./kit.js";

// examples/demos/chat/room.ts
import { fields, join, text } from "./kit.js";
var PAGE = 30;
var MOST = 500;
var TYPING = 3500;
var Room = class {
  constructor(client2, name2, heard) {
    this.name = name2;
    this.#heard = heard;
    this.channel = join(client2, `demo:chat:${name2}`, { presence: true });
    this.channel.subscribe("say", (m) => this.#say(m), { last: PAGE, onGap: (gap) => this.#gap(gap) });
    this.channel.subscribe("typing", (m) => this.#type(m));
  }
  name;
  channel;
  lines = [];
  unread = 0;
  /** Whether there is more past to read. */
  more = false;
  #before;
  #typing = /* @__PURE__ */ new Map();
  #typedAt = 0;
  #heard;
  #line(message) {
    const data = fields(message.data);
    return {
      id: message.id ?? String(message.position),
      words: text(data.words, 1e3),
      by: text(data.by, 24) || "somebody",
      client: message.client,
      time: message.time,
      position: message.position
    };
  }
  #say(message) {
    const line = this.#line(message);
    if (!this.#before && message.position) {
      this.#before = message.position;
      this.more = (message.offset ?? 1) > 1;
    }
    if (message.client) this.#typing.delete(message.client);
    const own = this.lines.findIndex(({ id, fate }) => id === line.id && fate);
    if (own >= 0) this.lines.splice(own, 1);
    const end = this.lines.findIndex(({ fate }) => fate);
    this.lines.splice(end < 0 ? this.lines.length : end, 0, line);
    this.#trim();
    if (!message.replayed) this.#heard.said(line);
    this.#heard.changed();
  }
  /** Lets go of the oldest lines, which history has; but not of the word that something was lost. */
  #trim() {
    const cut = this.lines.splice(0, Math.max(0, this.lines.length - MOST));
    if (cut.length === 0) return;
    this.#before = this.lines.find(({ position }) => position)?.position ?? this.#before;
    this.more = true;
    const lost = cut.findLast(({ lost: lost2 }) => lost2);
    if (lost) this.lines.unshift(lost);
  }
  #gap(gap) {
    if (this.lines.length > 0) {
      const words = gap.reason === "epoch" ? "This room began anew; what was said before is gone." : "Some messages are gone for good; the rest follows.";
      this.lines.push({ id: `gap-${gap.position}`, words, by: "", client: void 0, time: Date.now(), lost: true });
    }
    this.#heard.changed();
  }
  /** One page further back. */
  async older() {
    if (!this.#before) return;
    const page = [];
    for await (const message of this.channel.history({ before: this.#before, limit: PAGE, page: PAGE })) page.push(message);
    this.more = page.length === PAGE;
    this.#before = page.at(-1)?.position ?? this.#before;
    const said = page.filter(({ event }) => event === "say").reverse();
    this.lines.unshift(...said.map((message) => this.#line(message)));
    this.#heard.changed();
  }
  say(words, by, id, client2) {
    const line = { id, words, by, client: client2, time: Date.now() };
    this.lines.push(line);
    this.#typedAt = 0;
    return this.send(line);
  }
  /** Also again: with the id that it had, so that the hub takes it once if it does have it (for five minutes by default). */
  async send(line) {
    line.fate = "sending";
    this.#heard.changed();
    try {
      await this.channel.publish("say", { words: line.words, by: line.by }, { id: line.id });
    } catch {
      line.fate = "failed";
      this.#heard.changed();
    }
  }
  // ---- who types
  /** Tells the others, at most every two seconds. */
  typing(name2) {
    const now = Date.now();
    if (now - this.#typedAt < 2e3) return;
    this.#typedAt = now;
    this.channel.publish("typing", { by: name2 }, { ephemeral: true, offline: "fail" }).catch(() => void 0);
  }
  #type(message) {
    if (!message.client) return;
    this.#typing.set(message.client, { name: text(fields(message.data).by, 24), until: Date.now() + TYPING });
    this.#heard.changed();
  }
  typists(me) {
    const now = Date.now();
    for (const [client2, { until }] of this.#typing) if (until < now) this.#typing.delete(client2);
    return [...this.#typing].filter(([client2]) => client2 !== me).map(([, { name: name2 }]) => name2);
  }
};

// examples/demos/chat/chat.ts
var client = connect();
var log = $("log");
var input = $("words");
var nameInput = $("name");
var name = visitorName();
var shown;
var drawn;
var scheduled = false;
var rooms = ["general", "design", "random"].map(
  (roomName) => new Room(client, roomName, {
    changed: schedule,
    said: () => {
      const room = rooms.find(({ name: name2 }) => name2 === roomName);
      if (room && room !== shown) room.unread += 1;
    }
  })
);
function schedule() {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    draw();
  });
}
function lineElement(line, room) {
  if (line.lost) return el("li", {}, el("p", { class: "notice" }, line.words));
  const fate = line.fate === "sending" ? "sending\u2026" : "not sent";
  return el(
    "li",
    { class: line.fate ?? "", "data-hue": hue(line.client ?? line.by) },
    el("span", { class: "who" }, line.by),
    el("time", {}, shortTime(line.time)),
    line.fate ? el("small", { class: "fate" }, ` ${fate}`) : void 0,
    el("span", { class: "words" }, line.words),
    line.fate === "failed" ? el("button", { type: "button", class: "small", onclick: () => void room.send(line) }, "Send again") : void 0
  );
}
var elements = /* @__PURE__ */ new Map();
function drawLines() {
  const list = $("messages");
  const fresh = shown !== drawn;
  if (fresh) elements.clear();
  const atEnd = fresh || log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const fromEnd = log.scrollHeight - log.scrollTop;
  const wanted = shown.lines.map((line) => {
    const known = elements.get(line);
    if (known && known.fate === line.fate) return known.element;
    const element = lineElement(line, shown);
    elements.set(line, { element, fate: line.fate });
    return element;
  });
  const grewAbove = !fresh && list.firstElementChild !== null && wanted[0] !== list.firstElementChild;
  if (wanted.length !== list.childElementCount || wanted.some((element, at) => list.children[at] !== element)) list.replaceChildren(...wanted);
  if (atEnd) log.scrollTop = log.scrollHeight;
  else if (grewAbove) log.scrollTop = log.scrollHeight - fromEnd;
  drawn = shown;
}
function draw() {
  put($("room-title"), `#${shown.name}`);
  drawLines();
  $("empty").hidden = shown.lines.length > 0;
  $("older").hidden = !shown.more;
  rooms.forEach((room, at) => {
    const button = $("rooms").children[at]?.firstElementChild;
    if (!button) return;
    button.toggleAttribute("aria-current", room === shown);
    const badge = button.querySelector(".unread");
    if (room.unread > 0 && badge) put(badge, room.unread);
    else if (room.unread > 0) button.append(el("span", { class: "unread", title: "unread" }, String(room.unread)));
    else badge?.remove();
  });
  drawTyping();
}
function drawTyping() {
  const names = shown.typists(client.id);
  const words = names.length > 2 ? "Several people are typing\u2026" : names.length > 0 ? `${names.join(" and ")} ${names.length > 1 ? "are" : "is"} typing\u2026` : "";
  put($("typing"), words);
}
function drawMembers() {
  const { members, count } = shown.channel.presence.value;
  put($("members-count"), count);
  const rows = members.slice(0, 100).map((member) => {
    const called = text2(fields2(member.data).name, 24) || "somebody";
    return el("li", { "data-hue": hue(member.client) }, el("span", {}, member.client === client.id ? `${called} (you)` : called));
  });
  $("members").replaceChildren(...rows);
}
var offs = [];
function show(room) {
  for (const off of offs) off();
  if (shown) shown.channel.presence.leave().catch(() => void 0);
  shown = room;
  room.unread = 0;
  remember("chat.room", room.name);
  offs = [
    room.channel.presence.subscribe(drawMembers),
    room.channel.state.subscribe(({ state, error }) => {
      put($("room-state"), error ? error.message : state);
      $("room-state").dataset.state = state === "live" ? "connected" : "reconnecting";
    })
  ];
  orProblem("enter", room.channel.presence.enter({ name }));
  schedule();
}
rooms.forEach((room) => {
  $("rooms").append(el("li", {}, el("button", { type: "button", onclick: () => show(room) }, `# ${room.name}`)));
});
$("say").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = input.value.trim();
  if (!words) return;
  input.value = "";
  log.scrollTop = log.scrollHeight;
  void shown.say(words, name, random() + random(), client.id);
});
input.addEventListener("input", () => input.value && shown.typing(name));
$("older").addEventListener("click", () => orProblem("history", shown.older()));
nameInput.value = name;
function rename() {
  const wanted = nameInput.value.trim();
  if (!wanted || wanted === name) return;
  name = wanted;
  remember("name", name);
  orProblem("enter", shown.channel.presence.enter({ name }));
}
nameInput.addEventListener("change", rename);
$("rename").addEventListener("submit", (event) => {
  event.preventDefault();
  rename();
});
show(rooms.find((room) => room.name === remembered("chat.room")) ?? rooms[0]);
setInterval(drawTyping, 1e3);
