import type { LinkContext } from './link.ts';
import type { Position } from './types.ts';

// This and what it belongs to is loaded when it is first wanted. It imports nothing of the core, so that the core stays in one piece.

export interface Ask {
  method?: string;
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal;
  /** Other than the connection's. */
  token?: string;
}

/** A request to the hub with our credentials, and what `read` makes of an answer whose status is 2xx. Rejects with errors of ours. */
export async function ask<T>(
  { _core, _session, _token }: LinkContext,
  path: string,
  { method, body, signal, token = _token }: Ask,
  read: (response: Response) => T | Promise<T>,
): Promise<T> {
  const { _options: options, _url, _error } = _core;
  const { _counts: counts } = _core._meter;
  const headers: Record<string, string> = { 'Fanfare-Session': _session };
  if (token) headers.Authorization = `Bearer ${token}`;
  const text = body ? JSON.stringify(body) : undefined;
  counts.requests++;
  counts.bytes.sent += text?.length ?? 0;
  try {
    const fetcher = options.fetch ?? (globalThis as { fetch?: typeof fetch }).fetch;
    if (!fetcher) throw _error('unsupported', 'no fetch here: give one as the option fetch');
    const response = await fetcher.call(globalThis, _url + path, {
      method,
      headers,
      body: text,
      signal,
      cache: 'no-store',
      credentials: options.credentials,
    });
    if (response.ok) return await read(response);
    const { status } = response;
    const problem = await response.json().catch(() => {});
    // A proxy's answer decides nothing.
    throw problem?.code
      ? _core._fromWire(problem)
      : _error(status > 499 || status === 429 ? 'unavailable' : 'network', `not a hub: HTTP ${status}`);
  } catch (cause) {
    throw (cause as { remedy?: string }).remedy ? cause : _error('network', `${cause}`, { cause });
  }
}

// biome-ignore lint/suspicious/noExplicitAny: the hub's answers are read field by field
export const json = (context: LinkContext, path: string, how: Ask): Promise<Record<string, any>> =>
  ask(context, path, how, async response => {
    const text = await response.text();
    context._core._meter._counts.bytes.received += text.length;
    return JSON.parse(text);
  });

/** The positions of a request's channels (`undefined`: from now), as one. */
export const makeCursor = (positions: readonly (Position | undefined)[]): string =>
  positions.map(part => part ?? '').join('~');

/** The path of an endpoint with what is defined of `fields`, for `channels`. */
export const pathOf = (endpoint: string, channels: string[], fields: object = {}): string =>
  `/v1/${endpoint}?${[...channels.map(channel => ['channel', channel]), ...Object.entries(fields)]
    .filter(([, value]) => value != null)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&')}`;
