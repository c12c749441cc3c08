// Two people talk while things break under them. What each of them said is there for both, once and in order, and
// nobody is logged out.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tab, assertContent, fresh, person, stage, until } from './kit.js';

const { system, browser } = await stage({ CHATD_DRAIN: '5s' });

/** Two people in a room of their own, on two instances. */
async function pair() {
  const alice = await person(browser, system.url, fresh('alice'));
  let bob;
  do {
    await bob?.page.context().close();
    bob = await person(browser, system.url, fresh('bob'));
  } while ((await bob.instance()) === (await alice.instance()));
  const room = fresh('room');
  await alice.goto(room);
  await bob.goto(room);
  return { alice, bob, room };
}

/** Runs work while both people talk without a pause, then a little more. Each then has all that was said. */
async function whileTalking({ alice, bob }, work) {
  const said = { alice: [], bob: [] };
  let over = false;
  const talk = async (tab, mine) => {
    let more = 5;
    while (!over || more-- > 0) {
      const text = `${mine === said.alice ? 'alice' : 'bob'} ${mine.length}`;
      mine.push(text);
      await tab.say(text);
    }
  };
  const talking = Promise.all([talk(alice, said.alice), talk(bob, said.bob)]);
  await bob.sees('alice 3');
  await alice.sees('bob 3');
  await work().finally(() => (over = true));
  await talking;
  const total = said.alice.length + said.bob.length;
  const seen = [];
  for (const tab of [alice, bob]) {
    await until(`all ${total} lines`, async () => (await tab.lines()).length >= total);
    assert.equal(await tab.page.locator('.pending').count(), 0);
    const lines = await tab.lines();
    assert.deepEqual(lines.filter((line) => line.startsWith('alice')), said.alice);
    assert.deepEqual(lines.filter((line) => line.startsWith('bob')), said.bob);
    assert.equal(lines.length, total);
    seen.push(lines);
  }
  assert.deepEqual(seen[0], seen[1], 'both see one order');
}

/** Notes each state of a tab's connection, and each word about it, from now on. Returns how to read them. */
async function watch(tab) {
  await tab.page.evaluate(() => {
    const noted = (window.noted = []);
    new MutationObserver(() => {
      noted.push(document.body.dataset.state, document.querySelector('#pill').textContent);
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributeFilter: ['data-state'] });
  });
  return () => tab.page.evaluate(() => [...new Set(window.noted)].filter((each) => each !== ''));
}

for (const instance of ['chatd-1', 'chatd-2', 'chatd-3']) {
  test(`kill -9 of ${instance} while two people talk, and it comes back`, async () => {
    const people = await pair();
    await whileTalking(people, async () => {
      const { pid } = system.instance(instance);
      system.signal(instance, 'SIGKILL');
      await until('another process', () => ![0, pid].includes(system.instance(instance).pid));
      await people.alice.live();
      await people.bob.live();
    });
    assertContent([people.alice, people.bob], { unreachable: true });
  });
}

test('all tabs of one person come back together, and stay logged in', async () => {
  const first = await person(browser, system.url, fresh('alice'));
  const tabs = [first];
  for (let i = 0; i < 4; i++) {
    const tab = new Tab(await first.page.context().newPage(), system.url);
    await tab.enter('nobody asks');
    tabs.push(tab);
  }
  const room = fresh('room');
  for (const tab of tabs) await tab.goto(room);
  for (const instance of new Set(await Promise.all(tabs.map((tab) => tab.instance())))) system.signal(instance, 'SIGKILL');
  for (const [i, tab] of tabs.entries()) {
    await tab.say(`tab ${i}`);
    await first.sees(`tab ${i}`);
  }
  const said = tabs.map((_, i) => `tab ${i}`);
  for (const tab of tabs) {
    await tab.sees(said.at(-1));
    await tab.shows(said);
  }
  assertContent(tabs, { unreachable: true });
});

test('a planned restart of the instance under one of them is not noticed', async () => {
  const people = await pair();
  const { alice } = people;
  const left = await alice.instance();
  const { pid } = system.instance(left);
  const noted = await watch(alice);
  await alice.countSockets();
  await whileTalking(people, async () => {
    system.signal(left, 'SIGTERM');
    await alice.page.waitForFunction((former) => document.querySelector('#instance').textContent !== `on ${former}`, left);
    await alice.live();
  });
  assert.deepEqual((await noted()).sort(), ['live', 'moving']);
  assert.deepEqual(await alice.sockets(), { least: 1, most: 2 }, 'there was always a socket');
  assertContent([alice, people.bob]);
  await until('it is back', () => ![0, pid].includes(system.instance(left).pid));
});

test('where every instance leaves, the page stays on its socket as long as there is one', async () => {
  const { alice, bob } = await pair();
  await alice.countSockets();
  const pids = system.instances().map(({ pid }) => pid);
  for (const pid of pids) process.kill(pid, 'SIGTERM');
  for (const text of ['one', 'two', 'three']) {
    await alice.say(text);
    await bob.sees(text);
  }
  await alice.page.waitForSelector('body[data-state=moving]');
  await until('all are back', () => system.instances().every(({ pid }) => pid > 0 && !pids.includes(pid)));
  await alice.say('four');
  await bob.sees('four');
  for (const tab of [alice, bob]) await tab.shows(['one', 'two', 'three', 'four']);
  // She has moved, or her instance has let her go at the end of its time.
  const lost = await alice.lost();
  assert.ok((await alice.sockets()).least === 1 || lost.length > 0, 'the page let go of the only socket');
  assert.deepEqual(lost.filter((code) => code !== 1012), []);
  assertContent([alice, bob], { unreachable: true });
});

test('who hops to another instance is never shown as gone', async () => {
  const { alice, bob, room } = await pair();
  const name = await bob.page.textContent('.me-name');
  await alice.page.locator('#here').getByText(name, { exact: true }).waitFor();
  await alice.page.evaluate((name) => {
    const list = document.querySelector('#here');
    window.missed = 0;
    new MutationObserver(() => list.textContent.includes(name) || window.missed++).observe(list, { childList: true });
  }, name);
  for (const signal of ['SIGKILL', 'SIGTERM']) {
    const left = await bob.instance();
    const { pid } = system.instance(left);
    system.signal(left, signal);
    await bob.page.waitForFunction((former) => document.querySelector('#instance').textContent !== `on ${former}`, left);
    await bob.say(`after ${signal}`);
    await alice.sees(`after ${signal}`);
    await until('another process', () => ![0, pid].includes(system.instance(left).pid));
  }
  // Someone who leaves now is shown as gone later than bob would be.
  const dan = await person(browser, system.url, fresh('dan'));
  await dan.goto(room);
  await alice.page.waitForFunction(() => document.querySelectorAll('#here > li').length === 3);
  await dan.page.context().close();
  await alice.page.waitForFunction(() => document.querySelectorAll('#here > li').length === 2, null, { timeout: 30_000 });
  assert.equal(await alice.page.evaluate(() => window.missed), 0);
  await alice.page.locator('#here').getByText(name, { exact: true }).waitFor();
  assertContent([alice, bob, dan], { unreachable: true });
});

for (const [code, least] of [[1009, 0], [4400, 0], [4408, 0], [4429, 2000], [4503, 1000]]) {
  test(`a socket closed with ${code}: the page comes back and goes on where it was`, async () => {
    const { bob, room } = await pair();
    const context = await browser.newContext();
    const sockets = [];
    await context.routeWebSocket(/\/ws$/, (socket) => {
      socket.connectToServer();
      sockets.push({ socket, at: Date.now() });
    });
    const cathy = new Tab(await context.newPage(), system.url);
    await cathy.enter(fresh('cathy'));
    await cathy.goto(room);
    await cathy.say('before');
    await bob.sees('before');
    const closed = Date.now();
    await sockets[0].socket.close({ code });
    await bob.say('meanwhile');
    await cathy.say('after');
    await bob.sees('after');
    await cathy.sees('after');
    await cathy.sees('meanwhile');
    assert.equal(sockets.length, 2);
    assert.equal(sockets[1].at - closed >= least, true, `after ${sockets[1].at - closed} ms`);
    assert.deepEqual((await cathy.lines()).sort(), ['after', 'before', 'meanwhile']);
    assertContent([bob, cathy], { unreachable: true });
  });
}

test('what is over soon is not mentioned: a message put off once, a lost socket', async () => {
  const { bob, room } = await pair();
  const context = await browser.newContext();
  const sockets = [];
  let putOff = 0;
  await context.routeWebSocket(/\/ws$/, (socket) => {
    const server = socket.connectToServer();
    sockets.push(socket);
    socket.onMessage((data) => {
      const { type, id } = JSON.parse(data);
      if (type !== 'send' || putOff++ > 0) return server.send(data);
      socket.send(JSON.stringify({ type: 'error', id, code: 'unavailable', message: 'later', retry_after_ms: 300 }));
    });
  });
  const cathy = new Tab(await context.newPage(), system.url);
  await cathy.enter(fresh('cathy'));
  await cathy.goto(room);
  await cathy.page.evaluate(() => {
    window.mentioned = [];
    const look = () => {
      for (const shown of document.querySelectorAll('#pill, #note, .status')) {
        if (shown.textContent && shown.checkVisibility({ visibilityProperty: true })) window.mentioned.push(shown.textContent);
      }
    };
    new MutationObserver(look).observe(document.body, { subtree: true, childList: true, characterData: true });
  });
  await cathy.say('put off');
  await cathy.sees('put off');
  assert.equal(putOff, 2);
  await sockets[0].close({ code: 1012 });
  await cathy.say('after it');
  await cathy.sees('after it');
  assert.equal(sockets.length, 2);
  assert.deepEqual(await cathy.page.evaluate(() => window.mentioned), []);
  await bob.sees('after it');
  await bob.shows(['put off', 'after it']);
  assertContent([bob, cathy], { unreachable: true });
});

test('a frame that the server finds too large is not sent again, and those behind it are', async () => {
  const { bob, room } = await pair();
  const context = await browser.newContext();
  let closes = 0;
  await context.routeWebSocket(/\/ws$/, (socket) => {
    const server = socket.connectToServer();
    socket.onMessage((data) => {
      if (data.length < 3_000) return server.send(data);
      closes++;
      void server.close();
      void socket.close({ code: 1009 });
    });
  });
  const cathy = new Tab(await context.newPage(), system.url);
  await cathy.enter(fresh('cathy'));
  await cathy.goto(room);
  await cathy.say('x'.repeat(3_500));
  await cathy.say('behind it');
  await bob.sees('behind it');
  await cathy.page.locator('.failed').getByText('Not sent: it is too long.').waitFor();
  assert.equal(closes, 1);
  await cathy.page.locator('.failed').getByText('Delete').click();
  await cathy.page.waitForSelector('.failed', { state: 'detached' });
  await bob.shows(['behind it']);
  assertContent([bob, cathy], { unreachable: true });
});

test('an instance that hangs is left', async () => {
  const people = await pair();
  const hung = await people.alice.instance();
  const { pid } = system.instance(hung);
  process.kill(pid, 'SIGSTOP');
  try {
    await people.alice.say('is anybody there?');
    await people.bob.sees('is anybody there?');
    await people.alice.sees('is anybody there?');
    assert.notEqual(await people.alice.instance(), hung);
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await people.bob.shows(['is anybody there?']);
  assertContent([people.alice, people.bob], { unreachable: true });
});

test('what is typed without a network waits, says so, and is sent once when it is back', async () => {
  const { alice, bob } = await pair();
  await alice.offline();
  for (const text of ['one', 'two', 'three']) await alice.say(text);
  await alice.page.getByText('3 messages are kept here and will be sent.').waitFor();
  await alice.page.locator('#pill').getByText('offline').waitFor();
  assert.equal(await alice.page.locator('.pending').count(), 3);
  await bob.say('meanwhile');
  await bob.sees('meanwhile');
  await alice.online();
  await bob.sees('three');
  await alice.sees('three');
  for (const tab of [alice, bob]) await tab.shows(['meanwhile', 'one', 'two', 'three']);
  await alice.page.waitForFunction(() => document.querySelector('#note').textContent === '');
  assertContent([alice, bob], { unreachable: true });
});

test('what waits outlives its tab, and a login as somebody else', async () => {
  const { alice, bob, room } = await pair();
  const context = alice.page.context();
  await alice.offline();
  for (const text of ['one', 'two']) await alice.say(text);
  await alice.page.close();
  await context.setOffline(false);

  const cookies = await context.cookies();
  await context.clearCookies();
  const mallory = new Tab(await context.newPage(), system.url);
  await mallory.enter(fresh('mallory'));
  await mallory.goto(room);
  await mallory.say('only mine');
  await bob.sees('only mine');
  await mallory.page.close();
  await bob.shows(['only mine']);

  await context.clearCookies();
  await context.addCookies(cookies);
  const again = new Tab(await context.newPage(), system.url);
  await again.enter('nobody asks');
  await again.titled(room);
  await bob.sees('two');
  await again.sees('two');
  await bob.shows(['only mine', 'one', 'two']);
  assertContent([bob, again, mallory]);
});
