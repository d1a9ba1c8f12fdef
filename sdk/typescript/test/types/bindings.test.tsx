import { expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { createClient, type PresenceState, type Status } from '../../src/index.ts';
import { useConnection, useEntries, useMessages, usePresence } from '../../src/react/index.ts';
import { fromChannel, fromPresence, status$ } from '../../src/rxjs/index.ts';
import { FakeHub } from '../../src/testing/index.ts';

const hub = new FakeHub();
const client = createClient(hub.url, {
  ...hub.options(),
  schema: {
    'room:{id}': { message: { chat: z.object({ text: z.string() }) }, presence: z.object({ name: z.string() }) },
  },
});
const room = client.channel('room:1', { presence: true, snapshot: true });

// Never rendered: only its types count.
function Types() {
  expectTypeOf(useMessages(room, { event: 'chat' }).messages[0]!.data).toEqualTypeOf<{ text: string }>();
  expectTypeOf(useMessages(room).messages[0]!.data).toEqualTypeOf<unknown>();
  expectTypeOf(useMessages('room:1').messages[0]!.data).toEqualTypeOf<unknown>();
  expectTypeOf(usePresence(room)).toEqualTypeOf<PresenceState<{ name: string }>>();
  expectTypeOf(usePresence(room, ({ members }) => members.map(member => member.data.name))).toEqualTypeOf<string[]>();
  usePresence(room, undefined, { enter: { name: 'Ada' } });
  // @ts-expect-error no name
  usePresence(room, undefined, { enter: {} });
  expectTypeOf(useEntries(room, entries => entries.get('k')?.data)).toEqualTypeOf<{ text: string } | undefined>();
  expectTypeOf(useConnection()).toEqualTypeOf<Status>();
  expectTypeOf(useConnection(status => status.attempt)).toEqualTypeOf<number>();
  return null;
}

it('gives hooks the types of their channel', () => {
  expectTypeOf(Types).toBeFunction();
});

it('gives observables the types of their channel', () => {
  fromChannel(room, 'chat')
    .subscribe(m => expectTypeOf(m.data).toEqualTypeOf<{ text: string }>())
    .unsubscribe();
  fromChannel(room)
    .subscribe(m => expectTypeOf(m.data).toEqualTypeOf<unknown>())
    .unsubscribe();
  fromPresence(room)
    .subscribe(p => expectTypeOf(p).toEqualTypeOf<PresenceState<{ name: string }>>())
    .unsubscribe();
  status$(client)
    .subscribe(s => expectTypeOf(s).toEqualTypeOf<Status>())
    .unsubscribe();
});
