import { checkEvent, checkName, Refusal, readPosition, type WireMessage } from './wire.ts';
import type { Who, World } from './world.ts';

// What HTTP requests and frames both ask for. Each answers with the protocol's fields, or throws a Refusal.

/** The largest `data`, in characters of JSON. */
const MESSAGE_SIZE = 65_536;

// biome-ignore lint/suspicious/noExplicitAny: fields of a frame or body, checked where they are used
type Fields = Record<string, any>;

export function publish(world: World, who: Who, channel: unknown, fields: Fields): Record<string, unknown> {
  checkName(channel);
  world.demand(who, 'publish', channel);
  const event = fields.event ?? 'message';
  checkEvent(event);
  if (fields.key !== undefined && fields.data === undefined) throw new Refusal('bad_request', 'key without data');
  if (JSON.stringify(fields.data ?? null).length > MESSAGE_SIZE) throw new Refusal('too_large', 'data is too large');
  const log = world.log(channel);
  const now = world.clock.now();
  const message: WireMessage = {
    channel,
    offset: undefined,
    event,
    data: fields.data ?? null,
    id: fields.id ?? world.nextId(),
    time: now,
  };
  for (const name of ['key', 'tags', 'encoding'] as const) if (fields[name] != null) message[name] = fields[name];
  if (who.user !== undefined) message.user = who.user;
  if (who.client !== undefined) message.client = who.client;
  if (fields.ephemeral) {
    log.deliver(message);
    return { id: message.id };
  }
  const first = fields.id === undefined ? undefined : log.ids.get(fields.id);
  if (first && first.at + world.options.idempotencyMs > now)
    return { offset: first.offset, epoch: log.epoch, id: fields.id, duplicate: true };
  if (fields.if != null) {
    const { epoch, offset } = readPosition(fields.if);
    if (epoch !== log.epoch || offset !== log.head)
      throw new Refusal('conflict', 'the channel stands elsewhere', { epoch: log.epoch, offset: log.head });
  }
  log.append(message);
  if (fields.id !== undefined) log.ids.set(fields.id, { offset: log.head, at: now });
  const answer = { offset: log.head, epoch: log.epoch, id: message.id, duplicate: false };
  log.deliver(message);
  if (fields.ttl_ms && message.key !== undefined) expireKey(world, message, fields.ttl_ms);
  return answer;
}

function expireKey(world: World, message: WireMessage, ms: number): void {
  world.clock.setTimeout(() => {
    const log = world.log(message.channel);
    if (log.keys.get(message.key!) !== message) return;
    const { channel, event, key } = message;
    log.deliver(
      log.append({ channel, offset: undefined, event, data: null, id: world.nextId(), time: world.clock.now(), key }),
    );
  }, ms);
}

export function history(world: World, who: Who, channel: unknown, fields: Fields): Record<string, unknown> {
  checkName(channel);
  world.demand(who, 'history', channel);
  if (fields.limit != null && !(fields.limit >= 1)) throw new Refusal('bad_request', 'limit is at least 1');
  const log = world.log(channel);
  log.expire(world.clock.now());
  return log.page({ ...fields, limit: fields.limit ?? undefined });
}

export function snapshot(world: World, who: Who, channel: unknown, fields: Fields): Record<string, unknown> {
  checkName(channel);
  world.demand(who, 'subscribe', channel);
  const log = world.log(channel);
  const limit = Math.min(fields.limit ?? 100, 1000);
  const after = Number(fields.after ?? 0);
  const found = log.state().filter(message => message.offset! > after);
  const messages = found.slice(0, limit);
  const next = found.length > limit ? String(messages.at(-1)!.offset) : undefined;
  return { messages, epoch: log.epoch, offset: log.head, next };
}

export function members(world: World, who: Who, channel: unknown, fields: Fields): Record<string, unknown> {
  checkName(channel);
  world.demand(who, 'presence', channel);
  const all = world.members.list(channel);
  const limit = Math.min(fields.limit ?? 100, 1000);
  const from = fields.after ? all.findIndex(member => member.client === fields.after) + 1 : 0;
  const page = all.slice(from, from + limit);
  const next = limit > 0 && all.length > from + limit ? page.at(-1)!.client : undefined;
  return { members: page, ...world.members.counts(channel), next };
}

/** Calls the handler that the test has given. */
export function call(world: World, fields: Fields): Record<string, unknown> {
  const { namespace = '/', event, data = [] } = fields;
  const handler = world.handlers.get(`${namespace} ${event}`);
  if (!Array.isArray(data)) throw new Refusal('bad_request', 'data is no array');
  if (!handler) throw new Refusal('not_found', `no handler of ${event} in ${namespace}`);
  try {
    const answer = handler(...data);
    return { data: answer === undefined ? [] : [answer] };
  } catch (error) {
    throw new Refusal('internal', `${error}`);
  }
}

export function enter(world: World, who: Who, channel: unknown, data: unknown, holder: object | 'http'): void {
  checkName(channel);
  if (who.client === undefined) throw new Refusal('bad_request', 'a session is needed');
  world.demand(who, 'enter', channel);
  world.members.enter(channel, { client: who.client, user: who.user, info: who.info }, data, holder);
}

export function leave(world: World, who: Who, channel: unknown): void {
  checkName(channel);
  if (who.client === undefined) throw new Refusal('bad_request', 'a session is needed');
  world.members.leave(channel, who.client);
}
