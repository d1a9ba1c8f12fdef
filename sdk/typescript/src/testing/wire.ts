import type { ServerCode } from '../codes.gen.ts';
import type { Position } from '../types.ts';
import { ANSWERS } from './codes.gen.ts';
import { sha256 } from './sha256.ts';

/** A frame of the protocol, in either direction. */
// biome-ignore lint/suspicious/noExplicitAny: frames are read field by field
export type WireFrame = { type: string; [field: string]: any };

/** A message as the protocol writes it. */
export interface WireMessage {
  channel: string;
  offset?: number;
  event: string;
  data: unknown;
  id: string;
  time: number;
  key?: string;
  user?: string;
  client?: string;
  tags?: Record<string, string>;
  encoding?: 'base64';
}

/** A member as the protocol writes it. */
export interface WireMember {
  client: string;
  user?: string;
  info?: unknown;
  data?: unknown;
  entered_at: number;
}

/** How a subscription begins and what it wants, as the protocol writes it. */
export interface ReadOptions {
  since?: Position;
  last?: number;
  snapshot?: boolean;
  presence?: boolean;
  rate?: number;
  echo?: boolean;
}

/** What the fake hub answers instead of doing it. */
export class Refusal extends Error {
  constructor(
    readonly code: ServerCode,
    readonly detail: string,
    readonly fields: { retry_after_ms?: number; epoch?: string; offset?: number } = {},
  ) {
    super(`${code}: ${detail}`);
  }

  /** The fields that `error`, `disconnect` and problem documents share. */
  body(): Record<string, unknown> {
    const { code, detail, fields } = this;
    const [, , retryable, remedy] = ANSWERS[code];
    return { code, detail, remedy, retryable, ...fields };
  }

  get status(): number {
    return ANSWERS[this.code][0] || 500;
  }

  get close(): number {
    return ANSWERS[this.code][1];
  }
}

const POSITION = /^([0-9a-z]{1,12})-(\d{1,16})$/;

/** Takes a position apart; refuses what is none. */
export function readPosition(text: unknown): { epoch: string; offset: number } {
  const match = typeof text === 'string' ? POSITION.exec(text) : null;
  if (!match) throw new Refusal('bad_request', `since ${JSON.stringify(text)} is no position`);
  return { epoch: match[1]!, offset: Number(match[2]) };
}

/** Refuses what cannot be a channel's name. */
export function checkName(name: unknown): asserts name is string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the protocol forbids exactly these
  if (typeof name !== 'string' || !/^(?!\$)[^\x00-\x20\x7f,*{}]{1,255}$/.test(name))
    throw new Refusal('bad_request', `${JSON.stringify(name)} is no channel name`);
}

const RESERVED =
  /^(fanfare\..*|open|error|connect|connect_error|disconnect|disconnecting|newListener|removeListener|pusher:.*|pusher_internal:.*|phx_.*)$/;

/** Refuses event names that are not for publishers. */
export function checkEvent(event: unknown): asserts event is string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: the protocol forbids exactly these
  if (typeof event !== 'string' || !/^[^\x00-\x1f\x7f]{1,128}$/.test(event) || RESERVED.test(event))
    throw new Refusal('bad_request', `the event ${JSON.stringify(event)} is reserved or no event name`);
}

/** The public client of a secret session, as the hub derives it: the first 16 characters of base64url(SHA-256(session)). */
export function clientOf(session: string): string {
  return btoa(String.fromCharCode(...sha256(new TextEncoder().encode(session)).subarray(0, 12)))
    .replaceAll('+', '-')
    .replaceAll('/', '_');
}
