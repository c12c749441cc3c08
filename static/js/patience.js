// When something that lasts is mentioned: not at once, as most of it is over before anybody need know; then in a word;
// and when it lasts on, with its cause.

/** Shorter than this is not mentioned, in milliseconds. */
export const CALM_MS = 2_000;
/** Longer than this is explained, in milliseconds. */
export const LONG_MS = 10_000;

/** @typedef {'' | 'word' | 'cause'} Level how much is said of it */

export class Patience {
  #clock;
  #changed;
  /** @type {Level} */
  #level = '';
  /** @type {unknown[]} */
  #timers = [];

  /**
   * @param {object} parts
   * @param {(work: () => void, ms: number) => unknown} parts.setTimeout
   * @param {(timer: unknown) => void} parts.clearTimeout
   * @param {() => void} parts.changed called after each change of the level that time makes
   */
  constructor({ setTimeout, clearTimeout, changed }) {
    this.#clock = { setTimeout, clearTimeout };
    this.#changed = changed;
  }

  get level() {
    return this.#level;
  }

  /** @param {boolean} lasts */
  set(lasts) {
    if (!lasts) {
      for (const timer of this.#timers.splice(0)) this.#clock.clearTimeout(timer);
      this.#level = '';
    } else if (this.#timers.length === 0) {
      this.#timers = [this.#after(CALM_MS, 'word'), this.#after(LONG_MS, 'cause')];
    }
  }

  /**
   * @param {number} ms
   * @param {Level} level
   */
  #after(ms, level) {
    return this.#clock.setTimeout(() => {
      this.#level = level;
      this.#changed();
    }, ms);
  }
}
