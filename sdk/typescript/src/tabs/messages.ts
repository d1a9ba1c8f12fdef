import type { Frame } from '../link.ts';

/** What tabs say to each other on their BroadcastChannel. `from` and `to` are names of tabs. */
export interface TabMessage {
  type: /** The leader's connection is up. */
    | 'hello'
    /** The leader leaves. */
    | 'bye'
    /** The leader's connection ended. */
    | 'down'
    /** A tab would follow whoever leads. */
    | 'join'
    /** A follower leaves. */
    | 'left'
    /** The leader is there, and not connected. */
    | 'wait'
    /** Between a leader and a follower. */
    | 'frame';
  from: string;
  to?: string;
  frame?: Frame;
}
