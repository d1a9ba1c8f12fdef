import type { Position } from './types.ts';

/** A position of the hub's, taken apart. */
export const partsOf = (position: Position): { epoch: string; offset: number } => {
  const [epoch, offset] = position.split('-');
  return { epoch: epoch!, offset: Number(offset) };
};

/** Any text taken apart as a position; `undefined` when it is none. Offsets beyond 2^53 lose precision, which no channel reaches. */
export function parsePosition(text: string): { epoch: string; offset: number } | undefined {
  const match = /^([0-9a-z]{1,12})-(\d{1,20})$/.exec(text);
  if (!match || BigInt(match[2]!) > 0xffffffffffffffffn) return undefined;
  return { epoch: match[1]!, offset: Number(match[2]) };
}

export const position = (epoch: string, offset: number): Position => `${epoch}-${offset}`;

/** A cursor's positions for `channels` channels (`undefined`: from now), or `undefined` when it is none. */
export function parseCursor(text: string, channels: number): (Position | undefined)[] | undefined {
  const parts = text.split('~');
  if (parts.length !== channels || parts.some(part => part && !parsePosition(part))) return undefined;
  return parts.map(part => part || undefined);
}
