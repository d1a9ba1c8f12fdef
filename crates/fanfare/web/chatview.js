// The chat box. Everything that people wrote enters the page as text (textContent), never as markup.

import { recall, remember } from './api.js';
import { Room } from './chat.js';
import { describe } from './card.js';
import * as format from './format.js';

const NAME_KEY = 'fanfare.name';
/** Messages kept in the page. */
const KEPT = 500;
/** Distance from the end, in px, within which the list is held to be read at its end. */
const AT_END = 48;

const GAPS = {
  expired: 'Some messages are older than this channel keeps, and are gone.',
  epoch: 'The hub started over with a new log: what was said meanwhile may be missing.',
  slow: 'This reader was too slow, and some messages are gone.',
};

const byId = (id) => document.getElementById(id);

function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** Who said it: the name in the data, the user, or a short form of the client id. */
function author(message) {
  const name = message.data?.name;
  if (typeof name === 'string' && name.trim() !== '') return name.slice(0, 40);
  return message.user ?? (message.client ? `guest ${message.client.slice(0, 4)}` : 'API');
}

/** What was said: text as it is, anything else as JSON. */
function body(message) {
  const { data } = message;
  if (typeof data === 'string') return { text: data, raw: false };
  if (typeof data?.text === 'string') return { text: data.text, raw: false };
  return { text: JSON.stringify(data), raw: true };
}

export class ChatView {
  #room;
  #list = byId('messages');
  #state = { name: 'connecting' };
  #name = null;
  #unread = 0;

  constructor({ channel, session, clock, onChange }) {
    this.#room = new Room({
      channel,
      session,
      clock,
      on: {
        state: (state) => {
          this.#state = state;
          byId('messages-empty').textContent =
            state.name === 'open' ? 'Nobody has said anything yet.' : 'Waiting for the room…';
          this.tick();
          onChange();
        },
        message: (message) => this.#append(this.#messageItem(message), message.client === this.#room.client),
        pending: (entries) => this.#showPending(entries),
        gap: ({ reason }) => this.#append(element('li', 'notice', GAPS[reason] ?? 'Some messages are gone.'), false),
        members: (presence) => this.#showMembers(presence),
        typing: (names) => this.#showTyping(names),
        refused: (detail) => this.#append(element('li', 'notice error', detail), false),
      },
    });
    this.#listen();
    this.#setName(recall(NAME_KEY));
    this.#room.start();
  }

  /** True while the room's connection is open. */
  get live() {
    return this.#state.name === 'open';
  }

  tick() {
    const { name, retryAt, reason } = this.#state;
    const shown = { open: 'live', waiting: 'reconnecting' }[name] ?? name;
    const pill = byId('chat-state');
    const words = describe({ name: shown, retryAt });
    if (pill.textContent !== words) pill.textContent = words;
    pill.title = reason ?? '';
    byId('chat').dataset.state = shown;
  }

  #listen() {
    byId('join').addEventListener('submit', (event) => {
      event.preventDefault();
      const name = byId('name').value.trim();
      if (name === '') return;
      this.#setName(name);
      byId('text').focus();
    });
    byId('say').addEventListener('submit', (event) => {
      event.preventDefault();
      const text = byId('text').value.trim();
      if (text === '') return;
      byId('text').value = '';
      this.#room.say(text);
      this.#toEnd();
    });
    byId('text').addEventListener('input', () => {
      if (byId('text').value.trim() !== '') this.#room.typing();
    });
    byId('leave').addEventListener('click', () => {
      this.#setName(null);
      byId('name').focus();
    });
    byId('to-end').addEventListener('click', () => this.#toEnd());
    byId('log').addEventListener('scroll', () => {
      if (this.#atEnd()) this.#setUnread(0);
    });
  }

  #setName(name) {
    if (name !== null) this.#room.enter(name);
    else if (this.#name !== null) this.#room.leave();
    this.#name = name;
    remember(NAME_KEY, name);
    byId('join').hidden = name !== null;
    byId('say').hidden = name === null;
    byId('leave').hidden = name === null;
    byId('text').setAttribute('aria-label', name === null ? 'Message' : `Message as ${name}`);
    byId('text').placeholder = name === null ? '' : `Message as ${name}`;
  }

  #messageItem(message) {
    const item = element('li', message.client === this.#room.client ? 'message own' : 'message');
    const head = element('div', 'head');
    head.append(element('span', 'author', author(message)));
    if (message.event !== 'say') head.append(element('code', 'event', message.event));
    const time = element('time', '', format.timeOfDay(message.time));
    time.dateTime = new Date(message.time).toISOString();
    time.title = `position ${message.offset ?? 'none'}`;
    head.append(time);
    const { text, raw } = body(message);
    item.append(head, element(raw ? 'code' : 'p', 'text', text));
    return item;
  }

  #append(item, own) {
    const follow = own || this.#atEnd();
    byId('messages-empty').hidden = true;
    this.#list.append(item);
    while (this.#list.children.length > KEPT) this.#list.firstChild.remove();
    if (follow) this.#toEnd();
    else this.#setUnread(this.#unread + 1);
  }

  #showPending(entries) {
    const follow = this.#atEnd();
    byId('pending').replaceChildren(...entries.map((entry) => this.#pendingItem(entry)));
    if (follow && entries.length > 0) this.#toEnd();
  }

  #pendingItem({ id, text, state, detail }) {
    const item = element('li', `message own ${state}`);
    const head = element('div', 'head');
    head.append(element('span', 'author', this.#name ?? 'You'));
    head.append(element('span', 'fate', state === 'failed' ? 'not sent' : this.live ? 'sending…' : 'waiting for the hub…'));
    item.append(head, element('p', 'text', text));
    if (state === 'failed') {
      const retry = element('button', 'small', 'Try again');
      retry.type = 'button';
      retry.addEventListener('click', () => this.#room.retry(id));
      item.append(element('p', 'detail', detail), retry);
    }
    return item;
  }

  #showMembers({ members, count }) {
    byId('member-count').textContent = format.count(count);
    const mine = this.#room.client;
    const named = members.map((member) => ({ own: member.client === mine, name: String(member.data?.name ?? member.user ?? 'guest') }));
    named.sort((a, b) => b.own - a.own || a.name.localeCompare(b.name));
    byId('members').replaceChildren(
      ...named.slice(0, 100).map(({ own, name }) => {
        const item = element('li', own ? 'own' : '');
        item.append(element('span', 'member', name.slice(0, 40)));
        if (own) item.append(element('span', 'you', 'you'));
        return item;
      }),
    );
    byId('members-empty').hidden = count > 0;
  }

  #showTyping(names) {
    const who = names.slice(0, 3).map((name) => name.slice(0, 40));
    const more = names.length > 3 ? ' and others' : '';
    const verb = names.length === 1 ? 'is' : 'are';
    byId('typing').textContent = names.length === 0 ? '' : `${who.join(', ')}${more} ${verb} typing…`;
  }

  #atEnd() {
    const log = byId('log');
    return log.scrollHeight - log.scrollTop - log.clientHeight < AT_END;
  }

  #toEnd() {
    byId('log').scrollTop = byId('log').scrollHeight;
    this.#setUnread(0);
  }

  #setUnread(unread) {
    this.#unread = unread;
    byId('to-end').hidden = unread === 0;
    byId('to-end').textContent = `${format.count(unread)} new ↓`;
  }
}
