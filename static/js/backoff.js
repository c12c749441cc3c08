// How long to wait before coming back. Random from zero ("full jitter"), so that those who lost one instance together
// do not return together.

/** The first step, in milliseconds. */
const FIRST_MS = 250;
/** The longest step, in milliseconds. */
const LONGEST_MS = 20_000;
/** A connection that did not live this long does not count as a success, in milliseconds. */
const PROVEN_MS = 5_000;

export class Backoff {
  #random;
  #longest;
  #tries = 0;
  #liveSince = Infinity;

  /**
   * @param {() => number} random like Math.random
   * @param {number} [longestMs] the longest step, in milliseconds
   */
  constructor(random, longestMs = LONGEST_MS) {
    this.#random = random;
    this.#longest = longestMs;
  }

  /**
   * Tells that the connection is live from now on.
   * @param {number} now milliseconds
   */
  live(now) {
    this.#liveSince = now;
  }

  /**
   * The wait before the next try, in milliseconds. There is always a next try.
   * @param {number} now milliseconds
   * @param {number} [leastMs] what the server asked for: it is waited in full, and the random part on top of it
   */
  next(now, leastMs = 0) {
    if (now - this.#liveSince >= PROVEN_MS) this.#tries = 0;
    this.#liveSince = Infinity;
    const step = Math.min(this.#longest, FIRST_MS * 2 ** Math.min(this.#tries, 16));
    this.#tries++;
    return leastMs + this.#random() * step;
  }
}
