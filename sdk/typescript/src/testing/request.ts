import { Refusal } from './wire.ts';
import type { FakeTransport } from './world.ts';

/** One request, taken apart. */
export interface Asked {
  path: string;
  query: URLSearchParams;
  method: string;
  headers: Headers;
  body: string;
  signal: AbortSignal | undefined;
  session: string | undefined;
  token: string | undefined;
  via: FakeTransport;
}

/** What the hub could not be reached with: as `fetch` says it. */
export const unreachable = (): TypeError => new TypeError('fetch failed');

/** Takes a request apart. */
export function take(input: RequestInfo | URL, init: RequestInit): Asked {
  const request = typeof input === 'object' && 'url' in input ? input : undefined;
  const url = new URL(request?.url ?? String(input));
  const headers = new Headers(init.headers ?? request?.headers);
  const query = url.searchParams;
  const token =
    headers
      .get('authorization')
      ?.replace(/^bearer\s+/i, '')
      .trim() ??
    query.get('token') ??
    undefined;
  const path = url.pathname.replace(/^.*?\/v1(?=\/)/, '');
  const polls = Number(query.get('wait') ?? 0) > 0 ? 'longpoll' : 'poll';
  return {
    path,
    query,
    method: (init.method ?? request?.method ?? 'GET').toUpperCase(),
    headers,
    body: typeof init.body === 'string' ? init.body : '',
    signal: init.signal ?? request?.signal ?? undefined,
    session: headers.get('fanfare-session') ?? query.get('session') ?? undefined,
    token,
    via: path === '/sse' || path === '/stream' ? 'sse' : path === '/poll' ? polls : 'post',
  };
}

/** A JSON answer. */
export function json(body: unknown, headers: Record<string, string> = {}, status = 200): Response {
  return new Response(JSON.stringify(body), { status, headers: { 'content-type': 'application/json', ...headers } });
}

export function problem(refusal: Refusal): Response {
  const wait = refusal.fields.retry_after_ms;
  return new Response(
    JSON.stringify({ type: `urn:fanfare:problem:${refusal.code}`, status: refusal.status, ...refusal.body() }),
    {
      status: refusal.status,
      headers: {
        'content-type': 'application/problem+json',
        ...(wait === undefined ? {} : { 'retry-after': String(Math.ceil(wait / 1000)) }),
      },
    },
  );
}

/** The channels and the read options of a stream or poll; `cursor` counts instead of `since`. */
export function reads(query: URLSearchParams, cursor = query.get('since') ?? undefined) {
  const channels = query.getAll('channel');
  if (!channels.length) throw new Refusal('bad_request', 'channel is missing');
  if (channels.length > 16) throw new Refusal('limit_exceeded', 'at most 16 channels');
  if (new Set(channels).size < channels.length) throw new Refusal('bad_request', 'a channel is named twice');
  const flag = (name: string) => ({ 1: true, true: true, 0: false, false: false })[query.get(name) ?? ''];
  const count = (name: string) => (query.has(name) ? Number(query.get(name)) : undefined);
  const parts = cursor === undefined ? channels.map(() => '') : cursor.split('~');
  if (parts.length !== channels.length) throw new Refusal('bad_request', 'since names another number of channels');
  return channels.map((channel, i) => ({
    channel,
    options: {
      since: parts[i] || undefined,
      last: count('last'),
      snapshot: flag('snapshot'),
      presence: flag('presence'),
      rate: count('rate'),
      echo: flag('echo'),
    },
  }));
}
