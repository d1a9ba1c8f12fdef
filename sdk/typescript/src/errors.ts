import { CODES, type ServerCode } from './codes.gen.ts';
import type { Frame } from './link.ts';
import type { Code, FanfareErrorFields, Position } from './types.ts';

/** What to do about the codes that this package makes. The hub sends the remedies of its own, but for those of 401 and 403 that end something. */
const REMEDIES: Record<string, string> = {
  closed: 'call connect()',
  network: 'check the network',
  offline: "publish with offline: 'queue'",
  outcome_unknown: 'look whether it is there',
  overflow: 'read faster or raise buffer',
  401: 'connect() with another token',
  403: 'connect() with another token',
};

/** Every error of this package: `code` to decide by, `remedy` for a person. */
export class FanfareError extends Error implements FanfareErrorFields {
  declare readonly code: Code;
  declare readonly remedy: string;
  declare readonly retryable: boolean;
  declare readonly retryAfter?: number;
  declare readonly issues?: FanfareErrorFields['issues'];
  declare readonly position?: Position;
  declare channel?: string;

  constructor(code: Code, detail?: string, fields: Partial<FanfareErrorFields> & { cause?: unknown } = {}) {
    const row = CODES[code as ServerCode];
    const retryable = fields.retryable ?? (row ? !!row[2] : /^(network|offline|timeout)$/.test(code));
    const remedy =
      fields.remedy ?? REMEDIES[code] ?? REMEDIES[row?.[0]] ?? (retryable ? 'try again' : 'see the message');
    super(`${code}: ${detail || remedy}`);
    Object.assign(this, fields, { name: 'FanfareError', code, remedy, retryable });
  }
}

/** A new one. */
export const errorOf = (...args: ConstructorParameters<typeof FanfareError>): FanfareError => new FanfareError(...args);

/** Asked, and not answered. */
export const isLost = ({ code }: FanfareError): boolean => /^(network|timeout)$/.test(code);

/** The error in an `error` or `disconnect` frame, or in a problem document. */
export const fromWire = ({ code, detail, remedy, retryable, retry_after_ms, epoch, offset }: Partial<Frame>) =>
  errorOf(code ?? 'internal', detail, {
    remedy,
    // A frame that says how long to wait means that waiting helps.
    retryable: retryable ?? (retry_after_ms == null ? undefined : true),
    retryAfter: retry_after_ms,
    position: epoch && `${epoch}-${offset}`,
  });
