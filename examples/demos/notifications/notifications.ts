// An inbox: a keyed channel whose name only this browser knows. Its state is the inbox; nothing is kept in the page.
import type { Message } from 'fanfare-client';
import { $, connect, count, el, fields, flash, HUB, join, orProblem, put, random, remember, remembered, shortTime, text, toast } from '../shared/kit.ts';

const LEVELS = ['urgent', 'high', 'medium', 'low'] as const;
type Level = (typeof LEVELS)[number];
const WORDS: Record<Level, string[]> = {
  low: ['The weekly report is ready', 'Somebody liked your note', 'A backup was made'],
  medium: ['You were mentioned in #design', 'A review is waiting for you', 'The build is green again'],
  high: ['The disk is 90 % full', 'A payment was refused', 'Three sign-ins failed'],
  urgent: ['The site is down', 'The certificate expires today', 'Temperature in rack 4: 41 °C'],
};

interface Item {
  key: string;
  level: Level;
  title: string;
  read: boolean;
  /** When it was sent, which an update does not change. */
  at: number;
}

let inboxName = remembered('inbox');
if (!inboxName) {
  inboxName = random() + random();
  remember('inbox', inboxName);
}
const client = connect();
const inbox = join(client, `demo:inbox:${inboxName}`, { snapshot: true });
const rows = new Map<string, HTMLLIElement>();
let filter: Level | 'all' | 'unread' = 'all';

function read(message: Message): Item {
  const data = fields(message.data);
  const level = LEVELS.find(level => level === data.level) ?? 'low';
  return { key: message.key ?? '', level, title: text(data.title) || 'Something happened', read: data.read === true, at: typeof data.at === 'number' ? data.at : message.time };
}

const items = (): Item[] => [...inbox.entries.value.values()].map(read).sort((a, b) => b.at - a.at);

function save({ key, level, title, read, at }: Item): Promise<unknown> {
  return inbox.publish('notification', { level, title, read, at }, { key });
}

function row(item: Item): HTMLLIElement {
  const toggle = () => orProblem('save', save({ ...item, read: !item.read }));
  const remove = () => orProblem('save', inbox.publish('notification', null, { key: item.key }));
  return el(
    'li',
    { 'data-level': item.level, 'data-unread': !item.read },
    el('span', { class: 'level' }, item.level),
    el('p', { class: 'title' }, item.title, ' ', el('small', {}, shortTime(item.at))),
    el(
      'div',
      { class: 'actions' },
      el('button', { type: 'button', class: 'small', onclick: toggle, 'aria-label': `Mark ${item.read ? 'unread' : 'read'}: ${item.title}` }, `Mark ${item.read ? 'unread' : 'read'}`),
      el('button', { type: 'button', class: 'small', onclick: remove, 'aria-label': `Remove: ${item.title}` }, '×'),
    ),
  );
}

const fits = (item: Item) => filter === 'all' || (filter === 'unread' ? !item.read : item.level === filter);

function draw(): void {
  const all = items();
  const unread = all.filter(item => !item.read).length;
  put($('unread'), count(unread));
  $('unread').toggleAttribute('data-none', unread === 0);
  document.title = `${unread > 0 ? `(${unread}) ` : ''}Notifications · Fanfare`;
  $<HTMLButtonElement>('read-all').disabled = unread === 0;
  $<HTMLButtonElement>('clear').disabled = all.length === 0;
  const focused = document.activeElement?.getAttribute('aria-label');
  rows.clear();
  const shown = all.filter(fits).slice(0, 200);
  for (const item of shown) rows.set(item.key, row(item));
  $('inbox').replaceChildren(...rows.values());
  if (focused) [...$('inbox').querySelectorAll('button')].find(button => button.getAttribute('aria-label') === focused)?.focus();
  put($('empty'), inbox.entries.ready ? (all.length ? 'Nothing of this kind.' : 'Nothing here. Send yourself one.') : 'Asking for the inbox…');
  $('empty').hidden = shown.length > 0;
  for (const [name, label] of counts) {
    const number = name === 'all' ? all.length : name === 'unread' ? unread : all.filter(item => item.level === name).length;
    put(label, `${name} ${count(number)}`);
  }
}

const counts = new Map<string, Text>();
for (const name of ['all', 'unread', ...LEVELS]) {
  const label = document.createTextNode(name);
  counts.set(name, label);
  $('filter').firstElementChild?.append(el('label', { class: 'choice' }, el('input', { type: 'radio', name: 'filter', value: name, checked: name === 'all' }), label));
}
$('filter').addEventListener('change', event => {
  filter = (event.target as HTMLInputElement).value as typeof filter;
  draw();
});

// ---- as they come

function arrived(message: Message): void {
  if (message.replayed || message.data === null || !message.key || fields(message.data).read === true || rows.has(message.key)) return;
  const item = read(message);
  toast(`${item.level}: ${item.title}`, item.level);
  if ($<HTMLInputElement>('browser').checked && 'Notification' in window && Notification.permission === 'granted') {
    try {
      // One for all tabs: the tag is the notification's.
      new Notification(item.title, { body: `Fanfare, ${item.level}`, tag: item.key, requireInteraction: item.level === 'urgent' });
    } catch {
      // Phones leave them to service workers; the toast has said it.
    }
  }
  const key = message.key;
  queueMicrotask(() => {
    const shown = rows.get(key);
    if (shown) flash(shown, 'flash-new');
  });
}

inbox.subscribe('notification', arrived);
inbox.entries.subscribe(draw);

for (const button of document.querySelectorAll<HTMLButtonElement>('[data-send]')) {
  button.addEventListener('click', () => {
    const level = button.dataset.send as Level;
    const titles = WORDS[level];
    const title = titles[Math.floor(Math.random() * titles.length)] ?? '';
    orProblem('save', save({ key: random(), level, title, read: false, at: Date.now() }));
  });
}
$('read-all').addEventListener('click', () => orProblem('save', Promise.all(items().filter(item => !item.read).map(item => save({ ...item, read: true })))));
$('clear').addEventListener('click', () => orProblem('save', Promise.all(items().map(({ key }) => inbox.publish('notification', null, { key })))));

const browser = $<HTMLInputElement>('browser');
browser.checked = remembered('browser') === '1' && 'Notification' in window && Notification.permission === 'granted';
browser.addEventListener('change', async () => {
  const note = $('browser-state');
  note.hidden = true;
  if (browser.checked) {
    const answer = 'Notification' in window ? await Notification.requestPermission() : 'denied';
    if (answer !== 'granted') {
      browser.checked = false;
      note.hidden = false;
      put(note, 'The browser does not allow them for this page.');
    }
  }
  remember('browser', browser.checked ? '1' : '0');
});
put($('curl'), `curl '${HUB}/v1/messages?channel=demo:inbox:${inboxName}' \\\n  -d '{"event":"notification","key":"n1","data":{"level":"high","title":"From a terminal"}}'`);
