import type { Connection } from './connection.ts';
import type { Env } from './env.ts';
import type { Metering } from './metrics.ts';
import type { Publisher } from './publisher.ts';
import type { Invalid } from './types.ts';

/** What the channels of one client share. */
export interface Core {
  env: Env;
  connection: Connection;
  meter: Metering;
  publisher: Publisher;
  /** Something of the application's threw. */
  threw(error: unknown): void;
  invalid(invalid: Invalid): void;
}
