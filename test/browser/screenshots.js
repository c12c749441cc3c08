// The README's pictures, docs/img/*.png, of a real system with people in it.

import { mkdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { Tab, launch, person } from './kit.js';
import { startSystem } from './system.js';

const IMG = fileURLToPath(new URL('../../docs/img/', import.meta.url));
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

mkdirSync(IMG, { recursive: true });
const system = await startSystem();
const browser = await launch();
try {
  /** @type {Record<string, Tab>} */
  const people = {};
  for (const name of ['alice', 'bob', 'cathy', 'dan']) {
    people[name] = await person(browser, system.url, name, WIDE);
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

  await alice.page.screenshot({ path: `${IMG}chat-light.png` });
  await alice.page.emulateMedia({ colorScheme: 'dark' });
  await alice.page.screenshot({ path: `${IMG}chat-dark.png` });

  const login = new Tab(await (await browser.newContext(WIDE)).newPage(), system.url);
  await login.page.goto(`${system.url}/login`);
  await login.page.screenshot({ path: `${IMG}login.png` });

  const phone = await person(browser, system.url, 'erin', PHONE);
  await phone.sees(TALK.at(-1)[1]);
  await phone.page.screenshot({ path: `${IMG}phone.png` });
} finally {
  await browser.close();
  await system.stop();
}
