// What one can do with a message: a bar of buttons at the line that one points at, taps, or comes to by the keyboard.

import { text } from '../strings.js';
import { find, icon, make } from './dom.js';
import { pick } from './picker.js';

/** @typedef {import('../timeline.js').Line} Line */

/**
 * @typedef {object} Can what is offered for a line; absent where it is not
 * @property {(emoji: string) => void} [react]
 * @property {() => void} [reply]
 * @property {() => void} [edit]
 * @property {() => void} [remove]
 * @property {() => void} [copy]
 * @property {() => void} [moderate] its writer
 * @property {() => void} [unread] marks it as unread, and what came after it
 */

const ICONS = {
  react: 'M8 14A6 6 0 1 0 8 2a6 6 0 0 0 0 12M5.5 9.5a3 3 0 0 0 5 0M6 6.2v.1M10 6.2v.1',
  reply: 'M7 3 2.5 7.5 7 12M2.5 7.5H9a4.5 4.5 0 0 1 4.5 4.5v1',
  copy: 'M6 6h7v7H6zM10 6V3H3v7h3',
  unread: 'M2.5 4h11v8h-11zM2.5 4.5 8 9l5.5-4.5',
  edit: 'M10.5 3 13 5.5 5.5 13H3v-2.5z',
  moderate: 'M8 1.8 13 4v3.6c0 3-2 5.4-5 6.6-3-1.2-5-3.6-5-6.6V4zM8 5v3.4M8 10.8v.1',
  remove: 'M3 4.5h10M6 4.5V3h4v1.5M4.5 4.5 5 13h6l.5-8.5',
};
const NOTHING = 'a, button, input, textarea, summary';

export class Actions {
  #frame = find('log', HTMLElement);
  #can;
  #bar = make('div', { class: 'actions', label: text.actions });
  /** The event of the line that the bar is at, '' for none. */
  #event = '';
  /** Whether it was asked for, and does not go when the pointer does. */
  #stays = false;

  /**
   * @param {(event: string) => Can | null} can
   * @param {() => void} done what to focus when the keyboard leaves the lines
   */
  constructor(can, done) {
    this.#can = can;
    this.#bar.setAttribute('role', 'toolbar');
    this.#bar.hidden = true;
    this.#frame.append(this.#bar);

    let touch = false;
    this.#frame.addEventListener('pointerdown', ({ pointerType }) => (touch = pointerType !== 'mouse'));
    this.#frame.addEventListener('pointerover', ({ target, pointerType }) => {
      if (pointerType !== 'mouse' || this.#stays) return;
      const event = eventOf(target);
      if (event) this.#show(event, false);
    });
    this.#frame.addEventListener('pointerleave', ({ pointerType }) => pointerType === 'mouse' && !this.#stays && this.hide());
    this.#frame.addEventListener('click', ({ target }) => {
      const event = eventOf(target);
      if (!touch || !event || /** @type {Element} */ (target).closest(NOTHING) || getSelection()?.isCollapsed === false) return;
      if (event === this.#event) this.hide();
      else this.#show(event, true);
    });
    this.#frame.addEventListener('focusin', ({ target }) => {
      const event = eventOf(target);
      if (event && target instanceof HTMLElement && target.matches('.line:focus-visible')) this.#show(event, true);
    });
    this.#frame.addEventListener('focusout', ({ relatedTarget }) => {
      if (this.#stays && !touch && !this.#frame.contains(/** @type {Node | null} */ (relatedTarget))) this.hide();
    });
    document.addEventListener('pointerdown', ({ target }) => {
      if (touch && !this.#frame.contains(/** @type {Node} */ (target))) this.hide();
    });
    this.#frame.addEventListener('keydown', (event) => this.#key(event, done));
  }

  /** The lines have changed. */
  place() {
    const line = this.#line();
    if (!line || !this.#can(this.#event)) return this.hide();
    // Beside the first line of a text, or above it where it is narrow, and never above what can be scrolled to.
    const above = matchMedia('(max-width: 720px)').matches ? this.#bar.offsetHeight - 4 : 14;
    this.#bar.style.top = `${Math.max(0, line.offsetTop - above)}px`;
  }

  hide() {
    this.#event = '';
    this.#stays = false;
    this.#bar.hidden = true;
  }

  /**
   * @param {string} event
   * @param {boolean} stays
   */
  #show(event, stays) {
    this.#stays = stays;
    if (event === this.#event) return;
    const can = this.#can(event);
    if (!can) return this.hide();
    this.#event = event;
    const button = (/** @type {keyof typeof ICONS} */ name, /** @type {string} */ label, /** @type {((near: DOMRect) => void) | undefined} */ does) => {
      const click = () => {
        const near = this.#bar.getBoundingClientRect();
        this.#leave();
        does?.(near);
      };
      return does ? [make('button', { title: label, label, click }, icon(ICONS[name]))] : [];
    };
    /** @param {DOMRect} near */
    const react = async (near) => {
      const emoji = await pick(near);
      if (emoji) can.react?.(emoji);
    };
    this.#bar.replaceChildren(
      ...button('react', text.react, can.react && ((near) => void react(near))),
      ...button('reply', text.reply, can.reply),
      ...button('copy', text.copy, can.copy),
      ...button('unread', text.markUnread, can.unread),
      ...button('edit', text.edit, can.edit),
      ...button('moderate', text.moderate, can.moderate),
      ...button('remove', text.delete, can.remove),
    );
    this.#bar.hidden = false;
    this.place();
  }

  #line() {
    return this.#event === '' ? null : lines().find((line) => line.dataset['event'] === this.#event) ?? null;
  }

  /** Gives the focus back to the line, where the bar has it, and goes. */
  #leave() {
    if (this.#bar.contains(document.activeElement)) this.#line()?.focus();
    this.hide();
  }

  /**
   * @param {KeyboardEvent} event
   * @param {() => void} done
   */
  #key(event, done) {
    if (event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
    const at = /** @type {HTMLElement} */ (event.target);
    /** @param {HTMLElement[]} among @param {number} by */
    const go = (among, by) => {
      const i = among.indexOf(at);
      const next = among[i < 0 ? among.length - 1 : Math.min(among.length - 1, Math.max(0, i + by))];
      next?.focus();
      next?.scrollIntoView({ block: 'nearest' });
    };
    if (this.#bar.contains(at)) {
      const buttons = [...this.#bar.querySelectorAll('button')];
      if (event.key === 'ArrowRight') go(buttons, 1);
      else if (event.key === 'ArrowLeft') go(buttons, -1);
      else if (event.key === 'Escape') this.#line()?.focus();
      else return;
    } else if (at === this.#frame || at.matches('.line')) {
      if (event.key === 'ArrowUp') go(lines(), -1);
      else if (event.key === 'ArrowDown' && at !== this.#frame) go(lines(), 1);
      else if (event.key === 'Enter' && at !== this.#frame) this.#bar.querySelector('button')?.focus();
      else if (event.key === 'Escape') done();
      else return;
    } else {
      return;
    }
    event.preventDefault();
    event.stopPropagation();
  }
}

/** The lines that the server has. */
function lines() {
  return /** @type {HTMLElement[]} */ ([...document.querySelectorAll('.line[data-event]')]);
}

/** @param {EventTarget | null} target */
function eventOf(target) {
  const line = target instanceof Element ? target.closest('.line') : null;
  return line instanceof HTMLElement ? line.dataset['event'] ?? '' : '';
}

/**
 * Asks whether something is to be done that cannot be undone.
 * @param {{title: string, body: string, hint: string, yes: string, no?: string}} question
 * @returns {Promise<boolean>}
 */
export function confirmed({ title, body, hint, yes, no = text.keep }) {
  return new Promise((resolve) => {
    const quoted = make('p', { class: 'quoted', dir: 'auto' }, body);
    quoted.tabIndex = 0; // it scrolls, also by keys
    const keep = make('button', { click: () => dialog.close() }, no);
    keep.autofocus = true;
    const dialog = make('dialog', { class: 'ask' },
      make('h2', {}, title),
      quoted,
      make('p', { class: 'soft' }, hint),
      make('div', { class: 'answers' },
        keep,
        make('button', { class: 'bad', click: () => dialog.close('yes') }, yes)));
    dialog.setAttribute('aria-label', title);
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue === 'yes');
    });
    document.body.append(dialog);
    dialog.showModal();
  });
}
