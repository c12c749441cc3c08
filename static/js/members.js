// Who may be in the private rooms that this page shows. The server says so when asked; it is asked when such a room is
// opened, and after each change that is made here.

import { FinalError, isPrivate } from './protocol.js';

/** @typedef {{user: string, owner: boolean}} Member */

export class Members {
  #ask;
  #changed;
  /** @type {Map<string, Member[]>} */
  #rooms = new Map();

  /**
   * @param {object} parts
   * @param {import('./connection.js').Ask} parts.ask
   * @param {() => void} parts.changed called after each change
   */
  constructor({ ask, changed }) {
    this.#ask = ask;
    this.#changed = changed;
  }

  /**
   * The members of a private room, as far as they are known; null for any other room.
   * @param {string} room
   */
  of(room) {
    return isPrivate(room) ? this.#rooms.get(room) ?? [] : null;
  }

  /**
   * Asks who they are. Does nothing for a room that is not private, or not for this person.
   * @param {string} room
   */
  async refresh(room) {
    if (!isPrivate(room)) return;
    try {
      const { members = [] } = await this.#ask(() => ({ type: 'members', room }));
      this.#rooms.set(room, members.map(({ user, owner = false }) => ({ user, owner })));
    } catch (err) {
      if (!(err instanceof FinalError)) throw err;
      this.#rooms.delete(room);
    }
    this.#changed();
  }

  /**
   * Invites or expels a person. Throws FinalError.
   * @param {'invite' | 'expel'} type
   * @param {string} room
   * @param {string} user
   */
  async change(type, room, user) {
    await this.#ask(() => ({ type, room, user }));
    await this.refresh(room);
  }
}
