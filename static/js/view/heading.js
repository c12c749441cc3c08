// What stands above the open conversation: its name, what it is about, and what one can do with all of it.

import { isPrivate } from '../protocol.js';
import { text } from '../strings.js';
import { confirmed } from './actions.js';
import { dialog } from './dialog.js';
import { find, make, say } from './dom.js';

/** @typedef {import('../view.js').Open} Open */

const TOPIC_MAX = 250;

export class Heading {
  #on;
  #title = find('title', HTMLElement);
  #topic = find('topic', HTMLButtonElement);
  #mute = find('mute', HTMLButtonElement);
  #leave = find('leave', HTMLButtonElement);
  #input = make('input', { class: 'field' });
  #error = make('p', { class: 'error' });
  #remove = make('button', { class: 'link bad' }, text.removeRoom);
  #dialog;
  /** @type {Open | null} */
  #open = null;

  /** @param {import('../view.js').Handlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
    this.#leave.addEventListener('click', () => void this.#goAway());
    this.#mute.addEventListener('click', () => this.#open && handlers.mute(this.#open.name, !this.#open.muted));
    Object.assign(this.#input, { type: 'text', autofocus: true, maxLength: TOPIC_MAX, dir: 'auto' });
    this.#input.setAttribute('aria-label', text.topicLabel);
    this.#error.setAttribute('role', 'alert');
    const form = make('form', {}, this.#input, this.#error, make('div', { class: 'answers' }, make('button', { class: 'action' }, text.save)));
    /** @type {HTMLButtonElement} */ (form.querySelector('button')).type = 'submit';
    this.#dialog = dialog('topic-dialog', text.topicLabel, form, this.#remove);
    this.#remove.addEventListener('click', () => void this.#removeRoom());
    this.#topic.addEventListener('click', () => {
      this.#input.value = this.#open?.topic ?? '';
      this.#remove.hidden = this.#open?.role !== 'owner' || isPrivate(this.#open.name);
      say(this.#error, '');
      this.#dialog.showModal();
    });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#save();
    });
  }

  /** @param {Open | null} open */
  render(open) {
    this.#open = open;
    say(this.#title, open?.title ?? '');
    const room = open?.kind === 'room';
    if (room && !isPrivate(open.name)) this.#title.dataset['sigil'] = '#';
    else delete this.#title.dataset['sigil'];
    this.#topic.hidden = !room;
    say(this.#topic, open?.topic || text.setTopic);
    this.#topic.disabled = open?.role === 'muted';
    this.#topic.title = room && !this.#topic.disabled ? text.topicHint : '';
    this.#mute.hidden = this.#leave.hidden = !open || open.kind === 'universe';
    if (!open) return;
    this.#leave.setAttribute('aria-label', text.leave(open.title));
    this.#mute.ariaPressed = String(open.muted);
    this.#mute.title = open.muted ? text.muted : text.mute;
  }

  async #goAway() {
    const name = this.#open?.name ?? '';
    const sure = !isPrivate(name)
      || (await confirmed({ title: text.leave(name), body: name, hint: text.leaveHint, yes: text.leaveButton }));
    if (sure && this.#open?.name === name) this.#on.leave();
  }

  async #removeRoom() {
    const name = this.#open?.name;
    if (!name || !(await confirmed({ title: text.removeRoom, body: name, hint: text.removeRoomHint, yes: text.delete, no: text.cancel }))) return;
    const reason = await this.#on.removeRoom(name);
    say(this.#error, reason);
    if (reason === '') this.#dialog.close();
  }

  async #save() {
    if (!this.#open) return;
    const reason = await this.#on.topic(this.#open.name, this.#input.value.trim());
    say(this.#error, reason);
    if (reason === '') this.#dialog.close();
  }
}
