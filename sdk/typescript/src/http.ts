import { globals } from './env.ts';
import { FanfareError, fromWire } from './errors.ts';
import type { LinkContext } from './link.ts';

export interface Ask {
  method?: string;
  body?: unknown;
  signal?: AbortSignal;
}

/** Requests to the hub with our credentials. Every failure is a `FanfareError`. */
export class Http {
  constructor(private _context: LinkContext) {}

  /** Whether we say who we are. */
  get known(): boolean {
    return this._context.token !== undefined;
  }

  setToken(token: string | undefined): void {
    this._context = { ...this._context, token };
  }

  /** The answer, whose status is 2xx. */
  async ask(path: string, { method, body, signal }: Ask = {}, token = this._context.token): Promise<Response> {
    const { env, url, session, meter } = this._context;
    const headers: Record<string, string> = { 'Fanfare-Session': session };
    if (token) headers.Authorization = `Bearer ${token}`;
    const text = body === undefined ? undefined : JSON.stringify(body);
    if (text !== undefined) headers['Content-Type'] = 'application/json';
    meter._requests++;
    meter._bytesOut += text?.length ?? 0;
    let response: Response;
    try {
      const fetcher = env.options.fetch ?? globals.fetch;
      if (!fetcher) throw new FanfareError('unsupported', 'no fetch here: give one as the option fetch');
      const init: RequestInit = { method, headers, body: text, signal, cache: 'no-store' };
      if (env.options.credentials) init.credentials = env.options.credentials;
      response = await fetcher.call(globalThis, url + path, init);
    } catch (cause) {
      throw failure(cause);
    }
    if (!response.ok) throw await problem(response);
    return response;
  }

  // biome-ignore lint/suspicious/noExplicitAny: the hub's answers are read field by field
  async json(path: string, ask?: Ask, token?: string): Promise<Record<string, any>> {
    const response = await this.ask(path, ask, token);
    try {
      const text = await response.text();
      this._context.meter._bytesIn += text.length;
      return JSON.parse(text);
    } catch (cause) {
      throw failure(cause);
    }
  }
}

export function failure(cause: unknown): FanfareError {
  return cause instanceof FanfareError ? cause : new FanfareError('network', String(cause), { cause });
}

/** The error of an answer that is no 2xx: the hub's problem document, or a proxy's, which decides nothing. */
async function problem(response: Response): Promise<FanfareError> {
  const body = await response.json().catch(() => undefined);
  if (typeof body?.code === 'string') return fromWire(body);
  const busy = response.status >= 500 || response.status === 429;
  return new FanfareError(busy ? 'unavailable' : 'network', `HTTP ${response.status}, and not from a hub`);
}
