// How people talk on the page, on a whole system: changing and deleting what they said.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertContent, fresh, person, stage, until } from './kit.js';

const { system, browser } = await stage();

/** Two people in a room of their own. */
async function two(options = {}) {
  const [alice, bob] = await Promise.all(['alice', 'bob'].map((name) => person(browser, system.url, fresh(name), options)));
  const room = fresh('room');
  for (const tab of [alice, bob]) {
    if (options.isMobile) await tab.page.tap('#menu');
    await tab.goto(room);
  }
  return { alice, bob, room };
}

test('what one said can be changed and deleted, by keys and by pointer, and others see it', async () => {
  const { alice, bob } = await two();
  await alice.say('first');
  await alice.say('secnd');
  await bob.sees('secnd');
  await bob.say('of bob');
  await alice.sees('of bob');
  await alice.page.press('#text', 'ArrowUp');
  assert.equal(await alice.page.inputValue('#text'), 'secnd');
  await alice.page.fill('#text', 'second');
  await alice.page.press('#text', 'Enter');
  await bob.sees('second (edited)');
  await alice.sees('second (edited)');
  assert.equal(await alice.page.inputValue('#text'), '');

  await alice.page.fill('#text', 'half a thought');
  await alice.act('first', 'Edit');
  assert.equal(await alice.page.inputValue('#text'), 'first');
  await alice.page.press('#text', 'Escape');
  assert.equal(await alice.page.inputValue('#text'), 'half a thought', 'the draft is back');

  await alice.line('of bob').hover();
  assert.equal(await alice.page.locator('.actions').getByLabel('Edit').count(), 0, "nobody changes another's words");
  await alice.act('first', 'Delete');
  await alice.page.locator('.ask').getByText('Keep it').click();
  await alice.act('first', 'Delete');
  await alice.page.locator('.ask .bad').click();
  for (const tab of [alice, bob]) {
    await tab.line('first').waitFor({ state: 'detached' });
    await tab.shows(['second (edited)', 'of bob']);
  }
  await bob.page.reload();
  await bob.sees('of bob');
  await bob.shows(['second (edited)', 'of bob']);
  assertContent([alice, bob]);
});

test('the lines can be walked by keys, and their buttons reached', async () => {
  const { alice, bob } = await two();
  for (const text of ['one', 'two', 'three']) await alice.say(text);
  await alice.sees('three');
  await alice.page.focus('#log');
  await alice.page.keyboard.press('ArrowUp');
  await alice.page.keyboard.press('ArrowUp');
  assert.match(await alice.page.evaluate(() => document.activeElement.textContent), /two$/);
  await alice.page.keyboard.press('Enter');
  const focused = () => alice.page.evaluate(() => document.activeElement.getAttribute('aria-label'));
  assert.equal(await focused(), 'React');
  for (let i = 0; i < 5 && (await focused()) !== 'Edit'; i++) await alice.page.keyboard.press('ArrowRight');
  await alice.page.keyboard.press('Enter');
  assert.equal(await alice.page.inputValue('#text'), 'two');
  await alice.page.keyboard.type('!');
  await alice.page.keyboard.press('Enter');
  await bob.sees('two! (edited)');
  assertContent([alice, bob]);
});

test('changes wait while there is no connection, go out in order, and say when they were refused', async () => {
  const { alice, bob, room } = await two();
  const other = await person(browser, system.url, await alice.page.textContent('.me-name'));
  await other.goto(room);
  for (const text of ['draft', 'gone elsewhere', 'doubtful']) await alice.say(text);
  await other.sees('doubtful');
  await alice.sees('doubtful');
  await alice.offline();
  await alice.act('draft', 'Edit');
  await alice.page.fill('#text', 'final');
  await alice.page.press('#text', 'Enter');
  await alice.act('doubtful', 'Delete');
  await alice.page.locator('.ask .bad').click();
  await alice.act('gone elsewhere', 'Edit');
  await alice.page.fill('#text', 'too late');
  await alice.page.press('#text', 'Enter');
  await alice.page.locator('.line.pending .text', { hasText: 'too late' }).waitFor();
  await alice.page.locator('.line.pending.gone').waitFor();
  await other.act('gone elsewhere', 'Delete');
  await other.page.locator('.ask .bad').click();
  await bob.line('gone elsewhere').waitFor({ state: 'detached' });
  await bob.shows(['draft', 'doubtful']);

  // What waits outlives the page.
  await alice.online();
  await alice.page.reload();
  await alice.live();
  for (const tab of [alice, bob]) await until('all of it is there', async () => String(await tab.lines()) === 'final (edited)');
  await alice.page.locator('.status.refused', { hasText: 'Not changed' }).waitFor();
  await alice.page.getByText('Discard').click();
  await alice.page.locator('.status.refused').waitFor({ state: 'detached' });
  assertContent([alice, bob, other], { unreachable: true });
});

test('on a phone a tap on a message shows what can be done with it', async () => {
  const { alice, bob } = await two({ viewport: { width: 360, height: 740 }, hasTouch: true, isMobile: true });
  await alice.say('from a phone');
  await alice.sees('from a phone');
  await alice.line('from a phone').tap();
  await alice.page.locator('.actions').getByLabel('Edit').tap();
  await alice.page.fill('#text', 'by thumb');
  await alice.page.press('#text', 'Enter');
  await bob.sees('by thumb (edited)');
  await bob.line('by thumb (edited)').tap();
  assert.equal(await bob.page.locator('.actions').getByLabel('Delete').count(), 0);
  await bob.line('by thumb (edited)').tap();
  await bob.page.locator('.actions').waitFor({ state: 'hidden' });
  assertContent([alice, bob]);
});

test('Markdown is shown as what it means, markup of others never; long texts fold; who is spoken to sees it', async () => {
  const { alice, bob } = await two();
  const name = await bob.page.textContent('.me-name');
  const elsewhere = [];
  bob.page.on('request', (request) => request.url().startsWith(system.url) || elsewhere.push(request.url()));
  await alice.say(`**Bold**, *it*, ~~no~~ and \`<b>\` for @${name}: [notes](https://example.org/a)`);
  const line = bob.page.locator('.line.to-me');
  await line.waitFor();
  for (const [tag, text] of [['strong:not(.mine)', 'Bold'], ['em', 'it'], ['del', 'no'], ['code', '<b>'], ['.mine', `@${name}`], ['a', 'notes']]) {
    assert.equal(await line.locator(`.text ${tag}`).textContent(), text);
  }
  assert.deepEqual(await line.locator('a').evaluate(({ href, rel, target }) => [href, rel, target]), ['https://example.org/a', 'noopener noreferrer nofollow', '_blank']);
  await alice.say('> <img src=x onerror=alert(1)>\n\n1. one\n2. two\n   - half\n\n```js\nlet a = "<script>";\n```');
  const blocks = bob.page.locator('.line .text').last();
  await blocks.locator('pre').waitFor();
  assert.equal(await blocks.locator('blockquote').textContent(), '<img src=x onerror=alert(1)>');
  assert.deepEqual(await blocks.locator('li').allTextContents(), ['one', 'twohalf', 'half']);
  assert.equal(await blocks.locator('pre').textContent(), 'let a = "<script>";');
  assert.equal(await bob.page.locator('.line img, .line script, .line b').count(), 0);

  await alice.say('![a picture](https://example.org/a.png) <https://example.org/b.png>');
  await bob.page.locator('.line .text', { hasText: 'a picture' }).waitFor();
  assert.equal(await bob.page.locator('.line img').count(), 0);
  assert.deepEqual(elsewhere, [], 'nothing is fetched from elsewhere');

  await alice.say(Array.from({ length: 60 }, (_, i) => `line ${i}`).join('\n'));
  const long = bob.page.locator('.line').last();
  const more = long.getByRole('button', { name: 'Show more' });
  await more.waitFor();
  const height = () => long.evaluate((element) => element.offsetHeight);
  const folded = await height();
  await more.click();
  assert.ok((await height()) > 3 * folded);
  await long.getByRole('button', { name: 'Show less' }).click();
  assert.equal(await height(), folded);
  assertContent([alice, bob]);
});

test('a reply shows what it is to and leads there; it is kept with its draft', async () => {
  const { alice, bob, room } = await two();
  await alice.say('Shall we **go**?');
  for (let i = 0; i < 40; i++) await alice.say(`filler ${i}`);
  await bob.sees('filler 39');
  await bob.page.locator('#log').evaluate((log) => (log.scrollTop = 0));
  await bob.act('Shall we go?', 'Reply');
  const name = await alice.page.textContent('.me-name');
  assert.equal(await bob.page.textContent('#about-text'), `You reply to ${name}: Shall we go?`);
  await bob.page.keyboard.type('Yes, ');
  await bob.page.reload();
  await bob.titled(room);
  await bob.sees('filler 39');
  assert.equal(await bob.page.textContent('#about-text'), `You reply to ${name}: Shall we go?`);
  await bob.page.focus('#text');
  await bob.page.keyboard.press('End');
  await bob.page.keyboard.type('now');
  await bob.page.keyboard.press('Enter');
  await alice.sees('Yes, now');
  assert.equal(await bob.page.isVisible('#about'), false);
  for (const tab of [alice, bob]) {
    const quote = tab.page.locator('.line .quote');
    assert.equal(await quote.textContent(), `Reply to: ${name} Shall we go?`);
    await quote.click();
    await tab.page.waitForFunction(() => {
      const text = [...document.querySelectorAll('.line .text')].find(({ textContent }) => textContent === 'Shall we go?');
      const { top, bottom } = text.getBoundingClientRect();
      return top > 0 && bottom < innerHeight;
    });
  }
  await alice.act('Shall we go?', 'Delete');
  await alice.page.locator('.ask .bad').click();
  await bob.page.locator('.quote', { hasText: 'an earlier message' }).waitFor();
  assertContent([alice, bob]);
});

test('reactions: counted, with who, taken back by another press, the same after a reload', async () => {
  const { alice, bob } = await two();
  await alice.say('look');
  await bob.sees('look');
  await bob.act('look', 'React');
  await bob.page.keyboard.type('thumb');
  await bob.page.keyboard.press('Enter');
  const reaction = (tab) => tab.page.locator('.reactions button');
  await reaction(alice).waitFor();
  assert.equal(await reaction(alice).textContent(), '👍 1');
  assert.equal(await reaction(alice).getAttribute('title'), await bob.page.textContent('.me-name'));
  await reaction(alice).focus();
  await alice.page.keyboard.press('Enter');
  await reaction(bob).getByText('👍 2').waitFor();
  assert.equal(await reaction(alice).getAttribute('aria-pressed'), 'true');
  await until('it keeps the focus', () => alice.page.evaluate(() => document.activeElement.closest('.reactions') !== null));
  await reaction(bob).click();
  await reaction(alice).getByText('👍 1').waitFor();
  assert.equal(await reaction(bob).getAttribute('aria-pressed'), 'false');
  await alice.offline();
  await reaction(alice).click();
  await reaction(alice).waitFor({ state: 'detached' });
  await alice.act('look', 'React');
  await alice.page.locator('.picker').getByLabel('tada').click();
  assert.equal(await reaction(alice).textContent(), '🎉 1', 'it shows at once');
  await alice.online();
  for (const tab of [alice, bob]) await until('the rest arrives', async () => String(await reaction(tab).allTextContents()) === '🎉 1');
  await bob.page.reload();
  await bob.sees('look');
  assert.deepEqual(await reaction(bob).allTextContents(), ['🎉 1']);
  assertContent([alice, bob], { unreachable: true });
});

test('hundreds of emoji under a message are not all shown', async () => {
  const { alice, bob } = await two();
  await alice.say('flooded');
  await bob.sees('flooded');
  // By a socket of bob's own, as no page does it.
  await bob.page.evaluate(async () => {
    const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/ws`, 'chatd.v1');
    const [, room] = decodeURIComponent(location.hash).split('/');
    let id = 0;
    /** @returns {Promise<any>} */
    const ask = (type, fields) => new Promise((answered) => {
      const mine = ++id;
      socket.addEventListener('message', ({ data }) => {
        for (const object of data.split('\n').map(JSON.parse)) if (object.id === mine) answered(object);
      });
      socket.send(JSON.stringify({ type, id: mine, room, ...fields }));
    });
    await new Promise((open) => socket.addEventListener('open', open));
    const { events } = await ask('join', {});
    const target = events.findLast(({ text }) => text === 'flooded').event;
    for (let n = 0; n < 30; n++) await ask('react', { key: `flood-${n}`, target, emoji: String.fromCodePoint(0x1f400 + n), on: true });
    socket.close();
  });
  await alice.page.locator('.reactions .left').getByText('+10').waitFor();
  assert.equal(await alice.page.locator('.reactions button').count(), 20);
  await alice.act('flooded', 'React');
  await alice.page.locator('.picker').getByLabel('tada').click();
  await alice.page.locator('.reactions button', { hasText: '🎉' }).waitFor(); // one's own is there
  await bob.page.locator('.reactions button').nth(29).waitFor();
  assertContent([alice, bob]);
});

test('a reaction that is refused says so, and can be discarded', async () => {
  const { alice, bob } = await two({ timed: true });
  await alice.say('look');
  await bob.sees('look');
  await bob.offline();
  await bob.act('look', 'React');
  await bob.page.keyboard.type('thumb');
  await bob.page.keyboard.press('Enter');
  await bob.page.locator('.reactions button').waitFor();
  // Sent now, it could count twice.
  await bob.page.clock.fastForward('24:00:00');
  await bob.online();
  await bob.live();
  const refused = bob.page.locator('.status.refused');
  await refused.getByText('Your reaction 👍 was not changed: it is more than a day old').waitFor();
  assert.equal(await bob.page.locator('.reactions button').count(), 0);
  await refused.getByText('Discard').click();
  await refused.waitFor({ state: 'detached' });
  assertContent([alice, bob], { unreachable: true });
});

test('who types is shown to others, until the message comes, or for some seconds', async () => {
  const { bob, room } = await two();
  const alice = await person(browser, system.url, fresh('alice'), { timed: true });
  await alice.goto(room);
  const name = await bob.page.textContent('.me-name');
  const typing = alice.page.locator('#typing');
  await bob.page.locator('#text').pressSequentially('hm');
  await typing.getByText(`${name} is typing…`).waitFor();
  await bob.page.press('#text', 'Enter');
  await alice.sees('hm');
  assert.equal(await typing.textContent(), '');
  await bob.page.locator('#text').pressSequentially('and');
  await typing.getByText(`${name} is typing…`).waitFor();
  await bob.page.context().close(); // in the middle of a word
  await alice.page.clock.runFor(8_000);
  await until('it does not linger', async () => (await typing.textContent()) === '');
  assertContent([alice, bob]);
});

test('names and emoji are completed, by keys and by touch, and what is whole is sent', async () => {
  const { alice, bob } = await two();
  const name = await bob.page.textContent('.me-name');
  await alice.page.locator('#here').getByText(name, { exact: true }).waitFor();
  await alice.page.focus('#text');
  await alice.page.keyboard.type('hey @bo');
  const options = alice.page.locator('#completions [role=option]');
  await options.first().waitFor();
  assert.deepEqual(await options.locator('bdi').allTextContents(), [name]);
  assert.equal(await alice.page.getAttribute('#text', 'aria-activedescendant'), await options.first().getAttribute('id'));
  await alice.page.keyboard.press('Enter');
  assert.equal(await alice.page.inputValue('#text'), `hey @${name} `);
  assert.equal(await alice.page.isVisible('#completions'), false);
  await alice.page.keyboard.type(':tad');
  await options.first().waitFor();
  await alice.page.keyboard.press('Escape');
  assert.equal(await alice.page.isVisible('#completions'), false);
  await alice.page.keyboard.type('a: and :eye');
  await options.first().click();
  assert.equal(await alice.page.inputValue('#text'), `hey @${name} 🎉 and 👀 `);
  await alice.page.keyboard.press('Control+z');
  assert.equal(await alice.page.inputValue('#text'), `hey @${name} 🎉 and :eye`, 'it can be undone');
  await alice.page.keyboard.press('Escape');
  await alice.page.keyboard.press('End');
  await alice.page.keyboard.type(` @${name}`);
  await alice.page.keyboard.press('Enter');
  await bob.sees(`hey @${name} 🎉 and :eye @${name}`);
  assertContent([alice, bob]);
});

test('keys put marks around what is selected, and Enter sends no half block of code', async () => {
  const { alice, bob } = await two();
  await alice.page.focus('#text');
  await alice.page.keyboard.type('so bold');
  await alice.page.keyboard.press('Control+Shift+ArrowLeft');
  await alice.page.keyboard.press('Control+b');
  assert.equal(await alice.page.inputValue('#text'), 'so **bold**');
  await alice.page.keyboard.press('Control+b');
  assert.equal(await alice.page.inputValue('#text'), 'so bold');
  await alice.page.keyboard.press('Control+i');
  await alice.page.keyboard.press('End');
  await alice.page.keyboard.press('Shift+Enter');
  for (const line of ['```', 'let a;', '```']) {
    await alice.page.keyboard.type(line);
    await alice.page.keyboard.press('Enter');
  }
  const text = bob.page.locator('.line .text');
  await text.waitFor();
  assert.equal(await text.locator('em').textContent(), 'bold');
  assert.equal(await text.locator('pre').textContent(), 'let a;');
  assert.equal(await alice.page.inputValue('#text'), '');
  assertContent([alice, bob]);
});

test('a draft outlives its tab, and stays in its room', async () => {
  const { alice, room } = await two();
  await alice.page.fill('#text', 'to be continued');
  await alice.goto('general');
  assert.equal(await alice.page.inputValue('#text'), '');
  const page = await alice.page.context().newPage();
  await alice.page.close();
  await page.goto(`${system.url}/#${room}`);
  await page.locator('#title').getByText(room, { exact: true }).waitFor();
  assert.equal(await page.inputValue('#text'), 'to be continued');
});
