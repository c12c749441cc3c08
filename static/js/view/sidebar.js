// The lists of conversations.

import { isPrivate } from '../protocol.js';
import { text } from '../strings.js';
import { List, find, make, paint, say } from './dom.js';

/** @typedef {import('../view.js').Listed} Listed */
/** @typedef {import('../view.js').Page} Page */

/** How many of the rooms are listed that one is not in; the others are to be looked for. */
const MOST_OTHERS = 30;

export class Sidebar {
  #on;
  #menuDot = find('menu-dot', HTMLElement);
  #joinName = find('join-name', HTMLInputElement);
  #joinError = find('join-error', HTMLElement);
  #lists = {
    universe: new List(find('universe', HTMLElement)),
    rooms: new List(find('rooms', HTMLElement)),
    directs: new List(find('directs', HTMLElement)),
    others: new List(find('others', HTMLElement)),
  };

  /** @param {import('../view.js').Handlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
    find('join', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#join(this.#joinName.value);
    });
    this.#joinName.addEventListener('input', () => (this.#joinError.hidden = true));
  }

  /**
   * @param {Page} page
   * @param {number} unread in all conversations
   */
  render(page, unread) {
    const current = page.open?.name;
    this.#list('universe', [page.universe], current);
    this.#list('rooms', page.rooms, current);
    this.#list('directs', page.directs, current);
    this.#list('others', page.others.slice(0, MOST_OTHERS), current);
    this.#menuDot.hidden = unread === 0;
  }

  /**
   * @param {'universe' | 'rooms' | 'directs' | 'others'} id
   * @param {Listed[]} listed
   * @param {string | undefined} current
   */
  #list(id, listed, current) {
    const label = document.getElementById(`${id}-label`);
    if (label) label.hidden = listed.length === 0;
    this.#lists[id].show(listed.map(({ name, label, presence, muted, unread, mentions }) => ({
      key: name,
      sign: `${presence} ${muted} ${unread} ${mentions} ${name === current}`,
      make: () => {
        const direct = name.startsWith('@');
        const mark = make('span', { class: direct ? 'avatar' : 'sigil' }, direct || id === 'universe' ? '' : isPrivate(name) ? '~' : '#');
        mark.ariaHidden = 'true';
        if (direct) paint(mark, label);
        if (presence) mark.dataset['presence'] = presence;
        const button = make('button', { class: muted ? 'entry muted' : 'entry', click: () => this.#on.open(name) }, mark, make('bdi', {}, label));
        if (presence === 'here' || presence === 'away') button.append(make('span', { class: 'unseen' }, `(${text[presence === 'here' ? 'present' : 'away']})`));
        if (id === 'universe') button.title = text.universeHint;
        if (name === current) button.ariaCurrent = 'page';
        if (unread) {
          const badge = make('span', { class: `badge${mentions ? ' mentions' : ''}` }, text.unread(mentions || unread));
          badge.setAttribute('aria-label', text.unreadLabel(unread, direct ? 0 : mentions));
          badge.setAttribute('role', 'img');
          button.append(badge);
        }
        return make('li', {}, button);
      },
    })));
  }

  /** @param {string} name */
  async #join(name) {
    const reason = await this.#on.join(name);
    if (reason === '' && this.#joinName.value === name) this.#joinName.value = '';
    say(this.#joinError, reason && text.refused(name, reason));
    this.#joinError.hidden = reason === '';
  }
}
