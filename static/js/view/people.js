// Who is here.

import { text } from '../strings.js';
import { List, find, make, paint, say } from './dom.js';

/** @typedef {import('../view.js').Page} Page */

export class People {
  #on;
  #toggle = find('people-toggle', HTMLButtonElement);
  #here = new List(find('here', HTMLElement));

  /** @param {import('../view.js').Handlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
  }

  /** @param {Page} page */
  render({ user, open }) {
    const people = open?.here ?? [];
    const none = !open || open.kind === 'universe';
    document.body.classList.toggle('alone', none);
    this.#toggle.hidden = none;
    say(this.#toggle, text.here(people.filter(({ away }) => !away).length));
    this.#here.show(people.map(({ name, away }) => ({
      key: name,
      sign: String(away),
      make: () => {
        const mark = make('span', { class: 'avatar' });
        mark.ariaHidden = 'true';
        mark.dataset['presence'] = away ? 'away' : 'here';
        paint(mark, name);
        const note = name === user ? text.you : away ? text.away : '';
        const person = [mark, make('bdi', {}, name), ...(note ? [' ', make('span', { class: 'soft' }, note)] : [])];
        const kind = away ? 'entry away' : 'entry';
        if (name === user) return make('li', { class: kind }, ...person);
        return make('li', {}, make('button', { class: kind, click: () => this.#on.open(`@${name}`) }, ...person));
      },
    })));
  }
}
