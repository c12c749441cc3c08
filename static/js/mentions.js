// Who a text is for: `@name`.

import { parse } from './markdown.js';

/** @typedef {import('./markdown.js').Block} Block */
/** @typedef {import('./markdown.js').Inline} Inline */

/**
 * Whether a text names a person, other than in code or in a quote.
 * @param {string} text
 * @param {string} user canonical
 */
export function mentions(text, user) {
  // Most do not, and are not worth a closer look.
  if (!text.normalize('NFC').toLowerCase().includes(`@${user.replace(/\.+$/, '')}`)) return false;
  return parse(text).some((block) => speaksTo(block, user));
}

/**
 * @param {Block | Inline} node
 * @param {string} user
 * @returns {boolean}
 */
function speaksTo(node, user) {
  switch (node.type) {
    case 'mention':
      return isName(node.name, user);
    case 'list':
      return node.items.some((item) => item.some((each) => speaksTo(each, user)));
    case 'quote':
    case 'text':
    case 'code':
    case 'codespan':
      return false;
    default:
      return node.children.some((each) => speaksTo(each, user));
  }
}

/**
 * Whether a name as someone wrote it is a person's.
 * @param {string} name
 * @param {string} user canonical
 */
export function isName(name, user) {
  const folded = name.normalize('NFC').toLowerCase();
  // What stands at its end is more likely the sentence's.
  return folded === user || folded.replace(/[._-]+$/, '') === user || folded === user.replace(/\.+$/, '');
}
