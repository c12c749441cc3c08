// What is said of the connection: nothing, a word, or its cause and when the next try comes.

import { text } from '../strings.js';
import { find, say } from './dom.js';

/**
 * @typedef {object} Bar
 * @property {string} cause in words
 * @property {number | null} nextTry when, milliseconds; null: it is under way
 * @property {boolean} tries whether there are tries at all
 */

/** How often the seconds to the next try are counted, in milliseconds. */
const TICK_MS = 250;

export class ConnectionBar {
  #pill = find('pill', HTMLElement);
  #bar = find('bar', HTMLElement);
  #cause = find('bar-cause', HTMLElement);
  #next = find('bar-next', HTMLElement);
  #try = find('try-now', HTMLButtonElement);
  /** @type {Bar | null} */
  #shown = null;
  /** @type {ReturnType<typeof setInterval> | undefined} */
  #ticks;

  /** @param {() => void} tryNow */
  constructor(tryNow) {
    this.#try.addEventListener('click', tryNow);
  }

  /** @param {{pill: string, bar: Bar | null, stale: boolean}} page */
  render({ pill, bar, stale }) {
    document.body.classList.toggle('stale', stale);
    say(this.#pill, bar ? '' : pill);
    this.#shown = bar;
    this.#bar.classList.toggle('shown', bar !== null);
    say(this.#cause, bar?.cause ?? '');
    const focused = document.activeElement === this.#try;
    this.#try.hidden = !bar?.tries;
    if (focused && this.#try.hidden) find('text', HTMLElement).focus();
    if (bar?.tries) this.#ticks ??= setInterval(() => this.#count(), TICK_MS);
    else {
      clearInterval(this.#ticks);
      this.#ticks = undefined;
    }
    this.#count();
  }

  #count() {
    const bar = this.#shown;
    if (!bar?.tries) return say(this.#next, '');
    const seconds = bar.nextTry === null ? 0 : Math.ceil((bar.nextTry - Date.now()) / 1000);
    say(this.#next, seconds > 0 ? text.nextTry(seconds) : text.trying);
  }
}
