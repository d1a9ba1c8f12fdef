// examples/demos/tours/tours.ts
import { $, connect, count, el, fields, flash, join, number, put, remember, remembered, text } from "./kit.js";
var client = connect();
var tours = /* @__PURE__ */ new Map();
var unfollowed = new Set((remembered("tours.unfollowed") ?? "").split(" ").filter(Boolean));
function level(seats) {
  if (seats <= 0) return "out";
  if (seats < 5) return "red";
  return seats <= 10 ? "orange" : "green";
}
var Tour = class {
  #id;
  #card;
  #seats = el("b", {}, "\u2013");
  #of = el("small", {}, "seats left");
  #note = el("small", {}, "");
  #follow;
  #off;
  #last;
  constructor(id, name, where) {
    this.#id = id;
    this.#follow = el("input", { type: "checkbox", onchange: () => this.follow(this.#follow.checked) });
    this.#card = el(
      "li",
      { class: "tour", "data-level": "off" },
      el("h2", {}, name),
      el("div", { class: "seats" }, this.#seats, this.#of),
      el("p", { class: "where" }, where),
      el("div", { class: "foot" }, el("label", { class: "check" }, this.#follow, "Follow", el("span", { class: "hidden" }, name)), this.#note)
    );
    $("tours").append(this.#card);
    this.follow(!unfollowed.has(id));
  }
  get followed() {
    return this.#off !== void 0;
  }
  follow(wanted) {
    this.#follow.checked = wanted;
    if (wanted === this.followed) return;
    if (wanted) {
      unfollowed.delete(this.#id);
      this.#last = void 0;
      this.#off = join(client, `demo:tour:${this.#id}`).subscribe((m) => this.#show(m), { last: 1 });
    } else {
      unfollowed.add(this.#id);
      this.#off?.();
      this.#off = void 0;
      this.#card.dataset.level = "off";
      put(this.#note, "not followed");
    }
    remember("tours.unfollowed", [...unfollowed].join(" "));
    summary();
  }
  #show(message) {
    const data = fields(message.data);
    const seats = number(data.seats);
    const before = this.#last;
    this.#last = seats;
    put(this.#seats, count(seats));
    put(this.#of, `of ${count(number(data.of))} left`);
    this.#card.dataset.level = level(seats);
    if (message.event === "sold-out") put(this.#note, "Sold out");
    else if (message.event === "opened") put(this.#note, "New departure");
    else put(this.#note, before === void 0 || before === seats ? "" : `${before - seats} just sold`);
    if (before !== void 0 && before !== seats) flash(this.#card, seats < before ? "flash-down" : "flash-up");
  }
};
function summary() {
  put($("all"), tours.size);
  put($("following"), [...tours.values()].filter((tour) => tour.followed).length);
}
var catalogue = join(client, "demo:tours", { snapshot: true });
catalogue.subscribe((message) => {
  const { key } = message;
  if (!key || message.data === null || tours.has(key)) return;
  const data = fields(message.data);
  tours.set(key, new Tour(key, text(data.name), text(data.where)));
  $("empty").hidden = true;
  summary();
});
var all = (wanted) => () => {
  for (const tour of tours.values()) tour.follow(wanted);
};
$("follow-all").addEventListener("click", all(true));
$("follow-none").addEventListener("click", all(false));
