// examples/demos/numbers/numbers.ts
import { $, connect, count, el, flash, HUB, join, number, put, time } from "./kit.js";
var MOST = 10;
var rows = $("rows");
function show(message) {
  const value = number(message.data);
  put($("latest"), value);
  put($("since"), `at ${time(message.time)}`);
  $("empty").hidden = true;
  const row = el(
    "tr",
    {},
    el("td", {}, time(message.time)),
    el("td", { class: "n" }, String(value)),
    el("td", { class: "n" }, count(message.offset ?? 0))
  );
  rows.prepend(row);
  if (!message.replayed) flash(row, "flash-new");
  while (rows.childElementCount > MOST) rows.lastElementChild?.remove();
}
put($("hub"), HUB);
join(connect(), "demo:numbers").subscribe("number", show, { last: MOST });
