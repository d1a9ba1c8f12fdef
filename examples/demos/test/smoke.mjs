// The first page and every demo in a real browser, against a hub started for it: live data, and nothing in the console. Then all of them while their hub is
// killed and comes back (`outage`), and 10,000 messages through three ends of the hub (`restart`).
//   node test/smoke.mjs [NAME...] [--shots DIR] [--built]
// --shots: screenshots too: light, dark, and as wide as a phone. --built: the pages as `npm run build` left them, not those in the binary.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { launch, newPage } from './browser.mjs';
import { checks, pathOf } from './checks.mjs';
import { startHub } from './hub.mjs';
import { outage } from './outage.mjs';
import { restart } from './restart.mjs';

const args = process.argv.slice(2);
const at = args.indexOf('--shots');
const shots = at >= 0 ? args.splice(at, 2)[1] : undefined;
const built = args.indexOf('--built') >= 0 && args.splice(args.indexOf('--built'), 1).length > 0;
const tests = { ...checks, outage, restart };
const names = args.length ? args : Object.keys(tests);
const unknown = names.filter(name => !tests[name]);
if (unknown.length) throw new Error(`no test ${unknown.join(', ')}; there are ${Object.keys(tests).join(', ')}`);
if (shots) await mkdir(shots, { recursive: true });

const browser = await launch({ built });
const hub = await startHub();
const profile = await browser.profile();

async function shoot(page, name) {
  for (const [kind, width, theme] of [['light', 1200, 'light'], ['dark', 1200, 'dark'], ['phone', 375, 'light']]) {
    await page.setViewportSize({ width, height: 900 });
    await page.emulateMedia({ colorScheme: theme });
    await page.waitForTimeout(250);
    await page.screenshot({ path: path.join(shots, `${name}-${kind}.png`), fullPage: true });
  }
}

/** On a phone nothing is wider than the page. */
async function fitsAPhone(page) {
  const size = page.viewportSize();
  await page.setViewportSize({ width: 375, height: 800 });
  const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
  await page.setViewportSize(size);
  if (wide > 0) throw new Error(`on a phone the page is ${wide} px too wide`);
}

async function demo(name) {
  const errors = [];
  const profiles = [];
  const open = async (of, { apart = false } = {}) => {
    const from = apart ? await browser.profile() : profile;
    if (apart) profiles.push(from);
    const page = await newPage(from, errors);
    await page.goto(hub.url + pathOf(of));
    return page;
  };
  const page = await open(name);
  try {
    await checks[name](page, open);
    await fitsAPhone(page);
    if (shots) await shoot(page, name);
  } catch (error) {
    errors.unshift(error.message);
    if (shots) await page.screenshot({ path: path.join(shots, `${name}-failed.png`), fullPage: true });
  } finally {
    await page.close();
    for (const other of profiles) await other.close();
  }
  return errors;
}

let failed = 0;
for (const name of names) {
  const began = Date.now();
  // One fault may say the same many times.
  const errors = [...new Set(await (checks[name] ? demo(name) : tests[name](browser)))].slice(0, 8);
  failed += errors.length ? 1 : 0;
  console.log(`${errors.length ? 'FAILED' : 'ok    '} ${name} (${((Date.now() - began) / 1000).toFixed(1)} s)${errors.map(error => `\n       ${error}`).join('')}`);
}
await browser.close();
await hub.stop();
console.log(failed ? `${failed} of ${names.length} failed` : `all ${names.length} passed`);
process.exit(failed ? 1 : 0);
