// Seats left. The list of tours is the state of one keyed channel; each tour's seats are a channel of their own, so that following
// one is subscribing to it, and its card begins with what is true now.
import type { Message, Off } from 'fanfare-client';
import { $, connect, count, el, fields, flash, join, number, put, remember, remembered, text } from '../shared/kit.ts';

const client = connect();
const tours = new Map<string, Tour>();
const unfollowed = new Set((remembered('tours.unfollowed') ?? '').split(' ').filter(Boolean));

/** Green above 10, orange from 10 to 5, red below 5. */
function level(seats: number): string {
  if (seats <= 0) return 'out';
  if (seats < 5) return 'red';
  return seats <= 10 ? 'orange' : 'green';
}

class Tour {
  #id: string;
  #card: HTMLLIElement;
  #seats = el('b', {}, '–');
  #of = el('small', {}, 'seats left');
  #note = el('small', {}, '');
  #follow: HTMLInputElement;
  #off: Off | undefined;
  #last: number | undefined;

  constructor(id: string, name: string, where: string) {
    this.#id = id;
    this.#follow = el('input', { type: 'checkbox', onchange: () => this.follow(this.#follow.checked) });
    this.#card = el(
      'li',
      { class: 'tour', 'data-level': 'off' },
      el('h2', {}, name),
      el('div', { class: 'seats' }, this.#seats, this.#of),
      el('p', { class: 'where' }, where),
      el('div', { class: 'foot' }, el('label', { class: 'check' }, this.#follow, 'Follow', el('span', { class: 'hidden' }, name)), this.#note),
    );
    $('tours').append(this.#card);
    this.follow(!unfollowed.has(id));
  }

  get followed(): boolean {
    return this.#off !== undefined;
  }

  follow(wanted: boolean): void {
    this.#follow.checked = wanted;
    if (wanted === this.followed) return;
    if (wanted) {
      unfollowed.delete(this.#id);
      this.#last = undefined;
      this.#off = join(client, `demo:tour:${this.#id}`).subscribe(m => this.#show(m), { last: 1 });
    } else {
      unfollowed.add(this.#id);
      this.#off?.();
      this.#off = undefined;
      this.#card.dataset.level = 'off';
      put(this.#note, 'not followed');
    }
    remember('tours.unfollowed', [...unfollowed].join(' '));
    summary();
  }

  #show(message: Message): void {
    const data = fields(message.data);
    const seats = number(data.seats);
    const before = this.#last;
    this.#last = seats;
    put(this.#seats, count(seats));
    put(this.#of, `of ${count(number(data.of))} left`);
    this.#card.dataset.level = level(seats);
    if (message.event === 'sold-out') put(this.#note, 'Sold out');
    else if (message.event === 'opened') put(this.#note, 'New departure');
    else put(this.#note, before === undefined || before === seats ? '' : `${before - seats} just sold`);
    if (before !== undefined && before !== seats) flash(this.#card, seats < before ? 'flash-down' : 'flash-up');
  }
}

function summary(): void {
  put($('all'), tours.size);
  put($('following'), [...tours.values()].filter(tour => tour.followed).length);
}

const catalogue = join(client, 'demo:tours', { snapshot: true });
catalogue.subscribe(message => {
  const { key } = message;
  if (!key || message.data === null || tours.has(key)) return;
  const data = fields(message.data);
  tours.set(key, new Tour(key, text(data.name), text(data.where)));
  $('empty').hidden = true;
  summary();
});
const all = (wanted: boolean) => () => {
  for (const tour of tours.values()) tour.follow(wanted);
};
$('follow-all').addEventListener('click', all(true));
$('follow-none').addEventListener('click', all(false));
