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
    const names = open?.here ?? [];
    const none = !open || open.kind === 'universe';
    document.body.classList.toggle('alone', none);
    this.#toggle.hidden = none;
    say(this.#toggle, text.here(names.length));
    this.#here.show(names.map((name) => ({
      key: name,
      sign: '',
      make: () => {
        const mark = make('span', { class: 'avatar' });
        mark.ariaHidden = 'true';
        paint(mark, name);
        const person = [mark, make('bdi', {}, name)];
        if (name === user) return make('li', { class: 'entry' }, ...person, make('span', { class: 'soft' }, text.you));
        return make('li', {}, make('button', { class: 'entry', click: () => this.#on.open(`@${name}`) }, ...person));
      },
    })));
  }
}
