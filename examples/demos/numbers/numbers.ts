// One number every three seconds: the last ten first, then each as it comes.
import type { Message } from 'fanfare-client';
import { $, connect, count, el, flash, HUB, join, number, put, time } from '../shared/kit.ts';

const MOST = 10;
const rows = $('rows');

function show(message: Message): void {
  const value = number(message.data);
  put($('latest'), value);
  put($('since'), `at ${time(message.time)}`);
  $('empty').hidden = true;
  const row = el(
    'tr',
    {},
    el('td', {}, time(message.time)),
    el('td', { class: 'n' }, String(value)),
    el('td', { class: 'n' }, count(message.offset ?? 0)),
  );
  rows.prepend(row);
  if (!message.replayed) flash(row, 'flash-new');
  while (rows.childElementCount > MOST) rows.lastElementChild?.remove();
}

put($('hub'), HUB);
join(connect(), 'demo:numbers').subscribe('number', show, { last: MOST });
