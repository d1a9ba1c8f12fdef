import type { Core } from './core.ts';
import type { FanfareError } from './errors.ts';
import type { Status } from './types.ts';

/** A frame of the protocol, in either direction. */
// biome-ignore lint/suspicious/noExplicitAny: frames are read field by field
export type Frame = { type: string; [field: string]: any };

/** What a link tells. Nothing after `closed`. */
export interface LinkEvents {
  /** The first frame is `welcome`: from then on the link works. */
  _frame(frame: Frame): void;
  /** Something came, whatever it was. */
  _alive(): void;
  _closed(error: FanfareError, unfit?: boolean): void;
}

/** What a link is opened with. */
export interface LinkContext {
  _core: Core;
  _session: string;
  _token: string | undefined;
  /** A transport that opens but says nothing for so long loses, ms. */
  _mute: number;
}

/**
 * One way to the hub. Whatever the transport, it speaks the frames of the WebSocket protocol, so that nothing above knows
 * which one it is. Frames may be sent at once; they wait until it is open.
 */
export interface Link {
  _name: NonNullable<Status['transport']>;
  /** Answers `ping`: silence can be told from death by asking. The others look after themselves. */
  _pings?: boolean;
  _send(frame: Frame): void;
  /** For links that do not answer pings: makes sure now that what it waits on still lives. */
  _refresh(): void;
  /** Ends it without a `closed`. */
  _close(): void;
}

export type Opener = (context: LinkContext, events: LinkEvents) => Link;
