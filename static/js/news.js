// What of a conversation is read aloud to who cannot see it: each new message of others once, older ones that were
// loaded as a number, and what was refused.

/** @typedef {{name: string, known: boolean, lines: Array<{event: string, from: string, text: string, at: string}>, pending: Array<{key: string, failure?: string}>}} Heard */
/** @typedef {{from: string, text: string} | {more: number} | {earlier: number} | {refused: string}} Piece */

/** More than these at once are a number. */
const MOST = 3;

export class News {
  #user;
  /** The conversation that was open, '' while the server has not told us of it. */
  #name = '';
  /** The first and the last line that were there, '' for none. */
  #first = '';
  #last = '';
  /** @type {Set<string>} */
  #refused = new Set();

  /** @param {string} user whose own messages are no news */
  constructor(user) {
    this.#user = user;
  }

  /**
   * What is new since it was asked last. Of another conversation nothing is: one opened it to read it.
   * @param {Heard | null} open
   * @returns {Piece[]}
   */
  of(open) {
    const lines = open?.lines ?? [];
    const was = { name: this.#name, first: this.#first, last: this.#last, refused: this.#refused };
    const refused = (open?.pending ?? []).filter(({ failure }) => failure !== undefined);
    this.#name = open?.known ? open.name : '';
    this.#first = lines[0]?.event ?? '';
    this.#last = lines.at(-1)?.event ?? '';
    this.#refused = new Set(refused.map(({ key }) => key));
    if (!open || was.name !== open.name) return [];

    /** @type {Piece[]} */
    const pieces = refused.filter(({ key }) => !was.refused.has(key)).map(({ failure = '' }) => ({ refused: failure }));
    if (was.first === this.#first && was.last === this.#last) return pieces;
    const first = lines.findIndex(({ event }) => event === was.first);
    if (first > 0) pieces.push({ earlier: first });
    const last = lines.map(({ event }) => event).lastIndexOf(was.last);
    // Where the last one is gone, what stands here now was replaced, or it was taken back.
    if (last < 0 && was.last !== '') return pieces;
    const others = lines.slice(last + 1).filter(({ from }) => from !== this.#user);
    if (others.length > MOST) pieces.push({ more: others.length });
    else pieces.push(...others.map(({ from, text }) => ({ from, text })));
    return pieces;
  }
}
