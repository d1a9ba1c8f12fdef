// The size budget: minified + gzip of what an application that imports each part gets.
//
// By esbuild and terser, as dist/ itself is.
//
//   core         what `import { createClient }` loads at once
//   everything   core, what is loaded later when it is used (HTTP transports, history, shared tabs), and every other export of the package's root
//   react, rxjs  the subpath alone, without the core and without its peer
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { minify } from 'terser';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
process.chdir(root);
const KB = 1024;
const BUDGETS = { core: 10 * KB, everything: 13 * KB, react: 3 * KB, rxjs: 1 * KB };
// What is over its budget may at least not grow: lower these with every byte that is saved, and delete them when the budget holds.
const CEILINGS = { everything: 15.73 * KB };

// Everything comes from dist/, so that names are as short as in the published package.
const shared = {
  absWorkingDir: root,
  bundle: true,
  minify: true,
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  write: false,
  logLevel: 'error',
};
const peers = ['react', 'react/jsx-runtime', 'rxjs'];

async function size(contents, { external = [], splitting = false } = {}) {
  const result = await build({
    ...shared,
    stdin: { contents, resolveDir: root },
    external: [...peers, ...external],
    splitting,
    outdir: 'out',
    metafile: true,
  });
  const first = result.outputFiles.find(file => /stdin\.js$/.test(file.path));
  const wanted = new Set(splitting ? closure(result.metafile, first.path) : result.outputFiles.map(file => file.path));
  let bytes = 0;
  for (const file of result.outputFiles) {
    if (!wanted.has(file.path)) continue;
    const { code } = await minify(file.text, { module: true, ecma: 2020, compress: { passes: 2 } });
    bytes += gzipSync(code, { level: 9 }).length;
  }
  return bytes;
}

// The output files that the entry imports statically, itself included.
function closure(metafile, entry) {
  const names = Object.keys(metafile.outputs);
  const absolute = name => path.resolve(name);
  const open = [names.find(name => absolute(name) === entry)];
  const seen = new Set(open);
  while (open.length) {
    for (const item of metafile.outputs[open.pop()].imports) {
      if (item.kind === 'import-statement' && !item.external && !seen.has(item.path)) {
        seen.add(item.path);
        open.push(item.path);
      }
    }
  }
  return [...seen].map(absolute);
}

const rows = [
  ['core', await size(`export { createClient } from './dist/index.js'`, { splitting: true })],
  ['everything', await size(`export * from './dist/index.js'`)],
];
for (const name of ['react', 'rxjs']) {
  if (!existsSync(`dist/${name}/index.js`)) continue;
  rows.push([
    name,
    await size(`export * from './dist/${name}/index.js'`, {
      external: ['../index.js', '../chunks/*', './dist/chunks/*'],
    }),
  ]);
}
let over = false;
for (const [name, bytes] of rows) {
  const budget = BUDGETS[name];
  const ceiling = Math.max(budget, CEILINGS[name] ?? 0);
  over ||= bytes > ceiling;
  const verdict =
    bytes > ceiling ? '  OVER' : bytes > budget ? `  over its budget, within the ceiling of ${ceiling} B` : '';
  console.log(`${name.padEnd(11)} ${String(bytes).padStart(6)} B of ${budget} B${verdict}`);
}
if (over) {
  console.error('size: over budget');
  process.exit(1);
}
