// Builds the pages that the hub serves at /demos/ into crates/fanfare/web/demos. With --check it writes nothing, and fails when what is
// there is not what it would write.
//
// Each demo's script stays readable (types taken away, nothing else), imports `./fanfare-client.min.js`, which is the published package, and
// `./kit.js`, the little that the demos share.
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { existsSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const here = path.dirname(fileURLToPath(import.meta.url));
const root = path.resolve(here, '../..');
const out = path.join(root, 'crates/fanfare/web/demos');
const page = path.join(root, 'crates/fanfare/web');
const client = path.join(root, 'sdk/typescript/src/index.ts');
const demos = JSON.parse(await readFile(path.join(here, 'demos.json'), 'utf8'));

const common = { bundle: true, format: 'esm', target: 'es2022', platform: 'browser', write: false, logLevel: 'warning', legalComments: 'none' };

/** What several pages load stays a file of its own, with a name that does not change. */
const apart = {
  name: 'apart',
  setup(building) {
    building.onResolve({ filter: /^fanfare-client$/ }, () => ({ path: './fanfare-client.min.js', external: true }));
    building.onResolve({ filter: /\/shared\/kit\.ts$/ }, ({ kind }) =>
      kind === 'entry-point' ? undefined : { path: './kit.js', external: true },
    );
  },
};

async function script(entry, options = {}) {
  const built = await build({ ...common, absWorkingDir: root, entryPoints: [path.relative(root, entry)], plugins: [apart], ...options });
  return built.outputFiles[0].text;
}

const escape = text => text.replace(/[&<>"]/g, c => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);
const fill = (template, values) => template.replace(/\{\{(\w+)\}\}/g, (_, name) => values[name] ?? '');

async function files() {
  const made = new Map();
  // Split, as the published package is: what is used later (other transports, history, sharing between tabs) does not delay a page.
  const sdk = await build({
    ...common,
    absWorkingDir: root,
    entryPoints: { 'fanfare-client.min': path.relative(root, client) },
    outdir: path.join(root, 'built'),
    splitting: true,
    minify: true,
    mangleProps: /^_[a-z]/,
    mangleQuoted: true,
    chunkNames: 'fanfare-client-[hash].min',
  });
  for (const file of sdk.outputFiles) made.set(path.basename(file.path), file.text);
  // Fetched while there is nothing else to do: another transport is wanted just when the hub cannot be reached.
  const preload = [...made.keys()].filter(name => name !== 'fanfare-client.min.js').map(name => `\n  <link rel="modulepreload" href="${name}">`).join('');
  made.set('kit.js', await script(path.join(here, 'shared/kit.ts')));

  const style = await readFile(path.join(page, 'style.css'), 'utf8');
  // The colours are the first page's: one definition for both.
  const tokens = style.slice(0, style.indexOf('*, *::before'));
  made.set('demos.css', tokens + (await readFile(path.join(here, 'shared/demos.css'), 'utf8')));
  made.set('theme.js', await readFile(path.join(page, 'theme.js'), 'utf8'));
  made.set('icon.svg', await readFile(path.join(page, 'icon.svg'), 'utf8'));

  const shell = await readFile(path.join(here, 'shared/shell.html'), 'utf8');
  const cards = demos.map(({ name, title, line, shows }) =>
    `      <li><a class="card" href="${name}"><h2>${escape(title)}</h2><p>${escape(line)}</p><small>${escape(shows)}</small></a></li>`).join('\n');
  const all = [{ name: 'index', title: 'Demos', line: 'Each on real traffic through this hub. Open one twice: everybody sees the same.' }, ...demos];
  for (const [at, demo] of all.entries()) {
    const body = await readFile(path.join(here, demo.name, `${demo.name}.html`), 'utf8');
    const own = path.join(here, demo.name, `${demo.name}.css`);
    const next = demos[at % demos.length];
    made.set(`${demo.name}.html`, fill(shell, {
      name: demo.name,
      preload,
      title: escape(demo.title),
      line: escape(demo.line),
      body: fill(body, { cards }).trimEnd(),
      style: existsSync(own) ? `\n  <link rel="stylesheet" href="${demo.name}.css">` : '',
      next: demo.name === 'index' ? '' : `<a href="${next.name}">Next: ${escape(next.title)}</a>`,
      source: demo.name === 'index' ? '' : `<a href="${demo.name}.js">This page's script</a>`,
      kind: demo.name === 'index' ? 'index' : 'demo',
    }));
    if (existsSync(own)) made.set(`${demo.name}.css`, await readFile(own, 'utf8'));
    made.set(`${demo.name}.js`, await script(path.join(here, demo.name, `${demo.name}.ts`)));
  }
  return made;
}

const made = await files();
const there = existsSync(out) ? await readdir(out) : [];
if (process.argv.includes('--check')) {
  const stale = [...new Set([...made.keys(), ...there])].filter(name => !made.has(name) || !there.includes(name));
  for (const [name, text] of made)
    if (there.includes(name) && (await readFile(path.join(out, name), 'utf8')) !== text) stale.push(name);
  if (stale.length) {
    console.error(`stale in crates/fanfare/web/demos: ${stale.sort().join(', ')}\nrun \`cargo xtask demos\``);
    process.exit(1);
  }
  console.log(`${made.size} files are fresh`);
} else {
  await mkdir(out, { recursive: true });
  for (const name of there) if (!made.has(name)) await rm(path.join(out, name));
  for (const [name, text] of made) await writeFile(path.join(out, name), text);
  console.log(`${made.size} files written`);
}
