// Redis goes away, comes back, and comes back with less than it had. What people see of it is true, and nobody has to do
// anything.

import assert from 'node:assert/strict';
import { cpSync, renameSync } from 'node:fs';
import { test } from 'node:test';
import { Tab, assertContent, fresh, person, stage, until } from './kit.js';

const LOST = 'Some messages here could not be recovered.';
const SKIPPED = 'Earlier messages were skipped. Load them';

const { system, browser } = await stage({ CHATD_WINDOW: '20', CHATD_HISTORY: '1000', CHATD_SEND_RATE: '100000' });

/** Alice and bob in a room of their own. */
async function pair() {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => person(browser, system.url, fresh(name))));
  const room = fresh('room');
  await alice.goto(room);
  await bob.goto(room);
  return { alice, bob, room };
}

/** Stops Redis while work runs, as a machine does that stands still. */
async function withoutRedis(work) {
  const { pid } = system.redis();
  process.kill(pid, 'SIGSTOP');
  try {
    await work();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
}

const isBack = (pid) => until('Redis is back', () => ![0, pid].includes(system.redis().pid));

test('Redis stands still: sockets stay, the page says what happens to messages, and all goes on by itself', async () => {
  const { alice, bob, room } = await pair();
  const other = fresh('room');
  await alice.goto(other);
  await alice.say('said elsewhere');
  await alice.sees('said elsewhere');
  await alice.goto(room);
  await alice.countSockets();
  await withoutRedis(async () => {
    for (const text of ['one', 'two', 'three']) await alice.say(text);
    await alice.page.getByText('Messages cannot be stored right now. 3 messages are kept here and will be sent.').waitFor();
    assert.equal(await alice.page.locator('.pending').getByText('waiting').count(), 3);
    assert.equal(await alice.page.textContent('#pill'), '');
    await alice.page.locator('#rooms').getByText(other).click();
    await alice.sees('said elsewhere');
    await alice.page.locator('#rooms').getByText(room).click();

    const answer = await bob.page.reload({ timeout: 30_000 });
    assert.equal(answer.status(), 503);
    await bob.page.getByText('This page tries again by itself.').waitFor();
    // The instances ask their people to move, and there is no better place.
    await alice.page.waitForSelector('body[data-state=moving]');
    assert.deepEqual(await alice.sockets(), { least: 1, most: 1 });
  });
  await bob.live();
  await bob.titled(room);
  for (const tab of [alice, bob]) {
    await tab.sees('three');
    await tab.shows(['one', 'two', 'three']);
  }
  await alice.page.waitForFunction(() => document.querySelector('#note').textContent === '');
  assert.equal((await alice.sockets()).least, 1, 'there was always a socket');
  assertContent([alice, bob], { unreachable: true });
});

test('kill -9 of Redis while two people talk', async () => {
  const { alice, bob } = await pair();
  const said = [];
  const { pid } = system.redis();
  for (let i = 0; i < 30; i++) {
    if (i === 10) process.kill(pid, 'SIGKILL');
    await alice.say(`message ${i}`);
    said.push(`message ${i}`);
  }
  await isBack(pid);
  for (const tab of [alice, bob]) {
    await tab.sees('message 29');
    await tab.shows(said);
  }
  assertContent([alice, bob], { unreachable: true });
});

test('Redis comes back older than it was: what is not there any more is not shown, and that is said', async () => {
  const { alice, bob } = await pair();
  for (const text of ['one', 'two']) await alice.say(text);
  await bob.sees('two');
  const copy = `${system.redisDir}.copy`;
  cpSync(system.redisDir, copy, { recursive: true });
  for (const text of ['three', 'four']) await alice.say(text);
  for (const tab of [alice, bob]) await tab.sees('four');

  const { pid } = system.redis();
  process.kill(pid, 'SIGKILL');
  renameSync(system.redisDir, `${system.redisDir}.lost`); // it starts again in a second
  renameSync(copy, system.redisDir);
  await isBack(pid);
  for (const tab of [alice, bob]) {
    await tab.page.getByText(LOST).waitFor();
    await tab.shows(['one', 'two', LOST]);
  }
  await bob.say('five');
  for (const tab of [alice, bob]) {
    await tab.sees('five');
    await tab.shows(['one', 'two', LOST, 'five']);
  }
  await alice.page.reload();
  await alice.sees('five');
  await alice.shows(['one', 'two', 'five']); // a new page had shown nothing else
  assertContent([alice, bob], { unreachable: true });
});

test('two outages in a row, the first before anything was said', async () => {
  const { alice, bob } = await pair();
  await alice.offline();
  await bob.say('one');
  await bob.sees('one');
  await alice.online();
  await alice.sees('one');
  await alice.offline();
  await alice.say('two');
  await bob.say('meanwhile');
  await bob.sees('meanwhile');
  await alice.online();
  for (const tab of [alice, bob]) {
    await tab.sees('two');
    await tab.shows(['one', 'meanwhile', 'two']);
  }
  assertContent([alice, bob], { unreachable: true });
});

test('more than a resume brings: a line says that messages were skipped, until they are loaded', async () => {
  const { alice, bob, room } = await pair();
  await alice.say('before');
  await bob.sees('before');
  await alice.offline();
  const large = Array.from({ length: 280 }, (_, i) => `${i} ${'🙂'.repeat(3_990)}`);
  await bob.flood(room, large);
  await alice.online();
  const line = alice.page.locator('.break');
  await line.waitFor();
  const [first, ...shown] = await alice.conversation();
  assert.equal(first, SKIPPED);
  assert.ok(shown.length > 0);
  assert.equal(await alice.line('before').count(), 0);
  assert.deepEqual(shown, large.slice(-shown.length));
  await until('loaded', async () => {
    if (await line.count()) await line.getByText('Load them').click({ timeout: 500 }).catch(() => {});
    return (await line.count()) === 0;
  });
  await until('scrolled to the beginning', async () => {
    await alice.page.locator('#log').evaluate((log) => (log.scrollTop = 0));
    return (await alice.line('before').count()) > 0;
  });
  assert.deepEqual((await alice.conversation()).slice(0, 1), ['before']);
  assertContent([alice, bob], { unreachable: true });
});

test('a resume after what came meanwhile is not all kept: a line says that messages are lost', async () => {
  const { alice, bob, room } = await pair();
  await alice.say('before');
  await bob.sees('before');
  await alice.offline();
  for (let i = 0; i < 3; i++) await bob.flood(room, Array.from({ length: 700 }, (_, n) => `${i} ${n}`));
  await alice.online();
  // It stands further up than what one sees first.
  await until('loaded to the end', async () => {
    await alice.page.locator('#log').evaluate((log) => (log.scrollTop = 0));
    return (await alice.page.locator('.break').allTextContents()).includes(LOST);
  });
  assert.equal((await alice.conversation())[0], LOST);
  assert.equal(await alice.line('before').count(), 0);
  assertContent([alice, bob], { unreachable: true });
});

test('a tab that is opened while Redis is away waits, and then is there', async () => {
  const { alice, room } = await pair();
  await alice.say('before');
  await alice.sees('before');
  const other = new Tab(await alice.page.context().newPage(), system.url);
  await withoutRedis(async () => {
    const answer = await other.page.goto(`${system.url}/#${room}`, { timeout: 30_000 });
    assert.equal(answer.status(), 503);
  });
  await other.live();
  await other.titled(room);
  await other.sees('before');
  assertContent([alice, other], { unreachable: true });
});
