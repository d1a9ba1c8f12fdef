// examples/demos/moods/moods.ts
import { $, connect, count, el, fields, flash, orProblem, put, random, remember, remembered, text, time, toast, visitorName } from "./kit.js";
var EMOJI = ["\u{1F600}", "\u{1F60E}", "\u{1F973}", "\u{1F914}", "\u{1F634}", "\u{1F624}", "\u{1F972}", "\u{1F525}", "\u{1F331}", "\u2615"];
var client = connect();
var board = client.channel("demo:moods", { snapshot: true });
var cards = /* @__PURE__ */ new Map();
var mine = new Set((remembered("moods.mine") ?? "").split(" ").filter(Boolean));
var since = { added: 0, changed: 0, removed: 0 };
EMOJI.forEach((face, at) => {
  const radio = el("input", { type: "radio", name: "face", value: face, "aria-label": face, checked: at === 0 });
  $("emoji").append(el("label", { class: "choice" }, radio, el("span", { "aria-hidden": "true" }, face)));
});
function chosen() {
  return document.querySelector("input[name=face]:checked")?.value ?? "\u{1F600}";
}
function post(key, face, words) {
  orProblem("post", board.publish("mood", { face, words, by: visitorName() }, { key }));
}
function tally(what) {
  since[what] += 1;
  put($(what), count(since[what]));
}
function remove(key, quietly) {
  const card = cards.get(key);
  if (!card) return;
  cards.delete(key);
  if (quietly) {
    card.remove();
    return;
  }
  tally("removed");
  card.classList.add("leaving");
  setTimeout(() => card.remove(), 500);
}
function fill(card, key, message) {
  const data = fields(message.data);
  const words = text(data.words, 80);
  const parts = [
    el("span", { class: "face" }, text(data.face, 8)),
    el("p", {}, words),
    el("p", { class: "by" }, `${text(data.by, 32) || "somebody"}, ${time(message.time)}`)
  ];
  if (mine.has(key)) {
    const select = el("select", { "aria-label": "Change the mood", onchange: () => post(key, select.value, words) }, ...EMOJI.map((face) => el("option", {}, face)));
    select.value = text(data.face, 8);
    const down = () => orProblem("post", board.publish("mood", null, { key }));
    parts.push(el("div", { class: "own" }, select, el("button", { type: "button", class: "small", onclick: down }, "Take down")));
  }
  card.replaceChildren(...parts);
}
function show(message) {
  const { key, replayed } = message;
  if (!key) return;
  if (message.data === null) {
    remove(key, replayed);
  } else {
    let card = cards.get(key);
    const inserted = !card;
    if (!card) {
      card = el("li", { class: "mood" });
      cards.set(key, card);
      $("board").prepend(card);
    }
    fill(card, key, message);
    if (!replayed) {
      tally(inserted ? "added" : "changed");
      flash(card, inserted ? "flash-new" : "flash-changed");
      const data = fields(message.data);
      if (inserted && !mine.has(key)) toast(`${text(data.face, 8)} ${text(data.by, 32) || "Somebody"}: ${text(data.words, 80)}`);
    }
  }
  put($("total"), count(cards.size));
  $("empty").hidden = cards.size > 0;
}
function forget() {
  for (const key of [...cards.keys()]) remove(key, true);
}
board.subscribe(show, { onGap: forget });
$("post").addEventListener("submit", (event) => {
  event.preventDefault();
  const words = $("words");
  const key = random();
  mine.add(key);
  remember("moods.mine", [...mine].slice(-50).join(" "));
  post(key, chosen(), words.value.trim());
  words.value = "";
});
