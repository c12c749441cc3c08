// What is around a conversation, on a whole system: what the page says of its connection, keyboard and windows, other
// languages, and what it costs to load.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { Tab, assertContent, fresh, launch, person, until } from './kit.js';
import { startSystem } from './system.js';

/** @type {Awaited<ReturnType<typeof startSystem>>} */
let system;
/** @type {import('playwright-core').Browser} */
let browser;

before(async () => {
  system = await startSystem();
  browser = await launch();
});

after(async () => {
  await browser?.close();
  await system?.stop();
});

/**
 * A person whose page's clock can be put forward.
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
async function timed(name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const tab = new Tab(await context.newPage(), system.url);
  await tab.page.clock.install();
  await tab.enter(fresh(name));
  await tab.titled('general');
  return tab;
}

test('without a network: a word after two seconds, the cause after ten, a try when one asks, and never a reload', async () => {
  const alice = await timed('alice');
  const { page } = alice;
  await page.evaluate(() => (window.stays = true));
  await alice.offline();
  assert.equal(await page.textContent('#pill'), '');
  assert.equal(await page.locator('body.stale').count(), 0);
  await page.clock.runFor(2_000);
  assert.equal(await page.textContent('#pill'), 'offline');
  assert.equal(await page.locator('body.stale').count(), 1);
  await alice.say('one');
  await alice.say('two');
  await page.clock.runFor(8_000);
  assert.equal(await page.textContent('#bar-cause'), 'You are offline.');
  assert.equal(await page.textContent('#pill'), '');
  await page.getByText('2 messages are kept here and will be sent.').waitFor();
  await until('a countdown', async () => {
    await page.clock.runFor(500);
    return /^Next try in \d+ seconds?\.$/.test(await page.textContent('#bar-next'));
  });
  const tries = [];
  page.on('request', (request) => tries.push(request.url()));
  await page.click('#try-now');
  await until('a try', () => tries.some((url) => url.endsWith('/session/refresh')));
  await page.waitForSelector('body[data-state=waiting]');
  assert.equal(await page.locator('#bar.shown').count(), 1);
  await page.focus('#try-now');
  await alice.online();
  await page.click('#try-now', { timeout: 1_000 }).catch(() => {}); // it may have come back by itself
  await alice.live();
  await alice.sees('two');
  assert.equal(await page.locator('#bar.shown').count(), 0);
  assert.equal(await page.locator('body.stale').count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'text', 'the focus is not lost with the button');
  assert.deepEqual(await alice.lines(), ['one', 'two']);
  assert.equal(await page.evaluate(() => window.stays), true);
  assertContent([alice], { unreachable: true });
});

test('while nothing can be stored the bar says so, and the socket stays', async () => {
  const alice = await timed('alice');
  const { page } = alice;
  await alice.goto(fresh('room'));
  const { pid } = system.redis();
  process.kill(pid, 'SIGSTOP');
  try {
    await alice.say('patience');
    await page.getByText('Messages cannot be stored right now. 1 message is kept here and will be sent.').waitFor();
    await page.clock.runFor(8_000);
    assert.equal(await page.textContent('#bar-cause'), 'Messages cannot be stored right now.');
    assert.equal(await page.textContent('#note'), '1 message is kept here and will be sent.');
    assert.equal(await page.locator('#try-now').isVisible(), false, 'there is nothing to try');
    await alice.live();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await alice.sees('patience');
  await page.waitForSelector('#bar:not(.shown)', { state: 'attached' });
  assertContent([alice], { unreachable: true });
});

test('one click from the instance\'s name: where one is connected, how well, and how far', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const { page } = alice;
  const room = fresh('room');
  await alice.goto(room);
  for (const text of ['one', 'two', 'three']) await alice.say(text);
  await alice.sees('three');
  await alice.offline();
  await alice.online();
  await alice.live();
  const instance = await alice.instance();
  await page.click('#instance');
  const fact = (term) => page.locator(`#diagnostics dt:has-text("${term}") + dd`).textContent();
  assert.equal(await fact('Instance'), instance);
  assert.equal(await fact('State'), 'connected');
  assert.match(await fact('Round trip'), /^\d+(\.\d)? ms$/);
  assert.match(await fact('Last loss'), / sec \(code 1006\)$/);
  assert.equal(await fact('Resumes'), '1');
  assert.equal(await fact('Last gap'), 'none');
  assert.equal(await page.locator(`#diagnostics tr:has-text("${room}") td`).last().textContent(), '3');
  await page.keyboard.press('Escape');
  await page.waitForSelector('#diagnostics', { state: 'hidden' });
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'instance');
  assertContent([alice], { unreachable: true });
});
