import { expectTypeOf, it } from 'vitest';
import { z } from 'zod';
import { createClient } from '../../src/index.ts';
import { FakeHub } from '../../src/testing/index.ts';

// The compiler is the test (`npm run typecheck`); running it only proves that the calls exist. `@ts-expect-error` fails when there is no error.

const hub = new FakeHub();
const client = createClient(hub.url, {
  ...hub.options(),
  schema: {
    'room:{id}': {
      message: { chat: z.object({ text: z.string() }), seen: z.string().transform(Number) },
      presence: z.object({ name: z.string() }),
    },
    'room:vip': { message: { chat: z.object({ gold: z.boolean() }) } },
    'room:{id}:log': { message: { line: z.string() } },
    'stock:*': { message: { price: z.number() } },
  },
});

it('types a channel by the pattern that its name fits', () => {
  const room = client.channel('room:42');
  room.subscribe('chat', m => expectTypeOf(m.data).toEqualTypeOf<{ text: string }>());
  room.subscribe('chat', m => expectTypeOf(m.event).toEqualTypeOf<'chat'>());
  client.channel('stock:nyse:acme').subscribe('price', m => expectTypeOf(m.data).toEqualTypeOf<number>());
  client.channel('room:42:log').subscribe('line', m => expectTypeOf(m.data).toEqualTypeOf<string>());
});

it('lets the most specific pattern win', () => {
  client.channel('room:vip').subscribe('chat', m => expectTypeOf(m.data).toEqualTypeOf<{ gold: boolean }>());
});

it('takes the schema’s input and gives its output', () => {
  const room = client.channel('room:42');
  room.subscribe('seen', m => expectTypeOf(m.data).toEqualTypeOf<number>());
  const calls = () => {
    void room.publish('seen', '1');
    // @ts-expect-error the input is a string
    void room.publish('seen', 1);
    // @ts-expect-error text is missing
    void room.publish('chat', {});
    void room.presence.enter({ name: 'Ada' });
    // @ts-expect-error no name
    void room.presence.enter({});
  };
  expectTypeOf(calls).toBeFunction();
  const first = () => room.presence.members[0]!.data;
  expectTypeOf(first).returns.toEqualTypeOf<{ name: string }>();
});

it('leaves what it does not know unknown, never `never`', () => {
  const name: string = 'room:42';
  client.channel(name).subscribe('chat', m => expectTypeOf(m.data).toEqualTypeOf<unknown>());
  client.channel('elsewhere').subscribe('chat', m => expectTypeOf(m.data).toEqualTypeOf<unknown>());
  client.channel('room:42').subscribe('other', m => expectTypeOf(m.data).toEqualTypeOf<unknown>());
  client.channel('room:42').subscribe(m => expectTypeOf(m.data).toEqualTypeOf<unknown>());
  client.channel('stock:a').subscribe('chat', m => expectTypeOf(m.data).toEqualTypeOf<unknown>());
  const plain = createClient(hub.url, hub.options());
  plain.channel('any').subscribe('any', m => expectTypeOf(m.data).toEqualTypeOf<unknown>());
  const anything = () => plain.channel('any').publish('any', { whatever: 1 });
  expectTypeOf(anything).toBeFunction();
});

it('types iterators and batches as well', () => {
  const room = client.channel('room:42');
  const loops = async () => {
    for await (const m of room.messages({ event: 'chat' })) expectTypeOf(m.data).toEqualTypeOf<{ text: string }>();
    for await (const m of room.history({ event: 'seen', limit: 1 })) expectTypeOf(m.data).toEqualTypeOf<number>();
    for await (const m of room.messages()) expectTypeOf(m.data).toEqualTypeOf<unknown>();
  };
  expectTypeOf(loops).toBeFunction();
  room.subscribeBatches('seen', batch => expectTypeOf(batch[0]!.data).toEqualTypeOf<number>());
});
