import type { Frame } from './link.ts';
import { position } from './position.ts';
import type { Message } from './types.ts';

/** The message in a frame or a page. `offset` is absent from ephemeral messages, and then `position` is too. */
export function toMessage(frame: Frame | Record<string, never>, epoch: string, replayed: boolean): Message {
  const { type: _type, data, encoding, ...rest } = frame as Frame;
  return {
    event: 'message',
    ...(rest as Omit<Message, 'event'>),
    // Bytes as a whole come as base64 in JSON.
    data: encoding === 'base64' ? Uint8Array.from(atob(data), char => char.charCodeAt(0)) : data,
    position: rest.offset && position(epoch, rest.offset),
    replayed,
  };
}

/** Bytes as a whole, for a publish: [data, encoding]. */
export function toWire(data: unknown): { data: unknown; encoding?: 'base64' } {
  if (!(data instanceof Uint8Array)) return { data: data ?? null };
  return { data: btoa(Array.from(data, byte => String.fromCharCode(byte)).join('')), encoding: 'base64' };
}
