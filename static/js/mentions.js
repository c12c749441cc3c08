// Who a text is for: `@name`.

const MENTION = /(?<![\p{L}\p{N}@._-])@([\p{L}\p{M}\p{N}._-]+)/gu;

/**
 * Whether a text names a person.
 * @param {string} text
 * @param {string} user canonical
 */
export function mentions(text, user) {
  for (const [, name = ''] of text.matchAll(MENTION)) {
    // A full stop or a dash after a name is more likely the sentence's.
    const folded = name.normalize('NFC').toLowerCase();
    if (folded === user || folded.replace(/[._-]+$/, '') === user) return true;
  }
  return false;
}
