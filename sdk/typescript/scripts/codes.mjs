// Writes src/codes.gen.ts and src/testing/codes.gen.ts from docs/vectors/codes.json, which is generated from the table in the hub's
// code. With --check it writes nothing and fails when a file is stale.
import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const source = path.join(root, '../../docs/vectors/codes.json');

const { codes } = JSON.parse(readFileSync(source, 'utf8'));
const head = 'Generated from docs/vectors/codes.json by `npm run codes`; do not edit.';
const table = row => codes.map(code => `  ${code.code}: ${row(code)},`).join('\n');

const files = {
  'src/codes.gen.ts': `// ${head}

/** Every code of the protocol: [HTTP status (0: none), WebSocket close code, retryable]. */
export const CODES = {
${table(({ status, close, retryable }) => `[${status ?? 0}, ${close}, ${retryable ? 1 : 0}]`)}
} as const;

/** The name of a code that the hub sends. */
export type ServerCode = keyof typeof CODES;
`,
  'src/testing/codes.gen.ts': `// ${head}

/** What the hub answers with each of its codes: [HTTP status (0: none), WebSocket close code, retryable, remedy]. Clients are told remedies, and need no table of them. */
export const ANSWERS = {
${table(({ status, close, retryable, remedy }) => `[${status ?? 0}, ${close}, ${!!retryable}, ${JSON.stringify(remedy)}]`)}
} as const;
`,
};
for (const [name, text] of Object.entries(files)) {
  const target = path.join(root, name);
  if (!process.argv.includes('--check')) writeFileSync(target, text);
  else if (readFileSync(target, 'utf8') !== text) {
    console.error(`${name} is stale: run \`npm run codes\``);
    process.exitCode = 1;
  }
}
