// Which conversations fit what somebody types to get to one.

/**
 * @typedef {object} Target
 * @property {string} name what opens it
 * @property {string} label what people call it
 * @property {'universe' | 'room' | 'private' | 'person'} kind
 * @property {boolean} known whether this person is in it, or has talked there
 * @property {number} unread
 * @property {number} mentions
 */

/** What people write before a name to say what it is. */
const SIGNS = Object.freeze({ room: '#', private: '~', person: '@' });

/**
 * Those that fit, the best first: what begins with the words before what only has them in it; then what is unread, and
 * what one is in. Without words all, what is unread first.
 * @param {Target[]} targets
 * @param {string} query `#` before it asks for a room, `~` for a private one, `@` for a person
 */
export function fitting(targets, query) {
  const { words, kind } = read(query);
  return targets
    .map((target) => ({ target, rank: kind && kind !== target.kind ? null : rank(fold(target.label), words) }))
    .filter(({ rank }) => rank !== null)
    .sort((a, b) => Number(a.rank) - Number(b.rank) || Number(b.target.unread > 0) - Number(a.target.unread > 0)
      || Number(b.target.known) - Number(a.target.known))
    .map(({ target }) => target);
}

/**
 * What could be joined or begun by this name, where nothing has it.
 * @param {Target[]} targets
 * @param {string} query
 * @returns {Array<{name: string, kind: 'room' | 'private' | 'person'}>}
 */
export function offered(targets, query) {
  const { words, kind, typed } = read(query);
  // Names have no spaces, and begin with a letter or a digit: whether one will do is the server's to say.
  if (!/^[\p{Letter}\p{Number}]\S*$/u.test(typed)) return [];
  /** @type {Array<keyof typeof SIGNS>} */
  const kinds = kind ? [kind] : ['room', 'person'];
  return kinds
    .filter((kind) => !targets.some((target) => target.kind === kind && fold(target.label) === words))
    .map((kind) => ({ kind, name: kind === 'room' ? typed : SIGNS[kind] + typed }));
}

/** @param {string} query */
function read(query) {
  const kinds = /** @type {Array<keyof typeof SIGNS>} */ (Object.keys(SIGNS));
  const kind = kinds.find((each) => query.trim().startsWith(SIGNS[each]));
  const typed = kind ? query.trim().slice(1) : query.trim();
  return { kind, typed, words: fold(typed) };
}

/**
 * How well a label fits, 0 the best; null: not at all.
 * @param {string} label
 * @param {string} words
 */
function rank(label, words) {
  if (label === words) return 0;
  if (label.startsWith(words)) return 1;
  const at = label.indexOf(words);
  if (at > 0) return /[-_. ]/.test(label[at - 1] ?? '') ? 2 : 3;
  // The letters in this order: `dpl` finds deploys.
  let from = 0;
  for (const letter of words) {
    from = label.indexOf(letter, from) + 1;
    if (from === 0) return null;
  }
  return 4;
}

/** @param {string} name */
function fold(name) {
  return name.normalize('NFKD').replace(/\p{Mark}/gu, '').toLowerCase();
}
