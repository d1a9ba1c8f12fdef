import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { Client } from '../../src/index.ts';
import { FakeSocket, type Frame, live, make, pass, reset, settle } from './fake.ts';

let client: Client;
beforeEach(() => {
  reset();
  client = make();
});
afterEach(async () => {
  await client.close();
  vi.useRealTimers();
});
const member = (name: string, at: number): Frame => ({ client: name, data: { name }, entered_at: at });
const say = (action: string, members: Frame[], more = false, count = members.length) =>
  FakeSocket.last.say({ type: 'presence', channel: 'a', action, members, more, count, users: 0 });

describe('presence', () => {
  it('is a list in the order of entering, whole after its last page, and new only when it changes', async () => {
    const room = client.channel('a', { presence: true });
    const lists: string[] = [];
    const events: string[] = [];
    await live(client);
    room.presence.subscribe(({ members, count }) => lists.push(`${members.map(m => m.client)} of ${count}`));
    room.presence.events(({ action, members }) => events.push(`${action} ${members.map(m => m.client)}`));
    say('present', [member('b', 2)], true, 2);
    say('present', [member('a', 1)], false, 2);
    const before = room.presence.value;
    FakeSocket.last.message(1);
    expect(room.presence.value).toBe(before);
    say('enter', [member('c', 3)], false, 3);
    say('leave', [member('a', 1)], false, 2);
    expect(lists).toEqual([' of 0', 'a,b of 2', 'a,b,c of 3', 'b,c of 2']);
    expect(events).toEqual(['present b', 'present a', 'enter c', 'leave a']);
  });

  it('is entered once, again after a reconnect, and not after leaving', async () => {
    const socket = await live(client);
    const room = client.channel('a');
    const entering = room.presence.enter({ name: 'Ada' });
    await settle();
    expect(socket.of('enter')).toMatchObject([{ channel: 'a', data: { name: 'Ada' } }]);
    socket.ok(socket.of('enter')[0]);
    await entering;
    socket.end();
    await pass(100);
    FakeSocket.last.welcome();
    await settle();
    expect(FakeSocket.last.of('enter').length).toBe(1);
    FakeSocket.last.ok(FakeSocket.last.of('enter')[0]);
    const leaving = room.presence.leave();
    await settle();
    FakeSocket.last.ok(FakeSocket.last.of('leave')[0]);
    await leaving;
    FakeSocket.last.end();
    await pass(1000);
    FakeSocket.last.welcome();
    await settle();
    expect(FakeSocket.last.of('enter')).toEqual([]);
  });

  it('waits for the connection, and says what the hub refuses', async () => {
    const entering = client.channel('a').presence.enter({});
    entering.catch(() => {});
    await settle();
    FakeSocket.last.welcome();
    await settle();
    expect(FakeSocket.last.of('enter').length).toBe(1);
    FakeSocket.last.say({
      type: 'error',
      ref: FakeSocket.last.of('enter')[0].ref,
      code: 'forbidden',
      detail: 'no',
      retryable: false,
    });
    await expect(entering).rejects.toMatchObject({ code: 'forbidden', channel: 'a' });
    expect(client.channel('a').presence.entered).toBe(false);
  });

  it('keeps the subscription of a member, which an unsubscribe would end', async () => {
    const off = client.channel('a').subscribe(() => {});
    await settle();
    const socket = FakeSocket.last;
    socket.welcome();
    socket.subscribed();
    void client.channel('a').presence.enter();
    await settle();
    socket.ok(socket.of('enter')[0]);
    off();
    expect(socket.of('unsubscribe')).toEqual([]);
    const leaving = client.channel('a').presence.leave();
    await settle();
    socket.ok(socket.of('leave')[0]);
    await leaving;
    expect(socket.of('unsubscribe').length).toBe(1);
  });

  it('cannot be seen without the option', () => {
    expect(() => client.channel('a').presence.subscribe(() => {})).toThrow(/presence/);
  });
});

describe('diagnostics', () => {
  it('count what happened, and report while connected', async () => {
    const reports: number[] = [];
    client.report(1000, metrics => reports.push(metrics.received));
    const socket = await live(client);
    socket.message(1, 1, { time: Date.now() - 30 });
    socket.message(2, 2, { time: Date.now() - 10 });
    const sent = client.channel('a').publish('n', 1);
    await pass(50);
    socket.ok(socket.of('publish')[0], { epoch: 'e', offset: 3, id: 'x' });
    await sent;
    await pass(2000);
    expect(reports).toEqual([2, 2]);
    const metrics = client.metrics();
    expect(metrics).toMatchObject({
      received: 2,
      sent: 1,
      perMinute: 2,
      channels: 1,
      transport: 'ws',
      pending: 0,
      reconnects: 0,
      connectionTime: 0,
      uptime: 2050,
    });
    expect(metrics.latency).toMatchObject({ count: 2, mean: 20, p50: 10, p99: 30 });
    expect(metrics.roundTrip).toMatchObject({ p99: 50 });
    expect(metrics.bytes.received).toBeGreaterThan(100);
    await client.close();
    await pass(5000);
    expect(reports.length).toBe(2);
  });

  it('fanfare.debug() shows every client that was used, with its last 200 events', async () => {
    vi.spyOn(console, 'log').mockImplementation(() => {});
    vi.spyOn(console, 'table').mockImplementation(() => {});
    await live(client);
    for (let i = 0; i < 300; i++) {
      FakeSocket.last.end();
      await pass(20_000);
    }
    const { fanfare } = globalThis as unknown as { fanfare: { debug(): { url: string; events: unknown[] }[] } };
    const report = fanfare.debug().find(({ url }) => url === 'http://hub');
    expect(report).toMatchObject({ channels: expect.any(Array) });
    expect(report?.events.length).toBeLessThanOrEqual(200);
    vi.restoreAllMocks();
  });
});
