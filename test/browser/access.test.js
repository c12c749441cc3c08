// That everybody can use the page: axe-core finds nothing on any of its views that keeps people out, the keyboard reaches
// everything, what is new is read aloud once, and text may be twice as large.

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Tab, assertContent, fresh, good, person, stage, until } from './kit.js';
import { startProvider } from './provider.js';

const WIDE = { width: 1280, height: 800 };
const NARROW = { width: 320, height: 640 };

const provider = await startProvider();
const { system, browser } = await stage({ CHATD_SEND_RATE: '1000', ...provider.variables });
provider.chat = system.url;

for (const viewport of [WIDE, NARROW]) {
  test(`${viewport.width} wide: nothing serious on login and error pages`, async () => {
    const { page } = new Tab(await (await browser.newContext({ viewport, reducedMotion: 'reduce' })).newPage(), system.url);
    await page.goto(`${system.url}/login`);
    await good(page, 'login');
    await page.fill('#username', 'not a name');
    await page.click('.card button');
    await page.waitForSelector('#error');
    await good(page, 'login with an error');
    await page.goto(`${system.url}/nothing`);
    await good(page, 'not found');
    await page.goto(`${system.url}/register`);
    await page.fill('#username', fresh('alice'));
    await page.fill('#password', 'short');
    await page.click('.card button');
    await page.waitForSelector('#error');
    await good(page, 'an account, with an error');
    await page.fill('#password', 'seven owls skate on marmalade');
    await page.click('.card button');
    await page.waitForSelector('body[data-state=live]');
    await page.goto(`${system.url}/account`);
    await good(page, 'account');
  });

  test(`${viewport.width} wide: somebody comes by way of a login provider, and their account ends so too`, async () => {
    provider.person = fresh('alice');
    const context = await browser.newContext({ viewport, reducedMotion: 'reduce' });
    const tab = new Tab(await context.newPage(), system.url);
    const { page } = tab;
    await page.goto(`${system.url}/login`);
    await page.click('text=Log in with Example');
    await page.waitForURL('**/login/oidc/name');
    assert.equal(await page.inputValue('#username'), provider.person);
    await good(page, 'choosing a name');
    await page.click('.card button');
    await tab.titled('general');
    await page.goto(`${system.url}/account`);
    await good(page, 'account of a provider');
    await page.click('text=Log in with Example again');
    await page.waitForURL('**/account?done=confirmed');
    await good(page, 'account of a provider, confirmed');
    const [file] = await Promise.all([page.waitForEvent('download'), page.click('[action="/account/data"] button')]);
    const data = JSON.parse(readFileSync(await file.path(), 'utf8'));
    assert.deepEqual([data.account.name, data.complete], [provider.person, true]);
    await page.click('button.bad');
    await page.waitForURL('**/login');
    await page.click('text=Log in with Example');
    await page.waitForSelector('#error'); // their name was used up
    await good(page, 'choosing a name that is taken');
    assertContent([tab]);
    await context.close();
  });

  test(`${viewport.width} wide: nothing serious on the chat, whatever is open and whatever fails`, async () => {
    const context = await browser.newContext({ viewport, reducedMotion: 'reduce' });
    const tab = new Tab(await context.newPage(), system.url);
    const { page } = tab;
    await page.clock.install();
    await tab.enter(fresh('alice'));
    await tab.titled('general');
    // Lines of its own, so that it is clear which is meant.
    const room = fresh('kiosk');
    await page.evaluate((name) => (location.hash = name), room);
    await tab.titled(room);
    const drawer = async (button) => {
      if (await page.locator(`body:not([data-drawer=side]) ${button}`).isVisible()) await page.click(button);
    };
    for (const text of ['hello **there**', 'שלום https://example.org', '> quoted\n- a list\n`code`', 'x'.repeat(300)]) await tab.say(text);
    await tab.page.waitForSelector('.line:not(.pending)');
    await good(page, 'chat');
    await page.hover('.line .text >> nth=0', { force: true });
    await good(page, 'a line with its actions');
    const act = async (action, words) => {
      const button = page.locator('.actions').getByLabel(action);
      await until(`${action} is offered`, async () => {
        await page.mouse.move(0, 0);
        await page.locator('.line:not(.pending)', { hasText: words }).last().hover();
        return button.isVisible();
      });
      await button.click();
    };
    await act('React', 'xxx');
    await good(page, 'picking an emoji');
    await page.keyboard.type('tada');
    await page.keyboard.press('Enter');
    await act('Reply', 'xxx');
    await page.keyboard.type('so @alice: ```');
    await page.keyboard.press('Enter');
    await page.waitForSelector('.line:not(.pending) .quote');
    await tab.say(`${'long\n'.repeat(30)}@${await page.textContent('.me-name')}\n\`\`\`\ncode\n\`\`\`\nend`);
    await page.locator('.line:not(.pending)', { hasText: 'long' }).locator('.more').waitFor();
    await act('Edit', 'long');
    await page.keyboard.press('End');
    await page.keyboard.type(' :ta');
    await page.waitForSelector('#completions [role=option]');
    await good(page, 'changing a message, with suggestions, below all that a message can have');
    await page.keyboard.press('Escape');
    await page.keyboard.press('Escape');
    await act('Delete', 'long');
    await good(page, 'deleting a message');
    await page.keyboard.press('Escape');
    // Windows are the same at any width: once, where they are tight.
    for (const [name, open] of viewport === WIDE ? [] : Object.entries({
      switcher: () => page.keyboard.press('Control+k'),
      shortcuts: () => page.keyboard.press('Control+/'),
      diagnostics: async () => {
        await drawer('#menu');
        await page.click('#instance');
      },
      settings: async () => {
        await drawer('#menu');
        await page.click('#settings-open');
      },
      browse: async () => {
        await drawer('#menu');
        await page.click('#browse-open');
        await page.waitForSelector('#browse .found li');
      },
      search: async () => {
        await drawer('#menu');
        await page.click('#search-open');
        await page.fill('#search input', 'x');
        await page.keyboard.press('Enter');
        await page.waitForSelector('#search .hit');
      },
      'topic-dialog': async () => {
        await page.keyboard.press('Escape');
        await page.click('#topic');
      },
    })) {
      await open();
      await page.waitForSelector(`#${name}[open]`);
      await good(page, name);
      await page.keyboard.press('Escape');
      await page.waitForSelector(`#${name}`, { state: 'hidden' });
    }
    await page.keyboard.press('Escape');
    for (const button of ['#menu', '#people-toggle']) {
      await drawer(button);
      await good(page, button);
      await page.keyboard.press('Escape');
    }
    const go = async (name) => {
      await page.evaluate((name) => (location.hash = name), name);
      await tab.titled(name === 'universe' ? 'Universe' : name);
    };
    await go(`~${fresh('own')}`);
    await good(page, 'a private room');
    await go(room);
    await tab.offline();
    await tab.say('waits');
    await page.clock.runFor(2_000);
    await page.locator('#pill').getByText('offline').waitFor();
    const moves = () => document.getAnimations().filter(({ effect }) => effect.getTiming().duration > 0).length;
    assert.equal(await page.evaluate(moves), 0, 'nothing moves for who wants it so');
    await page.clock.runFor(8_000);
    await page.waitForSelector('#bar.shown');
    await good(page, 'offline');
    await tab.online();
    await tab.live();
    await go('universe');
    await good(page, 'universe');
  });
}

test('the keyboard alone: switch, make a room, step through conversations, go round the page, and find out how', async () => {
  const alice = await person(browser, system.url, fresh('alice'));
  const bob = await person(browser, system.url, fresh('bob'));
  const { page } = alice;
  const name = await bob.page.textContent('.me-name');
  const room = fresh('kiosk');
  const press = (...keys) => keys.reduce((before, key) => before.then(() => page.keyboard.press(key)), Promise.resolve());
  await page.locator('#here').getByText(name, { exact: true }).waitFor();

  await press('Control+k');
  await page.keyboard.type(room);
  await page.getByText(`Join or create the room ${room}`).waitFor();
  await press('Enter');
  await alice.titled(room);
  assert.equal(await page.evaluate(() => document.activeElement?.id), 'text');
  await press('Control+k');
  await page.keyboard.type(`@${name.slice(0, -1)}`);
  await page.locator('#choices [aria-selected=true]').getByText(name, { exact: true }).waitFor();
  await press('Enter');
  await alice.titled(name);
  await page.keyboard.type('by keyboard');
  await press('Enter');
  await alice.sees('by keyboard');
  await press('Control+k');
  await page.keyboard.type('#no_good!');
  await press('Enter');
  await page.locator('#switcher .error').getByText('not allowed').waitFor();
  await press('Escape');

  const title = () => page.textContent('#title');
  const before = await title();
  await press('Alt+ArrowUp');
  await until('the one above', async () => (await title()) !== before);
  await press('Alt+ArrowDown');
  await alice.titled(before);
  await alice.goto('general');
  await bob.goto(room);
  await bob.say('unread');
  await page.locator('#rooms .badge').waitFor();
  await press('Alt+Shift+ArrowDown');
  await alice.titled(room);

  await press('Escape');
  const focused = () => page.evaluate(() => ['side', 'log', 'text', 'people'].find((id) => document.getElementById(id).contains(document.activeElement)));
  const round = [];
  for (let i = 0; i < 4; i++) {
    await press('F6');
    round.push(await focused());
  }
  assert.deepEqual(round.sort(), ['log', 'people', 'side', 'text']);
  await press('Escape');
  assert.equal(await focused(), 'text');
  await press('?');
  assert.equal(await page.inputValue('#text'), '?', 'it is a letter like others where one writes');
  await press('Backspace', 'F6', '?');
  await page.waitForSelector('#shortcuts[open]');
  await press('Escape');
  assertContent([alice, bob]);
});

test('everything that can be clicked can be reached by Tab, and shows it', async () => {
  const { page } = await person(browser, system.url, fresh('alice'));
  const wanted = await page.locator('button:visible:not([tabindex="-1"]), input:visible, textarea:visible, a:visible').count();
  const reached = new Set();
  let unseen = '';
  for (let i = 0; i < 3 * wanted; i++) {
    await page.keyboard.press('Tab');
    const { key, outline } = await page.evaluate(() => {
      const at = document.activeElement;
      window.reached ??= new Map();
      if (!window.reached.has(at)) window.reached.set(at, window.reached.size);
      const style = getComputedStyle(at);
      const seen = style.outlineStyle !== 'none' || at.closest('.composer') !== null;
      return { key: at === document.body ? null : window.reached.get(at), outline: seen ? '' : at.outerHTML.slice(0, 80) };
    });
    if (key === null) continue;
    unseen ||= outline;
    reached.add(key);
  }
  assert.equal(unseen, '');
  assert.equal(reached.size >= wanted, true, `${reached.size} of ${wanted}`);
});

test('a new message is read aloud once, history as a number, and what one says oneself not at all', async () => {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => person(browser, system.url, fresh(name))));
  const room = fresh('room');
  await bob.goto(room);
  await bob.flood(room, Array.from({ length: 180 }, (_, i) => `old ${i}`));
  await alice.goto(room);
  await alice.sees('old 179');
  await alice.page.evaluate(() => {
    window.heard = [];
    const live = document.querySelectorAll('[aria-live=polite], [role=status], [role=alert], [role=log]:not([aria-live=off])');
    for (const region of live) {
      new MutationObserver((changes) => {
        for (const { addedNodes } of changes) for (const node of addedNodes) window.heard.push(node.textContent);
      }).observe(region, { childList: true, subtree: true });
    }
  });
  const heard = () => alice.page.evaluate(() => window.heard);
  const name = await bob.page.textContent('.me-name');
  await alice.say('mine');
  await bob.sees('mine');
  await bob.say('his');
  await alice.sees('his');
  await until('it is read aloud', async () => (await heard()).length > 0);
  assert.deepEqual(await heard(), [`${name}: his`]);
  await alice.page.evaluate(() => (document.querySelector('#log').scrollTop = 0));
  await until('history', async () => (await heard()).length > 1);
  assert.match((await heard())[1], /^\d+ earlier messages$/);
  assertContent([alice, bob]);
});

test('text twice as large: everything is there, and nothing is wider than the page', async () => {
  for (const viewport of [WIDE, NARROW]) {
    const context = await browser.newContext({ viewport });
    const tab = new Tab(await context.newPage(), system.url);
    const devtools = await context.newCDPSession(tab.page);
    await devtools.send('Page.setFontSizes', { fontSizes: { standard: 32, fixed: 26 } });
    await tab.enter(fresh('alice'));
    await tab.say('large');
    await tab.sees('large');
    assert.equal(await tab.page.locator('.line:not(.pending) .text').last().evaluate((text) => parseFloat(getComputedStyle(text).fontSize)), 30);
    assert.equal(await tab.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, `${viewport.width} wide`);
    for (const id of ['#title', '#text', '#menu']) assert.equal(await tab.page.locator(id).isVisible(), true, id);
    const box = await tab.page.locator('#composer').boundingBox();
    assert.equal(box.y + box.height <= viewport.height, true, 'the composer is in sight');
    assertContent([tab]);
  }
});
