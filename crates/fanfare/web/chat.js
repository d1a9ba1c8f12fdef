// A chat room over one WebSocket, without its looks: history, live messages, presence, typing, and messages of one's
// own that survive a lost connection (they are sent again with the same id, which the hub applies once).

import { position, randomId } from './api.js';
import { Socket } from './socket.js';

const HISTORY = 50;
const TYPING_EVERY_MS = 2000;
/** Someone who said "typing" and then nothing is held to have stopped. */
const TYPING_FOR_MS = 4000;

export class Room {
  #channel;
  #socket;
  #on;
  #epoch = null;
  #position = null;
  #seen = 0;
  #client = null;
  #name = null;
  #pending = new Map();
  #members = new Map();
  #listing = false;
  #typing = new Map();
  #typedAt = 0;
  #idempotencyMs = 300000;

  /**
   * `on`: state(state), message(message), pending([entry]), gap(gap), members({members, count}), typing([name]),
   * refused(detail). An entry is `{id, text, state: 'sending' | 'failed', detail}`.
   */
  constructor({ channel, session, clock, on }) {
    this.#channel = channel;
    this.#on = on;
    this.#socket = new Socket({
      clock,
      parameters: () => ({ session }),
      on: { frame: (frame) => this.#receive(frame), state: (state) => this.#connection(state) },
    });
  }

  start() {
    this.#socket.start();
  }

  /** Our public id in member lists and messages, once known. */
  get client() {
    return this.#client;
  }

  enter(name) {
    this.#name = name;
    this.#enter();
  }

  leave() {
    this.#name = null;
    this.#socket.send({ type: 'leave', ref: 'leave', channel: this.#channel });
  }

  say(text) {
    const entry = { id: randomId(), text, state: 'sending', since: Date.now() };
    this.#pending.set(entry.id, entry);
    this.#typedAt = 0;
    this.#publish(entry);
    this.#showPending();
  }

  /** Sends a failed message again, under its old id while the hub remembers that, else as a new one. */
  retry(id) {
    const entry = this.#pending.get(id);
    if (entry === undefined) return;
    this.#pending.delete(id);
    if (this.#forgotten(entry)) entry.id = randomId();
    Object.assign(entry, { state: 'sending', detail: undefined, since: Date.now() });
    this.#pending.set(entry.id, entry);
    this.#publish(entry);
    this.#showPending();
  }

  /** To be called at every key press: says so to the others, but not more than every two seconds. */
  typing() {
    const now = performance.now();
    if (this.#typedAt !== 0 && now - this.#typedAt < TYPING_EVERY_MS) return;
    this.#typedAt = now;
    const data = { name: this.#name };
    this.#socket.send({ type: 'publish', channel: this.#channel, event: 'typing', data, ephemeral: true });
  }

  #enter() {
    if (this.#name === null) return;
    this.#socket.send({ type: 'enter', ref: 'enter', channel: this.#channel, data: { name: this.#name } });
  }

  #publish({ id, text }) {
    const data = { text, name: this.#name };
    this.#socket.send({ type: 'publish', ref: id, channel: this.#channel, event: 'say', data, id });
  }

  #forgotten({ since }) {
    return Date.now() - since > this.#idempotencyMs * 0.9;
  }

  #connection(state) {
    if (state.name !== 'open') {
      this.#typing.clear();
      this.#on.typing([]);
    }
    this.#on.state(state);
  }

  #welcomed({ client, idempotency_ms: idempotencyMs }) {
    this.#client = client;
    this.#idempotencyMs = idempotencyMs ?? this.#idempotencyMs;
    const since = this.#position ?? undefined;
    this.#socket.send({ type: 'subscribe', ref: 'room', channel: this.#channel, presence: true, since, last: HISTORY });
    this.#enter();
    for (const entry of this.#pending.values()) {
      if (entry.state !== 'sending') continue;
      // Too old to be sent blindly: the hub may have it and no longer know.
      if (this.#forgotten(entry)) Object.assign(entry, { state: 'failed', detail: 'It may not have arrived.' });
      else this.#publish(entry);
    }
    this.#showPending();
  }

  #receive(frame) {
    if (frame.type === 'welcome') this.#welcomed(frame);
    else if (frame.type === 'ok') this.#acknowledged(frame);
    else if (frame.type === 'error') this.#refused(frame);
    else if (frame.channel !== this.#channel) return;
    else if (frame.type === 'subscribed') this.#subscribed(frame);
    else if (frame.type === 'gap') this.#gap(frame);
    else if (frame.type === 'message') this.#message(frame);
    else if (frame.type === 'presence') this.#presence(frame);
  }

  #subscribed({ epoch, offset, replay }) {
    this.#startEpoch(epoch);
    // With a replay under way the position follows its messages, so that being cut off in the middle loses nothing.
    if (replay === 0) this.#position = position(epoch, offset);
    this.#listing = true;
  }

  #gap(gap) {
    this.#startEpoch(gap.epoch);
    this.#position = position(gap.epoch, gap.offset);
    this.#on.gap(gap);
  }

  #startEpoch(epoch) {
    if (epoch === this.#epoch) return;
    this.#epoch = epoch;
    this.#seen = 0;
  }

  #message(message) {
    if (message.event === 'typing') {
      this.#typed(message);
      return;
    }
    if (message.offset !== undefined) {
      this.#position = position(this.#epoch, message.offset);
      if (message.offset <= this.#seen) return;
      this.#seen = message.offset;
    }
    this.#typing.delete(message.client);
    this.#showTyping();
    this.#on.message(message);
    if (this.#pending.delete(message.id)) this.#showPending();
  }

  #acknowledged({ ref, offset }) {
    const entry = this.#pending.get(ref);
    // Its echo may have come before, or come yet: it stands in the room's order, this does not.
    if (entry !== undefined && offset !== undefined && offset <= this.#seen) this.#pending.delete(ref);
    this.#showPending();
  }

  #refused({ ref, detail, remedy, code }) {
    const text = [detail ?? code, remedy].filter(Boolean).join(' ');
    const entry = this.#pending.get(ref);
    if (entry === undefined) {
      if (ref !== 'leave') this.#on.refused(text);
      return;
    }
    Object.assign(entry, { state: 'failed', detail: text });
    this.#showPending();
  }

  #presence({ action, members, count }) {
    if (action === 'present' && this.#listing) {
      this.#listing = false;
      this.#members.clear();
    }
    for (const member of members) {
      if (action === 'leave') this.#members.delete(member.client);
      else this.#members.set(member.client, member);
    }
    this.#on.members({ members: [...this.#members.values()], count: count ?? this.#members.size });
  }

  #typed({ client, data }) {
    if (client === undefined || client === this.#client) return;
    const name = this.#members.get(client)?.data?.name ?? data?.name;
    this.#typing.set(client, { name: String(name ?? 'Someone'), until: performance.now() + TYPING_FOR_MS });
    this.#showTyping();
    setTimeout(() => this.#showTyping(), TYPING_FOR_MS + 50);
  }

  #showTyping() {
    const now = performance.now();
    for (const [client, { until }] of this.#typing) if (until <= now) this.#typing.delete(client);
    this.#on.typing([...this.#typing.values()].map(({ name }) => name));
  }

  #showPending() {
    this.#on.pending([...this.#pending.values()]);
  }
}
