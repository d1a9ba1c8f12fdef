// @vitest-environment happy-dom
import { Activity, act, type ReactNode, StrictMode, Suspense } from 'react';
import { describe, expect, it } from 'vitest';
import {
  type Messages,
  useChannel,
  useConnection,
  useEntries,
  useMessages,
  usePresence,
} from '../../src/react/index.ts';
import { fakeTime, pass, show, world } from './world.tsx';

fakeTime();

function Room({ enter }: { enter?: { name: string } }) {
  const room = useChannel('room', { presence: true });
  const { messages } = useMessages(room);
  const names = usePresence(room, ({ members }) => members.map(member => (member.data as { name: string }).name), {
    enter,
  });
  return (
    <p>
      {messages.map(message => String(message.data)).join()} / {names.join()}
    </p>
  );
}

describe('mounting and unmounting', () => {
  it('subscribes once and enters once in StrictMode', async () => {
    const { hub, provided } = world();
    hub.publish('room', 'say', 'hello');
    const { text } = await show(<StrictMode>{provided(<Room enter={{ name: 'Ada' }} />)}</StrictMode>);
    await pass(5000);
    expect(text()).toBe('hello / Ada');
    expect([hub.opened.ws, hub.count('subscribe'), hub.count('enter')]).toEqual([1, 1, 1]);
    expect([hub.count('unsubscribe'), hub.count('leave')]).toEqual([0, 0]);
    expect(hub.channel('room')).toMatchObject({ subscribers: 1, members: [{ data: { name: 'Ada' } }] });
  });

  it('stays for a second, then leaves and unsubscribes', async () => {
    const { hub, provided } = world();
    const { root, text } = await show(provided(<Room enter={{ name: 'Ada' }} />));
    await pass(100);
    await show(provided(null), root);
    await pass(900);
    await show(provided(<Room enter={{ name: 'Ada' }} />), root);
    await pass(5000);
    expect([hub.count('subscribe'), hub.count('enter'), hub.count('leave')]).toEqual([1, 1, 0]);
    expect(text()).toContain('Ada');
    await show(provided(null), root);
    await pass(999);
    expect(hub.channel('room')).toMatchObject({ subscribers: 1, members: [{}] });
    await pass(100);
    expect(hub.channel('room')).toMatchObject({ subscribers: 0, members: [] });
  });

  it('updates what it entered with, and enters for as long as one component wants it', async () => {
    const { hub, provided } = world();
    const two = (first: ReactNode) =>
      provided(
        <>
          {first}
          <Room enter={{ name: 'Grace' }} />
        </>,
      );
    const { root } = await show(provided(<Room enter={{ name: 'Ada' }} />));
    await pass(100);
    await show(provided(<Room enter={{ name: 'Grace' }} />), root);
    await pass(100);
    expect(hub.channel('room').members).toMatchObject([{ data: { name: 'Grace' } }]);
    expect(hub.count('enter')).toBe(2);
    await show(two(<Room enter={{ name: 'Grace' }} />), root);
    await show(two(null), root);
    await pass(5000);
    expect([hub.count('enter'), hub.count('leave')]).toEqual([2, 0]);
  });

  it('does nothing for what suspends and never mounts', async () => {
    const { hub, provided } = world();
    const never = new Promise<never>(() => {});
    const Waits = () => {
      useMessages('room');
      throw never;
    };
    const { text } = await show(<Suspense fallback="waiting">{provided(<Waits />)}</Suspense>);
    await pass(5000);
    expect(text()).toBe('waiting');
    expect(hub.opened.ws).toBe(0);
  });

  it('goes on when a component that shows messages is suspended again', async () => {
    const { hub, provided } = world();
    const never = new Promise<never>(() => {});
    const Maybe = ({ wait }: { wait: boolean }) => {
      if (wait) throw never;
      return null;
    };
    const tree = (wait: boolean) =>
      provided(
        <Suspense fallback="waiting">
          <Room />
          <Maybe wait={wait} />
        </Suspense>,
      );
    const { root, text } = await show(tree(false));
    await pass(100);
    await show(tree(true), root);
    hub.publish('room', 'say', 'meanwhile');
    await pass(3000);
    await show(tree(false), root);
    await pass(100);
    expect(text()).toContain('meanwhile');
    expect(hub.opened.ws).toBe(1);
  });
});

describe('useMessages', () => {
  function probe(options?: Parameters<typeof useMessages>[1]) {
    const seen: { current: Messages; renders: number } = { current: undefined as never, renders: 0 };
    const Probe = () => {
      seen.current = useMessages('room', options) as Messages;
      seen.renders++;
      return <p>{seen.current.messages.map(message => String(message.data)).join()}</p>;
    };
    return { seen, Probe };
  }
  const data = (seen: { current: Messages }) => seen.current.messages.map(message => message.data);

  it('shows the past and what comes, loads more, each message once', async () => {
    const { hub, provided } = world();
    for (let n = 1; n <= 10; n++) hub.publish('room', 'n', n);
    const { seen, Probe } = probe({ last: 3 });
    await show(provided(<Probe />));
    expect(seen.current).toMatchObject({ loading: true, messages: [] });
    await pass(200);
    expect(data(seen)).toEqual([8, 9, 10]);
    expect(seen.current).toMatchObject({ loading: false, hasMore: true, error: undefined, gap: undefined });
    const { loadMore } = seen.current;
    await act(async () => {
      void loadMore(4);
      void loadMore(4);
    });
    hub.publish('room', 'n', 11);
    await pass(200);
    expect(data(seen)).toEqual([4, 5, 6, 7, 8, 9, 10, 11]);
    expect(seen.current.loadMore).toBe(loadMore);
    await act(async () => void loadMore());
    await pass(200);
    expect(data(seen)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
    expect(seen.current).toMatchObject({ hasMore: false, loading: false });
    expect(hub.count('history')).toBe(2);
  });

  it('loses and repeats nothing through a cut, and keeps its snapshot when nothing changes', async () => {
    const { hub, provided } = world();
    const { seen, Probe } = probe();
    await show(provided(<Probe />));
    await pass(100);
    hub.publish('room', 'n', 1);
    await pass(100);
    const before = seen.current;
    hub.cut();
    hub.publish('room', 'n', 2);
    await pass(0);
    await pass(2000);
    expect(data(seen)).toEqual([1, 2]);
    const after = seen.current;
    expect(after.messages).not.toBe(before.messages);
    await pass(60_000);
    expect(seen.current.messages).toBe(after.messages);
  });

  it('shows no hole when it was hidden for a while', async () => {
    const { hub, provided } = world();
    const { seen, Probe } = probe({ last: 5 });
    const tree = (mode: 'visible' | 'hidden') =>
      provided(
        <Activity mode={mode}>
          <Probe />
        </Activity>,
      );
    const { root } = await show(tree('visible'));
    await pass(100);
    hub.publish('room', 'n', 1);
    await pass(100);
    await show(tree('hidden'), root);
    await pass(5000);
    expect(hub.channel('room').subscribers).toBe(0);
    for (let n = 2; n <= 20; n++) hub.publish('room', 'n', n);
    await show(tree('visible'), root);
    await pass(200);
    const shown = data(seen) as number[];
    expect(shown.at(-1)).toBe(20);
    expect(shown).toEqual(Array.from({ length: shown.length }, (_, i) => 21 - shown.length + i));
  });

  it('begins anew with another client', async () => {
    const one = world();
    const two = world();
    const { seen, Probe } = probe();
    one.hub.publish('room', 'n', 'one');
    two.hub.publish('room', 'n', 'two');
    const { root } = await show(one.provided(<Probe />));
    await pass(100);
    expect(data(seen)).toEqual(['one']);
    await show(two.provided(<Probe />), root);
    await pass(2000);
    expect(data(seen)).toEqual(['two']);
    expect(one.hub.channel('room').subscribers).toBe(0);
  });

  it('keeps so many, and brings older ones back', async () => {
    const { hub, provided } = world();
    const { seen, Probe } = probe({ keep: 3 });
    await show(provided(<Probe />));
    await pass(100);
    for (let n = 1; n <= 5; n++) hub.publish('room', 'n', n);
    await pass(200);
    expect(data(seen)).toEqual([3, 4, 5]);
    expect(seen.current.hasMore).toBe(true);
    await act(async () => void seen.current.loadMore());
    await pass(200);
    expect(data(seen)).toEqual([1, 2, 3, 4, 5]);
  });

  it('renders once for what comes within a frame', async () => {
    const { hub, provided } = world();
    const { seen, Probe } = probe();
    await show(provided(<Probe />));
    await pass(200);
    const before = seen.renders;
    for (let n = 1; n <= 100; n++) hub.publish('room', 'n', n);
    await pass(200);
    expect(seen.current.messages).toHaveLength(100);
    expect(seen.renders - before).toBe(1);
  });

  it('filters by event, and tells of gaps and refusals', async () => {
    const { hub, provided } = world();
    const { seen, Probe } = probe({ event: 'say' });
    await show(provided(<Probe />));
    await pass(100);
    hub.publish('room', 'say', 1);
    hub.publish('room', 'typing', 'x');
    await pass(100);
    hub.restart();
    hub.publish('room', 'say', 2);
    await pass(2000);
    expect(data(seen)).toEqual([1, 2]);
    expect(seen.current.gap).toMatchObject({ channel: 'room', reason: 'epoch' });
    hub.revoke('room');
    await pass(100);
    expect(seen.current.error).toMatchObject({ code: 'revoked' });
  });

  it('is shared by components that ask for the same', async () => {
    const { hub, provided } = world();
    const one = probe({ last: 5 });
    const two = probe({ last: 5 });
    await show(
      provided(
        <>
          <one.Probe />
          <two.Probe />
        </>,
      ),
    );
    hub.publish('room', 'n', 1);
    await pass(200);
    expect(data(one.seen)).toEqual([1]);
    expect(two.seen.current).toBe(one.seen.current);
    expect(hub.count('subscribe')).toBe(1);
  });
});

describe('usePresence, useEntries, useConnection', () => {
  it('renders again only when what was selected has changed', async () => {
    const { hub, provided } = world();
    let renders = 0;
    const Count = () => {
      renders++;
      return <p>{usePresence('room', presence => presence.members.map(member => member.user)).join()}</p>;
    };
    const { text } = await show(provided(<Count />));
    const ada = hub.enter('room', { status: 'here' }, { user: 'ada' });
    await pass(100);
    expect(text()).toBe('ada');
    const before = renders;
    hub.enter('room', { status: 'away' }, { user: 'ada', client: ada });
    await pass(100);
    expect(renders).toBe(before);
    hub.enter('room', {}, { user: 'eve' });
    await pass(100);
    expect(text()).toBe('ada,eve');
  });

  it('follows the state of a keyed channel', async () => {
    const { hub, provided } = world();
    hub.publish('stock', 'price', 1, { key: 'a' });
    hub.publish('stock', 'price', 2, { key: 'b' });
    const Price = () => (
      <p>{useEntries('stock', (entries, ready) => `${ready} ${entries.get('a')?.data} ${entries.size}`)}</p>
    );
    const { text } = await show(provided(<Price />));
    expect(text()).toBe('false undefined 0');
    await pass(100);
    expect(text()).toBe('true 1 2');
    hub.publish('stock', 'price', 3, { key: 'a' });
    hub.publish('stock', 'price', null, { key: 'b' });
    await pass(100);
    expect(text()).toBe('true 3 1');
  });

  it('tells the state of the connection, and opens none by itself', async () => {
    const { hub, client, provided } = world();
    const State = () => <p>{useConnection(status => `${status.state} ${status.transport}`)}</p>;
    const { text } = await show(provided(<State />));
    await pass(1000);
    expect(text()).toBe('idle undefined');
    expect(hub.opened.ws).toBe(0);
    await act(async () => void client.connect());
    await pass(100);
    expect(text()).toBe('connected ws');
  });
});
