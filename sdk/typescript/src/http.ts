import type { FanfareError } from './errors.ts';
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

/** A request to the hub with our credentials; the answer, whose status is 2xx. What it rejects with is for `failure`. */
export async function ask(
  { _core, _session, _token }: LinkContext,
  path: string,
  { method, body, signal, token = _token }: Ask,
): Promise<Response> {
  const { _meter: meter, _options: options, _url } = _core;
  const headers: Record<string, string> = { 'Fanfare-Session': _session };
  if (token) headers.Authorization = `Bearer ${token}`;
  const text = body ? JSON.stringify(body) : undefined;
  meter._counts.requests++;
  meter._bytesOut += text?.length ?? 0;
  const fetcher = options.fetch ?? (globalThis as { fetch?: typeof fetch }).fetch;
  if (!fetcher) throw _core._error('unsupported', 'no fetch here: give one as the option fetch');
  const response = await fetcher.call(globalThis, _url + path, {
    method,
    headers,
    body: text,
    signal,
    cache: 'no-store',
    credentials: options.credentials,
  });
  if (response.ok) return response;
  const { status } = response;
  const problem = await response.json().catch(() => undefined);
  // A proxy's answer decides nothing.
  if (problem?.code) throw _core._fromWire(problem);
  throw _core._error(status > 499 || status === 429 ? 'unavailable' : 'network', `HTTP ${status}, and not from a hub`);
}

// biome-ignore lint/suspicious/noExplicitAny: the hub's answers are read field by field
export async function json(context: LinkContext, path: string, how: Ask): Promise<Record<string, any>> {
  const text = await (await ask(context, path, how)).text();
  context._core._meter._bytesIn += text.length;
  return JSON.parse(text);
}

/** What a request rejected with, as an error of ours. */
export const failure = ({ _core }: LinkContext, cause: unknown): FanfareError =>
  typeof (cause as FanfareError).code === 'string'
    ? (cause as FanfareError)
    : _core._error('network', `${cause}`, { cause });

/** The positions of a request's channels (`undefined`: from now), as one. */
export const makeCursor = (positions: readonly (Position | undefined)[]): string =>
  positions.map(part => part ?? '').join('~');

/** What is defined of these, as it stands in a query. */
export const params = (pairs: [name: string, value: unknown][]): string =>
  pairs
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name}=${encodeURIComponent(value as string)}`)
    .join('&');
