// Private rooms, and who may do what in rooms, on a whole system where nothing fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertContent, fresh, good, person, stage, until } from './kit.js';

const { system, browser } = await stage();

/** Does something to the person for whom the window is open. */
const deed = (tab, name) => tab.page.locator('#moderation .deed', { has: tab.page.getByText(name, { exact: true }) }).click();

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
  assert.equal(await bob.page.locator('.moderate').count(), 0, 'only the owner removes people');

  // Who is removed is elsewhere at once, and the room is on none of their lists.
  await alice.page.locator('#members li', { hasText: names[1] }).locator('.moderate').click();
  await deed(alice, 'Remove');
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

test('who owns a room has others moderate it, who mute, delete and ban', async () => {
  const names = ['alice', 'bob', 'carol'].map(fresh);
  const [alice, bob, carol] = await Promise.all(names.map((name) => person(browser, system.url, name)));
  const room = fresh('market');
  for (const tab of [alice, bob, carol]) await tab.goto(room);
  const row = (tab, name) => tab.page.locator('#people li', { hasText: name });
  /** The window for a person, from the button beside their name. */
  const moderate = async (tab, name) => {
    await row(tab, name).locator('.moderate').click();
    await tab.page.waitForSelector('#moderation[open]');
  };
  await carol.say('cheap watches');
  await alice.say('welcome');
  await row(carol, names[0]).getByText('owner').waitFor();
  assert.equal(await bob.page.locator('.moderate').count(), 0, 'who has no rights is offered none');

  // By keyboard too: the window gives the focus back.
  await row(alice, names[1]).locator('.moderate').press('Enter');
  await alice.page.waitForSelector('#moderation[open]');
  await good(alice.page, 'what an owner can do');
  await alice.page.keyboard.press('Escape');
  assert.equal(await row(alice, names[1]).locator('.moderate').evaluate((button) => button === document.activeElement), true);
  await moderate(alice, names[1]);
  await deed(alice, 'Make moderator');
  for (const tab of [alice, bob, carol]) await row(tab, names[1]).getByText('moderator').waitFor();

  // A moderator begins at what somebody wrote.
  await bob.sees('cheap watches');
  await bob.act('cheap watches', 'Delete');
  await bob.page.click('dialog.ask .bad');
  for (const tab of [alice, bob, carol]) await tab.shows(['welcome']);
  await carol.say('really cheap');
  await bob.sees('really cheap');
  await bob.act('really cheap', 'Moderate');
  await deed(bob, 'Mute');
  await carol.page.locator('#reads').getByText('You are muted here').waitFor();
  assert.equal(await carol.page.isVisible('#composer'), false);
  await good(carol.page, 'muted');
  await row(bob, names[2]).getByText('muted').waitFor();
  assert.equal(await row(bob, names[0]).locator('.moderate').count(), 0, 'nobody moderates the owner');
  await carol.page.reload();
  await carol.live();
  await carol.page.locator('#reads').getByText('You are muted here').waitFor();
  await moderate(bob, names[2]);
  await deed(bob, 'Let speak again');
  await carol.page.waitForSelector('#composer:not([hidden])');
  await carol.say('sorry');

  // Out, once that was confirmed, and told so.
  await moderate(alice, names[2]);
  await deed(alice, 'Ban');
  await alice.page.locator('dialog.ask').getByRole('button', { name: 'Cancel' }).click();
  await deed(alice, 'Ban');
  await alice.page.click('dialog.ask .bad');
  await carol.page.locator('dialog.ask').getByText(`You were banned from ${room}`).waitFor();
  await good(carol.page, 'banned');
  await carol.page.locator('dialog.ask button').click();
  await until('carol is elsewhere', async () => (await carol.page.textContent('#title')) !== room);
  await alice.say('she is gone');
  await carol.page.click('#universe button');
  await carol.titled('Universe');
  await carol.page.fill('#join-name', room);
  await carol.page.press('#join-name', 'Enter');
  await carol.page.locator('#join-error').getByText('banned').waitFor();
  assert.doesNotMatch(await carol.page.textContent('#talk'), /she is gone|really cheap|welcome/);
  await row(alice, names[2]).getByText('banned').waitFor();
  await good(alice.page, 'who is banned');
  await moderate(alice, names[2]);
  await deed(alice, 'Lift the ban');
  await row(alice, names[2]).waitFor({ state: 'detached' });
  await carol.goto(room);
  await carol.sees('she is gone');

  // The room goes, with all that was said.
  await alice.page.click('#topic');
  await alice.page.click('#topic-dialog .bad');
  await alice.page.click('dialog.ask .bad');
  for (const tab of [alice, bob, carol]) await until('the room is gone', async () => (await tab.page.textContent('#title')) !== room);
  assertContent([alice, bob, carol]);
});
