// Writes src/codes.gen.ts from docs/vectors/codes.json, which is generated from the table in the hub's code.
// With --check it writes nothing and fails when the file is stale.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const source = path.join(root, '../../docs/vectors/codes.json');
const target = path.join(root, 'src/codes.gen.ts');

const { codes } = JSON.parse(readFileSync(source, 'utf8'));
const rows = codes.map(
  row => `  ${row.code}: [${row.status ?? 0}, ${row.close}, ${row.retryable ? 1 : 0}, ${JSON.stringify(row.remedy)}],`,
);
const text = `// Generated from docs/vectors/codes.json by \`npm run codes\`; do not edit.

/** Every code of the protocol: [HTTP status (0: none), WebSocket close code, retryable, remedy]. */
export const CODES = {
${rows.join('\n')}
} as const;

/** The name of a code that the hub sends. */
export type ServerCode = keyof typeof CODES;
`;
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== text) {
    console.error('src/codes.gen.ts is stale: run `npm run codes`');
    process.exit(1);
  }
} else {
  writeFileSync(target, text);
}
