import type { Connection } from './connection.ts';
import { call, enter, history, leave, members, publish } from './operations.ts';
import { Refusal, type WireFrame } from './wire.ts';

/** Commands in one frame. */
const ARRAY = 100;

/** Runs what came on a WebSocket: a command, or an array of them. */
export function receive(connection: Connection, text: string): void {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    refuse(connection, undefined, new Refusal('bad_request', 'not JSON'));
    return;
  }
  if (Array.isArray(body) && body.length > ARRAY) {
    refuse(connection, undefined, new Refusal('limit_exceeded', `at most ${ARRAY} commands`));
    return;
  }
  for (const frame of Array.isArray(body) ? body : [body]) if (connection.open) command(connection, frame as WireFrame);
}

function command(connection: Connection, frame: WireFrame): void {
  const { world } = connection;
  if (!frame || typeof frame !== 'object' || typeof frame.type !== 'string') {
    refuse(connection, (frame as WireFrame | null)?.ref, new Refusal('bad_request', 'no type'));
    return;
  }
  world.record('ws', connection.client, frame);
  const fault = world.fault(frame.type);
  if (fault?.what === 'ignore') return;
  try {
    if (fault?.refusal) throw fault.refusal;
    const answer = run(connection, frame);
    if (fault?.what === 'lose') connection.break();
    else if (answer && frame.ref !== undefined)
      connection.send({ ...answer, type: answer.type ?? 'ok', ref: frame.ref });
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    refuse(connection, frame.ref, error);
  }
}

function refuse(connection: Connection, ref: unknown, refusal: Refusal): void {
  connection.send({ type: 'error', ref, ...refusal.body() });
}

// biome-ignore lint/suspicious/noExplicitAny: the fields of a reply
type Reply = Record<string, any>;

function run(connection: Connection, frame: WireFrame): Reply | undefined {
  const { world, who } = connection;
  const { channel } = frame;
  switch (frame.type) {
    case 'auth': {
      const identity = world.identify(frame.token);
      connection.become(identity, frame.token);
      for (const name of identity.channels ?? []) if (!connection.readers.has(name)) connection.subscribe(name, {});
      return { user: identity.user, expires_at: identity.expiresAt };
    }
    case 'subscribe':
      connection.subscribe(channel, frame as object, frame.ref);
      return undefined;
    case 'unsubscribe':
      connection.unsubscribe(channel);
      return {};
    case 'publish':
      return publish(world, who, channel, frame);
    case 'call':
      return call(world, frame);
    case 'history':
      return history(world, who, channel, frame);
    case 'members':
      return members(world, who, channel, frame);
    case 'enter':
      enter(world, who, channel, frame.data, connection);
      return {};
    case 'leave':
      leave(world, who, channel);
      return {};
    case 'ping':
      return { type: 'pong', time: world.clock.now() };
    default:
      throw new Refusal('bad_request', `unknown type ${frame.type}`);
  }
}
