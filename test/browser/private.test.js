// Private rooms, on a whole system where nothing fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertContent, fresh, person, stage, until } from './kit.js';

const { system, browser } = await stage();

test('a private room is for those who were invited, until they are removed or go', async () => {
  const names = ['alice', 'bob', 'eve'].map(fresh);
  const [alice, bob, eve] = await Promise.all(names.map((name) => person(browser, system.url, name)));
  const room = `~${fresh('board')}`;
  await alice.goto(room);
  await alice.titled(room);
  await alice.say('only for us');

  // Nobody else gets in, or sees it anywhere.
  await eve.page.fill('#join-name', room);
  await eve.page.press('#join-name', 'Enter');
  await eve.page.waitForSelector('#join-error:not([hidden])');
  assert.match(await eve.page.textContent('#join-error'), /private/);
  await eve.page.click('#universe button');
  await eve.titled('Universe');

  // An invitation puts it on a person's list; a name that is none is refused with its reason.
  await alice.page.fill('#invite-name', 'not a name');
  await alice.page.press('#invite-name', 'Enter');
  await alice.page.waitForSelector('#invite-error:not([hidden])');
  await alice.page.fill('#invite-name', `@${names[1]}`);
  await alice.page.press('#invite-name', 'Enter');
  await alice.page.waitForFunction((name) => document.querySelector('#members')?.textContent?.includes(name), names[1]);
  assert.equal(await alice.page.inputValue('#invite-name'), '');
  const listed = bob.page.locator('#rooms button', { hasText: room.slice(1) });
  await listed.click();
  await bob.titled(room);
  await bob.sees('only for us');
  await bob.say('thanks');
  await alice.sees('thanks');
  assert.equal(await bob.page.locator('#members .link').count(), 0, 'only the owner removes people');

  // Who is removed is elsewhere at once, and the room is on none of their lists.
  await alice.page.locator('#members li', { hasText: names[1] }).locator('.link').click();
  await alice.page.click('dialog.ask .bad');
  await listed.waitFor({ state: 'detached' });
  await until('bob is elsewhere', async () => (await bob.page.textContent('#title')) !== room);
  assert.doesNotMatch(await bob.page.textContent('body'), /only for us/);
  await alice.say('bob is gone');

  // The last one to go takes the history along, and is asked before.
  await alice.page.click('#leave');
  await alice.page.click('dialog.ask .bad');
  await until('alice is elsewhere', async () => (await alice.page.textContent('#title')) !== room);
  await eve.goto(room);
  await eve.titled(room);
  await eve.say('mine now');
  await eve.sees('mine now');
  await eve.shows(['mine now']);
  assertContent([alice, bob]);
});
