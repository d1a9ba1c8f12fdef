// The little that the demos share: finding and making elements, the pill that shows the connection, toasts, who this visitor is.
// Text from others goes into the page by `textContent` alone; nothing here or in a demo takes a string as HTML.
import { type AnyClient, type Channel, type ChannelOptions, type ClientOptions, createClient, type Status, type TransportName } from 'fanfare-client';

/** Where the hub is: the demos are served at `<hub>/demos/`. */
export const HUB = new URL('..', new URL('./', location.href)).href.replace(/\/$/, '');

/** The element of that id; it is in the page's own markup. */
export function $<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`the page has no #${id}`);
  return found as T;
}

type Props = Record<string, string | number | boolean | undefined | ((event: never) => void)>;

/** An element with attributes (`onclick` and the like: listeners) and children; strings are text, never HTML. */
export function el<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: (Node | string | undefined)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === 'function') made.addEventListener(name.slice(2), value as EventListener);
    else if (value === true) made.setAttribute(name, '');
    else if (value !== undefined && value !== false) made.setAttribute(name, String(value));
  }
  made.append(...children.filter(child => child !== undefined));
  return made;
}

/** Sets text only when it changed, so that nothing is laid out, or read out, for nothing. */
export function put(element: Node, text: string | number): void {
  const wanted = String(text);
  if (element.textContent !== wanted) element.textContent = wanted;
}

/** Plays the animation of a class again from its beginning. */
export function flash(element: HTMLElement, name: string): void {
  for (const other of [...element.classList]) if (other.startsWith('flash')) element.classList.remove(other);
  void element.offsetWidth;
  element.classList.add(name);
}

// ---- what others sent: anything at all, so it is looked at before it is used

export type Fields = Readonly<Record<string, unknown>>;

/** The fields of an object; none if it is not one. */
export function fields(data: unknown): Fields {
  return typeof data === 'object' && data !== null && !Array.isArray(data) ? (data as Fields) : {};
}

export function text(value: unknown, most = 200): string {
  return typeof value === 'string' ? value.slice(0, most) : '';
}

export function number(value: unknown): number {
  return typeof value === 'number' && Number.isFinite(value) ? value : 0;
}

// ---- formats

const clock = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const brief = new Intl.DateTimeFormat([], { hour: '2-digit', minute: '2-digit' });
const plain = new Intl.NumberFormat('en');
const prices = new Intl.NumberFormat('en', { minimumFractionDigits: 2, maximumFractionDigits: 2 });

export const time = (ms: number): string => clock.format(ms);
export const shortTime = (ms: number): string => brief.format(ms);
export const count = (n: number): string => plain.format(n);
export const price = (n: number): string => prices.format(n);
/** "1 message", "2 messages". */
export const many = (n: number, one: string): string => `${count(n)} ${one}${n === 1 ? '' : 's'}`;
/** Milliseconds, with as many digits as mean something. */
export const ms = (n: number): string => (n < 1 ? '< 1 ms' : n < 10 ? `${n.toFixed(1)} ms` : n < 10_000 ? `${Math.round(n)} ms` : `${(n / 1000).toFixed(1)} s`);
export function bytes(n: number): string {
  if (n < 1000) return `${Math.round(n)} B`;
  return n < 1e6 ? `${(n / 1e3).toFixed(1)} kB` : `${(n / 1e6).toFixed(2)} MB`;
}

// ---- the connection

const NAMES: Record<TransportName | 'tab', string> = {
  ws: 'WebSocket',
  sse: 'SSE',
  longpoll: 'long-poll',
  poll: 'poll',
  tab: 'another tab',
};

/** A state in words, with the seconds until the next try. */
export function describe(status: Status): string {
  switch (status.state) {
    case 'connected':
      return `Live over ${NAMES[status.transport ?? 'ws']}`;
    case 'connecting':
      return 'Connecting…';
    case 'reconnecting': {
      const left = (status.retryAt ?? 0) - Date.now();
      const tries = status.attempt > 1 ? ` (try ${status.attempt})` : '';
      return left > 100 ? `Retry in ${(left / 1000).toFixed(1)} s${tries}` : `Reconnecting…${tries}`;
    }
    case 'offline':
      return 'Offline: waiting for the network';
    case 'failed':
      return status.error?.message ?? 'Stopped';
    case 'idle':
      return 'Not connected';
  }
}

/** Keeps an element showing a client's state; `data-state` is for the style sheet. */
export function showStatus(client: AnyClient, pill: HTMLElement): void {
  let ticking: number | undefined;
  const draw = () => put(pill, describe(client.status.value));
  client.status.subscribe(({ state }) => {
    pill.dataset.state = state;
    draw();
    clearInterval(ticking);
    if (state === 'reconnecting') ticking = setInterval(draw, 100);
  });
}

/** The hub is near and the visitor looks on, so what is broken is tried more often than the client would by itself. */
export const RETRY = { min: 250, max: 4000 };

/** A client of this hub, whose state the page's header shows. */
export function connect(options: ClientOptions = {}): AnyClient {
  const client: AnyClient = createClient(HUB, { retry: RETRY, ...options });
  showStatus(client, $('state'));
  client.status.subscribe(({ state, error }) => {
    if (state === 'failed') problem('connection', `Stopped: ${error?.message ?? 'the hub refused'}. ${error?.remedy ?? ''}`);
    else if (state === 'connected') solved('connection');
  });
  return client;
}

/** A channel; the visitor is told if the hub refuses it. */
export function join(client: AnyClient, name: string, options: ChannelOptions = {}): Channel {
  const channel: Channel = client.channel(name, options);
  channel.state.subscribe(({ state, error }) => {
    if (state === 'live') solved(name);
    else if (error) problem(name, `The hub refused ${name}: ${error.message}. [namespaces.demo] in its configuration says who may do what there.`);
  });
  return channel;
}

// ---- telling the visitor

const shown = new Map<string, HTMLElement>();

/** Something that does not work, until it is `solved`. */
export function problem(name: string, message: string): void {
  solved(name);
  const notice = el('p', { class: 'notice error' }, message);
  shown.set(name, notice);
  $('problems').append(notice);
}

export function solved(name: string): void {
  shown.get(name)?.remove();
  shown.delete(name);
}

/** For promises whose failure the visitor should know of. */
export function orProblem(name: string, doing: Promise<unknown>): void {
  doing.then(
    () => solved(name),
    (error: Error & { remedy?: string }) => problem(name, `${error.message}${error.remedy ? `. ${error.remedy}` : ''}`),
  );
}

/** A few words in the corner, gone after some seconds. */
export function toast(words: string, level = 'info'): void {
  const all = $('toasts');
  while (all.childElementCount >= 3) all.firstElementChild?.remove();
  const one = el('div', { class: 'toast', 'data-level': level }, el('span', {}, words));
  const close = () => one.remove();
  one.append(el('button', { type: 'button', class: 'small', 'aria-label': 'Dismiss', onclick: close }, '×'));
  all.append(one);
  setTimeout(close, 5000);
}

// ---- the visitor

/** What this browser remembers; where it may not, what this page remembers. */
export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(`fanfare.demos.${key}`);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(`fanfare.demos.${key}`, value);
  } catch {
    // Storage may be forbidden; it then lasts as long as the page.
  }
}

/** Random letters and digits; for names, not for secrets. */
export const random = (): string => Math.random().toString(36).slice(2, 10).padEnd(8, '0');

const ANIMALS = ['Otter', 'Heron', 'Lynx', 'Badger', 'Wren', 'Marten', 'Swift', 'Hare', 'Ibis', 'Seal', 'Finch', 'Puffin'];

/** A name to begin with, kept for the next visit. */
export function visitorName(): string {
  const known = remembered('name');
  if (known) return known;
  const made = `${ANIMALS[Math.floor(Math.random() * ANIMALS.length)]} ${Math.floor(Math.random() * 90) + 10}`;
  remember('name', made);
  return made;
}

/** One of eight colours that a style sheet may use as `data-hue`, the same for the same string. */
export function hue(of: string): number {
  let hash = 7;
  for (let at = 0; at < of.length; at += 1) hash = (hash * 31 + of.charCodeAt(at)) >>> 0;
  return hash % 8;
}
