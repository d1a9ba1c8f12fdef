// A job that takes half a minute, watched two ways at once. `poll` asks the hub's HTTP API for the newest word of the job's channel, less
// and less often while nothing changes; the subscription is told, and asks nothing.
import { type Message, type Poll, poll } from 'fanfare-client';
import { $, connect, el, fields, HUB, join, ms, number, orProblem, put, random, text, time } from '../shared/kit.ts';

interface Progress {
  percent: number;
  words: string;
  state: string;
  time: number;
}

/** A running job that has said nothing for so long has ended with the hub that ran it. */
const SILENT = 25_000;

const client = connect();
const requests = client.channel('demo:jobs');
let stop = () => {};
let running = false;
let heardAt = 0;
let askingAt = 0;

function read(data: unknown, at: number): Progress {
  const said = fields(data);
  return { percent: number(said.percent), words: text(said.words), state: text(said.state), time: at };
}

const ended = ({ state }: Progress) => state === 'done' || state === 'failed';

/** One half of the page: its bar and its words. */
function show(way: 'polled' | 'live', progress: Progress): void {
  $<HTMLProgressElement>(`${way}-bar`).value = progress.percent;
  put($(`${way}-words`), `${Math.round(progress.percent)} %: ${progress.words}`);
  const half = $(`${way}-bar`).closest<HTMLElement>('.watch');
  if (half) half.dataset.end = ended(progress) ? progress.state : '';
  put($(`${way}-behind`), ms(Math.max(0, Date.now() - progress.time)));
}

/** The newest word of a job, by HTTP; "queued" before there is one. */
async function ask(channel: string): Promise<Progress> {
  const answer = await fetch(`${HUB}/v1/messages?channel=${encodeURIComponent(channel)}&reverse=1&limit=1`);
  if (!answer.ok) throw new Error(`the hub answered ${answer.status}`);
  const [newest] = (await answer.json()).messages;
  return newest ? read(newest.data, newest.time) : { percent: 0, words: 'queued', state: 'queued', time: Date.now() };
}

function watchByPolling(channel: string, signal: AbortSignal): Poll<Progress> {
  const longest = 8000;
  let before = '';
  const watching = poll(() => ask(channel), {
    min: 500,
    max: longest,
    factor: 1.5,
    until: ended,
    signal,
    onResult: progress => {
      show('polled', progress);
      const same = `${progress.percent}` === before;
      before = `${progress.percent}`;
      const height = Math.max(6, Math.sqrt(watching.value.interval / longest) * 100);
      const bar = el('li', { class: same ? 'same' : '' });
      bar.style.height = `${height}%`;
      $('intervals').append(bar);
      while ($('intervals').childElementCount > 60) $('intervals').firstElementChild?.remove();
    },
  });
  watching.subscribe(({ state, requests, interval }) => {
    put($('polled-requests'), requests);
    askingAt = state === 'waiting' ? Date.now() + interval : 0;
    put($('polled-wait'), ms(interval));
    put($('polled-next'), state === 'waiting' ? ms(interval) : state === 'running' ? 'now' : 'never');
  });
  watching.done.catch(() => undefined); // Stopped, or said by `onError` and its state.
  return watching;
}

function watchLive(channel: string, signal: AbortSignal): void {
  let messages = 0;
  const hear = (message: Message) => {
    const progress = read(message.data, message.time);
    messages += 1;
    heardAt = Date.now();
    put($('live-messages'), messages);
    show('live', progress);
    $('steps').prepend(el('li', {}, el('time', {}, time(message.time)), `${Math.round(progress.percent)} % ${progress.words}`));
    if (ended(progress)) finished();
  };
  join(client, channel).subscribe('progress', hear, { last: 100, signal });
}

function finished(): void {
  running = false;
  $<HTMLButtonElement>('start').disabled = false;
  put($('start'), 'Start another');
}

function start(): void {
  stop();
  const ending = new AbortController();
  const id = random();
  const channel = `demo:job:${id}`;
  running = true;
  heardAt = Date.now();
  $<HTMLButtonElement>('start').disabled = true;
  put($('start'), 'Running…');
  put($('job'), channel);
  $('intervals').replaceChildren();
  $('steps').replaceChildren();
  put($('live-messages'), 0);
  for (const way of ['polled', 'live'] as const) show(way, { percent: 0, words: 'asked for', state: '', time: Date.now() });
  watchLive(channel, ending.signal);
  const watching = watchByPolling(channel, ending.signal);
  stop = () => {
    watching.stop();
    ending.abort();
  };
  const asked = requests.publish('start', { id, fail: $<HTMLInputElement>('fail').checked });
  asked.catch(finished);
  orProblem('start', asked);
}

/** Counts down to the next request, and gives up on a job that its hub did not survive. */
function tick(): void {
  const left = askingAt - Date.now();
  if (left > 0) put($('polled-next'), `${(left / 1000).toFixed(1)} s`);
  // While there is no connection, nothing can be said.
  if (client.status.value.state !== 'connected') heardAt = Math.max(heardAt, Date.now() - SILENT / 2);
  if (!running || Date.now() - heardAt < SILENT) return;
  stop();
  finished();
  put($('live-words'), 'The job has gone silent: a hub that restarts ends its jobs. Start another.');
}

$('start').addEventListener('click', start);
setInterval(tick, 100);
void client.connect().catch(() => undefined); // The header tells.
