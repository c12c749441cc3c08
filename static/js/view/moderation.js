// What those who moderate a room can do to a person: a window with a button for each.

import { isPrivate } from '../protocol.js';
import { deeds, moderates } from '../roles.js';
import { text } from '../strings.js';
import { confirmed } from './actions.js';
import { dialog } from './dialog.js';
import { make, say } from './dom.js';

/** @typedef {import('../roles.js').Deed} Deed */
/** @typedef {import('../view.js').Page} Page */

export class Moderation {
  #on;
  #page;
  #about = make('p', { class: 'soft' });
  #deeds = make('ul', { class: 'deeds' });
  #error = make('p', { class: 'error' });
  #dialog = dialog('moderation', text.moderate, this.#about, this.#deeds, this.#error);
  #heading = /** @type {HTMLElement} */ (this.#dialog.querySelector('h2'));
  #room = '';
  #person = '';

  /**
   * @param {import('../view.js').Handlers} handlers
   * @param {() => Page | null} page
   */
  constructor(handlers, page) {
    this.#on = handlers;
    this.#page = page;
    this.#heading.dir = 'auto';
    this.#error.setAttribute('role', 'alert');
  }

  /**
   * A person's role in the open room, '' for a plain member.
   * @param {string} person
   */
  roleOf(person) {
    return this.#page()?.open?.members?.find(({ user }) => user === person)?.role ?? '';
  }

  /**
   * Whether there is anything that one may do to a person.
   * @param {string} person
   */
  may(person) {
    return this.#may(person).length > 0;
  }

  /** @param {string} person */
  #may(person) {
    const page = this.#page();
    const open = page?.open;
    if (!open?.members || person === page?.user || person === '' || !moderates(open.role)) return [];
    const within = isPrivate(open.name);
    // Who is no member of a private room any more can only be kept out.
    if (within && !open.members.some(({ user }) => user === person)) return /** @type {Deed[]} */ (['banned']);
    return deeds({ mine: open.role, theirs: this.roleOf(person), within });
  }

  /** @param {string} person */
  open(person) {
    const name = this.#page()?.open?.name;
    if (!name || !this.may(person)) return;
    this.#room = name;
    this.#person = person;
    const role = this.roleOf(person);
    say(this.#heading, person);
    say(this.#about, text.role(role));
    this.#about.hidden = role === '';
    say(this.#error, '');
    this.#deeds.replaceChildren(...this.#may(person).map((deed) => {
      const back = deed === 'member' && (role === 'muted' || role === 'banned') ? /** @type {const} */ (`un${role}`) : deed;
      const within = isPrivate(name) && (back === 'expel' || back === 'unbanned');
      const hint = text.deedHints[within ? /** @type {const} */ (`${back}Private`) : back];
      const bad = deed === 'expel' || deed === 'banned' ? 'deed bad' : 'deed';
      return make('li', {}, make('button', { class: bad, click: () => void this.#do(deed, hint) }, make('b', {}, text.deeds[back]), make('span', { class: 'soft' }, hint)));
    }));
    this.#dialog.showModal();
  }

  /**
   * @param {Deed} deed
   * @param {string} hint
   */
  async #do(deed, hint) {
    const [room, person] = [this.#room, this.#person];
    if (deed === 'expel' || deed === 'banned' || deed === 'owner') {
      if (!(await confirmed({ title: text.sure[deed], body: person, hint, yes: text.deeds[deed], no: text.cancel }))) return;
    }
    const reason = await this.#on.moderate(room, person, deed);
    if (room !== this.#room || person !== this.#person) return;
    say(this.#error, reason);
    if (reason === '') this.#dialog.close();
  }
}
