import type { Frame, LinkContext } from './link.ts';
import type { Position } from './types.ts';

// This and what it belongs to is loaded when it is first wanted. It imports nothing of the core, so that the core stays in one piece.

// biome-ignore lint/suspicious/noExplicitAny: the hub's answers are read field by field
export type Answer = Record<string, any>;

export interface Ask {
  method?: string;
  /** Sent as JSON. */
  body?: unknown;
  signal?: AbortSignal;
  /** Other than the connection's. */
  token?: string;
}

/**
 * A request to the endpoint for `channels`, with what is defined of `fields` and with our credentials. Gives the JSON of an answer whose
 * status is 2xx, or what `read` makes of it. Rejects with errors of ours.
 */
export async function ask(
  { _core, _session, _token }: LinkContext,
  endpoint: string,
  channels: readonly string[],
  fields: object,
  { method, body, signal, token = _token }: Ask,
  read?: (response: Response) => Promise<never>,
): Promise<Answer> {
  const { _options: options, _error, _meter } = _core;
  const { bytes } = _meter._counts;
  const headers: Record<string, string> = { 'Fanfare-Session': _session };
  if (token) headers.Authorization = `Bearer ${token}`;
  const query = [...channels.map(channel => ['channel', channel]), ...Object.entries(fields)]
    .filter(([, value]) => value != null)
    .map(([name, value]) => `${name}=${encodeURIComponent(value)}`)
    .join('&');
  const sent = body ? JSON.stringify(body) : undefined;
  _meter._counts.requests++;
  bytes.sent += sent?.length ?? 0;
  try {
    const fetcher = options.fetch ?? (globalThis as { fetch?: typeof fetch }).fetch;
    if (!fetcher) throw _error('unsupported', 'no fetch (see the option fetch)');
    const response = await fetcher.call(globalThis, `${_core._url}/v1/${endpoint}?${query}`, {
      method,
      headers,
      body: sent,
      signal,
      cache: 'no-store',
      credentials: options.credentials,
    });
    const { ok, status } = response;
    if (ok) {
      if (read) return await read(response);
      const text = await response.text();
      bytes.received += text.length;
      return JSON.parse(text);
    }
    const problem = await response.json().catch(() => {});
    // A proxy's answer decides nothing.
    throw problem?.code
      ? _core._fromWire(problem)
      : _error(status > 499 || status === 429 ? 'unavailable' : 'network', `not a hub: HTTP ${status}`);
  } catch (cause) {
    throw (cause as { remedy?: string }).remedy ? cause : _error('network', `${cause}`, { cause });
  }
}

/** The positions of a request's channels (`undefined`: from now), as one. */
export const makeCursor = (positions: readonly (Position | undefined)[]): string =>
  positions.map(part => part ?? '').join('~');

/** What a poll brought, as frames. */
export const framesOf = ({ gap = [], messages }: Answer): Frame[] => [
  ...gap.map((frame: Frame) => ({ ...frame, type: 'gap' })),
  ...messages.map((frame: Frame) => ({ ...frame, type: 'message' })),
];
