// Builds dist/: minified ESM with shared chunks, and declarations. Private members (a leading underscore) get short names,
// the same in every chunk, because all entries are built together.
import { execFileSync } from 'node:child_process';
import { existsSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { minify } from 'terser';
import { privateNames } from './private-names.mjs';

const root = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
process.chdir(root);

const entries = ['index', 'react/index', 'rxjs/index', 'testing/index']
  .map(name => ({ out: name, in: [`src/${name}.ts`, `src/${name}.tsx`].find(existsSync) }))
  .filter(entry => entry.in);
// What is loaded later: entries too, so that the core asks for them by their plain names.
const later = ['http-link', 'past', 'membership', 'schema', 'renewal', 'tabs/sharing'].map(name => ({
  out: `later/${name.replace('tabs/', '')}`,
  in: `src/${name}.ts`,
}));

rmSync('dist', { recursive: true, force: true });
await build({
  entryPoints: [...entries, ...later],
  outdir: 'dist',
  bundle: true,
  splitting: true,
  format: 'esm',
  platform: 'neutral',
  target: 'es2022',
  minify: true,
  mangleProps: /^_[a-z]/,
  // `'_name' in item` too.
  mangleQuoted: true,
  mangleCache: privateNames('src'),
  sourcemap: true,
  sourcesContent: true,
  chunkNames: 'chunks/[name]-[hash]',
  external: ['react', 'react/jsx-runtime', 'rxjs', 'rxjs/testing'],
  // Class fields become assignments, which is shorter, and nothing here redefines an accessor.
  tsconfigRaw: { compilerOptions: { useDefineForClassFields: false, jsx: 'react-jsx' } },
  logLevel: 'warning',
});
await compress('dist');
await keepDirectives(entries);
const tsc = path.join(path.dirname(createRequire(import.meta.url).resolve('typescript/package.json')), 'bin/tsc');
execFileSync(process.execPath, [tsc, '-p', 'tsconfig.build.json'], { stdio: 'inherit' });

// A second pass over what esbuild wrote: it knows shorter forms of the same. Source maps are carried through.
async function compress(folder) {
  const { readdir, readFile, writeFile } = await import('node:fs/promises');
  for (const name of await readdir(folder, { recursive: true })) {
    if (!name.endsWith('.js')) continue;
    const file = path.join(folder, name);
    const [code, map] = await Promise.all([readFile(file, 'utf8'), readFile(`${file}.map`, 'utf8')]);
    const result = await minify(code, {
      module: true,
      ecma: 2020,
      compress: { passes: 3, unsafe: true, unsafe_arrows: true, pure_getters: true, hoist_props: true },
      sourceMap: { content: map, filename: path.basename(name), url: `${path.basename(name)}.map` },
    });
    await Promise.all([writeFile(file, result.code), writeFile(`${file}.map`, result.map)]);
  }
}

// React Server Components read the directive from the file's first statement, and bundlers drop it: puts 'use client' back at the head of the bundles whose entry begins with it.
async function keepDirectives(list) {
  const { readFile, writeFile } = await import('node:fs/promises');
  for (const entry of list) {
    const source = await readFile(entry.in, 'utf8');
    if (!/^\s*(\/\/[^\n]*\n|\/\*[\s\S]*?\*\/|\s)*['"]use client['"]/.test(source)) continue;
    const out = `dist/${entry.out}.js`;
    const text = await readFile(out, 'utf8');
    if (!text.startsWith("'use client'") && !text.startsWith('"use client"'))
      await writeFile(out, `'use client';${text}`);
  }
}
