// examples/demos/job/job.ts
import { poll } from "./fanfare-client.min.js";
import { $, connect, el, fields, HUB, join, ms, number, orProblem, put, random, text, time } from "./kit.js";
var SILENT = 25e3;
var client = connect();
var requests = client.channel("demo:jobs");
var stop = () => {
};
var running = false;
var heardAt = 0;
var askingAt = 0;
function read(data, at) {
  const said = fields(data);
  return { percent: number(said.percent), words: text(said.words), state: text(said.state), time: at };
}
var ended = ({ state }) => state === "done" || state === "failed";
function show(way, progress) {
  $(`${way}-bar`).value = progress.percent;
  put($(`${way}-words`), `${Math.round(progress.percent)} %: ${progress.words}`);
  const half = $(`${way}-bar`).closest(".watch");
  if (half) half.dataset.end = ended(progress) ? progress.state : "";
  put($(`${way}-behind`), ms(Math.max(0, Date.now() - progress.time)));
}
async function ask(channel) {
  const answer = await fetch(`${HUB}/v1/messages?channel=${encodeURIComponent(channel)}&reverse=1&limit=1`);
  if (!answer.ok) throw new Error(`the hub answered ${answer.status}`);
  const [newest] = (await answer.json()).messages;
  return newest ? read(newest.data, newest.time) : { percent: 0, words: "queued", state: "queued", time: Date.now() };
}
function watchByPolling(channel, signal) {
  const longest = 8e3;
  let before = "";
  const watching = poll(() => ask(channel), {
    min: 500,
    max: longest,
    factor: 1.5,
    until: ended,
    signal,
    onResult: (progress) => {
      show("polled", progress);
      const same = `${progress.percent}` === before;
      before = `${progress.percent}`;
      const height = Math.max(6, Math.sqrt(watching.value.interval / longest) * 100);
      const bar = el("li", { class: same ? "same" : "" });
      bar.style.height = `${height}%`;
      $("intervals").append(bar);
      while ($("intervals").childElementCount > 60) $("intervals").firstElementChild?.remove();
    }
  });
  watching.subscribe(({ state, requests: requests2, interval }) => {
    put($("polled-requests"), requests2);
    askingAt = state === "waiting" ? Date.now() + interval : 0;
    put($("polled-wait"), ms(interval));
    put($("polled-next"), state === "waiting" ? ms(interval) : state === "running" ? "now" : "never");
  });
  watching.done.catch(() => void 0);
  return watching;
}
function watchLive(channel, signal) {
  let messages = 0;
  const hear = (message) => {
    const progress = read(message.data, message.time);
    messages += 1;
    heardAt = Date.now();
    put($("live-messages"), messages);
    show("live", progress);
    $("steps").prepend(el("li", {}, el("time", {}, time(message.time)), `${Math.round(progress.percent)} % ${progress.words}`));
    if (ended(progress)) finished();
  };
  join(client, channel).subscribe("progress", hear, { last: 100, signal });
}
function finished() {
  running = false;
  $("start").disabled = false;
  put($("start"), "Start another");
}
function start() {
  stop();
  const ending = new AbortController();
  const id = random();
  const channel = `demo:job:${id}`;
  running = true;
  heardAt = Date.now();
  $("start").disabled = true;
  put($("start"), "Running\u2026");
  put($("job"), channel);
  $("intervals").replaceChildren();
  $("steps").replaceChildren();
  put($("live-messages"), 0);
  for (const way of ["polled", "live"]) show(way, { percent: 0, words: "asked for", state: "", time: Date.now() });
  watchLive(channel, ending.signal);
  const watching = watchByPolling(channel, ending.signal);
  stop = () => {
    watching.stop();
    ending.abort();
  };
  const asked = requests.publish("start", { id, fail: $("fail").checked });
  asked.catch(finished);
  orProblem("start", asked);
}
function tick() {
  const left = askingAt - Date.now();
  if (left > 0) put($("polled-next"), `${(left / 1e3).toFixed(1)} s`);
  if (client.status.value.state !== "connected") heardAt = Math.max(heardAt, Date.now() - SILENT / 2);
  if (!running || Date.now() - heardAt < SILENT) return;
  stop();
  finished();
  put($("live-words"), "The job has gone silent: a hub that restarts ends its jobs. Start another.");
}
$("start").addEventListener("click", start);
setInterval(tick, 100);
void client.connect().catch(() => void 0);
