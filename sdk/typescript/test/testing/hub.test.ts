import { describe, expect, it } from 'vitest';
import { FakeHub } from '../../src/testing/index.ts';
import { bareSocket, connected, SESSION } from './bare.ts';

const data = (frames: readonly { data?: unknown }[]) => frames.map(frame => frame.data);

describe('the fake hub over WebSocket', () => {
  it('greets, subscribes and delivers in order', async () => {
    const { hub, frames, send } = await connected();
    send({ type: 'subscribe', ref: 1, channel: 'room' });
    await hub.settle();
    expect(hub.publish('room', 'say', 'a')).toBe('e1-1');
    hub.publish('room', 'say', 'b');
    await hub.settle();
    expect(frames.map(frame => frame.type)).toEqual(['welcome', 'subscribed', 'message', 'message']);
    expect(frames[1]).toMatchObject({ ref: 1, channel: 'room', epoch: 'e1', offset: 0, replay: 0 });
    expect(frames[1]).not.toHaveProperty('recovered');
    expect(frames[3]).toMatchObject({ channel: 'room', offset: 2, event: 'say', data: 'b' });
  });

  it('delivers nothing before time is let pass', async () => {
    const { hub, frames, send } = await connected({ latency: 20 });
    await hub.advance(40);
    send({ type: 'ping', ref: 1 });
    await hub.advance(39);
    expect(frames.at(-1)).toMatchObject({ type: 'welcome' });
    await hub.advance(1);
    expect(frames.at(-1)).toMatchObject({ type: 'pong', ref: 1 });
  });

  it('recovers from a position, and tells a gap when it cannot', async () => {
    const { hub, frames, send } = await connected();
    for (let n = 1; n <= 5; n++) hub.publish('room', 'n', n);
    send({ type: 'subscribe', channel: 'room', since: 'e1-3' });
    await hub.settle();
    expect(frames[1]).toMatchObject({ recovered: true, replay: 2, offset: 5 });
    expect(data(frames.slice(2))).toEqual([4, 5]);
    hub.lose('room', 4);
    send({ type: 'subscribe', channel: 'room', since: 'e1-3' });
    await hub.settle();
    expect(frames[4]).toMatchObject({ recovered: false, replay: 1 });
    expect(frames[5]).toMatchObject({ type: 'gap', offset: 4, reason: 'expired' });
    expect(frames[6]).toMatchObject({ data: 5 });
    hub.restart();
    const next = bareSocket(hub);
    await hub.settle();
    next.send({ type: 'subscribe', channel: 'room', since: 'e1-5' });
    await hub.settle();
    expect(next.frames[2]).toMatchObject({ type: 'gap', epoch: 'e2', offset: 0, reason: 'epoch' });
  });

  it('gives the state of a keyed channel, then what changes', async () => {
    const { hub, frames, send } = await connected();
    hub.publish('stock', 'price', 1, { key: 'a' });
    hub.publish('stock', 'price', 2, { key: 'b' });
    hub.publish('stock', 'price', 3, { key: 'a' });
    hub.publish('stock', 'price', null, { key: 'b' });
    send({ type: 'subscribe', channel: 'stock', snapshot: true });
    await hub.settle();
    expect(frames.slice(2).map(({ key, data: value }) => [key, value])).toEqual([['a', 3]]);
    hub.lose('stock');
    send({ type: 'subscribe', channel: 'stock', snapshot: true, since: 'e1-2' });
    await hub.settle();
    expect(frames[3]).toMatchObject({ type: 'subscribed', recovered: true, replay: 2 });
    expect(frames.slice(4).map(({ key, data: value }) => [key, value])).toEqual([
      ['a', 3],
      ['b', null],
    ]);
  });

  it('conflates with a rate: at once, then the newest of each key at the end of the window', async () => {
    const { hub, frames, send } = await connected();
    send({ type: 'subscribe', channel: 'stock', rate: 10 });
    await hub.settle();
    for (let n = 1; n <= 4; n++) hub.publish('stock', 'p', n, { key: n % 2 ? 'odd' : 'even' });
    await hub.advance(99);
    expect(data(frames.slice(2))).toEqual([1]);
    await hub.advance(1);
    expect(data(frames.slice(2))).toEqual([1, 3, 4]);
  });

  it('applies a publish with an id once, and answers a conditional one with where the channel stands', async () => {
    const { hub, frames, send } = await connected();
    send({ type: 'publish', ref: 1, channel: 'room', data: 1, id: 'x' });
    send({ type: 'publish', ref: 2, channel: 'room', data: 1, id: 'x' });
    send({ type: 'publish', ref: 3, channel: 'room', data: 1, if: 'e1-9' });
    send({ type: 'publish', ref: 4, channel: 'room', data: 1, event: 'fanfare.x' });
    await hub.settle();
    expect(frames.slice(1)).toMatchObject([
      { type: 'ok', ref: 1, offset: 1, epoch: 'e1', duplicate: false },
      { type: 'ok', ref: 2, offset: 1, duplicate: true },
      { type: 'error', ref: 3, code: 'conflict', epoch: 'e1', offset: 1 },
      { type: 'error', ref: 4, code: 'bad_request', retryable: false },
    ]);
    expect(hub.channel('room').messages).toHaveLength(1);
  });

  it('keeps a lost member for the grace period, and lets it come back', async () => {
    const { hub, send } = await connected();
    const other = bareSocket(hub, { session: 'session-of-somebody-else' });
    await hub.settle();
    other.send({ type: 'subscribe', channel: 'room', presence: true });
    send({ type: 'enter', channel: 'room', data: { name: 'Ada' } });
    await hub.settle();
    hub.enter('room', { name: 'Eve' }, { user: 'eve' });
    await hub.settle();
    const actions = () => other.ofType('presence').map(({ action, count, users }) => [action, count, users]);
    expect(actions()).toEqual([
      ['present', 0, 0],
      ['enter', 1, 0],
      ['enter', 2, 1],
    ]);
    hub.cut();
    const again = bareSocket(hub);
    await hub.advance(4000);
    again.send({ type: 'enter', channel: 'room', data: { name: 'Ada' } });
    await hub.advance(10_000);
    expect(hub.channel('room').members).toHaveLength(2);
    again.socket.close();
    await hub.advance(4999);
    expect(hub.channel('room').members).toHaveLength(2);
    await hub.advance(1);
    expect(hub.channel('room').members).toHaveLength(1);
  });

  it('ends a connection with its token, unless it is renewed', async () => {
    const hub = new FakeHub();
    const token = hub.token('ada', { expiresIn: 1000 });
    const one = bareSocket(hub, { protocols: ['fanfare.v1.json', `fanfare.token.${token}`] });
    const two = bareSocket(hub, { session: `${SESSION}2`, protocols: ['fanfare.v1.json', `fanfare.token.${token}`] });
    const bad = bareSocket(hub, { protocols: ['fanfare.v1.json', 'fanfare.token.nonsense'] });
    await hub.settle();
    expect(one.frames[0]).toMatchObject({ type: 'welcome', user: 'ada', expires_at: hub.now() + 1000 });
    expect(bad.frames).toMatchObject([{ type: 'disconnect', code: 'unauthorized' }]);
    expect(bad.closes).toMatchObject([{ code: 4401 }]);
    two.send({ type: 'auth', ref: 1, token: hub.token('ada', { expiresIn: 5000 }) });
    await hub.advance(1000);
    expect(one.frames.at(-1)).toMatchObject({ type: 'disconnect', code: 'token_expired' });
    expect(one.closes).toMatchObject([{ code: 4402 }]);
    expect(two.closes).toEqual([]);
  });

  it('does what a test orders: refuse, lose the answer, ignore', async () => {
    const { hub, frames, closes, send } = await connected();
    hub.refuseNext('publish', 'rate_limited', { retryAfter: 500 });
    send({ type: 'publish', ref: 1, channel: 'room', data: 1 });
    send({ type: 'publish', ref: 2, channel: 'room', data: 2 });
    await hub.settle();
    expect(frames.slice(1)).toMatchObject([
      { type: 'error', ref: 1, code: 'rate_limited', retryable: true, retry_after_ms: 500 },
      { type: 'ok', ref: 2 },
    ]);
    hub.ignoreNext('ping');
    send({ type: 'ping', ref: 3 });
    hub.loseNext('publish');
    send({ type: 'publish', ref: 4, channel: 'room', data: 4 });
    await hub.settle();
    expect(frames).toHaveLength(3);
    expect(closes).toMatchObject([{ code: 1006 }]);
    expect(data(hub.channel('room').messages)).toEqual([2, 4]);
  });

  it('breaks as networks do', async () => {
    const { hub, frames, closes, send } = await connected();
    hub.freeze();
    send({ type: 'ping', ref: 1 });
    const hanging = bareSocket(hub);
    await hub.advance(60_000);
    expect([frames.length, closes.length, hanging.socket.readyState]).toEqual([1, 0, 0]);
    hub.thaw();
    await hub.settle();
    expect([frames.length, hanging.socket.readyState]).toEqual([2, 1]);
    hub.down();
    const refused = bareSocket(hub);
    await hub.settle();
    expect([closes, refused.closes, hanging.closes]).toMatchObject([
      [{ code: 1006 }],
      [{ code: 1006 }],
      [{ code: 1006 }],
    ]);
    hub.up();
    hub.mute('ws');
    const mute = bareSocket(hub);
    await hub.advance(5000);
    expect([mute.socket.readyState, mute.frames]).toEqual([1, []]);
    expect(hub.opened.ws).toBe(4);
    expect(hub.connections).toMatchObject([{ transport: 'ws' }]);
  });
});
