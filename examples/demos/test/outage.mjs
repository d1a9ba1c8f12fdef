// Every page is open when the hub is killed and comes back: each must find its own way, without a reload.
import { newPage } from './browser.mjs';
import { startHub } from './hub.mjs';
import { until } from './until.mjs';

/** What must change by itself again afterwards; none for a page that says something only when somebody acts. */
const MOVES = {
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
/** A browser says so of every connection that fails; here they must. */
const FAILED_CONNECTION = /ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_INCOMPLETE_CHUNKED|ERR_EMPTY_RESPONSE|WebSocket connection to .* failed/;

async function recovers([name, page]) {
  await until(`${name} is connected`, async () => (await page.locator('#state').getAttribute('data-state')) === 'connected', 30);
  const moves = MOVES[name];
  if (moves) {
    const look = () => page.locator(moves).textContent();
    const before = await look();
    await until(`${name} goes on`, async () => (await look()) !== before, 20);
  }
  const problems = await page.locator('#problems').textContent();
  if (problems) throw new Error(`${name} says: ${problems}`);
}

/** Gives what is wrong. */
export async function outage(browser) {
  const complaints = [];
  const hub = await startHub();
  const profiles = [];
  try {
    // A profile each: a browser gives one only six HTTP connections to a host.
    const pages = await Promise.all(
      Object.keys(MOVES).map(async name => {
        const profile = await browser.profile();
        profiles.push(profile);
        const page = await newPage(profile, complaints, FAILED_CONNECTION);
        await page.goto(`${hub.url}/demos/${name === 'index' ? '' : name}`);
        return [name, page];
      }),
    );
    await Promise.all(pages.map(recovers));
    await hub.end('SIGKILL');
    await Promise.all(
      pages.map(([name, page]) => until(`${name} noticed`, async () => (await page.locator('#state').getAttribute('data-state')) === 'reconnecting')),
    );
    const chat = pages.find(([name]) => name === 'chat')[1];
    await chat.locator('#words').fill('said while nobody heard');
    await chat.keyboard.press('Enter');
    await until('it waits', async () => (await chat.locator('#messages .sending').count()) === 1);
    await hub.start();
    await Promise.all(pages.map(recovers));
    await until('it was sent', async () => (await chat.locator('#messages .sending').count()) === 0 && (await chat.locator('#messages li').count()) === 1);
    const counted = pages.find(([name]) => name === 'resilience')[1];
    for (const fault of ['lost', 'repeated', 'disordered']) {
      const n = await counted.locator(`#${fault}`).textContent();
      if (n !== '0') complaints.push(`resilience: ${fault} ${n}`);
    }
  } catch (error) {
    complaints.unshift(error.message);
  } finally {
    for (const profile of profiles) await profile.close();
    await hub.stop();
  }
  return complaints;
}
