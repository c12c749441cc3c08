// Real people in a real Chromium: what they do, what they see, and what their browser complained about.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { chromium } from 'playwright-core';
import { startSystem } from './system.js';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

const EXECUTABLE = process.env.CHROMIUM ?? '/usr/bin/chromium';
/** The most that anything may take to be seen, in milliseconds: three files run at a time, on two cores. */
export const SOON_MS = 30_000;
const AXE = readFileSync(new URL('../../node_modules/axe-core/axe.min.js', import.meta.url), 'utf8');

/** @returns {Promise<import('playwright-core').Browser>} */
export function launch() {
  return chromium.launch({ executablePath: EXECUTABLE, args: ARGS });
}

/**
 * A Chromium with a profile on the disk, which can be killed as if it had crashed.
 * @param {string} profile a folder
 */
export async function launchWithProfile(profile) {
  const port = join(profile, 'DevToolsActivePort');
  rmSync(port, { force: true });
  const args = [...ARGS, '--headless=new', '--no-startup-window', '--remote-debugging-port=0', `--user-data-dir=${profile}`];
  // A group of its own, so that all its processes can be killed together.
  const child = spawn(EXECUTABLE, args, { detached: true, stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  await until('Chromium listens', () => existsSync(port) && readFileSync(port, 'utf8').includes('\n'));
  const browser = await chromium.connectOverCDP(`http://127.0.0.1:${readFileSync(port, 'utf8').split('\n')[0]}`);
  return {
    context: browser.contexts()[0],
    /** Kills all of it with -9. */
    async kill() {
      process.kill(-child.pid, 'SIGKILL');
      await ended;
    },
  };
}

/**
 * Starts a whole system and a browser for all tests of a file, and ends both behind the last one.
 * @param {Record<string, string>} [variables] CHATD_… for the instances
 */
export async function stage(variables) {
  const system = await startSystem(variables);
  const browser = await launch();
  // Pages that stay open go on working: each hears of whoever comes to general, in all tests after its own.
  afterEach(() => Promise.all(browser.contexts().map((context) => context.close())));
  after(async () => {
    await browser.close();
    await system.stop();
  });
  return { system, browser };
}

/** Waits until something holds. */
export async function until(what, holds) {
  const deadline = Date.now() + SOON_MS;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/**
 * Counts the page's open sockets: `window.sockets` says how many there are, how few and many there were, and by which codes
 * those ended that the page had not let go.
 */
function countSockets() {
  const sockets = (window.sockets = { open: 0, least: Infinity, most: 0, lost: [] });
  window.WebSocket = class extends WebSocket {
    #counted = false;
    constructor(...args) {
      super(...args);
      this.addEventListener('open', () => this.#count(true));
      this.addEventListener('close', ({ code }) => {
        if (this.#counted) sockets.lost.push(code);
        this.#count(false);
      });
    }
    close(...args) {
      this.#count(false);
      super.close(...args);
    }
    #count(open) {
      if (open === this.#counted) return;
      this.#counted = open;
      sockets.open += open ? 1 : -1;
      sockets.least = Math.min(sockets.least, sockets.open);
      sockets.most = Math.max(sockets.most, sockets.open);
    }
  };
}

/** One window of a person. */
export class Tab {
  /** What the browser complained about. @type {string[]} */
  complaints = [];

  /**
   * @param {import('playwright-core').Page} page
   * @param {string} url
   */
  constructor(page, url) {
    this.page = page;
    this.url = url;
    page.setDefaultTimeout(SOON_MS);
    page.on('pageerror', (err) => this.complaints.push(`page error: ${err}`));
    page.on('console', (message) => {
      if (['error', 'warning'].includes(message.type())) this.complaints.push(message.text());
    });
  }

  /** Goes to the page, and logs in where it is asked to. */
  async enter(name) {
    await this.page.goto(this.url);
    if (new URL(this.page.url()).pathname === '/login') {
      await this.page.fill('#username', name);
      await this.page.click('.card button');
    }
    await this.live();
  }

  /** Waits until the connection is live. */
  async live() {
    await this.page.waitForSelector('body[data-state=live], body[data-state=moving]');
  }

  /** Writes a line; resolves when the composer is free again. */
  async say(text) {
    await this.page.fill('#text', text);
    await this.page.press('#text', 'Enter');
    await this.page.waitForFunction(() => document.querySelector('#text').value === '');
  }

  /** Waits until a line is there, as one that the server has. */
  async sees(text) {
    await this.line(text).first().waitFor();
  }

  /** Presses a button of the bar at a line. */
  async act(text, action) {
    const button = this.page.locator('.actions').getByLabel(action);
    await until(`${action} is offered`, async () => {
      await this.page.mouse.move(0, 0); // what comes or goes around a pointer that rests may hide the buttons
      await this.line(text).hover();
      return button.isVisible();
    });
    await button.click();
  }

  line(text) {
    return this.page.locator('.line:not(.pending) .text').getByText(text, { exact: true });
  }

  /** Opens a conversation through the box below the list. */
  async goto(name) {
    await this.page.fill('#join-name', name);
    await this.page.press('#join-name', 'Enter');
    await this.titled(name.replace(/^[#@]/, ''));
  }

  async titled(title) {
    await this.page.locator('#title').getByText(title, { exact: true }).waitFor();
  }

  /** All lines of the open conversation, in order. */
  lines() {
    return this.page.locator('.line:not(.pending) .text').allTextContents();
  }

  /** What stands where continuity broke, among the lines. */
  conversation() {
    return this.page.locator('.line:not(.pending) .text, .break > span').allTextContents();
  }

  /**
   * Waits until these are the lines of the open conversation, in this order, and what stands where continuity broke.
   * @param {string[]} want
   */
  async shows(want) {
    let shown;
    await until('it shows', async () => isDeepStrictEqual((shown = await this.conversation()), want)).catch(() => {});
    assert.deepEqual(shown, want);
  }

  /** Takes the network away; resolves when the page knows. */
  async offline() {
    await this.page.context().setOffline(true);
    await this.page.waitForSelector('body[data-state=waiting], body[data-state=connecting]');
  }

  async online() {
    await this.page.context().setOffline(false);
  }

  /**
   * Has another socket of this person send messages as fast as it can; resolves when the last one is kept.
   * @param {string} room
   * @param {string[]} texts
   */
  async flood(room, texts) {
    await this.page.evaluate(async ([room, texts]) => {
      const socket = new WebSocket(`ws://${location.host}/ws`, 'chatd.v1');
      await new Promise((resolve, reject) => {
        socket.onclose = ({ code }) => reject(new Error(`closed, ${code}`));
        socket.onmessage = ({ data }) => {
          for (const frame of data.split('\n').map(JSON.parse)) {
            if (frame.type === 'error') reject(new Error(`${frame.code}: ${frame.message}`));
            if (frame.type === 'ok' && frame.id === texts.length) resolve();
            if (frame.type !== 'welcome') continue;
            const nonce = crypto.randomUUID();
            texts.forEach((text, i) => socket.send(JSON.stringify({ type: 'send', id: i + 1, room, key: `${nonce}-${i}`, text })));
          }
        };
      });
      socket.onclose = null;
      socket.close();
    }, [room, texts]);
  }

  /** Begins to count open sockets anew; see `sockets`. */
  async countSockets() {
    await this.page.evaluate(() => {
      window.sockets.least = window.sockets.most = window.sockets.open;
      window.sockets.lost = [];
    });
  }

  /** How few and how many sockets were open at any moment since. */
  async sockets() {
    return this.page.evaluate(() => ({ least: window.sockets.least, most: window.sockets.most }));
  }

  /** By which codes sockets ended since that the page had not let go. */
  async lost() {
    return this.page.evaluate(() => window.sockets.lost);
  }

  /** The instance that its socket is on. */
  async instance() {
    return (await this.page.textContent('#instance')).replace(/^on /, '');
  }
}

/**
 * A person with a browser of their own, logged in.
 * @param {import('playwright-core').Browser} browser
 * @param {string} url
 * @param {string} name
 * @param {import('playwright-core').BrowserContextOptions & {timed?: boolean}} [options] timed: the page's clock can be
 *   put forward
 */
export async function person(browser, url, name, { timed = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  await context.addInitScript(countSockets);
  const tab = new Tab(await context.newPage(), url);
  if (timed) await tab.page.clock.install();
  await tab.enter(name);
  return tab;
}

/** What a browser says by itself of requests that found nobody: expected where a test takes somebody away. */
const UNREACHABLE = /^Failed to load resource: (net::|the server responded with a status of 50[234])|^WebSocket connection to /;

/**
 * Asserts that no browser complained: not of the content security policy, not of an error.
 * @param {Tab[]} tabs
 * @param {{unreachable?: boolean}} [options] whether requests may have failed
 */
export function assertContent(tabs, { unreachable = false } = {}) {
  for (const { complaints } of tabs) {
    assert.deepEqual(complaints.filter((each) => !(unreachable && UNREACHABLE.test(each))), []);
  }
}

/**
 * What axe finds serious on a page, as lines.
 * @param {string[]} [rules] only these
 */
async function serious(page, rules) {
  await page.evaluate(`window.axe || ${AXE}`);
  return page.evaluate(async (rules) => {
    const { violations } = await window.axe.run(document, { resultTypes: ['violations'], ...(rules && { runOnly: rules }) });
    return violations
      .filter(({ impact }) => impact === 'serious' || impact === 'critical')
      .flatMap(({ id, nodes }) => nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary.split('\n')[1]?.trim()}`));
  }, rules);
}

/** Asserts that a view keeps nobody out, in light and dark, and not wider than the page. */
export async function good(page, view) {
  const { width } = page.viewportSize();
  await page.emulateMedia({ colorScheme: 'light' });
  assert.deepEqual(await serious(page), [], `${view}, ${width} wide`);
  await page.emulateMedia({ colorScheme: 'dark' });
  assert.deepEqual(await serious(page, ['color-contrast']), [], `${view}, dark, ${width} wide`);
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, `${view} is wider than the page`);
}

let names = 0;

/** A name that nobody else has in this run. */
export function fresh(name) {
  return `${name}-${process.pid.toString(36)}-${++names}`;
}
