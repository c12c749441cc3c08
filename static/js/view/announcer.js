// Reads news aloud, through a part of the page that only screen readers meet: the log itself changes in ways that are no
// news, as when a message is edited or one scrolls.

import { News } from '../news.js';
import { text } from '../strings.js';
import { find, make } from './dom.js';

/** How many pieces stay there: what is taken away too soon is not read. */
const KEEP = 5;

export class Announcer {
  #news;
  #element = find('announcer', HTMLElement);

  /** @param {string} user */
  constructor(user) {
    this.#news = new News(user);
  }

  /** @param {import('../news.js').Heard | null} open */
  render(open) {
    for (const piece of this.#news.of(open)) {
      this.#element.append(make('p', {}, words(piece)));
      while (this.#element.childElementCount > KEEP) this.#element.firstElementChild?.remove();
    }
  }
}

/** @param {import('../news.js').Piece} piece */
function words(piece) {
  if ('refused' in piece) return text.failed(piece.refused);
  if ('earlier' in piece) return text.earlier(piece.earlier);
  if ('more' in piece) return text.newMessages(piece.more);
  return text.heard(piece.from, piece.text);
}
