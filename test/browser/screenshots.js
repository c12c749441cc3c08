// The pictures of README.md and docs/page.md, docs/img/*.png, of a real system with people in it.

import { mkdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Tab, launch, person } from './kit.js';
import { startSystem } from './system.js';

const IMG = fileURLToPath(new URL('../../docs/img/', import.meta.url));
/** Views that no document shows are for who works on the page. */
const REST = fileURLToPath(new URL('../../test-results/', import.meta.url));
const SHOWN = ['README.md', 'docs/page.md'].map((name) => readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8')).join();
const WIDE = { viewport: { width: 1280, height: 800 } };
const PHONE = { viewport: { width: 360, height: 740 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true };

const TALK = [
  ['bob', 'Morning. chatd-2 gets its new disk at nine, so it goes down for a while.'],
  ['cathy', 'Does anyone have to do anything?'],
  ['bob', 'No. It asks everyone on it to move first.'],
  ['dan', 'And if it falls over before it can ask?'],
  ['bob', 'Then your page finds another instance by itself, and goes on where it was.'],
  ['bob', 'What you were writing waits, and is sent once.'],
  ['alice', 'I was on it just now, in the middle of a sentence.'],
  ['alice', 'Did anything get lost?'],
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
    await alice.sees(text);
  }
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
    }
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

  const login = new Tab(await (await browser.newContext(WIDE)).newPage(), system.url);
  await login.page.goto(`${system.url}/login`);
  await login.page.screenshot({ path: file('login') });
  await login.page.fill('#username', 'two words');
  await login.page.click('.card button');
  await login.page.emulateMedia({ colorScheme: 'dark' });
  await login.page.screenshot({ path: file('login-refused') });

  const phone = await person(browser, system.url, 'erin', { ...PHONE, timed: true });
  await phone.sees(TALK.at(-1)[1]);
  await views(phone, 'phone', 'light');
  await views(phone, 'phone', 'dark');
  const german = await person(browser, system.url, 'frida', { ...PHONE, locale: 'de-DE' });
  await german.sees(TALK.at(-1)[1]);
  await german.page.screenshot({ path: file('chat-phone-german') });
} finally {
  await browser.close();
  await system.stop();
}
