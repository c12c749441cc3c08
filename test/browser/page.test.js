// What a person does on the page, on a whole system where nothing fails.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tab, assertContent, fresh, person, stage, until } from './kit.js';

const { system, browser } = await stage({ CHATD_SEND_RATE: '1000' });

test('without a login every way leads to the login page, and logging in leads back', async () => {
  const context = await browser.newContext();
  const tab = new Tab(await context.newPage(), system.url);
  await tab.page.goto(system.url);
  assert.equal(tab.page.url(), `${system.url}/login`);
  const name = fresh('alice');
  await tab.enter(name);
  await tab.titled('general');
  assert.equal(await tab.page.textContent('.me-name'), name);
  const cookie = (await context.cookies()).find((each) => each.name === 'jsessionid');
  assert.equal(cookie?.httpOnly, true);
  assert.equal(cookie?.sameSite, 'Lax');
  assertContent([tab]);
});

for (const wrong of ['not a name', 'semi;colon', '@bob', 'ali\u202ece', 'аlice']) {
  test(`the name ${JSON.stringify(wrong)} is refused with a reason, and stands there to be corrected`, async () => {
    const tab = new Tab(await (await browser.newContext()).newPage(), system.url);
    await tab.page.goto(`${system.url}/login`);
    await tab.page.fill('#username', wrong);
    await tab.page.click('.card button');
    await tab.page.waitForSelector('#error');
    assert.notEqual((await tab.page.textContent('#error')).trim(), '');
    assert.equal(await tab.page.inputValue('#username'), wrong);
    await until('the browser says so too', () => tab.complaints.length > 0);
    assert.match(tab.complaints.join(), /^Failed to load resource: .* 401 \(Unauthorized\)$/);
    await tab.enter(fresh('right'));
  });
}

test('two people talk, in order, and see who is here', async () => {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => person(browser, system.url, fresh(name))));
  const room = fresh('room');
  await alice.goto(room);
  await bob.goto(`#${room}`);
  const said = [];
  for (let i = 0; i < 5; i++) {
    await alice.say(`alice ${i}`);
    await bob.sees(`alice ${i}`);
    await bob.say(`bob ${i}`);
    await alice.sees(`bob ${i}`);
    said.push(`alice ${i}`, `bob ${i}`);
  }
  for (let i = 0; i < 20; i++) await alice.say(`burst ${i}`), said.push(`burst ${i}`);
  for (const each of [alice, bob]) {
    await each.sees('burst 19');
    await each.shows(said);
    await each.page.waitForFunction(() => document.querySelectorAll('#here > li').length === 2);
  }
  assertContent([alice, bob]);
});

test('text is text: markup, directions, line breaks and links', async () => {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => person(browser, system.url, fresh(name))));
  const room = fresh('room');
  await alice.goto(room);
  await bob.goto(room);
  await alice.page.fill('#text', '<img src=x onerror=alert(1)>');
  await alice.page.press('#text', 'Shift+Enter');
  await alice.page.keyboard.type('שלום https://example.org/a?b=c.');
  await alice.page.press('#text', 'Enter');
  const text = bob.page.locator('.line .text').first();
  await text.waitFor();
  assert.equal(await text.textContent(), '<img src=x onerror=alert(1)>\nשלום https://example.org/a?b=c.');
  assert.equal(await text.locator('img').count(), 0);
  assert.equal(await text.locator('a').getAttribute('href'), 'https://example.org/a?b=c');
  assertContent([alice, bob]);
});

test('a direct conversation: unread for the one, then read, and kept for who was away', async () => {
  const name = fresh('bob');
  const [alice, bob] = await Promise.all([person(browser, system.url, fresh('alice')), person(browser, system.url, name)]);
  await alice.goto(`@${name}`);
  await alice.say('psst');
  const entry = bob.page.locator('#directs .entry');
  await entry.locator('.badge').waitFor();
  assert.match(await bob.page.title(), /^\(1\)/);
  await entry.click();
  await bob.sees('psst');
  await entry.locator('.badge').waitFor({ state: 'detached' });

  const absent = fresh('cathy');
  await alice.goto(`@${absent}`);
  await alice.say('when you are back');
  await alice.sees('when you are back');
  const cathy = await person(browser, system.url, absent);
  await cathy.page.click('#directs .entry');
  await cathy.sees('when you are back');
  assertContent([alice, bob, cathy]);
});

test('a room left on one device is left on all', async () => {
  const name = fresh('alice');
  const [phone, desk] = await Promise.all([name, name].map((each) => person(browser, system.url, each)));
  const room = fresh('room');
  for (const tab of [phone, desk]) await tab.goto(room);
  await desk.page.click('#leave');
  await desk.titled('general');
  await phone.titled('general');
  await phone.page.locator('#others .entry').getByText(room).waitFor();
  assertContent([phone, desk]);
});

test('what was read on one device is read on all, when it is seen to its end and not before', async () => {
  const name = fresh('alice');
  const [phone, desk, bob] = await Promise.all([name, name, fresh('bob')].map((each) => person(browser, system.url, each)));
  const room = fresh('room');
  for (const tab of [bob, phone, desk]) await tab.goto(room);
  const said = Array.from({ length: 60 }, (_, i) => `message ${i}`);
  await bob.flood(room, said);
  for (const tab of [phone, desk]) await tab.sees('message 59');
  await desk.goto('general');
  const badge = desk.page.locator('#rooms .entry').filter({ hasText: room }).locator('.badge');
  // As if one came back to it: it asks what is new.
  const look = () => desk.page.evaluate(() => dispatchEvent(new Event('pageshow')));

  await phone.page.locator('#log').evaluate((log) => (log.scrollTop = 0));
  await phone.page.waitForSelector('#newest:visible');
  await bob.say('one more');
  await phone.sees('one more');
  await badge.getByText('1', { exact: true }).waitFor();
  // It is on the page of the phone, and out of sight.
  await phone.page.locator('.entry[aria-current] .badge').getByText('1', { exact: true }).waitFor();

  await phone.page.click('#newest');
  await phone.page.waitForSelector('#newest', { state: 'hidden' });
  await until('read on the desk', async () => (await look(), (await badge.count()) === 0));

  // A tab beside it in the same browser hears at once, and a device that logs in later from the server.
  const beside = new Tab(await phone.page.context().newPage(), system.url);
  await beside.enter('nobody asks');
  await beside.goto('general');
  await phone.page.bringToFront();
  await bob.say('and another');
  await phone.sees('and another');
  await until('read beside it', async () => (await beside.page.locator('#rooms .badge').count()) === 0);
  await until('told', async () => {
    const later = await person(browser, system.url, name);
    await later.page.locator('#rooms .entry').getByText(room).waitFor();
    const unread = await later.page.locator('#rooms .badge').count();
    await later.page.context().close();
    return unread === 0;
  });
  assertContent([phone, desk, bob, beside]);
});

test('universe shows all public rooms, each line with its room, new rooms too', async () => {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => person(browser, system.url, fresh(name))));
  await bob.page.click('#universe .entry');
  await bob.titled('Universe');
  assert.equal(await bob.page.isVisible('#composer'), false);
  const rooms = [fresh('room'), fresh('room')];
  for (const room of rooms) {
    await alice.goto(room);
    await alice.say(`in ${room}`);
    await bob.sees(`in ${room}`);
  }
  await bob.page.getByText('Here one reads.').waitFor();
  await bob.page.locator('.room').getByText(rooms[1]).click();
  await bob.titled(rooms[1]);
  await bob.say('here too');
  await alice.sees('here too');

  // Reply leads to the message in its room, and so does the room's name, however far up it is.
  await bob.page.click('#universe .entry');
  await bob.act(`in ${rooms[0]}`, 'Reply');
  await bob.titled(rooms[0]);
  await bob.page.locator('#about-text').getByText(`: in ${rooms[0]}`).waitFor();
  await bob.page.keyboard.type('an answer');
  await bob.page.keyboard.press('Enter');
  await alice.goto(rooms[0]);
  await alice.sees('an answer');
  assert.match(await alice.page.locator('.line .quote').textContent(), new RegExp(`in ${rooms[0]}$`));
  await alice.page.click('#universe .entry');
  await alice.sees('here too');
  for (let i = 0; i < 40; i++) await bob.say(`filler ${i}`);
  await alice.sees('filler 39');
  const first = alice.page.locator('.line.first').filter({ hasText: `in ${rooms[0]}` }).first();
  await first.locator('.room').click();
  await alice.titled(rooms[0]);
  await until('it is in sight', () => alice.line(`in ${rooms[0]}`).evaluate((line) => {
    const { top, bottom } = line.getBoundingClientRect();
    return top > 0 && bottom < innerHeight;
  }));
  assertContent([alice, bob]);
});

test('rooms: a wrong name says why, leaving leaves, going back goes back', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  await alice.page.fill('#join-name', 'not a room!');
  await alice.page.press('#join-name', 'Enter');
  await alice.page.waitForSelector('#join-error:visible');
  const room = fresh('room');
  await alice.goto(room);
  assert.equal(new URL(alice.page.url()).hash, `#/${room}`, 'no id of a part of the page, which it would scroll to');
  await alice.page.goBack();
  await alice.titled('general');
  await alice.page.goForward();
  await alice.titled(room);
  await alice.page.click('#leave');
  await alice.titled('general');
  await alice.page.locator('#others .entry').getByText(room).waitFor();
  assertContent([alice]);
});

test('a reload keeps login, conversation, place and draft', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await alice.goto(room);
  await alice.say('said before');
  await alice.sees('said before');
  await alice.page.fill('#text', 'half a thou');
  await alice.page.reload();
  await alice.live();
  await alice.titled(room);
  await alice.sees('said before');
  assert.equal(await alice.page.inputValue('#text'), 'half a thou');
  assertContent([alice]);
});

test('older messages load on the way up, without a jump', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await alice.goto(room);
  await alice.flood(room, Array.from({ length: 130 }, (_, i) => `message ${i}`));
  await alice.sees('message 129');
  await alice.page.reload();
  await alice.titled(room);
  await alice.sees('message 129');
  assert.equal(await alice.line('message 0').count(), 0, 'the beginning is not in the window');
  const before = await alice.page.evaluate(() => {
    const log = document.querySelector('#log');
    const line = document.querySelector('.line .text');
    log.scrollTop = 100;
    return { text: line.textContent, top: line.getBoundingClientRect().top };
  });
  await alice.page.waitForFunction((text) => document.querySelector('.line .text').textContent !== text, before.text);
  const top = await alice.line(before.text).evaluate((line) => line.getBoundingClientRect().top);
  assert.equal(Math.abs(top - before.top) <= 1, true, `${before.text} went from ${before.top} to ${top}`);
  await until('the beginning is there', async () => {
    await alice.page.locator('#log').evaluate((log) => (log.scrollTop = 0));
    return (await alice.line('message 0').count()) === 1;
  });
  await alice.shows(Array.from({ length: 130 }, (_, i) => `message ${i}`));
  assertContent([alice]);
});

test('a text that is too long is not taken, and says by how much', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  await alice.titled('general');
  await alice.page.fill('#text', '🙂'.repeat(4003));
  assert.equal(await alice.page.textContent('#note'), '3 too many');
  await alice.page.press('#text', 'Enter');
  assert.equal((await alice.page.inputValue('#text')).length, 8006);
  await alice.page.fill('#text', '🙂'.repeat(4000));
  await alice.page.press('#text', 'Enter');
  await alice.sees('🙂'.repeat(4000));
  assertContent([alice]);
});

test('two tabs of one person: what is written in either is sent once, and seen in both', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const room = fresh('room');
  await alice.goto(room);
  const other = new Tab(await alice.page.context().newPage(), system.url);
  await other.enter('nobody asks');
  await other.goto(room);
  const said = [];
  for (let i = 0; i < 6; i++) {
    const text = `line ${i}`;
    await (i % 2 ? alice : other).say(text);
    said.push(text);
  }
  for (const tab of [alice, other]) {
    await tab.sees('line 5');
    await tab.shows(said);
  }
  assertContent([alice, other]);
});

test('a logout in one tab logs out the other, at once', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const other = new Tab(await alice.page.context().newPage(), system.url);
  await other.enter('nobody asks');
  await other.page.getByText('Log out').click();
  await alice.page.waitForURL(/\/login/);
  await other.page.waitForURL(/\/login/);
  await alice.page.goto(system.url);
  assert.equal(alice.page.url(), `${system.url}/login`);
  assertContent([alice, other]);
});

for (const [width, height] of [[320, 600], [360, 740]]) {
  test(`a phone, ${width} wide: the list is a drawer, and nothing is wider than the page`, async () => {
    const options = { viewport: { width, height }, hasTouch: true, isMobile: true };
    const alice = await person(browser, system.url, fresh('a-person-with-a-long-name'), options);
    const fits = () => alice.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    /** The buttons in sight that are too small for a finger. */
    const small = () => alice.page.evaluate(() => [...document.querySelectorAll('.head button, .composer button, .side button, .side input')]
      .filter((each) => each.checkVisibility({ visibilityProperty: true }) && !each.matches('.topic, .served'))
      .map((each) => [each.id || each.className, each.offsetWidth, each.offsetHeight])
      .filter(([, width, height]) => width < 44 || height < 44));
    assert.equal(await alice.page.isVisible('#side'), false);
    assert.deepEqual(await small(), []);
    await alice.page.tap('#menu');
    await alice.page.waitForSelector('#side', { state: 'visible' });
    assert.equal(await alice.page.evaluate(() => document.activeElement.closest('#side') !== null), true, 'it has the focus');
    assert.deepEqual(await small(), []);
    await alice.goto(fresh('a-room-with-a-long-name'));
    await alice.page.waitForSelector('#side', { state: 'hidden' });
    await alice.say('x'.repeat(500));
    await alice.sees('x'.repeat(500));
    assert.equal(await fits(), true);
    await alice.page.tap('#people-toggle');
    await alice.page.waitForSelector('#people', { state: 'visible' });
    await alice.page.keyboard.press('Escape');
    await alice.page.waitForSelector('#people', { state: 'hidden' });
    assert.equal(await fits(), true);
    assertContent([alice]);
  });
}
