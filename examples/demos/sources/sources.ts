// One table, three sources. Every update comes three times, once over each transport; its position (epoch and offset) is the same
// whichever way it came, so whoever is first is taken, and the others are counted and dropped.
import { type AnyClient, createClient, type Message, poll } from 'fanfare-client';
import { $, count, el, fields, flash, HUB, join, many, number, put, RETRY, showStatus, text } from '../shared/kit.ts';

const CHANNEL = 'demo:orders';
const ROWS = 12;
const kept = new Map<string, Update>();
const rows = new Map<string, HTMLTableRowElement>();
let taken = 0;
let dropped = 0;

interface Update {
  by: string;
  also: string[];
  cell: HTMLTableCellElement;
}

/** What any of the sources gives. */
type Given = Pick<Message, 'position' | 'data' | 'key'>;

function take(by: string, { position, data, key }: Given): boolean {
  if (!position || !key) return false;
  const known = kept.get(position);
  if (known) {
    dropped += 1;
    if (!known.also.includes(by) && by !== known.by) known.also.push(by);
    put(known.cell, known.also.map(by => SHORT[by] ?? by).join(', '));
    put($('dropped'), count(dropped));
    return false;
  }
  taken += 1;
  put($('kept'), count(taken));
  const order = fields(data);
  const cell = el('td', { class: 'n' }, '');
  kept.set(position, { by, also: [], cell });
  if (kept.size > 2000) kept.delete(kept.keys().next().value ?? '');
  rows.get(key)?.remove();
  const row = el(
    'tr',
    {},
    el('td', {}, `#${number(order.id)}`),
    el('td', {}, text(order.what, 40)),
    el('td', { class: 'n' }, `${count(number(order.amount))} €`),
    el('td', {}, text(order.state, 20)),
    el('td', {}, el('span', { class: 'badge', 'data-hue': HUES[by] }, by)),
    cell,
  );
  rows.set(key, row);
  $('rows').prepend(row);
  flash(row, 'flash-new');
  while ($('rows').childElementCount > ROWS) $('rows').lastElementChild?.remove();
  $('empty').hidden = true;
  return true;
}

const HUES: Record<string, number> = { WebSocket: 0, SSE: 2, poll: 4 };
const SHORT: Record<string, string> = { WebSocket: 'WS' };

/** A source's panel with its switch; `open` starts it and gives what stops it. */
function source(name: string, note: string, open: (state: HTMLElement, heard: (given: Given) => void) => () => void): void {
  let first = 0;
  let repeats = 0;
  const words = el('p', {}, '');
  const state = el('span', { class: 'tag' }, '');
  const heard = (given: Given) => {
    if (take(name, given)) first += 1;
    else repeats += 1;
    put(words, `${count(first)} first, ${many(repeats, 'repeat')}`);
  };
  const toggle = el('input', { type: 'checkbox', checked: true, 'aria-label': `${name} on` });
  const panel = el(
    'section',
    { class: 'panel source', 'aria-label': name },
    el('div', { class: 'bar' }, el('label', { class: 'check' }, toggle, el('span', { class: 'badge', 'data-hue': HUES[name] }, name)), state),
    words,
    el('p', { class: 'muted' }, note),
  );
  let close = open(state, heard);
  toggle.addEventListener('change', () => {
    panel.classList.toggle('off', !toggle.checked);
    if (toggle.checked) {
      close = open(state, heard);
    } else {
      close();
      put(state, 'off');
      state.dataset.state = 'idle';
    }
  });
  put(words, '0 first, 0 repeats');
  $('sources').append(panel);
}

const live = (transport: 'ws' | 'sse', main: boolean) => (state: HTMLElement, heard: (given: Given) => void) => {
  const client: AnyClient = createClient(HUB, { transports: [transport], retry: RETRY });
  showStatus(client, state);
  if (main) showStatus(client, $('state'));
  const off = join(client, CHANNEL).subscribe('order', heard);
  return () => {
    off();
    void client.close();
  };
};

/** Asks the HTTP API for what came after the cursor of the last answer; slower while nothing comes. */
function polling(state: HTMLElement, heard: (given: Given) => void): () => void {
  let cursor: string | undefined;
  const ask = async () => {
    const answer = await fetch(`${HUB}/v1/poll?channel=${CHANNEL}${cursor ? `&since=${encodeURIComponent(cursor)}` : ''}`);
    if (!answer.ok) throw new Error(`the hub answered ${answer.status}`);
    const page: { cursor: string; messages: { offset: number; data: unknown; key?: string }[] } = await answer.json();
    const epoch = page.cursor.split('-')[0];
    for (const { offset, data, key } of page.messages) heard({ position: `${epoch}-${offset}`, data, key });
    cursor = page.cursor;
    return cursor;
  };
  const asking = poll(ask, { min: 1000, max: 5000, errors: Number.POSITIVE_INFINITY });
  asking.done.catch(() => undefined); // Stopped by the switch.
  asking.subscribe(({ state: now, requests, error }) => {
    state.dataset.state = error ? 'reconnecting' : 'connected';
    put(state, now === 'stopped' ? 'off' : many(requests, 'request'));
  });
  return () => asking.stop();
}

source('WebSocket', 'One connection, both ways.', live('ws', true));
source('SSE', 'One answer that does not end.', live('sse', false));
source('poll', 'A request every second or slower, with the cursor of the last answer.', polling);
