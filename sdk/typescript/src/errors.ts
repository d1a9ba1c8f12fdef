import { CODES, type ServerCode } from './codes.gen.ts';
import type { ClientCode, Code, FanfareErrorFields, Position } from './types.ts';

/** What to do about the codes that this package makes. */
const REMEDIES: Record<ClientCode, string> = {
  aborted: 'nothing: its signal or timeout ended it',
  closed: 'call connect()',
  invalid: 'correct the data; see issues',
  network: 'check the address and the network',
  offline: "wait for a connection, or publish with offline: 'queue'",
  outcome_unknown: 'look whether it is there before repeating it',
  overflow: 'read faster, or give a larger buffer',
  timeout: 'try again',
  unsupported: 'see detail',
};

/** Every error of this package: `code` to decide by, `remedy` for a person. */
export class FanfareError extends Error implements FanfareErrorFields {
  override readonly name = 'FanfareError';
  readonly remedy: string;
  readonly retryable: boolean;
  readonly retryAfter?: number;
  readonly issues?: FanfareErrorFields['issues'];
  readonly position?: Position;
  readonly channel?: string;

  constructor(
    readonly code: Code,
    detail?: string,
    fields: Partial<FanfareErrorFields> & { cause?: unknown } = {},
  ) {
    const row = CODES[code as ServerCode];
    const { cause, ...rest } = fields;
    super(`${code}: ${detail || rest.remedy || row?.[3] || REMEDIES[code as ClientCode] || 'no detail'}`, { cause });
    this.remedy = row?.[3] ?? REMEDIES[code as ClientCode] ?? '';
    // Codes that are neither the hub's nor final ones of ours pass with time.
    this.retryable = row ? !!row[2] : code === 'network' || code === 'offline' || code === 'timeout';
    for (const [name, value] of Object.entries(rest))
      if (value !== undefined) (this as Record<string, unknown>)[name] = value;
  }
}

/** The error in an `error` or `disconnect` frame, or in a problem document. */
export function fromWire(frame: Record<string, unknown>, channel?: string): FanfareError {
  const { code, detail, remedy, retryable, retry_after_ms, epoch, offset } = frame as Record<string, never>;
  return new FanfareError(code ?? 'internal', detail, {
    remedy,
    // A frame that says how long to wait means that waiting helps.
    retryable: retryable ?? (retry_after_ms !== undefined ? true : undefined),
    retryAfter: retry_after_ms,
    position: epoch !== undefined ? `${epoch}-${offset}` : undefined,
    channel,
  });
}

/** The code of a WebSocket close, when the table has it. */
export function codeOfClose(close: number): ServerCode | undefined {
  for (const name in CODES) if (CODES[name as ServerCode][1] === close) return name as ServerCode;
  return undefined;
}
