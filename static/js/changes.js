// What a person's own changes, not yet heard in the room, make of its messages.

/** @typedef {import('./store.js').Entry} Entry */

/**
 * @typedef {object} Changed a message as its writer wants it
 * @property {string | undefined} text the newest text, refused ones too; undefined as it is
 * @property {boolean} gone it is to be deleted
 * @property {boolean} waits whether some of it is under way
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
    if (!of) all.set(entry.target, (of = { text: undefined, gone: false, waits: false, failed: [] }));
    if (entry.failure !== undefined) of.failed.push(entry);
    else of.waits = true;
    if (entry.type === 'edit') of.text = entry.text;
    else of.gone ||= entry.failure === undefined;
  }
  return all;
}
