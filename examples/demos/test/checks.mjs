// What each demo must show, with a person's hands: nothing here looks behind the page.
import { until } from './until.mjs';

/** The text of an element. */
const text = (page, selector) => page.locator(selector).first().textContent();
const number = async (page, selector) => Number((await text(page, selector)).replace(/[^0-9.-]/g, ''));

const rows = (page, selector) => page.locator(selector).count();
const changes = async (what, look, seconds) => {
  const before = await look();
  await until(`${what} changes`, async () => (await look()) !== before, seconds);
};

/** Where a page is. */
export const pathOf = name => (name === 'first' ? '/' : `/demos/${name === 'index' ? '' : name}`);

export const checks = {
  /** Not a demo: the page at `/`. */
  async first(page, open) {
    const cards = page.locator('#transports .card');
    const field = name => cards.locator(`[data-field=${name}]`).allTextContents();
    const everywhere = async (name, holds) => {
      const values = await field(name);
      return values.length === 4 && values.every(holds);
    };
    await until('four ways live', async () => (await text(page, '#state')) === 'All connections live');
    await until('latencies', () => everywhere('latency', value => / m?s$/.test(value)));
    await until('bytes', () => everywhere('bytes', value => / B$/.test(value)));
    await until('this host', async () => / %$/.test(await text(page, '[data-reading=cpu]')) && /[MG]iB of/.test(await text(page, '[data-reading=memory]')));
    for (const button of await cards.locator('button').all()) await button.click();
    await until('four cuts', () => everywhere('reconnections', value => value === '1'));
    if (!(await everywhere('missed', value => value === '0'))) throw new Error(`missed: ${await field('missed')}`);
    const other = await open('first', { apart: true });
    for (const [visitor, name] of [[page, 'Ada'], [other, '<b>Grace</b>']]) {
      await visitor.locator('#name').fill(name);
      await visitor.keyboard.press('Enter');
    }
    await until('both are there', async () => (await text(page, '#members')).includes('<b>Grace</b>'));
    await other.locator('#text').fill('<i>hello</i>');
    await other.keyboard.press('Enter');
    await until('it is heard', async () => (await text(page, '#messages')).includes('<i>hello</i>'));
  },
  async index(page) {
    await until('twelve demos', async () => (await rows(page, '.cards a')) === 12);
    await until('somebody is here', async () => (await number(page, '#here')) >= 1);
  },
  async numbers(page) {
    await until('a number', async () => (await rows(page, '#rows tr')) > 0);
    await until('another number', async () => (await rows(page, '#rows tr')) > 1);
  },
  async tours(page) {
    await until('every tour', async () => (await rows(page, '.tour:not([data-level=off])')) === 8);
    await changes('seats', () => text(page, '#tours'));
    await page.locator('#follow-none').click();
    await until('none followed', async () => (await rows(page, '.tour[data-level=off]')) === 8);
    const still = await text(page, '#tours');
    await page.waitForTimeout(1500);
    if ((await text(page, '#tours')) !== still) throw new Error('a tour that is not followed changed');
    await page.locator('#follow-all').click();
    await until('followed again', async () => (await rows(page, '.tour:not([data-level=off])')) === 8);
  },
  async trades(page) {
    await until('fifty trades', async () => (await rows(page, '#rows tr')) === 50);
    await until('hundreds in', async () => (await number(page, '#in')) > 100);
    await until('few out', async () => (await number(page, '#out')) <= 15);
    await page.locator('#rates input[value="0"]').check();
    await until('every trade out', async () => (await number(page, '#out')) > 100);
  },
  async stocks(page) {
    await until('eight stocks', async () => (await rows(page, '#rows tr')) === 8);
    await until('over SSE', async () => (await text(page, '#state')).includes('SSE'));
    await changes('prices', () => text(page, '#rows'));
  },
  async moods(page) {
    await page.locator('#words').fill('<b>bold</b> & well');
    await page.locator('#post button').click();
    const own = page.locator('.mood:has(.own)');
    await until('my mood', async () => (await own.locator('p').first().textContent()) === '<b>bold</b> & well');
    await own.locator('select').selectOption('🔥');
    await until('it changed', async () => (await own.locator('.face[data-face=🔥]').count()) === 1);
    await own.locator('button').click();
    await until('it is gone', async () => (await own.count()) === 0);
    await until('a robot posts', async () => (await rows(page, '.mood')) > 0, 20);
  },
  async job(page) {
    await page.locator('#fail').check();
    await page.locator('#start').click();
    await until('progress', async () => (await number(page, '#live-messages')) > 1);
    await until('requests', async () => (await number(page, '#polled-requests')) > 1);
    await until('told of the end', async () => (await text(page, '#live-words')).includes('could not be read'), 60);
    await until('asked of the end', async () => (await text(page, '#polled-words')).includes('could not be read'), 20);
    const requests = await number(page, '#polled-requests');
    await page.waitForTimeout(3000);
    if ((await number(page, '#polled-requests')) !== requests) throw new Error('it goes on asking');
  },
  async sources(page) {
    await until('rows', async () => (await rows(page, '#rows tr')) > 3, 20);
    await until('repeats dropped', async () => (await number(page, '#dropped')) >= (await number(page, '#kept')), 20);
    if ((await number(page, '#kept')) < 3) throw new Error('nothing was taken');
  },
  async compare(page) {
    for (const way of [1, 2, 3, 4]) await until(`way ${way}`, async () => (await number(page, `#rows tr:nth-child(${way}) td:nth-child(2)`)) > 8, 20);
    await page.locator('#start').click();
    await until('a verdict', async () => (await text(page, '#verdict')).includes('WebSocket took'));
    for (const way of [1, 2, 3, 4]) if ((await number(page, `#rows tr:nth-child(${way}) td:nth-child(3)`)) !== 0) throw new Error(`way ${way} missed something`);
  },
  async cursors(page, open) {
    await until('robots move', async () => (await number(page, '#rate')) > 30);
    const other = await open('cursors');
    await other.locator('#canvas').hover({ position: { x: 60, y: 60 } });
    await other.locator('#canvas').focus();
    for (let step = 0; step < 10; step += 1) {
      await other.keyboard.press('ArrowRight');
      await other.waitForTimeout(40);
    }
    await until('the other pointer', async () => (await rows(page, '.cursor:not(.own)')) >= 3);
    await other.close();
  },
  async chat(page, open) {
    await until('in the room', async () => (await text(page, '#room-state')) === 'live');
    const other = await open('chat', { apart: true });
    await until('two members', async () => (await rows(page, '#members li')) === 2);
    await other.locator('#words').pressSequentially('hel');
    await until('typing is seen', async () => (await text(page, '#typing')).includes('typing'));
    await other.locator('#words').fill('hello <i>all</i>');
    await other.keyboard.press('Enter');
    await until('it is heard', async () => (await text(page, '#messages')).includes('hello <i>all</i>'));
    await until('once', async () => (await other.locator('#messages li').count()) === 1);
    await other.close();
    await until('one member', async () => (await rows(page, '#members li')) === 1);
    await page.reload();
    await until('history', async () => (await text(page, '#messages')).includes('hello <i>all</i>'));
  },
  async notifications(page) {
    for (const level of ['low', 'medium', 'high', 'urgent']) await page.locator(`[data-send=${level}]`).click();
    await until('four unread', async () => (await number(page, '#unread')) === 4);
    await page.locator('#inbox .actions button').first().click();
    await until('three unread', async () => (await number(page, '#unread')) === 3);
    await page.reload();
    await until('kept', async () => (await number(page, '#unread')) === 3 && (await rows(page, '#inbox li')) === 4);
    await page.locator('#read-all').click();
    await until('all read', async () => (await number(page, '#unread')) === 0);
    await page.locator('#clear').click();
    await until('cleared', async () => (await rows(page, '#inbox li')) === 0);
  },
  async resilience(page) {
    await until('counting', async () => (await number(page, '#received')) > 20);
    await page.locator('#cut').click();
    await until('noticed', async () => ['reconnecting', 'offline'].includes(await text(page, '#now')));
    await until('back', async () => (await text(page, '#now')) === 'connected', 20);
    await until('caught up', async () => (await number(page, '#replayed')) > 20);
    const before = await number(page, '#received');
    await page.locator('#dark').check();
    await until('the button again', () => page.locator('#cut').isEnabled());
    await page.locator('#cut').click();
    await page.waitForTimeout(1000);
    const dark = await number(page, '#received');
    await page.waitForTimeout(1000);
    if ((await number(page, '#received')) !== dark) throw new Error('something came in the dark');
    await until('light', async () => (await number(page, '#received')) > before + 60);
    for (const fault of ['lost', 'repeated', 'disordered']) if ((await number(page, `#${fault}`)) !== 0) throw new Error(`${fault}: ${await text(page, `#${fault}`)}`);
  },
};
