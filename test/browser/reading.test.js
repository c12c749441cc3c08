// What a person has read, and how they find what they have not, on a whole system.

import assert from 'node:assert/strict';
import { loadavg } from 'node:os';
import { test } from 'node:test';
import { assertContent, fresh, person, stage, until } from './kit.js';
import { redis } from './redis.js';

const { system, browser } = await stage({ CHATD_SEND_RATE: '100000', CHATD_HISTORY: '20000' });

/** People by these names, in a room of their own. */
async function inRoom(...names) {
  const room = fresh('room');
  const tabs = [];
  for (const name of names) {
    const tab = await person(browser, system.url, fresh(name));
    await tab.goto(room);
    tabs.push(tab);
  }
  return [room, ...tabs];
}

const numbered = (what, n, from = 0) => Array.from({ length: n }, (_, i) => `${what} ${from + i}`);
const icon = (tab) => tab.page.getAttribute('#icon', 'href');
const entry = (tab, room) => tab.page.locator('#rooms .entry').filter({ hasText: room });
const settled = (tab) => tab.page.evaluate(() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done))));

/** Whether an element is in sight, in the log. */
const inSight = (tab, selector) => tab.page.evaluate((selector) => {
  const log = document.querySelector('#log').getBoundingClientRect();
  const it = document.querySelector(selector)?.getBoundingClientRect();
  return Boolean(it) && it.top >= log.top && it.bottom <= log.bottom;
}, selector);

test('a room is opened where one left off, with ways to both ends of what is new', async () => {
  const [room, alice, bob] = await inRoom('alice', 'bob');
  await bob.say('read this');
  await alice.sees('read this');
  await alice.goto('general');
  await bob.flood(room, numbered('new', 60));
  await entry(alice, room).locator('.badge').getByText('60', { exact: true }).waitFor();
  assert.match(await icon(alice), /favicon-unread\.svg$/);
  assert.match(await alice.page.title(), /^\(60\)/);

  await entry(alice, room).click();
  await alice.sees('new 0');
  assert.match(await alice.page.textContent('.left-off'), /^60 new since /);
  assert.equal(await inSight(alice, '.left-off'), true, 'it begins where she left off');
  assert.equal(await alice.page.textContent('#newest'), '60 new messages');
  assert.equal(await alice.page.isVisible('#first-new'), false);
  assert.equal(await entry(alice, room).locator('.badge').count(), 1, 'the end of it is not seen yet');

  await alice.page.click('#newest');
  await entry(alice, room).locator('.badge').waitFor({ state: 'detached' });
  await until('the icon is plain again', async () => /favicon\.svg$/.test(await icon(alice)));
  assert.equal(await inSight(alice, '.line:last-child'), true);
  assert.match(await alice.page.textContent('.left-off'), /^60 new since /, 'the line stays');
  await bob.say('and one more');
  await alice.sees('and one more');
  assert.equal(await entry(alice, room).locator('.badge').count(), 0, 'what comes while she looks is read');
  await alice.say('I have read it all');
  await alice.page.waitForSelector('.left-off', { state: 'detached' });
  assertContent([alice, bob]);
});

test('more is new than is loaded: the first of it is one click away', async () => {
  const [room, alice, bob] = await inRoom('alice', 'bob');
  await bob.say('read this');
  await alice.sees('read this');
  const name = await alice.page.textContent('.me-name');
  await alice.page.context().close();
  await bob.flood(room, numbered('new', 400));
  const again = await person(browser, system.url, name);
  await entry(again, room).click();
  await again.sees('new 399');
  assert.equal(await again.page.locator('.left-off').count(), 0);
  await again.page.click('#first-new');
  await again.page.waitForSelector('.left-off');
  await until('it is in sight', () => inSight(again, '.left-off'));
  assert.equal(await again.page.isVisible('#first-new'), false);
  await again.sees('read this');
  await again.page.click('#newest');
  await again.sees('new 399');
  await until('the end is in sight', () => inSight(again, '.line:last-child'));
  assertContent([again, bob]);
});

test('mentions are counted apart, in the list and in the icon', async () => {
  const [room, alice, bob] = await inRoom('alice', 'bob');
  const name = await alice.page.textContent('.me-name');
  await alice.goto('general');
  await bob.say('just so');
  await bob.say(`@${name}: look at this`);
  const badge = entry(alice, room).locator('.badge.mentions');
  await badge.getByText('1', { exact: true }).waitFor();
  assert.equal(await badge.getAttribute('aria-label'), '2 unread messages and 1 mention');
  assert.match(await icon(alice), /favicon-mentions\.svg$/);
  assert.equal((await alice.page.request.get(new URL(await icon(alice), system.url).href)).status(), 200);
  assertContent([alice, bob]);
});

test('marked as unread on one device, it is unread on all until it is opened again', async () => {
  const [room, phone, bob] = await inRoom('alice', 'bob');
  const desk = await person(browser, system.url, await phone.page.textContent('.me-name'));
  await desk.goto('general');
  for (const text of numbered('line', 4)) await bob.say(text);
  await phone.sees('line 3');
  await entry(desk, room).locator('.badge').waitFor({ state: 'detached' });
  await phone.act('line 1', 'Mark as unread');
  assert.match(await phone.page.textContent('.left-off'), /^3 new since /);
  for (const tab of [phone, desk]) await entry(tab, room).locator('.badge').getByText('3', { exact: true }).waitFor();
  await phone.page.reload();
  await phone.sees('line 3');
  await entry(desk, room).locator('.badge').waitFor({ state: 'detached' });
  assertContent([phone, desk, bob]);
});

test('a resume brings more than fits: the line stands where one was, and nothing jumps', async () => {
  const [room, alice, bob] = await inRoom('alice', 'bob');
  await bob.flood(room, numbered('old', 40));
  await alice.sees('old 39');
  await alice.offline();
  await bob.flood(room, numbered('missed', 50));
  await alice.online();
  await alice.sees('missed 0');
  assert.match(await alice.page.textContent('.left-off'), /^50 new since /);
  assert.equal(await inSight(alice, '.left-off'), true);
  assert.equal(await alice.page.textContent('#newest'), '50 new messages');
  assertContent([alice, bob], { unreachable: true });
});

/** How long the frames of a page take from one to the next, sorted, in milliseconds. */
const between = (times) => times.slice(1).map((at, i) => Math.round(at - times[i])).sort((a, b) => a - b);
const p95 = (sorted) => sorted[Math.floor(sorted.length * 0.95)];

/**
 * Scrolls by so many pixels a frame, and tells how long its frames took, in milliseconds, and how many of the page's tasks
 * were long.
 */
async function scrolled(tab, by, count) {
  await browser.startTracing(tab.page, { categories: ['toplevel'] });
  const times = await tab.page.evaluate(async ([by, count]) => {
    const log = document.querySelector('#log');
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const times = [await frame()];
    while (times.length <= count) {
      log.scrollTop += by;
      times.push(await frame());
    }
    return times;
  }, [by, count]);
  const { traceEvents } = JSON.parse(String(await browser.stopTracing()));
  const main = new Set(traceEvents.filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain').map(({ pid, tid }) => `${pid} ${tid}`));
  const tasks = traceEvents.filter(({ name, pid, tid }) => name.endsWith('RunTask') && main.has(`${pid} ${tid}`));
  const took = between(times);
  return {
    median: took[took.length >> 1],
    p95: p95(took),
    longest: took.at(-1),
    tasks: tasks.length,
    long: tasks.filter(({ tdur }) => tdur > 50_000).length,
    longestTask: Math.round(Math.max(...tasks.map(({ tdur = 0 }) => tdur)) / 1000),
  };
}

test('messages are grouped by author and time, days are divided, each has its exact time, in the reader\'s own way', async () => {
  const room = fresh('room');
  const at = (time) => `2025-03-${time}:00.000Z`;
  const said = [
    ['anna', at('03T10:00'), 'one'], ['anna', at('03T10:04'), 'two'], // a group
    ['anna', at('03T10:30'), 'three'], // later
    ['bert', at('03T10:31'), 'four'], // by another
    ['bert', at('04T10:31'), 'five'], // on another day
    ['bert', at('04T10:32'), 'שלום world'],
  ];
  await redis(system.redis().addr, 'EVAL', `
    local prev = ''
    for i = 1, #ARGV - 1, 3 do
      local event = (i + 2) / 3 .. '-7'
      local json = cjson.encode({ type = 'message', room = ARGV[#ARGV], seq = (i + 2) / 3, event = event, prev = prev, from = ARGV[i],
        at = ARGV[i + 1], key = 'k' .. i, text = ARGV[i + 2] })
      redis.call('XADD', 'chatd:{' .. ARGV[#ARGV] .. '}:feed', event, 'p', prev, 'e', json)
      prev = event
    end`, '0', ...said.flat(), room);
  for (const [locale, days, exact, when] of [
    ['en-GB', ['3 March 2025', '4 March 2025'], 'Monday, 3 March 2025 at 10:04:00', '10:04'],
    ['de-DE', ['3. März 2025', '4. März 2025'], 'Montag, 3. März 2025 um 10:04:00', '10:04'],
    ['en-US', ['March 3, 2025', 'March 4, 2025'], 'Monday, March 3, 2025 at 10:04:00 AM', '10:04 AM'],
  ]) {
    const alice = await person(browser, system.url, fresh('alice'), { locale, timezoneId: 'UTC' });
    await alice.goto(room);
    await alice.shows(said.map(([, , text]) => text));
    assert.deepEqual(await alice.page.locator('.day').allTextContents(), days);
    assert.deepEqual(await alice.page.locator('.line.first .text').allTextContents(), ['one', 'three', 'four', 'five']);
    const time = alice.page.locator('.line', { hasText: 'two' }).locator('time');
    assert.equal((await time.getAttribute('title')).replaceAll('\u202f', ' '), exact);
    assert.equal((await time.textContent()).replaceAll('\u202f', ' '), when);
    await alice.line('two').hover();
    await until('it shows beside the line', () => time.evaluate((time) => getComputedStyle(time).opacity === '1'));
    assert.equal(await alice.line('שלום world').evaluate((text) => getComputedStyle(text).direction), 'rtl');
    assertContent([alice]);
    await alice.page.context().close();
  }
});

test('10,000 messages: scrolled through smoothly, with what is on the page and in memory bounded', async (t) => {
  const room = fresh('room');
  // As append.lua would have kept them, at once.
  await redis(system.redis().addr, 'EVAL', `
    local prev = ''
    for i = 1, 10000 do
      local text = 'message ' .. i .. string.rep(' and more of it', i * 7 % 23) .. (i % 5 == 0 and '\\nand a line' or '')
      local event = i .. '-7'
      local json = cjson.encode({ type = 'message', room = ARGV[1], seq = i, event = event, prev = prev, from = 'bob' .. math.floor(i / 9) % 3,
        at = '2026-11-21T08:00:00.000Z', key = 'k' .. i, text = text })
      redis.call('XADD', 'chatd:{' .. ARGV[1] .. '}:feed', event, 'p', prev, 'e', json)
      prev = event
    end`, '0', room);
  const alice = await person(browser, system.url, fresh('alice'));
  await alice.goto(room);
  await alice.page.locator('.line .text').getByText('message 10000 ').waitFor();

  const cdp = await alice.page.context().newCDPSession(alice.page);
  const measure = async () => {
    await cdp.send('HeapProfiler.collectGarbage');
    const { usedSize } = await cdp.send('Runtime.getHeapUsage');
    const { nodes } = await cdp.send('Memory.getDOMCounters');
    return { heap: Math.round(usedSize / 1e5) / 10, nodes, lines: await alice.page.locator('.line').count() };
  };
  const first = await measure();
  // In the page, frame by frame, fast. No line in sight may move by more than it was scrolled.
  const { seen, jump, most } = await alice.page.evaluate(async () => {
    const log = document.querySelector('#log');
    const frame = () => new Promise((done) => requestAnimationFrame(done));
    const seen = new Set();
    const result = { jump: 0, most: 0 };
    // Where nothing moves more is under way, or it is the beginning.
    const end = performance.now() + 60_000;
    for (let still = 0; (still < 10 || !seen.has('message 1')) && performance.now() < end;) {
      const lines = [...document.querySelectorAll('.line')];
      const middle = log.getBoundingClientRect().top + log.clientHeight / 2;
      const mark = lines.find((line) => line.getBoundingClientRect().bottom > middle);
      const before = mark?.getBoundingClientRect().bottom ?? 0;
      for (const line of lines) seen.add(line.querySelector('.text').textContent.split(/ and|\n/)[0]);
      result.most = Math.max(result.most, lines.length);
      const was = log.scrollTop;
      log.scrollTop -= 7_000;
      const moved = log.scrollTop - was;
      await frame();
      await frame();
      if (mark?.isConnected) result.jump = Math.max(result.jump, Math.abs(mark.getBoundingClientRect().bottom - (before - moved)));
      still = Math.abs(moved) < 1 ? still + 1 : 0;
    }
    return { ...result, seen: seen.size };
  });
  const middle = await measure();
  // All of it is in memory now. Back down, while somebody talks.
  const bob = await person(browser, system.url, fresh('bob'));
  // Beside it a page with nothing in it: what its frames take is the machine's.
  const blank = await bob.page.context().newPage();
  await blank.evaluate(() => {
    window.times = [];
    const note = (at) => {
      window.times.push(at);
      requestAnimationFrame(note);
    };
    requestAnimationFrame(note);
  });
  const [frames] = await Promise.all([scrolled(alice, 1_500, 200), bob.flood(room, numbered('talk', 30))]);
  const idle = p95(between(await blank.evaluate(() => window.times)));
  await blank.close();
  t.diagnostic(`frames of ${JSON.stringify(frames)} ms, ${idle} ms beside it, load ${loadavg()[0].toFixed(1)}`);
  assert.equal(frames.tasks > 200, true, 'they were traced');
  // Processor time, so that it is not what else the machine does; a browser calls a task long from 50 ms on.
  assert.equal(frames.long <= 2, true, `${frames.long} long tasks`);
  assert.equal(frames.p95 < 100 + Math.max(0, idle - 17), true, `${frames.p95} ms from a frame to the next, and ${idle} where nothing is`);
  await alice.page.click('#newest');
  await alice.sees('talk 29');
  const last = await measure();
  t.diagnostic(`MB and nodes at first ${JSON.stringify(first)}, at the beginning ${JSON.stringify(middle)}, and back ${JSON.stringify(last)}`);
  assert.equal(seen, 10_000);
  assert.equal(jump <= 1, true, `a line jumped by ${jump} px`);
  assert.equal(most <= 260, true, `${most} lines`);
  assert.equal(middle.nodes < 4 * first.nodes + 2_000, true, 'nodes');
  assert.equal(middle.heap < 30, true, 'heap');
  assert.equal(await inSight(alice, '.line:last-child'), true);
  assertContent([alice, bob]);
});

test('who is here, away and gone: in the room and beside direct conversations', async () => {
  const [room, alice] = await inRoom('alice');
  const name = fresh('bob');
  const bob = await person(browser, system.url, name);
  const li = alice.page.locator('#here > li').filter({ hasText: name });
  await alice.goto(`@${name}`);
  await alice.say('hello to you');
  await alice.page.waitForSelector('#directs .avatar[data-presence=here]');
  await entry(alice, room).click();
  // Bob comes to the room by a socket that says first that he is away.
  await bob.page.goto(`${system.url}/livez`);
  await bob.page.evaluate((room) => new Promise((resolve) => {
    const socket = (window.socket = new WebSocket(`ws://${location.host}/ws`, 'chatd.v1'));
    let id = 0;
    window.ask = (type, fields) => socket.send(JSON.stringify({ type, id: ++id, ...fields }));
    socket.onmessage = ({ data }) => {
      for (const frame of data.split('\n').map(JSON.parse)) {
        if (frame.type === 'welcome') window.ask('away'), window.ask('join', { room });
        if (frame.id === 2) resolve();
      }
    };
  }), room);
  await li.locator('.away').waitFor();
  await bob.page.evaluate(() => window.ask('back'));
  await li.locator('.avatar[data-presence=here]').waitFor();
  await bob.page.evaluate((room) => window.ask('leave', { room }), room);
  await li.waitFor({ state: 'detached' });

  // Who touches nothing for ten minutes is away, in a room that opens meanwhile too, and back with the first touch.
  const cathy = await person(browser, system.url, fresh('cathy'), { timed: true });
  const quiet = fresh('quiet');
  await alice.goto(quiet);
  const hers = alice.page.locator('#here > li').filter({ hasText: await cathy.page.textContent('.me-name') });
  await cathy.page.clock.fastForward('10:01');
  await cathy.page.evaluate((room) => (location.hash = room), quiet);
  await cathy.titled(quiet);
  await hers.locator('.avatar[data-presence=away]').waitFor();
  await cathy.page.mouse.move(300, 300);
  await hers.locator('.avatar[data-presence=here]').waitFor();
  assertContent([alice, bob, cathy], { unreachable: true });
});

test('rooms: found by topic, joined from there, named what they are about, muted and heard again', async () => {
  const [room, bob] = await inRoom('bob');
  const alice = await person(browser, system.url, fresh('alice'));
  const topic = fresh('zebras & <b>hoofs</b>');
  await bob.page.click('#topic');
  await bob.page.fill('#topic-dialog input', topic);
  await bob.page.keyboard.press('Enter');
  await bob.page.locator('#topic').getByText(topic, { exact: true }).waitFor();

  await alice.page.click('#browse-open');
  await alice.page.fill('#browse input', topic.toUpperCase());
  const found = alice.page.locator('#browse .found li');
  await until('one room is found', async () => (await found.count()) === 1);
  assert.match(await found.textContent(), new RegExp(`#${room}1 member · ${topic}Join`));
  await found.locator('button').click();
  await alice.titled(room);
  await alice.page.locator('#topic').getByText(topic, { exact: true }).waitFor();

  await alice.page.click('#mute');
  await alice.page.waitForSelector('#mute[aria-pressed=true]');
  await alice.goto('general');
  await bob.say('nobody hears this');
  await bob.say('nor this');
  const other = fresh('other');
  await bob.goto(other);
  await alice.page.locator('#others .entry').getByText(other).waitFor(); // said later, so all before was heard
  assert.equal(await entry(alice, room).locator('.badge').count(), 0);
  await entry(alice, room).click();
  await alice.titled(room);
  await alice.page.click('#mute');
  await alice.page.waitForSelector('#mute[aria-pressed=false]');
  await alice.goto('general');
  await bob.goto(room);
  await bob.say('and this');
  await entry(alice, room).locator('.badge').getByText('1', { exact: true }).waitFor();
  assertContent([alice, bob]);
});

test('search: what was said long ago in a room is found by its words, and shown where it stands', async () => {
  const [room, alice, bob] = await inRoom('alice', 'bob');
  const word = fresh('zebra');
  await bob.say(`a ${word} was here`);
  await bob.flood(room, numbered('filler', 400));
  await alice.goto('general');
  await alice.page.click('#search-open');
  const search = (typed) => alice.page.fill('#search input', typed); // it looks as one types
  await search(`${word} before:2001-01-01`);
  await alice.page.locator('#search [role=status]').getByText('0 messages found').waitFor();
  await search(`${word} in:nowhere`);
  await alice.page.keyboard.press('Enter');
  await alice.page.locator('#search [role=status]').getByText('in:nowhere').waitFor();
  await search(`${word.toUpperCase()} in:#${room} from:${await bob.page.textContent('.me-name')}`);
  await alice.page.locator('#search .hit').getByText(`a ${word} was here`).click();
  await alice.titled(room);
  await alice.sees(`a ${word} was here`);
  await until('it is in sight', () => inSight(alice, '.day + .line'));
  assertContent([alice, bob]);
});
