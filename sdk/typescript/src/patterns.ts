import type { ChannelSchema, Schema } from './types.ts';

/** What the most specific pattern that matches says of a channel; the types in `pattern-types.ts` follow the same rules. */
export function schemaOf(schema: Schema = {}, channel: string): ChannelSchema | undefined {
  const [best] = Object.keys(schema)
    .filter(pattern => matches(pattern, channel))
    // Of the same rank, the longer says more: `room:a*` before `room:*`.
    .map(pattern => [`${rank(pattern)} ${1e6 - pattern.length}`, pattern])
    .sort();
  return best && schema[best[1]!];
}

function matches(pattern: string, channel: string): boolean {
  const source = pattern
    .replace(/[.*+?^$()|[\]\\]/g, '\\$&')
    .replace(/\{[^}]*\}/g, '[^:]+')
    .replace(/\\\*$/, '.*');
  return new RegExp(`^${source}$`, 's').test(channel);
}

/** Segment by segment: a literal, a literal with holes, a hole, anything. */
const rank = (pattern: string) =>
  pattern
    .split(':')
    .map(segment => (segment.endsWith('*') ? 3 : /^\{[^}]*\}$/.test(segment) ? 2 : segment.includes('{') ? 1 : 0))
    .join('');
