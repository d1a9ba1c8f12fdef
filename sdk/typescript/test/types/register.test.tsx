import { expectTypeOf, it } from 'vitest';
import type { RegisteredTypes } from '../../src/react/context.ts';
import type { Untyped } from '../../src/types.ts';

// What an application registers is global, so here only the default is looked at.
it('types channels by name as unknown until a client is registered', () => {
  expectTypeOf<RegisteredTypes<'room:1'>>().toEqualTypeOf<Untyped>();
});
