// What one may be about to write: a person's name after @, an emoji after a colon.

import { named, search } from './emoji.js';

/**
 * @typedef {object} Offer
 * @property {string} label what it is called
 * @property {string} mark what stands before it: an emoji, or '' for a person
 * @property {string} insert what it puts into the text
 *
 * @typedef {object} Offers
 * @property {number} from where the word that they complete begins
 * @property {boolean} whole whether that word is one of them already
 * @property {Offer[]} offers the best first
 */

const WORD = /(?:^|[\s([{"'*_~>])([@:])([\p{L}\p{M}\p{N}_.+-]{0,32})$/u;
const NAMED = /(?:^|[^\p{L}\p{N}:]):([a-z0-9_+-]+):$/iu;
/** Fewer letters than this after a colon are more likely a smile. */
const LEAST = 2;
const MOST = 8;

/**
 * What could stand where one writes; null for nothing.
 * @param {string} before the text up to there
 * @param {string[]} people whom one may name, the likeliest first
 * @returns {Offers | null}
 */
export function offersAt(before, people) {
  const [, sign, word = ''] = WORD.exec(before) ?? [];
  if (sign === undefined || isInCode(before)) return null;
  const offers = sign === '@' ? persons(word, people)
    : word.length < LEAST ? [] : search(word, MOST).map(({ name, emoji }) => ({ label: `:${name}:`, mark: emoji, insert: emoji }));
  if (offers.length === 0) return null;
  const whole = offers.some(({ label }) => label === fold(word));
  return offers.length === 1 && whole ? null : { from: before.length - word.length - 1, whole, offers };
}

/**
 * The emoji whose name was just closed by a colon; null for none.
 * @param {string} before the text up to there
 * @returns {{from: number, insert: string} | null}
 */
export function emojiAt(before) {
  const name = NAMED.exec(before)?.[1];
  const insert = name === undefined ? undefined : named(name);
  return name === undefined || insert === undefined || isInCode(before) ? null : { from: before.length - name.length - 2, insert };
}

/**
 * @param {string} word
 * @param {string[]} people
 * @returns {Offer[]}
 */
function persons(word, people) {
  const wanted = fold(word);
  const begin = people.filter((name) => name.startsWith(wanted));
  const have = people.filter((name) => !name.startsWith(wanted) && name.includes(wanted));
  return [...begin, ...have].slice(0, MOST).map((name) => ({ label: name, mark: '', insert: `@${name}` }));
}

/** @param {string} name */
const fold = (name) => name.normalize('NFC').toLowerCase();

/**
 * Whether what comes next is in a block of code, or tells its language.
 * @param {string} before the text up to there
 */
export function isInBlock(before) {
  return before.split(/^ {0,3}```.*$/m).length % 2 === 0;
}

/**
 * The same, or in a span of this line.
 * @param {string} before
 */
function isInCode(before) {
  const line = before.replace(/^ {0,3}```.*$/gm, '').split('\n').at(-1) ?? '';
  return isInBlock(before) || (line.match(/`+/g)?.length ?? 0) % 2 === 1;
}
