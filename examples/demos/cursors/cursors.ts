// Pointers at 30 Hz. Each move is an ephemeral message; what is drawn glides from one to the next.
import type { Message } from 'fanfare-client';
import { $, connect, el, fields, hue, join, number, put, text, visitorName } from '../shared/kit.ts';

const EVERY = 1000 / 30;
/** A pointer that has not moved for so long fades; then it goes. */
const STILL = 4000;
const GONE = 30_000;
const MOST = 60;
const SVG = 'http://www.w3.org/2000/svg';

class Pointer {
  x = 0.5;
  y = 0.5;
  shownX = Number.NaN;
  shownY = Number.NaN;
  movedAt = performance.now();
  element: HTMLElement;
  #label = el('span');

  constructor(id: string, own = false) {
    const arrow = document.createElementNS(SVG, 'svg');
    for (const [name, value] of Object.entries({ width: 20, height: 22, viewBox: '0 0 20 22', 'aria-hidden': 'true' })) arrow.setAttribute(name, String(value));
    const path = document.createElementNS(SVG, 'path');
    for (const [name, value] of Object.entries({ d: 'M2 2l5 17 3.4-6.6L17 9z', fill: 'currentColor', stroke: 'var(--page)', 'stroke-width': 1.4 })) path.setAttribute(name, String(value));
    arrow.append(path);
    this.element = el('div', { class: own ? 'cursor own' : 'cursor', 'data-hue': hue(id) });
    this.element.append(arrow, this.#label);
    canvas.append(this.element);
  }

  name(called: string): void {
    put(this.#label, called);
  }

  /** One frame further towards where it is. */
  draw(width: number, height: number, ease: number): void {
    this.shownX = Number.isNaN(this.shownX) ? this.x : this.shownX + (this.x - this.shownX) * ease;
    this.shownY = Number.isNaN(this.shownY) ? this.y : this.shownY + (this.y - this.shownY) * ease;
    this.element.style.transform = `translate(${this.shownX * width}px, ${this.shownY * height}px)`;
    // Near the right edge a name has no room to its right.
    this.element.classList.toggle('left', this.shownX * width + this.element.offsetWidth > width);
    this.element.classList.toggle('still', performance.now() - this.movedAt > STILL);
  }
}

const canvas = $('canvas');
const client = connect();
const channel = join(client, 'demo:cursors', { echo: false, presence: true });
const others = new Map<string, Pointer>();
const me = visitorName();
let own: Pointer | undefined;
let sent = { at: 0, x: -1, y: -1 };
let heard = 0;

const within = (value: number) => Math.min(1, Math.max(0, value));

function hear(message: Message): void {
  const data = fields(message.data);
  const robot = text(data.robot, 24);
  const id = robot || message.client;
  if (!id || id === client.id) return;
  heard += 1;
  let pointer = others.get(id);
  if (!pointer) {
    if (others.size >= MOST) return;
    pointer = new Pointer(id);
    others.set(id, pointer);
    pointer.name(robot || nameOf(id));
  }
  pointer.x = within(number(data.x));
  pointer.y = within(number(data.y));
  pointer.movedAt = performance.now();
}

function nameOf(id: string): string {
  const member = channel.presence.members.find(member => member.client === id);
  return text(fields(member?.data).name, 24) || 'somebody';
}

function move(x: number, y: number): void {
  own ??= new Pointer('own', true);
  own.name('you');
  own.x = own.shownX = within(x);
  own.y = own.shownY = within(y);
  own.movedAt = performance.now();
  $('hint').hidden = true;
}

/** At most 30 a second, and only what moved. */
function send(): void {
  const now = performance.now();
  if (!own || now - sent.at < EVERY || (own.x === sent.x && own.y === sent.y)) return;
  sent = { at: now, x: own.x, y: own.y };
  const round = (value: number) => Math.round(value * 1e4) / 1e4;
  channel.publish('move', { x: round(own.x), y: round(own.y) }, { ephemeral: true, offline: 'fail' }).catch(() => undefined);
}

function frame(): void {
  requestAnimationFrame(frame);
  send();
  const { clientWidth, clientHeight } = canvas;
  const now = performance.now();
  for (const [id, pointer] of others) {
    if (now - pointer.movedAt > GONE) {
      pointer.element.remove();
      others.delete(id);
    } else pointer.draw(clientWidth, clientHeight, 0.35);
  }
  own?.draw(clientWidth, clientHeight, 1);
}

canvas.addEventListener('pointermove', event => {
  const box = canvas.getBoundingClientRect();
  move((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
});
const STEPS: Record<string, [number, number]> = { ArrowLeft: [-0.02, 0], ArrowRight: [0.02, 0], ArrowUp: [0, -0.03], ArrowDown: [0, 0.03] };
canvas.addEventListener('keydown', event => {
  const step = STEPS[event.key];
  if (!step) return;
  event.preventDefault();
  move((own?.x ?? 0.5) + step[0], (own?.y ?? 0.5) + step[1]);
});

channel.subscribe('move', hear);
channel.presence.subscribe(({ members, count }) => {
  put($('count'), count);
  const names = members.slice(0, 8).map(member => (member.client === client.id ? 'you' : text(fields(member.data).name, 24) || 'somebody'));
  put($('names'), names.join(', '));
  const here = new Set(members.map(member => member.client));
  for (const [id, pointer] of others) {
    if (id.startsWith('Robot ')) continue;
    pointer.name(nameOf(id));
    if (!here.has(id) && count === members.length) pointer.movedAt = Math.min(pointer.movedAt, performance.now() - GONE + 1000);
  }
});
channel.presence.enter({ name: me }).catch(() => undefined); // Without it one is seen as somebody.
setInterval(() => {
  put($('rate'), heard);
  heard = 0;
}, 1000);
frame();
