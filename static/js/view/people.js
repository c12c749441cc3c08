// Who is here, and who may be in a private room.

import { text } from '../strings.js';
import { confirmed } from './actions.js';
import { List, find, make, paint, say } from './dom.js';

/** @typedef {import('../view.js').Page} Page */

export class People {
  #on;
  #toggle = find('people-toggle', HTMLButtonElement);
  #here = new List(find('here', HTMLElement));
  #membership = find('membership', HTMLElement);
  #members = new List(find('members', HTMLElement));
  #inviteName = find('invite-name', HTMLInputElement);
  #inviteError = find('invite-error', HTMLElement);
  #room = '';

  /** @param {import('../view.js').Handlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
    find('invite', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#invite(this.#inviteName.value);
    });
    this.#inviteName.addEventListener('input', () => (this.#inviteError.hidden = true));
  }

  /** @param {Page} page */
  render({ user, open }) {
    const people = open?.here ?? [];
    const none = !open || open.kind === 'universe';
    // Not before one knows: nothing is to move when the first conversation opens.
    document.body.classList.toggle('alone', open?.kind === 'universe');
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
    this.#renderMembers(user, open);
  }

  /**
   * @param {string} user
   * @param {Page['open']} open
   */
  #renderMembers(user, open) {
    const members = open?.members ?? null;
    const room = open?.name ?? '';
    if (room !== this.#room) {
      this.#room = room;
      this.#inviteName.value = '';
      this.#inviteError.hidden = true;
    }
    this.#membership.hidden = members === null;
    const mine = members?.some((each) => each.owner && each.user === user);
    this.#members.show((members ?? []).map(({ user: name, owner }) => ({
      key: name,
      sign: `${owner} ${mine}`,
      make: () => {
        const item = make('li', { class: 'entry' }, make('bdi', {}, name));
        if (owner) item.append(' ', make('span', { class: 'soft' }, text.owner));
        if (mine && name !== user) {
          const expel = make('button', { class: 'link', click: () => void this.#expel(room, name) }, text.expel);
          expel.ariaLabel = text.expelLabel(name);
          item.append(' ', expel);
        }
        return item;
      },
    })));
  }

  /** @param {string} name */
  async #invite(name) {
    const room = this.#room;
    const reason = await this.#on.invite(room, name);
    if (room !== this.#room) return;
    if (reason === '' && this.#inviteName.value === name) this.#inviteName.value = '';
    say(this.#inviteError, reason && text.refused(name, reason));
    this.#inviteError.hidden = reason === '';
  }

  /** @param {string} room @param {string} name */
  async #expel(room, name) {
    if (!(await confirmed({ title: text.expelTitle, body: name, hint: text.expelHint, yes: text.expel }))) return;
    const reason = await this.#on.expel(room, name);
    if (room !== this.#room) return;
    say(this.#inviteError, reason && text.refused(name, reason));
    this.#inviteError.hidden = reason === '';
  }
}
