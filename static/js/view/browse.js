// Looks for rooms: by name and topic, those with most members first.

import { text } from '../strings.js';
import { dialog } from './dialog.js';
import { make, say } from './dom.js';

/** @typedef {import('../protocol.js').FoundRoom} FoundRoom */

/** How long after the last letter the server is asked, in milliseconds. */
const PAUSE_MS = 200;

export class Browse {
  #on;
  #input = make('input', { class: 'field' });
  #list = make('ul', { class: 'found' });
  #note = make('p', { class: 'soft' });
  #dialog;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #timer;

  /** @param {import('../view.js').Handlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
    Object.assign(this.#input, { type: 'text', inputMode: 'search', autocomplete: 'off', spellcheck: false, autofocus: true, maxLength: 100, dir: 'auto', placeholder: text.browseHint });
    this.#input.setAttribute('aria-label', text.browseHint);
    this.#note.setAttribute('role', 'status');
    this.#dialog = dialog('browse', text.browse, this.#input, this.#list, this.#note);
    this.#input.addEventListener('input', () => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => void this.#find(), PAUSE_MS);
    });
  }

  open() {
    if (document.querySelector('dialog[open]')) return;
    this.#input.value = '';
    this.#list.replaceChildren();
    this.#dialog.showModal();
    void this.#find();
  }

  async #find() {
    const query = this.#input.value;
    say(this.#note, text.loading);
    const { rooms, more } = await this.#on.find(query);
    if (!this.#dialog.open || this.#input.value !== query) return;
    this.#list.replaceChildren(...rooms.map((room) => this.#room(room)));
    say(this.#note, more ? text.moreFound : rooms.length === 0 ? text.noneFound : '');
  }

  /** @param {FoundRoom} room */
  #room({ room, joined, topic = '', members }) {
    const about = make('p', { class: 'about' },
      make('span', { class: 'soft' }, text.members(members)), ...(topic ? [' · ', make('span', { dir: 'auto' }, topic)] : []));
    const name = make('p', { class: 'found-name' }, '#', make('bdi', {}, room), ...(joined ? [' ', make('span', { class: 'soft' }, text.joined)] : []));
    const button = make('button', { class: 'action', click: () => void this.#go(room) }, joined ? text.open : text.join);
    button.setAttribute('aria-label', `${joined ? text.open : text.join}: ${room}`);
    return make('li', {}, make('div', {}, name, about), button);
  }

  /** @param {string} room */
  async #go(room) {
    const reason = await this.#on.join(room);
    if (reason) say(this.#note, text.refused(room, reason));
    else this.#dialog.close();
  }
}
