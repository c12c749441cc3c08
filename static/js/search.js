// Looks for messages in the rooms of this page, from the newest back, in pieces: the server looks through a part of one
// room at a time.

import { FinalError } from './protocol.js';

/** @typedef {import('./connection.js').Ask} Ask */

/**
 * @typedef {{room: string, event: string, from: string, at: string, text: string}} Hit
 * @typedef {{text: string, user: string, room: string, until: string}} Query
 */

/** How many rooms are asked at a time. */
const AT_ONCE = 4;

/**
 * What one typed: words, and `from:`, `in:` and `before:` with a name or a day.
 * @param {string} typed
 * @returns {Query & {wrong: string}} wrong: the part that cannot be understood, '' for none
 */
export function parsed(typed) {
  const query = { text: '', user: '', room: '', until: '', wrong: '' };
  const words = [];
  for (const part of typed.trim().split(/\s+/)) {
    const [, kind = '', value = ''] = /^(from|in|before):(.*)$/i.exec(part) ?? [];
    if (kind === '') words.push(part);
    else if (value === '') query.wrong = part;
    else if (kind.toLowerCase() === 'from') query.user = value.replace(/^@/, '').toLowerCase();
    else if (kind.toLowerCase() === 'in') query.room = value.replace(/^#/, '').toLowerCase();
    else {
      // The day begins where the reader is.
      const day = new Date(`${value}T00:00:00`);
      if (/^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(day.getTime())) query.until = day.toISOString();
      else query.wrong = part;
    }
  }
  query.text = words.join(' ');
  return query;
}

export class Search {
  #ask;
  #query;
  /** Where to go on, by room; '' at its newest event. @type {Map<string, string>} */
  #next;
  /** Whether nobody wants it any more. */
  #given = false;
  /** @type {Hit[]} */
  hits = [];

  /**
   * @param {Ask} ask
   * @param {Query} query
   * @param {string[]} rooms
   */
  constructor(ask, query, rooms) {
    this.#ask = ask;
    this.#query = query;
    this.#next = new Map(rooms.map((room) => [room, '']));
  }

  /** Whether there is more to look through. */
  get more() {
    return this.#next.size > 0;
  }

  /** Ends it: nothing more is asked. */
  giveUp() {
    this.#given = true;
  }

  /** Looks through one more piece of each room. Throws when the page closes. */
  async look() {
    const todo = [...this.#next];
    const work = async () => {
      for (let next = todo.shift(); next && !this.#given; next = todo.shift()) await this.#piece(...next);
    };
    await Promise.all(Array.from({ length: AT_ONCE }, work));
    this.hits.sort((a, b) => (a.at < b.at ? 1 : a.at > b.at ? -1 : 0));
  }

  /**
   * @param {string} room
   * @param {string} before
   */
  async #piece(room, before) {
    const { text, user, until } = this.#query;
    this.#next.delete(room);
    try {
      const request = { type: /** @type {const} */ ('search'), room, text, user, until };
      const ok = await this.#ask(() => (before ? { ...request, before } : request));
      for (const event of ok.events ?? []) {
        if (event.type !== 'message' && event.type !== 'edited') continue;
        this.hits.push({ room, event: event.type === 'edited' ? event.target : event.event, from: event.from, at: event.at, text: event.text });
      }
      if (ok.next) this.#next.set(room, ok.next);
    } catch (err) {
      if (!(err instanceof FinalError)) throw err; // a room that was left meanwhile
    }
  }
}
