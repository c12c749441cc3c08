// Who may do what to whom in a room, so that the page offers no more than that. The server decides by itself.

/** @typedef {'owner' | 'moderator' | 'member' | 'muted' | 'banned'} Role */
/** @typedef {Role | 'expel'} Deed what can be done to a person: a role that they are given, or that they are put out */

/**
 * What somebody may do to another person.
 * @param {object} of
 * @param {string} of.mine one's own role; an administrator's is owner
 * @param {string} of.theirs
 * @param {boolean} of.within whether the room is private
 * @returns {Deed[]}
 */
export function deeds({ mine, theirs, within }) {
  const owns = mine === 'owner';
  if (!owns && (mine !== 'moderator' || theirs === 'owner' || theirs === 'moderator')) return [];
  switch (theirs) {
    case 'owner': // and one administers
      return within ? [] : ['member', 'expel', 'banned'];
    case 'banned':
      return ['member'];
    case 'muted':
      return ['member', 'expel', 'banned'];
    default:
      return [
        ...(owns ? /** @type {Deed[]} */ (['owner', theirs === 'moderator' ? 'member' : 'moderator']) : []),
        'muted', 'expel', 'banned',
      ];
  }
}

/** @param {string} role */
export const moderates = (role) => role === 'owner' || role === 'moderator';
