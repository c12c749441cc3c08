// Who is here, who may be in a private room, and who has which role.

import { isPrivate } from '../protocol.js';
import { text } from '../strings.js';
import { List, find, icon, make, paint, say } from './dom.js';

const SHIELD = 'M8 1.8 13 4v3.6c0 3-2 5.4-5 6.6-3-1.2-5-3.6-5-6.6V4zM8 5v3.4M8 10.8v.1';

/** @typedef {import('../view.js').Page} Page */

export class People {
  #on;
  #toggle = find('people-toggle', HTMLButtonElement);
  #here = new List(find('here', HTMLElement));
  #membership = find('membership', HTMLElement);
  #membersLabel = find('members-label', HTMLElement);
  #members = new List(find('members', HTMLElement));
  #invites = find('invite', HTMLFormElement);
  #moderation;
  #inviteName = find('invite-name', HTMLInputElement);
  #inviteError = find('invite-error', HTMLElement);
  #room = '';

  /**
   * @param {import('../view.js').Handlers} handlers
   * @param {import('./moderation.js').Moderation} moderation
   */
  constructor(handlers, moderation) {
    this.#on = handlers;
    this.#moderation = moderation;
    this.#invites.addEventListener('submit', (event) => {
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
      sign: `${away} ${this.#moderation.roleOf(name)} ${this.#moderation.may(name)}`,
      make: () => {
        const mark = make('span', { class: 'avatar' });
        mark.ariaHidden = 'true';
        mark.dataset['presence'] = away ? 'away' : 'here';
        paint(mark, name);
        const role = text.role(this.#moderation.roleOf(name));
        const note = [name === user ? text.you : '', away && name !== user ? text.away : '', role].filter(Boolean).join(', ');
        const person = [mark, make('bdi', {}, name), ...(note ? [' ', make('span', { class: 'soft' }, note)] : [])];
        const kind = away ? 'entry away' : 'entry';
        if (name === user) return make('li', { class: kind }, ...person);
        return make('li', {}, make('button', { class: kind, click: () => this.#on.open(`@${name}`) }, ...person), ...this.#moderate(name));
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
    const within = isPrivate(room);
    // Of a public room those who are not here: the others are above, with their roles.
    const here = new Set(open?.here.map(({ name }) => name));
    const shown = (members ?? []).filter(({ user: name }) => within || !here.has(name));
    this.#membership.hidden = !within && shown.length === 0;
    this.#invites.hidden = !within;
    say(this.#membersLabel, within ? text.membersTitle : text.rolesTitle);
    this.#members.show(shown.map(({ user: name, role }) => ({
      key: name,
      sign: `${role} ${this.#moderation.may(name)}`,
      make: () => {
        const entry = make('span', { class: 'entry' }, make('bdi', {}, name));
        if (role) entry.append(' ', make('span', { class: 'soft' }, text.role(role)));
        return make('li', {}, entry, ...(name === user ? [] : this.#moderate(name)));
      },
    })));
  }

  /**
   * The button to what one may do to a person.
   * @param {string} name
   */
  #moderate(name) {
    if (!this.#moderation.may(name)) return [];
    const label = text.moderateLabel(name);
    return [make('button', { class: 'icon moderate', title: label, label, click: () => this.#moderation.open(name) }, icon(SHIELD))];
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
}
