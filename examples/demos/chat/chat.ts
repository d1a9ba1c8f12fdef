// The page of the chat: it listens in every room, shows one, and counts what is unread in the others.
import { $, connect, el, hue, orProblem, put, random, remember, remembered, shortTime, text, fields, visitorName } from '../shared/kit.ts';
import { type Line, Room } from './room.ts';

const client = connect();
const log = $('log');
const input = $<HTMLInputElement>('words');
const nameInput = $<HTMLInputElement>('name');
let name = visitorName();
let shown: Room;
let drawn: Room | undefined;
let scheduled = false;

const rooms = ['general', 'design', 'random'].map(
  roomName =>
    new Room(client, roomName, {
      changed: schedule,
      said: () => {
        const room = rooms.find(({ name }) => name === roomName);
        if (room && room !== shown) room.unread += 1;
      },
    }),
);

/** Once a frame, however much came. */
function schedule(): void {
  if (scheduled) return;
  scheduled = true;
  requestAnimationFrame(() => {
    scheduled = false;
    draw();
  });
}

function lineElement(line: Line, room: Room): HTMLLIElement {
  if (line.lost) return el('li', {}, el('p', { class: 'notice' }, line.words));
  const fate = line.fate === 'sending' ? 'sending…' : 'not sent';
  return el(
    'li',
    { class: line.fate ?? '', 'data-hue': hue(line.client ?? line.by) },
    el('span', { class: 'who' }, line.by),
    el('time', {}, shortTime(line.time)),
    line.fate ? el('small', { class: 'fate' }, ` ${fate}`) : undefined,
    el('span', { class: 'words' }, line.words),
    line.fate === 'failed' ? el('button', { type: 'button', class: 'small', onclick: () => void room.send(line) }, 'Send again') : undefined,
  );
}

/** Elements of the lines shown, so that only what changed is made anew. */
const elements = new Map<Line, { element: HTMLLIElement; fate: string | undefined }>();

function drawLines(): void {
  const list = $('messages');
  const fresh = shown !== drawn;
  if (fresh) elements.clear();
  const atEnd = fresh || log.scrollHeight - log.scrollTop - log.clientHeight < 60;
  const fromEnd = log.scrollHeight - log.scrollTop;
  const wanted = shown.lines.map(line => {
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

function draw(): void {
  put($('room-title'), `#${shown.name}`);
  drawLines();
  $('empty').hidden = shown.lines.length > 0;
  $('older').hidden = !shown.more;
  rooms.forEach((room, at) => {
    const button = $('rooms').children[at]?.firstElementChild;
    if (!button) return;
    button.toggleAttribute('aria-current', room === shown);
    const badge = button.querySelector('.unread');
    if (room.unread > 0 && badge) put(badge, room.unread);
    else if (room.unread > 0) button.append(el('span', { class: 'unread', title: 'unread' }, String(room.unread)));
    else badge?.remove();
  });
  drawTyping();
}

function drawTyping(): void {
  const names = shown.typists(client.id);
  const words = names.length > 2 ? 'Several people are typing…' : names.length > 0 ? `${names.join(' and ')} ${names.length > 1 ? 'are' : 'is'} typing…` : '';
  put($('typing'), words);
}

function drawMembers(): void {
  const { members, count } = shown.channel.presence.value;
  put($('members-count'), count);
  const rows = members.slice(0, 100).map(member => {
    const called = text(fields(member.data).name, 24) || 'somebody';
    return el('li', { 'data-hue': hue(member.client) }, el('span', {}, member.client === client.id ? `${called} (you)` : called));
  });
  $('members').replaceChildren(...rows);
}

let offs: (() => void)[] = [];

function show(room: Room): void {
  for (const off of offs) off();
  // Here means: in this room, and in no other.
  if (shown) shown.channel.presence.leave().catch(() => undefined);
  shown = room;
  room.unread = 0;
  remember('chat.room', room.name);
  offs = [
    room.channel.presence.subscribe(drawMembers),
    room.channel.state.subscribe(({ state, error }) => {
      put($('room-state'), error ? error.message : state);
      $('room-state').dataset.state = state === 'live' ? 'connected' : 'reconnecting';
    }),
  ];
  orProblem('enter', room.channel.presence.enter({ name }));
  schedule();
}

rooms.forEach(room => {
  $('rooms').append(el('li', {}, el('button', { type: 'button', onclick: () => show(room) }, `# ${room.name}`)));
});
$('say').addEventListener('submit', event => {
  event.preventDefault();
  const words = input.value.trim();
  if (!words) return;
  input.value = '';
  log.scrollTop = log.scrollHeight;
  void shown.say(words, name, random() + random(), client.id);
});
input.addEventListener('input', () => input.value && shown.typing(name));
$('older').addEventListener('click', () => orProblem('history', shown.older()));
nameInput.value = name;
function rename(): void {
  const wanted = nameInput.value.trim();
  if (!wanted || wanted === name) return;
  name = wanted;
  remember('name', name);
  orProblem('enter', shown.channel.presence.enter({ name }));
}
nameInput.addEventListener('change', rename);
$('rename').addEventListener('submit', event => {
  event.preventDefault();
  rename();
});
show(rooms.find(room => room.name === remembered('chat.room')) ?? (rooms[0] as Room));
setInterval(drawTyping, 1000);
