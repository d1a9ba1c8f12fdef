export { createClient } from './client.ts';
export { CODES } from './codes.gen.ts';
export { FanfareError } from './errors.ts';
export type * from './types.ts';
