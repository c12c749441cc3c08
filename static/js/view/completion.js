// The list above the composer of what one may be about to write. The text keeps the focus; the list is its listbox.

import { emojiAt, offersAt } from '../complete.js';
import { text } from '../strings.js';
import { find, make, paint, say } from './dom.js';

export class Completion {
  #text = find('text', HTMLTextAreaElement);
  #list = find('completions', HTMLElement);
  #said = find('completions-said', HTMLElement);
  #people;
  /** @type {import('../complete.js').Offers | null} */
  #offers = null;
  /** Which of them is chosen; less than 0 for none. */
  #at = -1;

  /** @param {() => string[]} people whom one may name, the likeliest first */
  constructor(people) {
    this.#people = people;
    this.#text.setAttribute('aria-autocomplete', 'list');
    this.#text.setAttribute('aria-controls', this.#list.id);
    for (const name of ['click', 'keyup']) {
      // The caret has moved.
      this.#text.addEventListener(name, () => this.#offers && this.#look());
    }
    this.#text.addEventListener('blur', () => this.close());
    // The text keeps its focus, and a phone its keyboard.
    this.#list.addEventListener('pointerdown', (event) => event.preventDefault());
  }

  /**
   * Something was written.
   * @param {boolean} added whether by adding to it
   */
  written(added) {
    const emoji = added ? emojiAt(this.#before()) : null;
    if (emoji) this.#insert(emoji.from, emoji.insert);
    else this.#look();
  }

  /**
   * Takes a key that is meant for the list; returns whether it was.
   * @param {string} key
   */
  key(key) {
    if (!this.#offers) return false;
    const { length } = this.#offers.offers;
    if (key === 'ArrowDown') this.#choose((this.#at + 1) % length);
    else if (key === 'ArrowUp') this.#choose((this.#at + length - (this.#at < 0 ? 0 : 1)) % length);
    else if (key === 'Escape') this.close();
    else if ((key === 'Enter' || key === 'Tab') && this.#at >= 0) this.#take(this.#at);
    else return false;
    return true;
  }

  close() {
    this.#show(null);
  }

  #before() {
    const { value, selectionStart, selectionEnd } = this.#text;
    return selectionStart === selectionEnd ? value.slice(0, selectionStart) : '';
  }

  #look() {
    this.#show(document.activeElement === this.#text ? offersAt(this.#before(), this.#people()) : null);
  }

  /** @param {import('../complete.js').Offers | null} offers */
  #show(offers) {
    const same = offers && this.#offers && JSON.stringify(offers) === JSON.stringify(this.#offers);
    if (same || offers === this.#offers) return;
    this.#offers = offers;
    this.#list.hidden = offers === null;
    say(this.#said, offers ? text.suggestions(offers.offers.length) : '');
    this.#list.replaceChildren(...(offers?.offers ?? []).map(({ label, mark }, i) => {
      const picture = make('span', { class: mark ? 'sigil glyph' : 'avatar' }, mark);
      picture.ariaHidden = 'true';
      if (!mark) paint(picture, label);
      const item = make('li', { click: () => this.#take(i) }, picture, make('bdi', {}, label));
      item.id = `completion-${i}`;
      item.setAttribute('role', 'option');
      return item;
    }));
    // A name that is written out is not taken for the beginning of another, unless one says so.
    this.#choose(offers && !offers.whole ? 0 : -1);
  }

  /** @param {number} at */
  #choose(at) {
    this.#at = at;
    [...this.#list.children].forEach((item, i) => (item.ariaSelected = String(i === at)));
    if (at < 0) return this.#text.removeAttribute('aria-activedescendant');
    this.#text.setAttribute('aria-activedescendant', `completion-${at}`);
    this.#list.children[at]?.scrollIntoView({ block: 'nearest' });
  }

  /** @param {number} at */
  #take(at) {
    const { offers: { [at]: offer } = [], from = 0 } = this.#offers ?? {};
    if (offer) this.#insert(from, `${offer.insert} `);
  }

  /**
   * Puts something in the place of what was just written.
   * @param {number} from
   * @param {string} words
   */
  #insert(from, words) {
    this.close();
    const end = this.#text.selectionEnd;
    this.#text.setSelectionRange(from, end);
    put(this.#text, words);
  }
}

/**
 * Writes something in the place of what is selected.
 * @param {HTMLTextAreaElement} into
 * @param {string} words
 */
export function put(into, words) {
  // The only way that can be undone by the keys for that.
  if (document.execCommand('insertText', false, words)) return;
  into.setRangeText(words, into.selectionStart, into.selectionEnd, 'end');
  into.dispatchEvent(new Event('input'));
}
