// Real browsers among the drill's people. Reads one JSON object a line and answers each with one; ends with its input.
//
//   {"enter": {"url", "name", "rooms": [...]}}   opens a browser of its own, logs in and joins
//   {"say": {"name", "room", "text"}}            writes a line
//   {"lines": {"name", "room"}}                  answers with what the page shows: {"lines": [...], "pending": n}
//   {"complaints": {"name"}}                     answers with how often it was sent to the login page: {"logins": n}

import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];
/** The most that one step on a page may take, in milliseconds. */
const STEP_MS = 30_000;

/** @type {Map<string, {page: import('playwright-core').Page, logins: number}>} */
const people = new Map();
const browser = await chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });

/** Opens a room through the box below the list. */
async function open(page, room) {
  await page.fill('#join-name', room);
  await page.press('#join-name', 'Enter');
  await page.locator('#title').getByText(room, { exact: true }).waitFor();
}

const commands = {
  async enter({ url, name, rooms }) {
    const context = await browser.newContext({ viewport: { width: 1000, height: 700 } });
    const page = await context.newPage();
    page.setDefaultTimeout(STEP_MS);
    await page.goto(url);
    await page.fill('#username', name);
    await page.click('.card button');
    await page.waitForSelector('body[data-state=live], body[data-state=moving]');
    const person = { page, logins: 0 };
    people.set(name, person);
    page.on('framenavigated', (frame) => {
      if (frame === page.mainFrame() && new URL(frame.url()).pathname === '/login') person.logins++;
    });
    for (const room of rooms) await open(page, room);
    return {};
  },
  async say({ name, room, text }) {
    const { page } = people.get(name);
    if ((await page.textContent('#title')) !== room) await open(page, room);
    await page.fill('#text', text);
    await page.press('#text', 'Enter');
    await page.waitForFunction(() => document.querySelector('#text').value === '');
    return {};
  },
  async lines({ name, room }) {
    const { page } = people.get(name);
    if ((await page.textContent('#title')) !== room) await open(page, room);
    return {
      // Without the word that says that a line was edited.
      lines: await page.locator('.line:not(.pending) .text').evaluateAll((texts) => texts.map((text) => {
        const copy = text.cloneNode(true);
        for (const note of copy.querySelectorAll('span.soft')) note.remove();
        return copy.textContent.trimEnd();
      })),
      pending: await page.locator('.line.pending').count(),
    };
  },
  async complaints({ name }) {
    return { logins: people.get(name).logins };
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [[command, args]] = Object.entries(JSON.parse(line));
  let answer;
  try {
    answer = await commands[command](args);
  } catch (err) {
    answer = { error: String(err?.message ?? err).split('\n')[0] };
  }
  process.stdout.write(JSON.stringify(answer) + '\n');
}
await browser.close();
