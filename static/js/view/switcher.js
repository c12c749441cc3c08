// Goes to a room or a person by a few letters of the name.

import { text } from '../strings.js';
import { fitting, offered } from '../switcher.js';
import { dialog } from './dialog.js';
import { make, paint, say } from './dom.js';

/** @typedef {import('../switcher.js').Target} Target */

const SIGILS = Object.freeze({ universe: '∗', room: '#', private: '~', person: '' });
const OFFERS = Object.freeze({ room: text.offerRoom, private: text.offerPrivate, person: (/** @type {string} */ name) => text.offerPerson(name.slice(1)) });
/** The most that are shown. */
const MOST = 12;

export class Switcher {
  #on;
  #input = make('input', { class: 'field' });
  #list = make('ul', { class: 'choices' });
  #error = make('p', { class: 'error' });
  #dialog;
  /** @type {Target[]} */
  #targets = [];
  /** What Enter goes to. */
  #at = 0;
  /** What each choice opens. @type {string[]} */
  #names = [];

  /** @param {import('../view.js').Handlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
    Object.assign(this.#input, { type: 'text', autocomplete: 'off', spellcheck: false, autofocus: true, maxLength: 33, dir: 'auto', placeholder: text.switcherHint });
    this.#input.setAttribute('autocapitalize', 'none');
    this.#input.setAttribute('role', 'combobox');
    this.#input.setAttribute('aria-expanded', 'true');
    this.#input.setAttribute('aria-autocomplete', 'list');
    this.#input.setAttribute('aria-controls', 'choices');
    this.#input.setAttribute('aria-label', text.switcherHint);
    this.#list.id = 'choices';
    this.#list.setAttribute('role', 'listbox');
    this.#list.setAttribute('aria-label', text.conversations);
    this.#error.setAttribute('role', 'alert');
    this.#dialog = dialog('switcher', text.switcher, this.#input, this.#error, this.#list);
    this.#input.addEventListener('input', () => this.#show());
    this.#input.addEventListener('keydown', (event) => this.#key(event));
  }

  open() {
    if (document.querySelector('dialog[open]')) return;
    this.#input.value = '';
    this.#dialog.showModal();
    this.#show();
  }

  /** @param {Target[]} targets */
  render(targets) {
    this.#targets = targets;
  }

  /** @param {KeyboardEvent} event */
  #key(event) {
    if (event.isComposing || event.keyCode === 229) return;
    const count = this.#names.length;
    if (event.key === 'ArrowDown') this.#mark((this.#at + 1) % count);
    else if (event.key === 'ArrowUp') this.#mark((this.#at - 1 + count) % count);
    else if (event.key === 'Enter') void this.#go(this.#names[this.#at]);
    else return;
    event.preventDefault();
  }

  #show() {
    const query = this.#input.value;
    say(this.#error, '');
    const found = fitting(this.#targets, query).slice(0, MOST);
    const offers = offered(this.#targets, query);
    const entries = [
      ...found.map(({ name, label, kind, unread, mentions }) => {
        const badge = unread > 0 ? [
          make('span', { class: `badge${mentions ? ' mentions' : ''}` }, text.unread(mentions || unread)),
          make('span', { class: 'unseen' }, text.unreadLabel(unread, kind === 'person' ? 0 : mentions)),
        ] : [];
        return { name, children: [mark(kind, label), make('bdi', {}, label), ...badge] };
      }),
      ...offers.map(({ name, kind }) => ({
        name,
        children: [mark(kind, name.replace('@', '')), make('span', { class: 'offer' }, OFFERS[kind](name))],
      })),
    ];
    this.#names = entries.map(({ name }) => name);
    this.#list.replaceChildren(...entries.map(({ name, children }, i) => {
      const option = make('li', { class: 'entry', click: () => void this.#go(name) }, ...children);
      option.id = `choice-${i}`;
      option.setAttribute('role', 'option');
      return option;
    }));
    this.#mark(0);
  }

  /** @param {number} at */
  #mark(at) {
    this.#at = at;
    for (const [i, option] of [...this.#list.children].entries()) {
      option.setAttribute('aria-selected', String(i === at));
      if (i === at) option.scrollIntoView({ block: 'nearest' });
    }
    if (this.#names.length > 0) this.#input.setAttribute('aria-activedescendant', `choice-${at}`);
    else this.#input.removeAttribute('aria-activedescendant');
  }

  /** @param {string | undefined} name */
  async #go(name) {
    if (name === undefined) return;
    const reason = await this.#on.join(name);
    if (reason === '') this.#dialog.close();
    else say(this.#error, text.refused(name, reason));
  }
}

/**
 * @param {Target['kind']} kind
 * @param {string} label
 */
function mark(kind, label) {
  const mark = make('span', { class: kind === 'person' ? 'avatar' : 'sigil' }, SIGILS[kind]);
  mark.ariaHidden = 'true';
  if (kind === 'person') paint(mark, label);
  return mark;
}
