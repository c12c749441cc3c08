// Where one writes.

import { isInBlock } from '../complete.js';
import { textLength } from '../protocol.js';
import { text } from '../strings.js';
import { Completion, put } from './completion.js';
import { find, say } from './dom.js';
import { quoted } from './lines.js';

/** @typedef {import('../view.js').Open} Open */
/** @typedef {import('../view.js').Page} Page */
/** @typedef {import('../view.js').Draft} Draft */

/** The rest of the limit is shown when it is smaller than this. */
const SHOW_LEFT = 200;
/** Of how many lines the speakers are offered first when one names somebody. */
const SPOKE = 200;

export class Composer {
  #on;
  #sent;
  #remove;
  #form = find('composer', HTMLFormElement);
  #text = find('text', HTMLTextAreaElement);
  #note = find('note', HTMLElement);
  /** Stands there where one cannot write. */
  #reads = find('reads', HTMLElement);
  /** @type {Page | null} */
  #page = null;
  /** The conversation that is written to. */
  #name = '';
  #sending = false;
  /** Enter was pressed again before the former message was kept. */
  #sendNext = false;
  /** What the last message met with. */
  #refusal = '';
  /** What the new message replies to, '' for nothing. */
  #reply = '';
  /** The text that the field is as high as. @type {string | null} */
  #fitted = null;
  /** The event of the message that is changed here, '' while a new one is written. */
  #edits = '';
  /** The new message meanwhile. */
  #stash = { body: '', reply: '' };
  #completion = new Completion(() => this.#people());
  #about = find('about', HTMLElement);
  #aboutText = find('about-text', HTMLElement);

  /**
   * @param {import('../view.js').Handlers} handlers
   * @param {() => void} sent a message of the open conversation was kept
   * @param {(event: string) => Promise<boolean>} remove asks whether a message is to be deleted, and does so
   */
  constructor(handlers, sent, remove) {
    this.#on = handlers;
    this.#sent = sent;
    this.#remove = remove;
    find('about-cancel', HTMLButtonElement).addEventListener('click', () => this.#cancel());
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#send();
    });
    this.#text.addEventListener('keydown', (event) => {
      // A key that belongs to the composition of a character is not ours.
      if (event.isComposing || event.keyCode === 229 || event.altKey) return;
      if (event.ctrlKey || event.metaKey || event.shiftKey) return this.#withMod(event);
      if (this.#completion.key(event.key)) this.#written();
      // A block of code has many lines; the one that ends it does not go on.
      else if (event.key === 'Enter' && isInBlock(this.#text.value.slice(0, this.#text.selectionStart))) return;
      else if (event.key === 'Enter') void this.#send();
      else if (event.key === 'ArrowUp' && this.#text.value === '' && !this.#edits) this.#editLast();
      else if (event.key === 'Escape' && (this.#edits || this.#reply)) this.#cancel();
      else return;
      event.preventDefault();
      event.stopPropagation();
    });
    addEventListener('resize', () => this.#fit());
    this.#text.addEventListener('input', (event) => {
      this.#refusal = '';
      this.#completion.written(event instanceof InputEvent && event.inputType === 'insertText');
      if (this.#text.value.trim() !== '') this.#on.typing(this.#name);
      this.#keep();
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
    this.#form.hidden = open?.kind === 'universe' || open?.role === 'muted';
    this.#reads.hidden = !this.#form.hidden;
    if (this.#form.hidden) say(this.#reads, open?.role === 'muted' ? text.mutedReads : text.universeReads);
    this.#text.disabled = !open;
    if (elsewhere) this.#open(open);
    else if (!this.#edits) this.#sayReply();
    this.#written();
  }

  /** @param {Open | null} open */
  #open(open) {
    this.#name = open?.name ?? '';
    this.#refusal = '';
    this.#completion.close();
    if (!open) return;
    this.#draft(this.#on.drafted(open.name));
    this.#text.placeholder = text.write(open.title);
    this.#fitted = null;
    this.#text.setAttribute('aria-label', text.write(open.title));
    // Where a keyboard would cover half of the page, it comes when asked for.
    if (matchMedia('(pointer: fine)').matches && open.kind !== 'universe') this.#text.focus();
  }

  /** @param {KeyboardEvent} event */
  #withMod(event) {
    if (event.shiftKey) return;
    const mark = { b: '**', i: '*' }[event.key.toLowerCase()];
    if (mark) this.#mark(mark);
    else if (event.key === 'Enter') void this.#send();
    else return;
    event.preventDefault();
    event.stopPropagation();
  }

  /**
   * Puts marks around what is selected, or takes them away.
   * @param {string} mark
   */
  #mark(mark) {
    const { value, selectionStart: from, selectionEnd: to } = this.#text;
    const { length } = mark;
    const around = value.slice(0, from).endsWith(mark) && value.slice(to).startsWith(mark);
    if (around) this.#text.setSelectionRange(from - length, to + length);
    put(this.#text, around ? value.slice(from, to) : `${mark}${value.slice(from, to)}${mark}`);
    this.#text.setSelectionRange(around ? from - length : from + length, around ? to - length : to + length);
  }

  /** Whom one may name: who spoke last first, then who is here. */
  #people() {
    const open = this.#page?.open;
    if (!open) return [];
    const spoke = open.lines.slice(-SPOKE).map(({ from }) => from).reverse();
    const others = [...open.here.map(({ name }) => name), ...(open.members ?? []).filter(({ role }) => role !== 'banned').map(({ user }) => user)];
    return [...new Set([...spoke, ...others])].filter((name) => name !== this.#page?.user);
  }

  focus() {
    this.#text.focus();
  }

  /**
   * Changes a message of the open conversation.
   * @param {string} event
   */
  edit(event) {
    const open = this.#page?.open;
    const line = open?.lines.find((each) => each.event === event);
    if (!open || !line) return;
    if (!this.#edits) this.#stash = { body: this.#text.value, reply: this.#reply };
    this.#edits = event;
    this.#text.value = open.changes.get(event)?.text ?? line.text;
    this.#refusal = '';
    this.#say(text.editing);
    this.#written();
    this.#text.focus();
    this.#text.setSelectionRange(this.#text.value.length, this.#text.value.length);
  }

  /**
   * Has the new message reply to one.
   * @param {string} event
   */
  reply(event) {
    this.#cancelEdit();
    this.#reply = event;
    this.#keep();
    this.#sayReply();
    this.#text.focus();
  }

  #sayReply() {
    if (!this.#reply) return this.#say('');
    const { from, body } = quoted(this.#page?.open?.lines ?? [], this.#reply);
    this.#say(from === '' ? text.replying : text.replyingTo(from, body));
  }

  /**
   * Says what is written here; '' for just a message.
   * @param {string} words
   */
  #say(words) {
    say(this.#aboutText, words);
    this.#about.hidden = words === '';
  }

  /** Changes the last message of one's own. */
  #editLast() {
    const open = this.#page?.open;
    if (!open) return;
    if (open.pending.length > 0) {
      // Which event it will be is not known yet.
      this.#refusal = text.underWay;
      return this.#written();
    }
    const own = open.lines.filter(({ from, event }) => from === this.#page?.user && !open.changes.get(event)?.gone);
    const last = own.at(-1);
    if (last) this.edit(last.event);
  }

  /** Goes back to the new message. */
  #cancel() {
    if (this.#edits) {
      this.#cancelEdit();
    } else {
      this.#reply = '';
      this.#say('');
      this.#keep();
    }
    this.#text.focus();
  }

  #cancelEdit() {
    if (this.#edits) this.#draft(this.#stash);
  }

  /** @param {Draft} draft */
  #draft({ body, reply }) {
    this.#edits = '';
    this.#refusal = '';
    this.#text.value = body;
    this.#reply = reply;
    this.#sayReply();
    this.#written();
  }

  /** Keeps the new message. Only what is done here does so: another tab may have another draft. */
  #keep() {
    if (this.#name && !this.#edits) this.#on.draft(this.#name, { body: this.#text.value, reply: this.#reply });
  }

  async #send() {
    const body = this.#text.value;
    const name = this.#name;
    const edits = this.#edits;
    const reply = this.#reply;
    if (edits && body.trim() === '') {
      if (await this.#remove(edits)) this.#cancel();
      return;
    }
    if (!name || body.trim() === '' || this.#left() < 0) return;
    if (this.#sending) {
      this.#sendNext = true;
      return;
    }
    this.#sending = true;
    const refusal = await (edits ? this.#change(name, edits, body) : this.#on.send(name, body, reply));
    this.#sending = false;
    if (this.#name === name && this.#edits === edits) this.#refusal = refusal;
    if (refusal === '' && edits) {
      if (this.#edits === edits && this.#name === name) this.#cancelEdit();
    } else if (refusal === '' && this.#name === name && !this.#edits) {
      // What was typed while the message was being kept stays.
      if (this.#text.value.startsWith(body)) this.#text.value = this.#text.value.slice(body.length);
      if (this.#reply === reply) {
        this.#reply = '';
        this.#say('');
      }
      this.#keep();
      this.#sent();
    } else if (refusal === '' && !edits) {
      // It is no draft any more.
      if (this.#on.drafted(name).body === body) this.#on.draft(name, { body: '', reply: '' });
    }
    this.#written();
    if (this.#sendNext) {
      this.#sendNext = false;
      void this.#send();
    }
  }

  /**
   * Keeps a change, if it is one.
   * @param {string} name
   * @param {string} target
   * @param {string} body
   */
  async #change(name, target, body) {
    const open = this.#page?.open;
    const is = open?.changes.get(target)?.text ?? open?.lines.find(({ event }) => event === target)?.text;
    return body === is ? '' : this.#on.change(name, { type: 'edit', target, text: body });
  }

  #left() {
    return (this.#page?.limit ?? Infinity) - textLength(this.#text.value);
  }

  /** Makes the field as high as its text. That has the page laid out at once, which each frame of scrolling would pay for. */
  #fit() {
    this.#fitted = this.#text.value;
    const { style } = this.#text;
    style.height = 'auto';
    style.height = `${this.#text.scrollHeight}px`;
  }

  /** The composer's text or the page's state has changed. */
  #written() {
    if (this.#fitted !== this.#text.value) this.#fit();
    const left = this.#left();
    this.#note.classList.toggle('error', this.#refusal !== '' || left < 0);
    say(this.#note, this.#refusal || (left < SHOW_LEFT ? text.left(left) : this.#page?.notice ?? ''));
  }
}
