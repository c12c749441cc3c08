// What is around a conversation, on a whole system: what the page says of its connection, keyboard and windows, other
// languages, and what it costs to load.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Tab, assertContent, fresh, person, stage, until } from './kit.js';

const { system, browser } = await stage();

test('without a network: a word after two seconds, the cause after ten, a try when one asks, and never a reload', async () => {
  const alice = await person(browser, system.url, fresh('alice'), { timed: true });
  const { page } = alice;
  await page.evaluate(() => {
    window.stays = true;
    addEventListener('offline', () => (window.since = Date.now()));
  });
  await alice.offline();
  const soon = await page.evaluate(() => ({
    ms: Date.now() - window.since,
    pill: document.querySelector('#pill').textContent,
    stale: document.body.matches('.stale'),
  }));
  if (soon.ms < 2_000) assert.deepEqual(soon, { ms: soon.ms, pill: '', stale: false });
  await page.clock.runFor(2_000);
  assert.equal(await page.textContent('#pill'), 'offline');
  assert.equal(await page.locator('body.stale').count(), 1);
  await alice.say('one');
  await alice.say('two');
  await page.clock.runFor(8_000);
  assert.equal(await page.textContent('#bar-cause'), 'You are offline.');
  assert.equal(await page.textContent('#pill'), '');
  await page.getByText('2 messages are kept here and will be sent.').waitFor();
  await until('a countdown', async () => {
    await page.clock.runFor(500);
    return /^Next try in \d+ seconds?\.$/.test(await page.textContent('#bar-next'));
  });
  const tries = [];
  page.on('request', (request) => tries.push(request.url()));
  await page.click('#try-now');
  await until('a try', () => tries.some((url) => url.endsWith('/session/refresh')));
  await page.waitForSelector('body[data-state=waiting]');
  assert.equal(await page.locator('#bar.shown').count(), 1);
  await page.focus('#try-now');
  await alice.online();
  await page.click('#try-now', { timeout: 1_000 }).catch(() => {}); // it may have come back by itself
  await alice.live();
  await alice.sees('two');
  assert.equal(await page.locator('#bar.shown').count(), 0);
  assert.equal(await page.locator('body.stale').count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'text', 'the focus is not lost with the button');
  await alice.shows(['one', 'two']);
  assert.equal(await page.evaluate(() => window.stays), true);
  assertContent([alice], { unreachable: true });
});

test('while nothing can be stored the bar says so, and the socket stays', async () => {
  const alice = await person(browser, system.url, fresh('alice'), { timed: true });
  const { page } = alice;
  await alice.goto(fresh('room'));
  const { pid } = system.redis();
  process.kill(pid, 'SIGSTOP');
  try {
    await alice.say('patience');
    await page.getByText('Messages cannot be stored right now. 1 message is kept here and will be sent.').waitFor();
    await page.clock.runFor(8_000);
    assert.equal(await page.textContent('#bar-cause'), 'Messages cannot be stored right now.');
    assert.equal(await page.textContent('#note'), '1 message is kept here and will be sent.');
    assert.equal(await page.locator('#try-now').isVisible(), false, 'there is nothing to try');
    await alice.live();
  } finally {
    process.kill(pid, 'SIGCONT');
  }
  await alice.sees('patience');
  await page.waitForSelector('#bar:not(.shown)', { state: 'attached' });
  assertContent([alice], { unreachable: true });
});

test('one click from the instance\'s name: where one is connected, how well, and how far', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const { page } = alice;
  const room = fresh('room');
  await alice.goto(room);
  for (const text of ['one', 'two', 'three']) await alice.say(text);
  await alice.sees('three');
  await alice.offline();
  await alice.online();
  await alice.live();
  const instance = await alice.instance();
  await page.click('#instance');
  const fact = (term) => page.locator(`#diagnostics dt:has-text("${term}") + dd`).textContent();
  assert.equal(await fact('Instance'), instance);
  await until('it is connected', async () => (await fact('State')) === 'connected');
  assert.match(await fact('Round trip'), /^\d+(\.\d)? ms$/);
  assert.match(await fact('Last loss'), / sec \(code 1006\)$/);
  assert.equal(await fact('Resumes'), '1');
  assert.equal(await fact('Last gap'), 'none');
  assert.equal(await page.locator(`#diagnostics tr:has-text("${room}") td`).last().textContent(), '3');
  await page.keyboard.press('Escape');
  await page.waitForSelector('#diagnostics', { state: 'hidden' });
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'instance');
  assertContent([alice], { unreachable: true });
});

/** Stands in for the desktop: what it shows, and a person who says yes. */
function desktop() {
  window.shown = [];
  window.Notification = class {
    static permission = localStorage.getItem('allowed') ?? 'default';
    static async requestPermission() {
      localStorage.setItem('allowed', 'granted');
      return (this.permission = 'granted');
    }
    constructor(title, { body, tag }) {
      Object.assign(this, { title, body, tag });
      window.shown.push(this);
    }
    close() {
      window.shown = window.shown.filter((each) => each !== this);
    }
  };
  window.away = false;
  document.hasFocus = () => !window.away;
}

test('notifications: asked for by a button only, one tab tells what is for one who is away, and what is read goes', async () => {
  const name = fresh('alice');
  const alice = await person(browser, system.url, name);
  await alice.page.context().addInitScript(desktop);
  await alice.page.reload();
  await alice.live();
  const other = new Tab(await alice.page.context().newPage(), system.url);
  await other.enter('nobody asks');
  const bob = await person(browser, system.url, fresh('bob'));
  const writer = await bob.page.textContent('.me-name');
  const room = fresh('room');
  for (const tab of [alice, bob]) await tab.goto(room);

  const { page } = alice;
  assert.equal(await page.evaluate(() => Notification.permission), 'default', 'nobody was asked at load');
  await page.click('#settings-open');
  assert.equal(await page.getByLabel('When I am away').isDisabled(), true);
  await page.getByText('Allow notifications on this device').click();
  await page.waitForFunction(() => document.querySelector('#settings .allow').childElementCount === 0);
  assert.equal(await page.getByLabel('When I am away').isChecked(), true);
  assert.equal(await page.getByLabel('With a soft sound').isChecked(), false);
  await page.keyboard.press('Escape');
  await other.page.evaluate(() => (Notification.permission = 'granted'));

  const shown = async () => (await Promise.all([alice, other].map((tab) => tab.page.evaluate(() => window.shown.map(({ title, body }) => `${title}: ${body}`))))).flat();
  const go = async (away) => {
    for (const tab of [alice, other]) {
      await tab.page.evaluate((away) => {
        window.away = away;
        dispatchEvent(new Event(away ? 'blur' : 'focus'));
      }, away);
    }
    const looks = () => page.evaluate(async () => (await navigator.locks.query()).held.some(({ name }) => name.startsWith('chatd-looks')));
    await until('all tabs know', async () => (await looks()) !== away);
  };
  await alice.goto('general');
  await other.goto('general');
  await bob.say(`@${name} are you there?`);
  await page.locator('#rooms .badge').waitFor();
  await go(true);
  await bob.say('nothing for anybody');
  await bob.say(`@${name} hello`);
  await until('one notification', async () => (await shown()).length > 0);
  assert.deepEqual(await shown(), [`${writer} in ${room}: @${name} hello`]);
  await bob.goto(`@${name}`);
  await bob.say('psst');
  await until('another', async () => (await shown()).length > 1);
  assert.equal((await shown()).at(-1), `${writer}: psst`);
  await go(false);
  await alice.goto(room);
  await until('what was read is gone', async () => (await shown()).length === 1);

  await page.click('#settings-open');
  await page.getByLabel('Do not disturb').check();
  await page.waitForSelector('#quiet'); // it is not forgotten
  await page.keyboard.press('Escape');
  await alice.goto('general');
  await go(true);
  await bob.say('not now');
  await page.locator('#directs .badge').getByText('2').waitFor();
  // A notice waits for 600 ms, and looks at the settings then.
  await page.evaluate(() => new Promise((resolve) => setTimeout(resolve, 1_000)));
  await page.click('#settings-open');
  await page.getByLabel('Do not disturb').uncheck();
  await bob.say('but now');
  await until('what came after it', async () => (await shown()).some((each) => each.includes('now')));
  assert.deepEqual((await shown()).at(-1), `${writer}: but now (of 2 new messages)`, 'psst and this, not what came between');
  assertContent([alice, other, bob]);
});

test('settings: colours and language last, on every page, from their first moment', async () => {
  const alice = await person(browser, system.url, fresh('alice'), { colorScheme: 'light', locale: 'en-GB' });
  const { page } = alice;
  const scheme = () => page.evaluate(() => getComputedStyle(document.documentElement).colorScheme);
  assert.equal(await scheme(), 'light dark');
  await page.click('#settings-open');
  await page.getByLabel('Colours').selectOption('Dark');
  assert.equal(await scheme(), 'dark');
  await page.keyboard.press('Escape');
  await page.fill('#text', 'half a sentence');
  await page.click('#settings-open');
  await page.getByLabel('Language').selectOption('Deutsch');
  await page.waitForSelector('html[lang=de]');
  await alice.live();
  await alice.titled('general');
  assert.equal(await scheme(), 'dark');
  assert.equal(await page.inputValue('#text'), 'half a sentence');
  assert.match(await page.textContent('#instance'), /^auf chatd-\d$/);
  await page.click('#keys');
  await page.getByText('Unterhaltung darüber', { exact: true }).waitFor();
  await page.keyboard.press('Escape');
  await page.keyboard.press('Control+k');
  await page.keyboard.type('not!');
  await page.keyboard.press('Enter');
  await page.getByText('Dieser Name geht nicht').waitFor();
  await page.keyboard.press('Escape');
  await page.goto(`${system.url}/nothing`);
  assert.equal(await page.textContent('h1'), 'Hier ist nichts');
  assert.equal(await scheme(), 'dark');

  const german = await (await browser.newContext({ locale: 'de-AT' })).newPage();
  await german.goto(`${system.url}/login`);
  assert.equal(await german.textContent('h1'), 'Wie dürfen wir dich nennen?');
  await german.fill('#username', 'so geht es nicht');
  await german.click('.card button');
  assert.match(await german.textContent('#error'), /^Dieser Name geht nicht/);
});

/** What comes over the wire from now on, headers and all: bytes by path. */
async function traffic(page) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send('Network.enable');
  const paths = new Map();
  const bytes = new Map();
  devtools.on('Network.requestWillBeSent', ({ requestId, request }) => paths.set(requestId, new URL(request.url).pathname));
  devtools.on('Network.loadingFinished', ({ requestId, encodedDataLength }) => {
    const path = paths.get(requestId);
    if (path) bytes.set(path, (bytes.get(path) ?? 0) + encodedDataLength);
  });
  return {
    sum: (pattern = /./) => [...bytes].filter(([path]) => pattern.test(path)).reduce((sum, [, each]) => sum + each, 0),
    clear: () => bytes.clear(),
  };
}

/** Notes how much the page's parts are moved under a reader, and when the first message is there. */
function observe() {
  window.shift = 0;
  window.tops = new Set();
  const look = () => {
    const tops = ['search-open', 'browse-open', 'universe'].map((id) => document.getElementById(id)?.getBoundingClientRect().top);
    if (!tops.includes(undefined)) window.tops.add(tops.join());
    requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
  }).observe({ type: 'layout-shift', buffered: true });
  new MutationObserver((_, observer) => {
    if (!document.querySelector('.line')) return;
    window.firstMessage = performance.now();
    observer.disconnect();
  }).observe(document, { childList: true, subtree: true });
}

test('light: the first load is small, the second nearly nothing, messages are there soon, and nothing jumps', async (t) => {
  const name = fresh('alice');
  const room = fresh('room');
  const writer = await person(browser, system.url, name);
  await writer.goto(room);
  for (let i = 0; i < 12; i++) await writer.say(`message ${i}`);
  await writer.sees('message 11');
  const cookies = await writer.page.context().cookies();
  await writer.page.context().close();

  for (const viewport of [{ width: 1280, height: 800 }, { width: 360, height: 740 }]) {
    const context = await browser.newContext({ viewport });
    await context.addCookies(cookies);
    await context.addInitScript(observe);
    const tab = new Tab(await context.newPage(), system.url);
    const wire = await traffic(tab.page);
    const load = async () => {
      wire.clear();
      await tab.page.goto(`${system.url}/#${room}`);
      await tab.sees('message 11');
      await tab.live();
      await tab.page.waitForLoadState('networkidle');
      return {
        kB: Math.round(wire.sum() / 100) / 10,
        scripts: Math.round(wire.sum(/\.js$/) / 100) / 10,
        styles: Math.round(wire.sum(/\.css$/) / 100) / 10,
        ms: Math.round(await tab.page.evaluate(() => window.firstMessage)),
        shift: await tab.page.evaluate(() => window.shift),
      };
    };
    const first = await load();
    await tab.page.goto('about:blank');
    const second = await load();
    t.diagnostic(`${viewport.width} wide: first ${JSON.stringify(first)}, second ${JSON.stringify(second)}`);
    assert.equal(first.kB < 150, true, `the first load is ${first.kB} kB`);
    assert.equal(first.scripts > 20 && first.scripts < 130, true, `of these ${first.scripts} kB are scripts`);
    assert.equal(second.kB < 12, true, `the second load is ${second.kB} kB`);
    assert.equal(second.scripts + second.styles, 0, 'what has a hash in its name is not asked for again');
    // Most of it is the machine that the tests run on, and what else it does.
    assert.equal(Math.min(first.ms, second.ms) < 3_000, true, `the first message is there after ${second.ms} ms`);
    for (const { shift } of [first, second]) assert.equal(shift < 0.02, true, `the page moved by ${shift}`);
    const tops = await tab.page.evaluate(() => [...window.tops]);
    assert.equal(tops.length, 1, `what is above the lists stands still while they fill: ${tops.join('; ')}`);
    await context.close();
    assertContent([tab]);
  }
});

test('a guest makes an account: the name, the conversations and what is not sent yet stay, and the account is theirs alone', async () => {
  const name = fresh('alice');
  const alice = await person(browser, system.url, name);
  const room = fresh('room');
  await alice.goto(room);
  await alice.say('as a guest');
  await alice.sees('as a guest');
  const other = await person(browser, system.url, name);
  const second = new Tab(await alice.page.context().newPage(), system.url);
  const { page } = second;
  await page.goto(system.url);
  await second.live();
  await page.click('.me-text a');
  await page.click('text=Create an account');
  assert.equal(await page.inputValue('#username'), name);
  await page.fill('#password', 'password');
  await page.click('.card button');
  await page.locator('#error', { hasText: 'at least 15 characters' }).waitFor();
  await alice.page.fill('#text', 'half a sent');
  await page.fill('#password', 'seven owls skate on marmalade');
  await page.click('.card button');
  await second.live();
  // The tab that was open comes back by itself, and the other browser does not.
  await other.page.waitForURL(/\/login/);
  await alice.live();
  await alice.titled(room);
  assert.equal(await alice.page.inputValue('#text'), 'half a sent');
  await alice.say('as its owner');
  await alice.shows(['as a guest', 'as its owner']);

  await other.page.fill('#username', name);
  await other.page.click('.card button');
  await other.page.locator('#error', { hasText: 'belongs to somebody' }).waitFor();
  await other.page.fill('#password', 'seven owls skate on marmalade');
  await other.page.click('.card button');
  await other.live();

  // Where one is logged in, and out again.
  await page.click('.me-text a');
  assert.equal(await page.locator('.logins li').count(), 2);
  await page.locator('.logins li', { hasNotText: 'this one' }).getByRole('button').click();
  await page.locator('[role=status]', { hasText: 'Logged out there' }).waitFor();
  assert.equal(await page.locator('.logins li').count(), 1);
  await other.page.waitForURL(/\/login/);

  await page.fill('#old', 'seven owls skate on marmalade');
  await page.fill('#new', 'eight bats juggle with gravel');
  await page.locator('button', { hasText: 'Change password' }).click();
  await page.locator('[role=status]', { hasText: 'password was changed' }).waitFor();
  await alice.live();
  await page.fill('#delete-password', 'eight bats juggle with gravel');
  await page.locator('button.bad').click();
  await page.waitForURL(/\/login/);
  await alice.page.waitForURL(/\/login/);
  const bob = await person(browser, system.url, fresh('bob'));
  await bob.goto(room);
  await until('the name is gone', async () => {
    await bob.page.reload();
    await bob.sees('as its owner');
    return (await bob.page.locator('.by .name', { hasText: 'Deleted account' }).count()) > 0;
  });
  await bob.shows(['as a guest', 'as its owner']);
  assertContent([alice, bob]); // the others were refused, which a browser complains about
});
