// Chromium, headless, and pages in it whose complaints are kept.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';

const BUILT = path.resolve(path.dirname(fileURLToPath(import.meta.url)), '../../../crates/fanfare/web');
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.svg': 'image/svg+xml' };
const USUAL = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome', '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome'];

/** `CHROMIUM_BIN`, or where systems usually have it, or what playwright has downloaded. */
function program() {
  const places = process.env.CHROMIUM_BIN ? [process.env.CHROMIUM_BIN] : [...USUAL, chromium.executablePath()];
  const found = places.find(place => existsSync(place));
  if (!found) throw new Error('no Chromium: `apt-get install chromium`, or `npx playwright-core install chromium`, or its path in CHROMIUM_BIN');
  return found;
}

export async function launch({ built }) {
  const browser = await chromium.launch({ executablePath: program(), args: ['--no-sandbox', '--disable-dev-shm-usage', '--disable-features=LocalNetworkAccessChecks'] });
  return {
    close: () => browser.close(),
    /** A profile of its own. */
    async profile() {
      const context = await browser.newContext({ viewport: { width: 1200, height: 900 } });
      if (built) await fromDisk(context);
      return context;
    },
  };
}

/** Answers for the binary with what is on disk; the headers stay the hub's, the content security policy among them. */
async function fromDisk(context) {
  const pages = ({ pathname }) => /^\/($|web\/|demos\/)/.test(pathname);
  await context.route(pages, async route => {
    const name = new URL(route.request().url()).pathname.replace(/^\/(web\/)?/, '').replace(/(^|\/)$/, '$1index');
    const response = await route.fetch().catch(() => undefined);
    if (!response) return route.abort('connectionrefused');
    const body = await readFile(path.join(BUILT, path.extname(name) ? name : `${name}.html`));
    // A file that the binary does not have yet is there too.
    const headers = { ...response.headers(), 'content-type': TYPES[path.extname(name)] ?? TYPES['.html'] };
    await route.fulfill({ status: 200, headers, body });
  });
}

/** A page of the profile. `complaints` gets what its console says and what nothing caught; of those, `expected` are none. */
export async function newPage(profile, complaints, expected = /^$/) {
  const page = await profile.newPage();
  page.on('console', message => {
    const said = `${message.text()} (${message.location().url})`;
    const bad = message.type() === 'error' || message.type() === 'warning';
    if (bad && !expected.test(said)) complaints.push(`console: ${said}`);
  });
  page.on('pageerror', error => complaints.push(`uncaught: ${error.stack ?? error.message}`));
  return page;
}
