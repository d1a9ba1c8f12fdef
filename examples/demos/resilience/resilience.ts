// The hub counts, this page counts along, and its network can be cut. Every number must come once, in order, whenever it comes.
import type { Message } from 'fanfare-client';
import { $, connect, count, describe, el, fields, join, number, put, time } from '../shared/kit.ts';
import { Network } from './network.ts';

const network = new Network();
const client = connect({ WebSocket: network.WebSocket, transports: ['ws'] });
const cut = $<HTMLButtonElement>('cut');
const seconds: { live: number; late: number }[] = Array.from({ length: 60 }, () => ({ live: 0, late: 0 }));
const tally = { received: 0, replayed: 0, lost: 0, repeated: 0, disordered: 0 };
let expected: number | undefined;
let backAt = 0;

function tell(words: string): void {
  $('log').prepend(el('li', {}, el('time', {}, time(Date.now())), words));
  while ($('log').childElementCount > 60) $('log').lastElementChild?.remove();
}

function hear(message: Message): void {
  const n = number(fields(message.data).n);
  tally.received += 1;
  if (message.replayed) tally.replayed += 1;
  const second = seconds.at(-1);
  if (second) second[message.replayed ? 'late' : 'live'] += 1;
  if (expected !== undefined && n > expected) tally.lost += n - expected;
  else if (expected !== undefined && n === expected - 1) tally.repeated += 1;
  else if (expected !== undefined && n < expected) tally.disordered += 1;
  expected = Math.max(n + 1, expected ?? 0);
}

join(client, 'demo:ticks').subscribe('tick', hear, {
  onGap: gap => {
    tell(`The hub says that something is gone: ${gap.reason}`);
    if (gap.reason === 'epoch') expected = undefined;
  },
});

let before = '';
let tried = 0;
client.status.subscribe(status => {
  put($('now'), status.state);
  if (status.state === 'reconnecting') tried = status.attempt;
  put($('attempt'), status.state === 'reconnecting' ? status.attempt : '–');
  put($('transport'), status.transport ?? '–');
  const words = status.state === 'reconnecting' ? `Reconnecting${status.error ? `: ${status.error.message}` : ''}` : describe(status);
  if (words !== before) tell(status.state === 'connected' && tried > 0 ? `${words}, at attempt ${tried}` : words);
  if (status.state === 'connected') tried = 0;
  before = words;
});

const strip = $('strip');
strip.append(...seconds.map(() => el('i')));

function draw(): void {
  put($('last'), expected === undefined ? '–' : count(expected - 1));
  for (const [name, value] of Object.entries(tally)) {
    put($(name), count(value));
    $(name).classList.toggle('bad', value > 0 && (name === 'lost' || name === 'repeated' || name === 'disordered'));
  }
  const { state, retryAt } = client.status.value;
  const left = (retryAt ?? 0) - Date.now();
  put($('retry'), state === 'reconnecting' && left > 0 ? `${(left / 1000).toFixed(1)} s` : '–');
  put($('back'), backAt > Date.now() ? `${((backAt - Date.now()) / 1000).toFixed(1)} s` : '–');
  put($('reconnects'), count(client.metrics().reconnects));
}

/** A bar a second: as many as came, in the colour of what was late if anything was. */
function drawStrip(): void {
  seconds.push({ live: 0, late: 0 });
  seconds.shift();
  seconds.forEach(({ live, late }, at) => {
    const bar = strip.children[at] as HTMLElement;
    bar.style.height = `${Math.min(100, (Math.log2(1 + live + late) / 8) * 100)}%`;
    bar.classList.toggle('late', late > 0);
  });
}

cut.addEventListener('click', () => {
  const length = Number(document.querySelector<HTMLInputElement>('input[name=for]:checked')?.value ?? 3);
  const dark = $<HTMLInputElement>('dark').checked;
  cut.disabled = true;
  backAt = Date.now() + length * 1000;
  tell(`The network is ${dark ? 'dark' : 'cut'} for ${length} s`);
  network.cut(dark);
  setTimeout(() => {
    network.mend();
    // A system whose cable is back says so (`online`), and the client tries at once. Out of the dark nobody says anything.
    if (!dark) client.wake();
    cut.disabled = false;
    tell('The network is back');
  }, length * 1000);
});
setInterval(draw, 100);
setInterval(drawStrip, 1000);
