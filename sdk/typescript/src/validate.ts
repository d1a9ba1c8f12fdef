import { FanfareError } from './errors.ts';
import type { Invalid, SchemaIssue, StandardSchemaV1 } from './types.ts';

type Checked = { value: unknown } | { issues: readonly SchemaIssue[] };

/** The schema's output, or what is wrong; at once where the schema is synchronous. A schema that throws has found an issue. */
export function check(schema: StandardSchemaV1 | undefined, value: unknown): Checked | Promise<Checked> {
  if (!schema) return { value };
  const wrong = (error: unknown): Checked => ({ issues: [{ message: String(error) }] });
  const read = (result: { value?: unknown; issues?: readonly SchemaIssue[] }): Checked =>
    result.issues ? { issues: result.issues } : { value: result.value };
  try {
    const result = schema['~standard'].validate(value);
    return result instanceof Promise ? result.then(read, wrong) : read(result);
  } catch (error) {
    return wrong(error);
  }
}

/** Checks what is about to be sent. The input is sent, not the output: who receives it validates again. */
export async function checkInput(schema: StandardSchemaV1 | undefined, data: unknown, channel: string): Promise<void> {
  const checked = await check(schema, data);
  if ('issues' in checked)
    throw new FanfareError('invalid', summary(checked.issues), { issues: checked.issues, channel });
}

export const summary = (issues: readonly SchemaIssue[]): string =>
  issues
    .slice(0, 3)
    .map(
      ({ message, path }) =>
        (path?.length
          ? `${path
              .map(part => (typeof part === 'object' ? part.key : part))
              .map(String)
              .join('.')}: `
          : '') + message,
    )
    .join('; ');

export function warnInvalid({ channel, event, issues }: Invalid): void {
  console.warn(`fanfare: invalid ${event ?? 'presence'} on ${channel} was dropped: ${summary(issues)}`);
}
