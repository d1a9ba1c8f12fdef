import type { Core } from './core.ts';
import type { Invalid, SchemaIssue, StandardSchemaV1 } from './types.ts';

export interface Checked {
  value?: unknown;
  issues?: readonly SchemaIssue[];
}

/** The schema's output, or what is wrong; at once where the schema is synchronous. A schema that throws has found an issue. */
export function check(schema: StandardSchemaV1 | undefined, value: unknown): Checked | Promise<Checked> {
  const wrong = (error: unknown): Checked => ({ issues: [{ message: `${error}` }] });
  try {
    const result = schema ? schema['~standard'].validate(value) : { value };
    return result instanceof Promise ? result.catch(wrong) : result;
  } catch (error) {
    return wrong(error);
  }
}

/** Checks what is about to be sent. The input is sent, not the output: who receives it validates again. */
export async function checkInput(
  { _error }: Core,
  schema: StandardSchemaV1 | undefined,
  data: unknown,
  channel: string,
): Promise<void> {
  const { issues } = await check(schema, data);
  if (issues) throw _error('invalid', summary(issues), { issues, channel });
}

/** Data that came and does not fit. */
export function tellInvalid({ _options }: Core, invalid: Invalid): void {
  const { channel, event = 'presence', issues } = invalid;
  if (_options.onInvalid) _options.onInvalid(invalid);
  else console.warn(`fanfare: invalid ${event} on ${channel} was dropped: ${summary(issues)}`);
}

const summary = (issues: readonly SchemaIssue[]): string =>
  issues
    .slice(0, 3)
    .map(({ message, path = [] }) => {
      const at = path.map(part => String(Object(part).key ?? part));
      return at[0] ? `${at.join('.')}: ${message}` : message;
    })
    .join('; ');
