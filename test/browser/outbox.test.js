// What is written and not yet sent: it outlives whatever happens to the browser and the login, is sent once and in
// order, by its writer only, and what cannot be sent is said.

import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { Tab, assertContent, fresh, launchWithProfile, person, stage, until } from './kit.js';
import { redis } from './redis.js';

const { system, browser } = await stage({ CHATD_SEND_RATE: '8' });

/** Ends a person's login in Redis, as time would; no instance is told. */
async function expire(tab) {
  const cookie = (await tab.page.context().cookies()).find(({ name }) => name === 'jsessionid').value;
  const login = cookie.replace(/^.*~/, '').split('.')[0];
  const { addr } = system.redis();
  const keys = await redis(addr, 'KEYS', `chatd:session:{${login}}*`);
  assert.notEqual(keys.length, 0);
  await redis(addr, 'DEL', ...keys);
}

/** Puts messages into the outbox of a person's browser, as an earlier page would have left them there. */
async function leave(tab, entries) {
  const user = await tab.page.textContent('.me-name');
  await tab.page.evaluate(([user, entries]) => new Promise((resolve, reject) => {
    const opening = indexedDB.open('chatd');
    opening.onsuccess = () => {
      const transaction = opening.result.transaction('outbox', 'readwrite');
      const rows = transaction.objectStore('outbox');
      for (const entry of entries) rows.add({ user, key: crypto.randomUUID(), at: Date.now(), ...entry });
      transaction.oncomplete = () => (opening.result.close(), resolve());
      transaction.onabort = () => reject(transaction.error);
    };
  }), [user, entries]);
}

test('what waits outlives a crash of the browser', async () => {
  const bob = await person(browser, system.url, fresh('bob'));
  const room = fresh('room');
  await bob.goto(room);
  const name = fresh('alice');
  const profile = mkdtempSync(join(tmpdir(), 'chatd-profile-'));
  try {
    const first = await launchWithProfile(profile);
    const alice = new Tab(await first.context.newPage(), system.url);
    await alice.enter(name);
    await alice.goto(room);
    await alice.say('sent');
    await bob.sees('sent');
    await alice.offline();
    for (const text of ['one', 'two', 'three']) await alice.say(text);
    await first.kill();

    const second = await launchWithProfile(profile);
    try {
      const again = new Tab(await second.context.newPage(), system.url);
      await again.enter(name);
      await again.goto(room);
      await bob.sees('three');
      await again.sees('three');
      for (const tab of [bob, again]) await tab.shows(['sent', 'one', 'two', 'three']);
      assertContent([bob, again]);
    } finally {
      await second.kill();
    }
  } finally {
    rmSync(profile, { recursive: true, force: true, maxRetries: 5 });
  }
});

test('what waits outlives a login that expired; who logs in next does not send it', async () => {
  const name = fresh('alice');
  const alice = await person(browser, system.url, name);
  const bob = await person(browser, system.url, fresh('bob'));
  const room = fresh('room');
  await alice.goto(room);
  await bob.goto(room);
  await alice.offline();
  for (const text of ['one', 'two']) await alice.say(text);
  await alice.page.fill('#text', 'not finis');
  await expire(alice);
  await alice.online();
  await alice.page.waitForURL(/\/login/);

  await alice.enter(fresh('mallory'));
  await alice.goto(room);
  await alice.say('only mine');
  await bob.sees('only mine');
  await alice.page.getByText('Log out').click();
  await alice.page.waitForURL(/\/login/);

  await alice.enter(name);
  await alice.titled(room);
  await bob.sees('two');
  await alice.sees('two');
  for (const tab of [alice, bob]) await tab.shows(['only mine', 'one', 'two']);
  assert.equal(await alice.page.inputValue('#text'), 'not finis');
  assertContent([bob]);
});

test('a page that ended before it cleared the composer has kept its message once', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await alice.goto(room);
  await alice.page.fill('#text', 'just now');
  await alice.offline();
  await leave(alice, [{ room, text: 'just now' }]);
  await alice.online();
  await alice.page.reload();
  await alice.titled(room);
  await alice.sees('just now');
  assert.equal(await alice.page.inputValue('#text'), '');
  assertContent([alice], { unreachable: true });
});

test('a refused message says why, can be tried again or deleted, and holds up nothing', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await alice.goto(room);
  await leave(alice, [{ room, text: 'x'.repeat(4001) }, { room, text: 'y'.repeat(4001) }, { room, text: 'the next' }]);
  await alice.page.reload();
  await alice.sees('the next');
  const failed = alice.page.locator('.failed');
  await until('both are refused', async () => (await failed.count()) === 2);
  assert.match(await failed.first().locator('.status').textContent(), /^Not sent: .*4000/);
  await failed.first().getByText('Delete').click();
  await failed.getByText('x'.repeat(4001)).waitFor({ state: 'detached' });
  await failed.getByText('Try again').click();
  await failed.getByText('y'.repeat(4001)).waitFor();
  await alice.say('and one more');
  await alice.sees('and one more');
  await alice.shows(['the next', 'and one more']);
  assertContent([alice]);
});

test('what was written too long ago is not sent unasked', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await alice.goto(room);
  await leave(alice, [{ room, text: 'of yesterday', at: Date.now() - 24 * 3_600_000 }, { room, text: 'of now' }]);
  await alice.page.reload();
  await alice.sees('of now');
  const failed = alice.page.locator('.failed');
  await failed.getByText('may have been sent then').waitFor();
  await alice.shows(['of now']);
  await failed.getByText('Try again').click();
  await alice.sees('of yesterday');
  await alice.shows(['of now', 'of yesterday']);
  assertContent([alice]);
});

test('who writes too fast for the server loses nothing', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const bob = await person(browser, system.url, fresh('bob'));
  const room = fresh('room');
  await alice.goto(room);
  await bob.goto(room);
  const texts = Array.from({ length: 40 }, (_, i) => `message ${i}`);
  for (const text of texts) await alice.say(text);
  for (const tab of [alice, bob]) {
    await tab.sees('message 39');
    await tab.shows(texts);
  }
  assert.equal(await alice.page.locator('.failed').count(), 0);
  assertContent([alice, bob]);
});

test('what does not fit stays in the composer, and that is said', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await alice.goto(room);
  await alice.offline();
  await leave(alice, Array.from({ length: 499 }, (_, i) => ({ room, text: `message ${i}` })));
  await alice.say('the last one that fits');
  await alice.page.getByText('500 messages are kept here and will be sent.').waitFor();
  await alice.page.fill('#text', 'one too many');
  await alice.page.press('#text', 'Enter');
  await alice.page.getByText('Too many messages are waiting already. This one stays here.').waitFor();
  assert.equal(await alice.page.inputValue('#text'), 'one too many');
  assertContent([alice], { unreachable: true });
});

test('where the disk is full the text stays in the composer, and that is said', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await alice.goto(room);
  const devtools = await alice.page.context().newCDPSession(alice.page);
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: system.url, quotaSize: 1 });
  await alice.page.fill('#text', 'no place for this');
  await alice.page.press('#text', 'Enter');
  await alice.page.getByText('The message could not be kept. It stays here.').waitFor();
  assert.equal(await alice.page.inputValue('#text'), 'no place for this');
  await alice.shows([]);
  await devtools.send('Storage.overrideQuotaForOrigin', { origin: system.url });
  await alice.page.press('#text', 'Enter');
  await alice.sees('no place for this');
  assertContent([alice]);
});

test('of several tabs the one that is written in sends, and when it goes another does', async () => {
  const first = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await first.goto(room);
  const context = first.page.context();
  const open = async () => {
    const tab = new Tab(await context.newPage(), system.url);
    await tab.page.goto(first.page.url());
    await tab.live();
    await tab.titled(room);
    return tab;
  };
  const tabs = [first, await open(), await open()];
  // Who sends is seen where it goes out, past the page.
  const sent = [];
  for (const tab of tabs) {
    const network = await context.newCDPSession(tab.page);
    await network.send('Network.enable');
    network.on('Network.webSocketFrameSent', ({ response }) => {
      for (const frame of response.payloadData.split('\n').filter(Boolean).map((line) => JSON.parse(line))) {
        if (frame.type === 'send') sent.push({ by: tabs.indexOf(tab), text: frame.text, key: frame.key });
      }
    });
  }
  // The tab that sent before may not know yet that it does no more: then it sends the same, by its key.
  const once = (text) => assert.equal(new Set(sent.filter((each) => each.text === text).map(({ key }) => key)).size, 1, text);
  for (const [by, tab] of tabs.entries()) {
    const text = `from ${by}`;
    await tab.say(text);
    await tab.sees(text);
    await until('it goes out here', () => sent.some((each) => each.by === by && each.text === text));
    once(text);
  }

  sent.length = 0;
  for (const tab of tabs) await tab.offline();
  await tabs[2].say('left behind');
  await tabs[2].page.close();
  for (const tab of tabs.slice(0, 2)) await tab.online();
  for (const tab of tabs.slice(0, 2)) await tab.sees('left behind');
  await until('it went out', () => sent.length > 0);
  assert.deepEqual([...new Set(sent.map(({ text }) => text))], ['left behind']);
  once('left behind');
  await first.shows(['from 0', 'from 1', 'from 2', 'left behind']);
  assertContent(tabs.slice(0, 2), { unreachable: true });
});
