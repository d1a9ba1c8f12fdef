// Every demo in a real browser, against a hub started for it: live data, and nothing in the console.
//   node test/smoke.mjs [NAME...] [--shots DIR] [--built]
// --shots: screenshots too: light, dark, and as wide as a phone. --built: the pages as `npm run build` left them, not those in the binary.
import { mkdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import { checks } from './checks.mjs';
import { startHub } from './hub.mjs';

const args = process.argv.slice(2);
const at = args.indexOf('--shots');
const shots = at >= 0 ? args.splice(at, 2)[1] : undefined;
const built = args.indexOf('--built') >= 0 && args.splice(args.indexOf('--built'), 1).length > 0;
const pages = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../crates/fanfare/web/demos');
const names = args.length ? args : Object.keys(checks);
if (shots) await mkdir(shots, { recursive: true });

const hub = await startHub();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ['--no-sandbox', '--disable-features=LocalNetworkAccessChecks'] });
const context = await fresh(await browser.newContext({ viewport: { width: 1200, height: 900 } }));

const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };

/** Answers for the binary with what is on disk; the headers stay the hub's, the content security policy among them. */
async function fresh(from) {
  if (!built) return from;
  await from.route('**/demos/**', async route => {
    const name = new URL(route.request().url()).pathname.replace(/^\/demos\//, '') || 'index';
    const response = await route.fetch();
    const body = await readFile(path.join(pages, name.includes('.') ? name : `${name}.html`));
    // A file that the binary does not have yet is there too.
    const headers = { ...response.headers(), 'content-type': TYPES[path.extname(name)] ?? TYPES['.html'] };
    await route.fulfill({ status: 200, headers, body });
  });
  return from;
}

function watch(page, errors) {
  page.on('console', message => {
    if (message.type() === 'error' || message.type() === 'warning') errors.push(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', error => errors.push(`uncaught: ${error.stack ?? error.message}`));
  return page;
}

async function shoot(page, name) {
  for (const [kind, width, theme] of [['light', 1200, 'light'], ['dark', 1200, 'dark'], ['phone', 375, 'light']]) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme: theme });
    await page.waitForTimeout(250);
    await page.screenshot({ path: path.join(shots, `${name}-${kind}.png`), fullPage: true });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    if (wide > 0) throw new Error(`${kind}: the page is ${wide} px too wide`);
  }
}

async function run(name) {
  const errors = [];
  const contexts = [];
  const open = async (of, { apart = false } = {}) => {
    const from = apart ? await fresh(await browser.newContext({ viewport: { width: 1200, height: 900 } })) : context;
    if (apart) contexts.push(from);
    const page = watch(await from.newPage(), errors);
    await page.goto(`${hub.url}/demos/${of === 'index' ? '' : of}`);
    return page;
  };
  const page = await open(name);
  try {
    await checks[name](page, open);
    if (shots) await shoot(page, name);
  } catch (error) {
    errors.unshift(error.message);
    if (shots) await page.screenshot({ path: path.join(shots, `${name}-failed.png`), fullPage: true });
  } finally {
    await page.close();
    for (const other of contexts) await other.close();
  }
  // One fault may say the same many times.
  return [...new Set(errors)].slice(0, 5);
}

let failed = 0;
for (const name of names) {
  const began = Date.now();
  const errors = await run(name);
  failed += errors.length ? 1 : 0;
  console.log(`${errors.length ? 'FAILED' : 'ok    '} ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)${errors.map(error => `\n       ${error}`).join('')}`);
}
await browser.close();
await hub.stop();
console.log(failed ? `${failed} of ${names.length} failed` : `all ${names.length} demos work`);
process.exit(failed ? 1 : 0);
