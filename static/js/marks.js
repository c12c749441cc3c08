// How far rooms were read, told to the server now and then: other devices show it.

/** @typedef {import('./connection.js').Ask} Ask */

/** How often one room's mark is told, in milliseconds. */
const EVERY_MS = 2_000;

export class Marks {
  #ask;
  #setTimeout;
  /** What is told, or waits for its turn, by room. @type {Map<string, {event: string, wake: () => void}>} */
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
   * Tells that a room was read up to an event: at once, or soon where that was just done. Of several the last one counts.
   * @param {string} room
   * @param {string} event
   */
  tell(room, event) {
    const telling = this.#telling.get(room);
    if (telling) telling.event = event;
    else void this.#tell(room, event);
  }

  /** Tells at once what waits: the page may go. */
  flush() {
    for (const { wake } of this.#telling.values()) wake();
  }

  /**
   * @param {string} room
   * @param {string} first
   */
  async #tell(room, first) {
    const mark = { event: first, wake: () => {} };
    this.#telling.set(room, mark);
    try {
      let told = '';
      while (told !== mark.event) {
        await this.#ask(() => ({ type: 'read', room, event: (told = mark.event) }));
        await new Promise((resolve) => {
          mark.wake = () => resolve(undefined);
          this.#setTimeout(mark.wake, EVERY_MS);
        });
      }
    } catch {
      // Refused for good, or the page is closing. It costs a number too high, no more.
    } finally {
      this.#telling.delete(room);
    }
  }
}
