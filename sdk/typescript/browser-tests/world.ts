import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import type { Browser, BrowserContext, Page as Tab } from 'playwright-core';
import { afterAll, afterEach, beforeAll } from 'vitest';
import { Hub } from '../test/contract/hub.ts';
import { launch } from './chromium.ts';
import { Front } from './front.ts';
import type { Page } from './page/main.tsx';

export { until } from '../test/contract/hub.ts';

declare global {
  // Inside `tab.evaluate` this is the page's own.
  var page: Page;
}

const HTML =
  '<!doctype html><meta charset="utf-8"><title>fanfare</title><link rel="icon" href="data:,"><main></main><script src="/page.js"></script>';

let browser: Browser;
let files: Map<string, { type: string; body: string }>;
const ends: (() => Promise<unknown>)[] = [];

/** Starts Chromium and builds the page once for a file of tests; closes what each test opened. */
export function inChromium(): void {
  beforeAll(async () => {
    browser = await launch();
    const main = path.join(path.dirname(fileURLToPath(import.meta.url)), 'page/main.tsx');
    const { outputFiles } = await build({
      entryPoints: [main],
      bundle: true,
      write: false,
      format: 'iife',
      jsx: 'automatic',
      define: { 'process.env.NODE_ENV': '"development"' },
    });
    files = new Map([
      ['/', { type: 'text/html', body: HTML }],
      ['/page.js', { type: 'text/javascript', body: outputFiles[0]!.text }],
    ]);
  });
  afterEach(async () => {
    for (const end of ends.splice(0).reverse()) await end();
  });
  afterAll(() => browser?.close());
}

/** A hub, what stands before it, and a browser profile. */
export async function world(options: Parameters<typeof Hub.start>[0] = {}) {
  const hub = await Hub.start(options);
  ends.push(() => hub.stop());
  const front = await Front.before(hub.port, files);
  ends.push(() => front.stop());
  const context = await browser.newContext();
  ends.push(() => context.close());
  return { hub, front, context };
}

/** A tab with the page; what goes wrong on it is told. */
export async function open(context: BrowserContext, front: Front): Promise<Tab> {
  const tab = await context.newPage();
  tab.on('pageerror', error => console.error('in the page:', error));
  await tab.goto(front.url);
  return tab;
}

export const got = (tab: Tab): Promise<unknown[]> => tab.evaluate(() => page.got);

/** The frames that a tab's WebSockets have sent, from now on. */
export function framesSent(tab: Tab): { type: string; channel?: string }[] {
  const frames: { type: string; channel?: string }[] = [];
  tab.on('websocket', socket =>
    socket.on('framesent', ({ payload }) => void frames.push(...[JSON.parse(String(payload))].flat())),
  );
  return frames;
}
