export { createClient } from './client.ts';
export { CODES } from './codes.gen.ts';
export { FanfareError } from './errors.ts';
export { poll } from './poll.ts';
export type * from './types.ts';
