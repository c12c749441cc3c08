// How far rooms were read, told to the server now and then: other devices show it.

/** @typedef {import('./connection.js').Ask} Ask */
/** @typedef {Pick<import('./rooms.js').Mark, 'event' | 'back'>} Mark */

/** How often one room's mark is told, in milliseconds. */
const EVERY_MS = 2_000;

export class Marks {
  #ask;
  #setTimeout;
  /** What is told, or waits for its turn, by room. @type {Map<string, {mark: Mark, wake: () => void}>} */
  #telling = new Map();

  /**
   * @param {object} parts
   * @param {Ask} parts.ask
   * @param {(work: () => void, ms: number) => unknown} parts.setTimeout
   */
  constructor({ ask, setTimeout }) {
    this.#ask = ask;
    this.#setTimeout = setTimeout;
  }

  /**
   * Tells how far a room was read: at once, or soon where that was just done. Of several the last one counts.
   * @param {string} room
   * @param {Mark} mark
   */
  tell(room, mark) {
    const telling = this.#telling.get(room);
    if (telling) telling.mark = mark;
    else void this.#tell(room, mark);
  }

  /** Tells at once what waits: the page may go. */
  flush() {
    for (const { wake } of this.#telling.values()) wake();
  }

  /**
   * @param {string} room
   * @param {Mark} first
   */
  async #tell(room, first) {
    const telling = { mark: first, wake: () => {} };
    this.#telling.set(room, telling);
    try {
      /** @type {Mark | null} */
      let told = null;
      while (told !== telling.mark) {
        await this.#ask(() => {
          const { event, back } = (told = telling.mark);
          return { type: 'read', room, event, back };
        });
        await new Promise((resolve) => {
          telling.wake = () => resolve(undefined);
          this.#setTimeout(telling.wake, EVERY_MS);
        });
      }
    } catch {
      // Refused for good, or the page is closing. It costs a number too high, no more.
    } finally {
      this.#telling.delete(room);
    }
  }
}
