import type { Env } from './env.ts';
import type { FanfareError } from './errors.ts';
import type { Metering } from './metrics.ts';
import type { Status } from './types.ts';

/** A frame of the protocol, in either direction. */
// biome-ignore lint/suspicious/noExplicitAny: frames are read field by field
export type Frame = { type: string; [field: string]: any };

/** Why a link ended. */
export interface End {
  error: FanfareError;
  /** This transport does not work here, though the hub may be well: try another. */
  unfit?: boolean;
}

/** What a link tells. Nothing after `closed`. */
export interface LinkEvents {
  /** The first frame is `welcome`: from then on the link works. */
  frame(frame: Frame): void;
  /** Something came, whatever it was. */
  alive(): void;
  closed(end: End): void;
}

/** What a link is opened with. */
export interface LinkContext {
  env: Env;
  url: string;
  session: string;
  token: string | undefined;
  meter: Metering;
  /** A transport that opens but says nothing for so long loses, ms. */
  mute: number;
}

/**
 * One way to the hub. Whatever the transport, it speaks the frames of the WebSocket protocol, so that nothing above knows
 * which one it is. Frames may be sent at once; they wait until it is open.
 */
export interface Link {
  name: NonNullable<Status['transport']>;
  /** Answers `ping`: silence can be told from death by asking. The others look after themselves. */
  pings: boolean;
  send(frame: Frame): void;
  /** For links that do not answer pings: makes sure now that what it waits on still lives. */
  refresh(): void;
  /** Ends it without a `closed`. */
  close(): void;
}
