import { bufferTime, debounceTime, filter, from, map, merge, take, toArray } from 'rxjs';
import { TestScheduler } from 'rxjs/testing';
import { describe, expect, it } from 'vitest';
import { createClient } from '../../src/index.ts';
import { fromChannel, fromEntries, fromPresence, status$ } from '../../src/rxjs/index.ts';
import { FakeHub, schedulerClock } from '../../src/testing/index.ts';

function world() {
  const hub = new FakeHub();
  return { hub, client: createClient(hub.url, hub.options()) };
}

describe('RxJS', () => {
  it('gives messages to every subscriber over one subscription, each with the past that it asked for', async () => {
    const { hub, client } = world();
    for (let n = 1; n <= 3; n++) hub.publish('room', 'n', n);
    const numbers = fromChannel(client.channel('room'), 'n', { last: 2 }).pipe(map(message => message.data));
    const got: unknown[][] = [[], []];
    const first = numbers.subscribe(n => got[0]!.push(n));
    await hub.advance(100);
    const second = numbers.subscribe(n => got[1]!.push(n));
    await hub.advance(100);
    hub.publish('room', 'n', 4);
    hub.publish('room', 'other', 'x');
    await hub.advance(100);
    expect(got).toEqual([
      [2, 3, 4],
      [2, 3, 4],
    ]);
    expect(hub.count('subscribe', 'room')).toBe(1);
    first.unsubscribe();
    second.unsubscribe();
    await hub.advance(2000);
    expect(hub.channel('room').subscribers).toBe(0);
  });

  it('goes on through reconnects without an error or a repeat', async () => {
    const { hub, client } = world();
    const got: unknown[] = [];
    const ends: unknown[] = [];
    fromChannel(client.channel('room')).subscribe({
      next: message => got.push(message.data),
      error: error => ends.push(error),
      complete: () => ends.push('complete'),
    });
    const states: string[] = [];
    status$(client)
      .pipe(map(status => status.state))
      .subscribe(state => states.push(state));
    await hub.advance(100);
    for (let n = 0; n < 5; n++) {
      hub.publish('room', 'n', n);
      hub.cut();
      await hub.advance(10);
      await hub.until(() => client.status.value.state === 'connected');
    }
    hub.publish('room', 'n', 5);
    await hub.advance(100);
    expect(got).toEqual([0, 1, 2, 3, 4, 5]);
    expect(ends).toEqual([]);
    expect(states).toContain('reconnecting');
    expect(states.at(-1)).toBe('connected');
  });

  it('errors when the hub refuses, unless onError is given', async () => {
    const hub = new FakeHub({ allow: (_who, right) => right !== 'subscribe' });
    const client = createClient(hub.url, hub.options());
    const ends: unknown[] = [];
    const heard: unknown[] = [];
    fromChannel(client.channel('room')).subscribe({ error: error => ends.push(error.code) });
    fromChannel(client.channel('room'), { onError: error => heard.push(error.code) }).subscribe({
      error: error => ends.push(error),
    });
    await hub.advance(100);
    expect(ends).toEqual(['unauthorized']);
    expect(heard).toEqual(['unauthorized']);
  });

  it('follows presence and the state of keyed channels', async () => {
    const { hub, client } = world();
    hub.publish('stock', 'price', 1, { key: 'a' });
    const names: unknown[] = [];
    const prices: unknown[] = [];
    fromPresence(client.channel('room', { presence: true }))
      .pipe(map(({ members }) => members.map(member => member.data)))
      .subscribe(value => names.push(value));
    fromEntries(client.channel('stock', { snapshot: true }))
      .pipe(
        filter(entries => entries.size > 0),
        map(entries => entries.get('a')?.data),
      )
      .subscribe(value => prices.push(value));
    await hub.advance(100);
    const ada = hub.enter('room', 'Ada');
    hub.publish('stock', 'price', 2, { key: 'a' });
    await hub.advance(100);
    hub.leave('room', ada);
    await hub.advance(100);
    expect(names).toContainEqual(['Ada']);
    expect(names.at(-1)).toEqual([]);
    expect(prices.at(-1)).toBe(2);
  });

  it('ends at once where the first value is enough', async () => {
    const { client } = world();
    const got: unknown[] = [];
    status$(client)
      .pipe(take(1), toArray())
      .subscribe(values => got.push(...values.map(({ state }) => state)));
    expect(got).toEqual(['idle']);
  });

  it('is read by whatever reads Symbol.observable', async () => {
    const { hub, client } = world();
    const observable = fromChannel(client.channel('room'));
    const symbol = (Symbol as { observable?: symbol }).observable;
    const interop = observable as unknown as Record<PropertyKey, () => typeof observable>;
    expect(interop['@@observable']!()).toBe(observable);
    if (symbol) expect(interop[symbol]!()).toBe(observable);
    const got: unknown[] = [];
    merge(from(observable), observable).subscribe(message => got.push(message.data));
    await hub.advance(100);
    hub.publish('room', 'n', 1);
    await hub.advance(100);
    expect(got).toEqual([1, 1]);
  });
});

describe('the fake hub on an RxJS scheduler', () => {
  async function live() {
    const scheduler = new TestScheduler((actual, expected) => expect(actual).toEqual(expected));
    const hub = new FakeHub({ clock: schedulerClock(scheduler) });
    const client = createClient(hub.url, hub.options());
    const room = client.channel('room');
    room.subscribe(() => {});
    await hub.settle();
    expect(room.state.value.state).toBe('live');
    return { scheduler, hub, client, room };
  }

  it('is tested with marbles', async () => {
    const { scheduler, hub, client, room } = await live();
    scheduler.run(({ cold, expectObservable }) => {
      cold('ab 998ms c').subscribe(letter => hub.publish('room', 'typed', letter));
      // Without an end, the client would keep its connection alive for ever.
      cold('1m x').subscribe(() => client.close());
      const typed = fromChannel(room, 'typed').pipe(
        map(message => message.data),
        debounceTime(500),
      );
      expectObservable(typed).toBe('501ms b 998ms c');
    });
  });

  it('is tested by letting time pass', async () => {
    const { scheduler, hub, client, room } = await live();
    const got: unknown[] = [];
    fromChannel(room)
      .pipe(
        bufferTime(1000, scheduler),
        map(messages => messages.map(message => message.data)),
        take(2),
      )
      .subscribe(values => got.push(values));
    hub.publish('room', 'n', 1);
    await hub.advance(500);
    hub.cut();
    hub.publish('room', 'n', 2);
    await hub.advance(1000);
    hub.publish('room', 'n', 3);
    await hub.advance(500);
    expect(got).toEqual([[1, 2], [3]]);
    await client.close();
  });
});
