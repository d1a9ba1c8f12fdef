// Every page is open when the hub is killed and comes back: each must find its own way, without a reload.
import { newPage } from './browser.mjs';
import { pathOf } from './checks.mjs';
import { startHub } from './hub.mjs';
import { until } from './until.mjs';

/** What must change by itself again afterwards; none for a page that says something only when somebody acts. */
const MOVES = {
  first: '#transports',
  index: undefined,
  chat: undefined,
  tours: '#tours',
  trades: '#rows',
  stocks: '#rows',
  numbers: '#rows',
  moods: '#board',
  job: undefined,
  sources: '#rows',
  compare: '#rows',
  cursors: '#rate',
  notifications: undefined,
  resilience: '#received',
};
const AT_ONCE = 5;
/**
 * A browser says so of every connection that fails; here they must. A client that reads nothing proves an HTTP transport with a poll of no
 * channel, which is answered 400.
 */
const FAILED_CONNECTION = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|WebSocket connection to .* failed|400 \(Bad Request\) \(\S+\/v1\/poll\)/;

const state = page => page.locator('#state').getAttribute('data-state');

async function recovers([name, page]) {
  await until(`${name} is connected`, async () => ['connected', 'live'].includes(await state(page)), 60);
  const moves = MOVES[name];
  if (moves) {
    const look = () => page.locator(moves).textContent();
    const before = await look();
    await until(`${name} goes on`, async () => (await look()) !== before, 40);
  }
  const problems = await page.locator('#problems').allTextContents();
  if (problems.join('')) throw new Error(`${name} says: ${problems}`);
}

/** Some pages at once, of which the hub is taken away. */
async function together(browser, hub, names, complaints) {
  const profiles = [];
  const pages = [];
  try {
    for (const name of names) {
      const profile = await browser.profile();
      profiles.push(profile);
      const page = await newPage(profile, complaints, FAILED_CONNECTION);
      await page.goto(hub.url + pathOf(name));
      pages.push([name, page]);
    }
    await Promise.all(pages.map(recovers));
    await hub.end('SIGKILL');
    await Promise.all(pages.map(([name, page]) => until(`${name} noticed`, async () => (await state(page)) === 'reconnecting', 60)));
    const said = await sayWhileAway(pages);
    await hub.start();
    await Promise.all(pages.map(recovers));
    await said();
    for (const [, page] of pages.filter(([name]) => name === 'resilience'))
      for (const fault of ['lost', 'repeated', 'disordered']) {
        const n = await page.locator(`#${fault}`).textContent();
        if (n !== '0') complaints.push(`resilience: ${fault} ${n}`);
      }
  } catch (error) {
    complaints.unshift(error.message);
  } finally {
    for (const profile of profiles) await profile.close();
  }
}

/** What is said in the chat while there is no hub waits, and is said once there is one: gives what waits for that. */
async function sayWhileAway(pages) {
  const chat = pages.find(([name]) => name === 'chat')?.[1];
  if (!chat) return () => undefined;
  await chat.locator('#words').fill('said while nobody heard');
  await chat.keyboard.press('Enter');
  await until('it waits', async () => (await chat.locator('#messages .sending').count()) === 1);
  return () => until('it was sent, once', async () => (await chat.locator('#messages .sending').count()) === 0 && (await chat.locator('#messages li').count()) === 1);
}

/** Gives what is wrong. */
export async function outage(browser) {
  const complaints = [];
  const hub = await startHub();
  const names = Object.keys(MOVES);
  // A few at a time, as a person would have them open, and as a small machine can draw them.
  for (let at = 0; at < names.length; at += AT_ONCE) {
    if (at > 0) await hub.end().then(() => hub.start());
    await together(browser, hub, names.slice(at, at + AT_ONCE), complaints);
  }
  await hub.stop();
  return complaints;
}
