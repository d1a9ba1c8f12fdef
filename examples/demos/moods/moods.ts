// A board of moods: a keyed channel is a table that everybody sees. Publishing with a new key inserts, with a known key updates, and
// with `null` deletes. Only who posted a mood is shown its buttons; a real board would have the hub check that, by a grant.
import type { Message } from 'fanfare-client';
import { $, connect, count, el, fields, flash, join, orProblem, put, random, remember, remembered, text, time, toast, visitorName } from '../shared/kit.ts';
import { FACES, faceAsChoice, faceInWords, faceOf } from './faces.ts';

const EMOJI = Object.keys(FACES);
const client = connect();
const board = join(client, 'demo:moods', { snapshot: true });
const cards = new Map<string, HTMLLIElement>();
const mine = new Set((remembered('moods.mine') ?? '').split(' ').filter(Boolean));
const since = { added: 0, changed: 0, removed: 0 };

EMOJI.forEach((face, at) => {
  const radio = el('input', { type: 'radio', name: 'face', value: face, 'aria-label': FACES[face]?.name, checked: at === 0 });
  $('emoji').append(el('label', { class: 'choice', title: FACES[face]?.name }, radio, faceOf(face)));
});

function chosen(): string {
  return document.querySelector<HTMLInputElement>('input[name=face]:checked')?.value ?? '😀';
}

function post(key: string, face: string, words: string): void {
  orProblem('post', board.publish('mood', { face, words, by: visitorName() }, { key }));
}

function tally(what: keyof typeof since): void {
  since[what] += 1;
  put($(what), count(since[what]));
}

function remove(key: string, quietly: boolean): void {
  const card = cards.get(key);
  if (!card) return;
  cards.delete(key);
  if (quietly) {
    card.remove();
    return;
  }
  tally('removed');
  card.classList.add('leaving');
  setTimeout(() => card.remove(), 500);
}

function fill(card: HTMLLIElement, key: string, message: Message): void {
  const data = fields(message.data);
  const words = text(data.words, 80);
  const parts: Node[] = [
    faceOf(text(data.face, 8)),
    el('p', {}, words),
    el('p', { class: 'by' }, `${text(data.by, 32) || 'somebody'}, ${time(message.time)}`),
  ];
  if (mine.has(key)) {
    const select = el('select', { 'aria-label': 'Change the mood', onchange: () => post(key, select.value, words) }, ...EMOJI.map(face => el('option', { value: face }, faceAsChoice(face))));
    select.value = text(data.face, 8);
    const down = () => orProblem('post', board.publish('mood', null, { key }));
    parts.push(el('div', { class: 'own' }, select, el('button', { type: 'button', class: 'small', onclick: down }, 'Take down')));
  }
  card.replaceChildren(...parts);
}

function show(message: Message): void {
  const { key, replayed } = message;
  if (!key) return;
  if (message.data === null) {
    remove(key, replayed);
  } else {
    let card = cards.get(key);
    const inserted = !card;
    if (!card) {
      card = el('li', { class: 'mood' });
      cards.set(key, card);
      $('board').prepend(card);
    }
    fill(card, key, message);
    if (!replayed) {
      tally(inserted ? 'added' : 'changed');
      flash(card, inserted ? 'flash-new' : 'flash-changed');
      const data = fields(message.data);
      if (inserted && !mine.has(key)) toast(`${faceInWords(text(data.face, 8))} ${text(data.by, 32) || 'Somebody'}: ${text(data.words, 80)}`);
    }
  }
  put($('total'), count(cards.size));
  $('empty').hidden = cards.size > 0;
}

/** The state is another one: what it no longer has goes. */
function forget(): void {
  for (const key of [...cards.keys()]) remove(key, true);
}

board.subscribe(show, { onGap: forget });
$('post').addEventListener('submit', event => {
  event.preventDefault();
  const words = $<HTMLInputElement>('words');
  const key = random();
  mine.add(key);
  remember('moods.mine', [...mine].slice(-50).join(' '));
  post(key, chosen(), words.value.trim());
  words.value = '';
});
