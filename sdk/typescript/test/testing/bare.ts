import { FakeHub, type FakeHubOptions } from '../../src/testing/index.ts';
import type { WebSocketLike } from '../../src/types.ts';

export const SESSION = 'session-of-a-bare-client';

// biome-ignore lint/suspicious/noExplicitAny: frames are read field by field
export type Frame = Record<string, any>;

/** A WebSocket client without the SDK, on a fake hub. */
export function bareSocket(hub: FakeHub, { session = SESSION, protocols = ['fanfare.v1.json'], query = '' } = {}) {
  const { WebSocket } = hub.options();
  const socket = new WebSocket(
    `${hub.url.replace('http', 'ws')}/v1/ws?session=${session}${query}`,
    protocols,
  ) as WebSocketLike;
  const frames: Frame[] = [];
  const closes: { code: number; reason: string }[] = [];
  socket.onmessage = ({ data }: { data: string }) => frames.push(JSON.parse(data));
  socket.onclose = (event: { code: number; reason: string }) => closes.push(event);
  return {
    socket,
    frames,
    closes,
    ofType: (type: string) => frames.filter(frame => frame.type === type),
    send: (frame: Frame) => socket.send(JSON.stringify(frame)),
  };
}

/** A hub and a connected bare client. */
export async function connected(options?: FakeHubOptions) {
  const hub = new FakeHub(options);
  const client = bareSocket(hub);
  await hub.settle();
  return { hub, ...client };
}
