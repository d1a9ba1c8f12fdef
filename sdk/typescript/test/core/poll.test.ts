import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { poll } from '../../src/index.ts';
import { FakeSocket, live, make, pass, reset, settle } from './fake.ts';

beforeEach(reset);
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
});

describe('poll()', () => {
  it('asks at once, slows down while nothing changes, and is quick again after a change', async () => {
    const times: number[] = [];
    const began = Date.now();
    let value = 'a';
    const it = poll(() => (times.push(Date.now() - began), value), { min: 1000, max: 3000, jitter: 0 });
    await pass(10_000);
    expect(times).toEqual([0, 1000, 2500, 4750, 7750]);
    value = 'b';
    await pass(1000);
    expect(it.value).toMatchObject({ result: 'b', interval: 1000, state: 'waiting', requests: 6 });
    it.stop();
    await expect(it.done).rejects.toMatchObject({ code: 'aborted' });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('spreads its intervals', async () => {
    const times: number[] = [];
    const began = Date.now();
    const it = poll(() => times.push(Date.now() - began), { min: 1000, jitter: 0.1, random: () => 0 });
    await pass(1800);
    expect(times).toEqual([0, 900, 1800]);
    it.stop();
  });

  it('stops on its condition', async () => {
    let n = 0;
    const it = poll(async () => ++n, { min: 10, until: result => result === 3 });
    await pass(1000);
    expect(await it.done).toBe(3);
    expect(it.value).toMatchObject({ state: 'done', requests: 3 });
  });

  it('bears some errors in a row, not all', async () => {
    let n = 0;
    const it = poll(() => (++n === 2 ? 'fine' : Promise.reject(new Error(`${n}`))), { min: 10, errors: 3 });
    await pass(100_000);
    await expect(it.done).rejects.toThrow('5');
    expect(it.value).toMatchObject({ state: 'failed', requests: 5 });
  });

  it('pauses while the page is hidden, and asks at once when it is seen again', async () => {
    const page = Object.assign(new EventTarget(), { visibilityState: 'visible' });
    vi.stubGlobal('document', page);
    const it = poll(() => 1, { min: 1000 });
    await settle();
    page.visibilityState = 'hidden';
    page.dispatchEvent(new Event('visibilitychange'));
    await pass(60_000);
    expect(it.value).toMatchObject({ state: 'hidden', requests: 1 });
    page.visibilityState = 'visible';
    page.dispatchEvent(new Event('visibilitychange'));
    await settle();
    expect(it.value.requests).toBe(2);
    it.stop();
  });

  it('is quiet while a channel is live, asks at its messages, and takes over when it is gone', async () => {
    const client = make();
    const it = poll(() => 1, { min: 1000, channel: client.channel('a') });
    const socket = await live(client);
    await pass(20_000);
    expect(it.value).toMatchObject({ state: 'quiet', requests: 1 });
    FakeSocket.last.message(1);
    await settle();
    expect(it.value).toMatchObject({ state: 'quiet', requests: 2 });
    socket.end();
    await pass(5000);
    expect(it.value.requests).toBeGreaterThan(3);
    it.stop();
    await client.close();
  });
});
