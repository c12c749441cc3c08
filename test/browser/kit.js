// Real people in a real Chromium: what they do, what they see, and what their browser complained about.

import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const ARGS = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking',
  '--disable-component-update', '--disable-sync'];

/** The most that anything may take to be seen, in milliseconds. */
export const SOON_MS = 15_000;

/** @returns {Promise<import('playwright-core').Browser>} */
export function launch() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium', args: ARGS });
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
    if (this.page.url().endsWith('/login')) {
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
 * @param {import('playwright-core').BrowserContextOptions} [options]
 */
export async function person(browser, url, name, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  const tab = new Tab(await context.newPage(), url);
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

let names = 0;

/** A name that nobody else has in this run. */
export function fresh(name) {
  return `${name}-${process.pid.toString(36)}-${++names}`;
}
