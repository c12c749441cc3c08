// Who has which role in the rooms that this page shows. The server says so when asked; it is asked when a room is opened,
// after each change that is made here, and when it says that there was another.

import { FinalError, UNIVERSE, isPrivate } from './protocol.js';

/** @typedef {{user: string, role: string}} Member role: '' for a plain member */

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
   * The members of a private room, and those of a public one who have a role, as far as they are known; null where there
   * are no roles.
   * @param {string} room
   */
  of(room) {
    return hasRoles(room) ? this.#rooms.get(room) ?? [] : null;
  }

  /**
   * Asks who they are. Does nothing for what has no roles.
   * @param {string} room
   */
  async refresh(room) {
    if (!hasRoles(room)) return;
    try {
      const { members = [] } = await this.#ask(() => ({ type: 'members', room }));
      this.#rooms.set(room, members.map(({ user, owner = false, role = owner ? 'owner' : '' }) => ({ user, role })));
    } catch (err) {
      if (!(err instanceof FinalError)) throw err;
      this.#rooms.delete(room);
    }
    this.#changed();
  }

  /**
   * Notes what the server says by itself. Nothing is asked for that: all who are in the room hear of it at once.
   * @param {string} room
   * @param {string} user
   * @param {string} role
   */
  heard(room, user, role) {
    const known = this.#rooms.get(room);
    if (!known) return;
    const others = known.filter((each) => each.user !== user);
    const plain = role === 'member';
    if (!plain || isPrivate(room)) others.push({ user, role: plain ? '' : role });
    this.#rooms.set(room, others.sort((a, b) => (a.user < b.user ? -1 : 1)));
    this.#changed();
  }

  /**
   * Invites a person, puts them out, or gives them a role. Throws FinalError.
   * @param {'invite' | import('./roles.js').Deed} deed
   * @param {string} room
   * @param {string} user
   */
  async change(deed, room, user) {
    await this.#ask(() => (deed === 'invite' || deed === 'expel' ? { type: deed, room, user } : { type: 'role', room, user, role: deed }));
    await this.refresh(room);
  }
}

/** @param {string} room */
function hasRoles(room) {
  return room !== '' && room !== UNIVERSE && !room.startsWith('@');
}
