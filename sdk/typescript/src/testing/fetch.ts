import { call, enter, history, leave, members, publish, snapshot } from './operations.ts';
import { poll } from './poll.ts';
import { type Asked, json, problem, take, unreachable } from './request.ts';
import { stream } from './stream.ts';
import { clientOf, Refusal, type WireFrame } from './wire.ts';
import type { Who, World } from './world.ts';

const aborted = (signal: AbortSignal): unknown =>
  signal.reason ?? new DOMException('This operation was aborted', 'AbortError');

/** The `fetch` of a world. */
export function fetchOf(world: World): typeof fetch {
  return async (input, init = {}) => {
    const asked = take(input, init);
    world.opened[asked.via]++;
    const { signal } = asked;
    if (signal?.aborted) throw aborted(signal);
    return await new Promise<Response>((resolve, reject) => {
      const pipe = world.pipe();
      const back = world.pipe();
      const abort = () => {
        pipe.close();
        back.close();
        reject(aborted(signal!));
      };
      signal?.addEventListener('abort', abort, { once: true });
      const settle = (run: () => void) =>
        back.push(() => {
          signal?.removeEventListener('abort', abort);
          pipe.close();
          back.close();
          run();
        });
      pipe.push(() => {
        if (!world.running || world.refused.has(asked.via)) settle(() => reject(unreachable()));
        else
          answer(world, asked).then(
            response => settle(() => resolve(response)),
            error => settle(() => reject(error)),
          );
      });
    });
  };
}

async function answer(world: World, asked: Asked): Promise<Response> {
  try {
    const identity = world.identify(asked.token);
    const session = asked.session ?? `fake-${world.nextId()}-${'x'.repeat(16)}`;
    if (!/^[A-Za-z0-9_-]{22,64}$/.test(session)) throw new Refusal('bad_request', 'session is 22 to 64 characters');
    const who: Who = { ...identity, client: clientOf(session), token: asked.token };
    const response = await route(world, asked, who, session);
    if (!asked.session) response.headers.set('fanfare-session', session);
    return response;
  } catch (error) {
    if (error instanceof Refusal) return problem(error);
    throw error;
  }
}

async function route(world: World, asked: Asked, who: Who, session: string): Promise<Response> {
  const { path, query, method } = asked;
  if (asked.via === 'sse') return stream(world, asked, who, session);
  if (asked.via === 'poll' || asked.via === 'longpoll') return await poll(world, asked, who, session);
  const [, named, last] = /^\/channels\/([^/]+)\/(\w+)$/.exec(path) ?? [undefined, undefined, path.slice(1)];
  const channel = named === undefined ? (query.get('channel') ?? undefined) : decodeURIComponent(named);
  const fields = asked.body ? read(asked.body) : {};
  if (last === 'messages' && method === 'POST') {
    if (channel === undefined) return many(world, who, fields);
    return command(world, who, { ...fields, type: 'publish', channel }, () => publish(world, who, channel, fields));
  }
  if (last === 'call' && method === 'POST')
    return command(world, who, { ...fields, type: 'call' }, () => call(world, fields));
  const asks = Object.fromEntries(query);
  const page = {
    ...asks,
    limit: asks.limit === undefined ? undefined : Number(asks.limit),
    reverse: asks.reverse === '1' || asks.reverse === 'true',
  };
  if (last === 'messages')
    return command(world, who, { ...page, type: 'history', channel }, () => history(world, who, channel, page));
  if (last === 'snapshot')
    return command(world, who, { ...page, type: 'snapshot', channel }, () => snapshot(world, who, channel, page));
  if (last !== 'presence') throw new Refusal('not_found', `the fake hub has no ${path}`);
  if (method === 'PUT')
    return command(world, who, { type: 'enter', channel, data: fields.data }, () => {
      enter(world, asked.session ? who : { ...who, client: undefined }, channel, fields.data, 'http');
      return {};
    });
  if (method === 'DELETE')
    return command(world, who, { type: 'leave', channel }, () => {
      leave(world, who, channel);
      return {};
    });
  return command(world, who, { ...page, type: 'members', channel }, () => members(world, who, channel, page));
}

// biome-ignore lint/suspicious/noExplicitAny: a body, read field by field
function read(body: string): Record<string, any> {
  try {
    const fields = JSON.parse(body);
    if (fields && typeof fields === 'object' && !Array.isArray(fields)) return fields;
  } catch {}
  throw new Refusal('bad_request', 'the body is no JSON object');
}

/** Records the request as the frame that asks for the same, and runs it, with what a test has ordered for it. */
async function command(
  world: World,
  who: Who,
  frame: WireFrame,
  run: () => Record<string, unknown>,
): Promise<Response> {
  world.record('post', who.client, frame);
  const fault = world.fault(frame.type);
  if (fault?.what === 'ignore') return await new Promise<never>(() => {});
  if (fault?.refusal) throw fault.refusal;
  const body = run();
  if (fault?.what === 'lose') throw unreachable();
  return json(body);
}

async function many(world: World, who: Who, fields: Record<string, unknown>): Promise<Response> {
  const messages = fields.messages;
  if (!Array.isArray(messages)) throw new Refusal('bad_request', 'messages is missing');
  const results = [];
  for (const message of messages) {
    const response = await command(world, who, { ...message, type: 'publish' }, () =>
      publish(world, who, message.channel, message),
    ).catch(error => {
      if (error instanceof Refusal) return problem(error);
      throw error;
    });
    const body = await response.json();
    results.push(response.ok ? body : { error: body });
  }
  return json({ results });
}
