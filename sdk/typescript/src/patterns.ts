import type { ChannelSchema, Schema } from './types.ts';

/** What the most specific pattern that matches says of a channel; the types in `pattern-types.ts` follow the same rules. */
export function schemaOf(schema: Schema | undefined, channel: string): ChannelSchema | undefined {
  let best: string | undefined;
  for (const pattern in schema) {
    if (matches(pattern, channel) && (best === undefined || before(pattern, best))) best = pattern;
  }
  return best === undefined ? undefined : schema![best];
}

function matches(pattern: string, channel: string): boolean {
  const open = pattern.endsWith('*');
  const source = (open ? pattern.slice(0, -1) : pattern)
    .split(/\{[^}]*\}/)
    .map(part => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
    .join('[^:]+');
  return new RegExp(`^${source}${open ? '.*' : ''}$`, 's').test(channel);
}

/** Segment by segment: a literal, a literal with holes, a hole, anything. */
const rank = (pattern: string) =>
  pattern
    .split(':')
    .map(segment => (segment.endsWith('*') ? 3 : /^\{[^}]*\}$/.test(segment) ? 2 : segment.includes('{') ? 1 : 0))
    .join('');

function before(a: string, b: string): boolean {
  const [ra, rb] = [rank(a), rank(b)];
  // Of the same rank, the longer says more: `room:a*` before `room:*`.
  return ra === rb ? a.length > b.length : ra < rb;
}
