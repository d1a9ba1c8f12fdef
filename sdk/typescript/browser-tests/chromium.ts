import { existsSync } from 'node:fs';
import { type Browser, chromium } from 'playwright-core';

const USUAL = [
  '/usr/bin/chromium',
  '/usr/bin/chromium-browser',
  '/usr/bin/google-chrome',
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
];

/** Chromium, headless: CHROMIUM_BIN, or where systems usually have it. Nothing is downloaded. */
export async function launch(): Promise<Browser> {
  const places = process.env.CHROMIUM_BIN ? [process.env.CHROMIUM_BIN] : USUAL;
  const executablePath = places.find(existsSync);
  if (!executablePath)
    throw new Error(
      `the browser tests need Chromium and none is at ${places.join(', ')}: install it (\`apt-get install chromium\`) or set CHROMIUM_BIN to its path`,
    );
  return await chromium.launch({ executablePath, args: ['--no-sandbox', '--disable-dev-shm-usage'] });
}
