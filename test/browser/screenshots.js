// The pictures of README.md and docs/page.md, docs/img/*.png, of a real system with people in it.

import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Tab, launch, person } from './kit.js';
import { startSystem } from './system.js';

const IMG = fileURLToPath(new URL('../../docs/img/', import.meta.url));
/** Views that no document shows are for who works on the page. */
const REST = fileURLToPath(new URL('../../test-results/', import.meta.url));
const SHOWN = ['README.md', 'docs/page.md'].map((name) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')).join();
// Without motion, so that no picture is of something on its way.
const WIDE = { viewport: { width: 1280, height: 800 }, reducedMotion: 'reduce' };
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true, reducedMotion: 'reduce' };

const TALK = [
  ['bob', 'Morning. `chatd-2` gets its new disk at **nine**, so it goes down for a while.'],
  ['cathy', 'Does anyone have to do anything?'],
  ['bob', 'No. It asks everyone on it to move first.'],
  ['dan', 'And if it falls over before it can ask?'],
  ['bob', 'Then your page finds another instance by itself, and goes on where it was.'],
  ['bob', 'What you were writing waits, and is sent once.'],
  ['alice', 'I was on it just now, in the middle of a sentence.'],
  ['alice', '@cathy: did anything get lost?'],
  ['cathy', 'I have both halves.'],
  ['dan', 'Notes are here: https://example.org/notes/disk'],
];

/** What is written while there is no network. */
const OFFLINE = {
  'wide light': 'My train is in a tunnel.',
  'wide dark': 'And another one.',
  'phone light': 'See you at nine, then.',
  'phone dark': 'I bring cake.',
};

for (const dir of [IMG, REST]) mkdirSync(dir, { recursive: true });
/** @param {string} name */
const file = (name) => `${SHOWN.includes(`img/${name}.png`) ? IMG : REST}${name}.png`;
const system = await startSystem();
const browser = await launch();
try {
  /** @type {Record<string, Tab>} */
  const people = {};
  for (const name of ['alice', 'bob', 'cathy', 'dan']) {
    people[name] = await person(browser, system.url, name, { ...WIDE, timed: name === 'alice' });
    await people[name].titled('general');
  }
  const { alice, bob, dan } = people;
  for (const room of ['design', 'deploys', 'lunch']) {
    await dan.goto(room);
    await dan.say('This is a room too.');
  }
  await dan.goto('general');
  for (const room of ['deploys', 'lunch', 'general']) await alice.goto(room);
  for (const [name, text] of TALK) {
    await people[name].say(text);
    await alice.sees(text.replace(/[`*]+/g, ''));
  }
  for (const [who, emoji] of [[bob, 'tada'], [dan, 'tada'], [bob, 'eyes']]) {
    await who.line('I have both halves.').hover();
    await who.page.locator('.actions').getByLabel('React').click();
    await who.page.keyboard.type(emoji);
    await who.page.keyboard.press('Enter');
  }
  await alice.page.locator('.reactions button', { hasText: '👀' }).waitFor();
  await dan.goto('lunch');
  await dan.say('Half past twelve?');
  await dan.goto('general');
  await bob.goto('@alice');
  await bob.say('Have you a minute later?');
  await bob.goto('general');
  await alice.page.waitForSelector('#directs .badge');
  await alice.page.waitForSelector('#rooms .badge');

  /** Pictures of each view of alice's page, as it is now. */
  const views = async (tab, size, colorScheme) => {
    const { page } = tab;
    await page.emulateMedia({ colorScheme });
    const shot = (view) => page.screenshot({ path: file(`${view}-${size}-${colorScheme}`) });
    /** A window of the page: opened, pictured, closed; on a phone the drawer with its button is, too. */
    const show = async (view, open) => {
      await open();
      await page.waitForSelector(`#${view}[open]`);
      await shot(view);
      await page.keyboard.press('Escape');
      await page.keyboard.press('Escape');
    };
    const click = async (id) => {
      if (size === 'phone') await page.click('#menu');
      await page.click(id);
    };
    await shot('chat');
    if (size === 'phone') {
      await page.click('#menu');
      await page.waitForFunction(() => document.querySelector('#side').getBoundingClientRect().left === 0);
      await shot('list');
      await page.keyboard.press('Escape');
      await page.click('#people-toggle');
      await page.waitForFunction(() => document.querySelector('#people').getBoundingClientRect().right === innerWidth);
      await shot('people');
      await page.keyboard.press('Escape');
      await tab.line('Does anyone have to do anything?').tap();
    } else {
      await tab.line('Does anyone have to do anything?').hover();
    }
    await page.locator('.actions').waitFor();
    await shot('actions');
    await page.locator('.actions').getByLabel('React').click();
    await page.locator('.picker').waitFor();
    await shot('picker');
    await page.keyboard.press('Escape');
    await page.mouse.move(5, 5);
    await show('search', async () => {
      await click('#search-open');
      await page.fill('#search input', 'disk');
      await page.clock.runFor(400);
      await page.locator('#search .hit').nth(1).waitFor();
    });
    await show('browse', async () => {
      await click('#browse-open');
      await page.locator('#browse .found li').nth(2).waitFor();
    });
    await page.evaluate(() => (location.hash = '#/universe'));
    await tab.titled('Universe');
    await tab.sees(TALK.at(-1)[1]);
    await shot('universe');
    await page.evaluate(() => (location.hash = '#/general'));
    await tab.titled('general');
    await show('switcher', async () => {
      await page.keyboard.press('Control+k');
      await page.keyboard.type('de');
    });
    await show('settings', () => click('#settings-open'));
    await show('diagnostics', async () => {
      await click('#instance');
      await page.waitForFunction(() => / ms$/.test(document.querySelector('#diagnostics').textContent.match(/\d+ ms/)?.[0] ?? ''));
    });
    await show('shortcuts', () => click('#keys'));
    await tab.offline();
    await page.clock.runFor(2_100);
    await shot('pill');
    const words = OFFLINE[`${size} ${colorScheme}`];
    await tab.say(words);
    await page.clock.runFor(8_000);
    await shot('offline');
    await tab.online();
    await page.click('#try-now', { timeout: 1_000 }).catch(() => {}); // it may have come back by itself
    await tab.sees(words);
  };
  await views(alice, 'wide', 'light');
  await views(alice, 'wide', 'dark');

  for (const [size, options] of [['wide', WIDE], ['phone', PHONE]]) {
    const { page } = new Tab(await (await browser.newContext(options)).newPage(), system.url);
    const both = async (view) => {
      for (const colorScheme of ['light', 'dark']) {
        await page.emulateMedia({ colorScheme });
        await page.screenshot({ path: file(`${view}-${size}-${colorScheme}`) });
      }
    };
    await page.goto(`${system.url}/login`);
    await both('login');
    await page.fill('#username', 'two words');
    await page.click('.card button');
    await page.locator('#error').waitFor();
    await both('login-refused');
    await page.goto(`${system.url}/register`);
    await both('register');
    await page.fill('#username', `grace-${size}`);
    await page.fill('#password', 'seven owls skate on marmalade');
    await page.click('.card button');
    await page.waitForSelector('body[data-state=live]');
    await page.goto(`${system.url}/account`);
    await both('account');
    await page.context().clearCookies();
    await page.goto(`${system.url}/nothing`);
    await both('not-found');
  }

  const phone = await person(browser, system.url, 'erin', { ...PHONE, timed: true });
  await phone.sees(TALK.at(-1)[1]);
  await views(phone, 'phone', 'light');
  await views(phone, 'phone', 'dark');
  const german = await person(browser, system.url, 'frida', { ...PHONE, locale: 'de-DE' });
  await german.page.locator('.line .text', { hasText: 'example.org' }).waitFor();
  await german.page.screenshot({ path: file('chat-phone-german') });
  // Nothing can be stored.
  const { pid } = system.redis();
  process.kill(pid, 'SIGSTOP');
  try {
    for (const [tab, size, colorScheme] of [[alice, 'wide', 'dark'], [phone, 'phone', 'light']]) {
      await tab.page.emulateMedia({ colorScheme });
      await tab.say('Is anybody there?');
      await tab.page.getByText('kept here').waitFor();
      await tab.page.clock.runFor(8_000);
      await tab.page.locator('#bar.shown').waitFor();
      await tab.page.screenshot({ path: file(`store-${size}-${colorScheme}`) });
    }
  } finally {
    process.kill(pid, 'SIGCONT');
  }
} finally {
  await browser.close();
  await system.stop();
}
