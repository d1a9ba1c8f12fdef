// examples/demos/moods/moods.ts
import { $, connect, count, el as el2, fields, flash, join, orProblem, put, random, remember, remembered, text, time, toast, visitorName } from "./kit.js";

// examples/demos/moods/faces.ts
import { el } from "./kit.js";
var SVG = "http://www.w3.org/2000/svg";
var SKIN = "#ffcc4d";
var LINE = "#5c3d00";
var EYES = ["M10 14a2 2.6 0 1 0 4 0a2 2.6 0 1 0-4 0M22 14a2 2.6 0 1 0 4 0a2 2.6 0 1 0-4 0", LINE];
var FACES = {
  "\u{1F600}": { name: "grinning", paths: [EYES, ["M8 20h20a10 9 0 0 1-20 0z", LINE]] },
  "\u{1F60E}": { name: "cool", paths: [["M6 11h24v3a5 5 0 0 1-10 0v-1h-4v1a5 5 0 0 1-10 0z", "#20262e"], ["M11 24a8 5 0 0 0 14 0"]] },
  "\u{1F973}": { name: "celebrating", paths: [EYES, ["M11 21h14a7 6 0 0 1-14 0z", LINE], ["M13 3L18-6 23 3z", "#8b5cf6"], ["M25 22l9-3M25 25l9 2"]] },
  "\u{1F914}": { name: "thinking", paths: [EYES, ["M8 9l6-2M22 8l6 2M14 23l9-2"], ["M9 26q7-4 9 0q-3 1-3 5q-6 3-8-1z", "#e8a33d"]] },
  "\u{1F634}": { name: "sleepy", paths: [["M9 15q3 3 6 0M21 15q3 3 6 0M15 25a3 3 0 1 0 6 0a3 3 0 1 0-6 0M27 3h6l-6 6h6"]] },
  "\u{1F624}": { name: "huffing", paths: [["M9 12l6 3M27 12l-6 3M12 23q6-4 12 0"], EYES, ["M7 29q-6-2-5 4h9zM29 29q6-2 5 4h-9z", "#dfe7ef"]] },
  "\u{1F972}": { name: "touched", paths: [EYES, ["M10 22q8 8 16 0"], ["M25 18q4 6 0 7q-4-1 0-7z", "#5dadec"]] },
  "\u{1F525}": {
    name: "on fire",
    round: false,
    paths: [
      ["M19 2q2 7 7 11t4 12q-2 9-12 9T6 25q-1-7 5-12q0 4 3 5q-1-9 5-16z", "#f4900c"],
      ["M18 19q5 5 5 9t-5 5q-5-1-5-5t5-9z", "#ffd15c"]
    ]
  },
  "\u{1F331}": { name: "growing", round: false, paths: [["M18 34V18", void 0], ["M18 19Q4 20 3 7q14-1 15 12zM18 15Q19 4 33 4q-1 12-15 11z", "#5c9e31"]] },
  "\u2615": { name: "coffee", round: false, paths: [["M28 17q6-1 5 4t-7 4"], ["M5 14h23v9q0 8-8 8h-7q-8 0-8-8z", "#c1694f"], ["M11 10q-3-3 0-6M17 10q-3-3 0-6M23 10q-3-3 0-6"]] }
};
function shape(d, fill2) {
  const path = document.createElementNS(SVG, "path");
  const given = fill2 ? { d, fill: fill2 } : { d, fill: "none", stroke: "currentColor", "stroke-width": "2", "stroke-linecap": "round", "stroke-linejoin": "round" };
  for (const [name, value] of Object.entries(given)) path.setAttribute(name, value);
  return path;
}
function drawing({ paths, round }) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("viewBox", "0 -6 36 42");
  svg.setAttribute("aria-hidden", "true");
  if (round !== false) {
    svg.style.color = LINE;
    svg.append(shape("M0 18a18 18 0 1 0 36 0a18 18 0 1 0-36 0", SKIN));
  }
  svg.append(...paths.map(([path, fill2]) => shape(path, fill2)));
  return svg;
}
function pixels(text2) {
  const context = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  if (!context) return text2;
  context.font = "24px system-ui, sans-serif";
  context.textBaseline = "top";
  context.fillText(text2, 2, 2);
  return context.getImageData(0, 0, 32, 32).data.join();
}
var has = (() => {
  const box = pixels("\u{10FFFE}");
  return Object.keys(FACES).every((face) => pixels(face) !== box);
})();
function faceOf(face) {
  const known = FACES[face];
  return el("span", { class: "face", role: "img", "aria-label": known?.name ?? face, "data-face": face }, known && !has ? drawing(known) : face);
}
var faceInWords = (face) => has ? face : `(${FACES[face]?.name ?? face})`;
var faceAsChoice = (face) => `${has ? `${face} ` : ""}${FACES[face]?.name ?? face}`;

// examples/demos/moods/moods.ts
var EMOJI = Object.keys(FACES);
var client = connect();
var board = join(client, "demo:moods", { snapshot: true });
var cards = /* @__PURE__ */ new Map();
var mine = new Set((remembered("moods.mine") ?? "").split(" ").filter(Boolean));
var since = { added: 0, changed: 0, removed: 0 };
EMOJI.forEach((face, at) => {
  const radio = el2("input", { type: "radio", name: "face", value: face, "aria-label": FACES[face]?.name, checked: at === 0 });
  $("emoji").append(el2("label", { class: "choice", title: FACES[face]?.name }, radio, faceOf(face)));
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
    faceOf(text(data.face, 8)),
    el2("p", {}, words),
    el2("p", { class: "by" }, `${text(data.by, 32) || "somebody"}, ${time(message.time)}`)
  ];
  if (mine.has(key)) {
    const select = el2("select", { "aria-label": "Change the mood", onchange: () => post(key, select.value, words) }, ...EMOJI.map((face) => el2("option", { value: face }, faceAsChoice(face))));
    select.value = text(data.face, 8);
    const down = () => orProblem("post", board.publish("mood", null, { key }));
    parts.push(el2("div", { class: "own" }, select, el2("button", { type: "button", class: "small", onclick: down }, "Take down")));
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
      card = el2("li", { class: "mood" });
      cards.set(key, card);
      $("board").prepend(card);
    }
    fill(card, key, message);
    if (!replayed) {
      tally(inserted ? "added" : "changed");
      flash(card, inserted ? "flash-new" : "flash-changed");
      const data = fields(message.data);
      if (inserted && !mine.has(key)) toast(`${faceInWords(text(data.face, 8))} ${text(data.by, 32) || "Somebody"}: ${text(data.words, 80)}`);
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
