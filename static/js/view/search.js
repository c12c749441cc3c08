// Looks for messages, and goes to what was found.

import { plain } from '../markdown.js';
import { text } from '../strings.js';
import { dialog } from './dialog.js';
import { make, say } from './dom.js';

/** @typedef {import('../search.js').Search} Search */
/** @typedef {import('../search.js').Hit} Hit */

/** How long after the last letter it looks, in milliseconds. */
const PAUSE_MS = 300;

export class SearchPanel {
  #find;
  #go;
  #input = make('input', { class: 'field' });
  #list = make('ol', { class: 'hits' });
  #note = make('p', { class: 'soft' });
  #more = make('button', { class: 'plain', click: () => void this.#look() }, text.searchMore);
  #dialog;
  /** What was looked for last. */
  #typed = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;
  /** @type {Search | null} */
  #search = null;

  /**
   * @param {(typed: string) => Search | string} find begins to look; or says what it does not understand
   * @param {(room: string, event: string) => void} go
   */
  constructor(find, go) {
    this.#find = find;
    this.#go = go;
    Object.assign(this.#input, { type: 'text', inputMode: 'search', autocomplete: 'off', autofocus: true, maxLength: 200, dir: 'auto' });
    this.#input.setAttribute('aria-label', text.search);
    this.#input.setAttribute('enterkeyhint', 'search');
    this.#note.setAttribute('role', 'status');
    const form = make('form', {}, this.#input);
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#begin(true);
    });
    this.#input.addEventListener('input', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#begin(false), PAUSE_MS);
    });
    this.#dialog = dialog('search', text.search, form, this.#note, this.#list, this.#more);
  }

  open() {
    if (document.querySelector('dialog[open]')) return;
    if (!this.#search) say(this.#note, text.searchHint);
    this.#more.hidden = !this.#search?.more;
    this.#dialog.showModal();
    this.#input.select();
  }

  /** @param {boolean} whole whether what one typed is all of it */
  #begin(whole) {
    clearTimeout(this.#timer);
    const typed = this.#input.value.trim();
    if (typed === this.#typed && !whole) return;
    this.#typed = typed;
    this.#search?.giveUp();
    const search = typed === '' ? '' : this.#find(typed);
    this.#search = typeof search === 'string' ? null : search;
    if (typeof search !== 'string') return void this.#look();
    this.#list.replaceChildren();
    this.#more.hidden = true;
    // Half of `in:general` makes no sense yet.
    say(this.#note, typed !== '' && whole ? text.notUnderstood(search) : text.searchHint);
  }

  async #look() {
    const search = this.#search;
    if (!search) return;
    this.#more.hidden = true;
    say(this.#note, text.loading);
    try {
      await search.look();
    } catch {
      return; // the page is closing
    }
    if (search !== this.#search) return;
    this.#list.replaceChildren(...search.hits.map((hit) => this.#hit(hit)));
    say(this.#note, text.hits(search.hits.length));
    this.#more.hidden = !search.more;
  }

  /** @param {Hit} hit */
  #hit({ room, event, from, at, text: body }) {
    const date = new Date(at);
    const time = make('time', {}, `${text.day(date, new Date())} ${text.time(date)}`);
    time.dateTime = at;
    const where = room.startsWith('@') ? [] : [make('span', { class: 'soft' }, make('bdi', {}, room.startsWith('~') ? room : `#${room}`))];
    const button = make('button', { class: 'hit', click: () => {
      this.#dialog.close();
      this.#go(room, event);
    } }, make('span', { class: 'by' }, make('bdi', { class: 'name' }, text.author(from)), ...where, time), make('span', { class: 'text', dir: 'auto' }, plain(body)));
    return make('li', {}, button);
  }
}
