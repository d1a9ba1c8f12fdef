import type { Frame } from '../link.ts';

/** What tabs say to each other on their BroadcastChannel. `from` and `to` are names of tabs. */
export type TabMessage =
  /** The leader's connection is up. */
  | { hello: string }
  /** The leader leaves. */
  | { bye: string }
  /** A tab would follow whoever leads. */
  | { join: string }
  /** A follower leaves. */
  | { left: string }
  /** The leader is there, and not connected. */
  | { wait: string; to: string }
  /** The leader's connection ended. */
  | { down: string }
  | { from: string; to: string; frame: Frame };
