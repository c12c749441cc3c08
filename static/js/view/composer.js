// Where one writes.

import { textLength } from '../protocol.js';
import { text } from '../strings.js';
import { find, say } from './dom.js';

/** @typedef {import('../view.js').Open} Open */
/** @typedef {import('../view.js').Page} Page */

/** The rest of the limit is shown when it is smaller than this. */
const SHOW_LEFT = 200;

export class Composer {
  #on;
  #sent;
  #form = find('composer', HTMLFormElement);
  #text = find('text', HTMLTextAreaElement);
  #note = find('note', HTMLElement);
  /** @type {Page | null} */
  #page = null;
  /** The conversation that is written to. */
  #name = '';
  #sending = false;
  /** Enter was pressed again before the former message was kept. */
  #sendNext = false;
  /** What the last message met with. */
  #refusal = '';

  /**
   * @param {import('../view.js').Handlers} handlers
   * @param {() => void} sent a message of the open conversation was kept
   */
  constructor(handlers, sent) {
    this.#on = handlers;
    this.#sent = sent;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#send();
    });
    this.#text.addEventListener('keydown', (event) => {
      // An Enter that ends the composition of a character sends nothing.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      void this.#send();
    });
    this.#text.addEventListener('input', () => {
      this.#refusal = '';
      if (this.#text.value.trim() !== '') this.#on.typing(this.#name);
      this.#written();
    });
  }

  /**
   * @param {Page} page
   * @param {boolean} elsewhere whether another conversation was open before
   */
  render(page, elsewhere) {
    const { open } = page;
    this.#page = page;
    this.#form.hidden = open?.kind === 'universe';
    this.#text.disabled = !open;
    if (elsewhere) this.#open(open);
    this.#written();
  }

  /** @param {Open | null} open */
  #open(open) {
    this.#name = open?.name ?? '';
    this.#refusal = '';
    if (!open) return;
    this.#text.value = this.#on.drafted(open.name);
    this.#text.placeholder = text.write(open.title);
    this.#text.setAttribute('aria-label', text.write(open.title));
    // Where a keyboard would cover half of the page, it comes when asked for.
    if (matchMedia('(pointer: fine)').matches && open.kind !== 'universe') this.#text.focus();
  }

  async #send() {
    const body = this.#text.value;
    const name = this.#name;
    if (!name || body.trim() === '' || this.#left() < 0) return;
    if (this.#sending) {
      this.#sendNext = true;
      return;
    }
    this.#sending = true;
    this.#refusal = await this.#on.send(name, body);
    this.#sending = false;
    if (this.#refusal === '' && this.#name === name) {
      // What was typed while the message was being kept stays.
      if (this.#text.value.startsWith(body)) this.#text.value = this.#text.value.slice(body.length);
      this.#sent();
    }
    this.#written();
    if (this.#sendNext) {
      this.#sendNext = false;
      void this.#send();
    }
  }

  #left() {
    return (this.#page?.limit ?? Infinity) - textLength(this.#text.value);
  }

  /** The composer's text or the page's state has changed. */
  #written() {
    if (this.#name) this.#on.draft(this.#name, this.#text.value);
    const { style } = this.#text;
    style.height = 'auto';
    style.height = `${this.#text.scrollHeight}px`;
    const left = this.#left();
    this.#note.classList.toggle('error', this.#refusal !== '' || left < 0);
    say(this.#note, this.#refusal || (left < SHOW_LEFT ? text.left(left) : this.#page?.notice ?? ''));
  }
}
