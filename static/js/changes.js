// What a person's own changes, not yet heard in the room, make of its messages.

/** @typedef {import('./store.js').Entry} Entry */

/**
 * @typedef {object} Changed a message as its writer wants it
 * @property {string | undefined} text the newest text, refused ones too; undefined as it is
 * @property {boolean} gone it is to be deleted
 * @property {boolean} waits whether its text or its deletion is under way
 * @property {Map<string, boolean>} reactions of the person that are under way, on or off, by emoji
 * @property {Entry[]} failed what the server refused
 */

/**
 * Whether an entry is a new message.
 * @param {Entry} entry
 * @returns {entry is import('./store.js').Kept & import('./store.js').Written}
 */
export function isWritten(entry) {
  return entry.type === undefined || entry.type === 'send';
}

/**
 * The changed messages, by event.
 * @param {Entry[]} entries in the order in which they were made
 * @returns {Map<string, Changed>}
 */
export function changed(entries) {
  /** @type {Map<string, Changed>} */
  const all = new Map();
  for (const entry of entries) {
    if (isWritten(entry)) continue;
    let of = all.get(entry.target);
    if (!of) all.set(entry.target, (of = { text: undefined, gone: false, waits: false, reactions: new Map(), failed: [] }));
    if (entry.failure !== undefined) of.failed.push(entry);
    if (entry.type === 'react') {
      if (entry.failure === undefined) of.reactions.set(entry.emoji, entry.on);
      continue;
    }
    if (entry.failure === undefined) of.waits = true;
    if (entry.type === 'edit') of.text = entry.text;
    else of.gone ||= entry.failure === undefined;
  }
  return all;
}

/**
 * A message's reactions, with those of a person that are under way.
 * @param {import('./timeline.js').Reaction[]} reactions
 * @param {Changed | undefined} change
 * @param {string} user
 * @returns {import('./timeline.js').Reaction[]}
 */
export function reacted(reactions, change, user) {
  if (!change || change.reactions.size === 0) return reactions;
  const all = new Map(reactions.map(({ emoji, from }) => [emoji, from]));
  for (const [emoji, on] of change.reactions) {
    const others = (all.get(emoji) ?? []).filter((name) => name !== user);
    all.set(emoji, on ? [...others, user] : others);
  }
  return [...all].map(([emoji, from]) => ({ emoji, from })).filter(({ from }) => from.length > 0);
}
