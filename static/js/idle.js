// Whether the person is at this page: seen, and in use now and then.

/** How long a page may be out of sight, and in sight without use, before its person is away, in milliseconds. */
const HIDDEN_MS = 2 * 60_000;
const UNUSED_MS = 10 * 60_000;

export class Idle {
  away = false;
  #env;
  #changed;
  #visible = true;
  #since;
  /** @type {unknown} */
  #timer = null;

  /**
   * @param {Pick<import('./connection.js').Env, 'setTimeout' | 'clearTimeout' | 'now'>} env
   * @param {() => void} changed called when `away` has changed
   */
  constructor(env, changed) {
    this.#env = env;
    this.#changed = changed;
    this.#since = env.now();
    this.#wait();
  }

  /** The page is used. */
  used() {
    this.#since = this.#env.now();
    if (!this.away) return;
    this.away = false;
    this.#changed();
    this.#wait();
  }

  /**
   * The page came into sight, or went out of it.
   * @param {boolean} visible
   */
  seen(visible) {
    this.#visible = visible;
    if (visible) this.used();
    else this.#since = this.#env.now();
    if (!this.away) this.#wait();
  }

  #wait() {
    this.#env.clearTimeout(this.#timer);
    this.#timer = null;
    const left = this.#since + (this.#visible ? UNUSED_MS : HIDDEN_MS) - this.#env.now();
    if (left > 0) {
      this.#timer = this.#env.setTimeout(() => this.#wait(), left);
    } else if (!this.away) {
      this.away = true;
      this.#changed();
    }
  }
}
