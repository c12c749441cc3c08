// What keys do wherever one is on the page, and the list of all that keys do.

import { text } from '../strings.js';
import { dialog } from './dialog.js';
import { find, make } from './dom.js';

/** @typedef {{open(): void}} Opens */

const APPLE = /Mac|iPhone|iPad/.test(navigator.userAgent);
/** The parts of the page that F6 goes round. */
const PARTS = ['side', 'log', 'text', 'people'];

export class Keys {
  #dialog;

  /**
   * @param {object} does
   * @param {() => void} does.switch
   * @param {(by: 1 | -1, unread: boolean) => void} does.step to the conversation below or above on the list
   * @param {() => void} does.search
   * @param {() => void} does.write goes to the composer
   */
  constructor(does) {
    const mod = APPLE ? '⌘' : text.keys.ctrl;
    const alt = APPLE ? '⌥' : text.keys.alt;
    const { shift } = text.keys;
    /** @type {Array<[string[], string]>} */
    const list = [
      [[mod, 'K'], text.does.switch],
      [[mod, shift, 'F'], text.does.search],
      [[alt, '↑'], text.does.above],
      [[alt, '↓'], text.does.below],
      [[alt, shift, '↑'], text.does.unreadAbove],
      [[alt, shift, '↓'], text.does.unreadBelow],
      [['F6'], text.does.part],
      [[text.keys.enter], text.does.send],
      [[shift, text.keys.enter], text.does.lineBreak],
      [[mod, 'B'], text.does.bold],
      [[mod, 'I'], text.does.italic],
      [['↑'], text.does.editLast],
      [[text.keys.esc], text.does.escape],
      [['?'], text.does.keys],
    ];
    const rows = list.flatMap(([keys, what]) => [make('dt', {}, ...keys.map((key) => make('kbd', {}, key))), make('dd', {}, what)]);
    const note = make('p', { class: 'soft' }, text.does.lines);
    this.#dialog = dialog('shortcuts', text.shortcuts, make('dl', { class: 'facts' }, ...rows), note);

    document.addEventListener('keydown', (event) => {
      if (event.defaultPrevented || event.isComposing) return;
      const { key, altKey, shiftKey } = event;
      const modKey = APPLE ? event.metaKey : event.ctrlKey;
      const plain = !event.ctrlKey && !event.metaKey && !altKey;
      const inWindow = document.querySelector('dialog[open]') !== null;
      if (modKey && !altKey && !shiftKey && key.toLowerCase() === 'k') does.switch();
      else if (inWindow) return;
      else if (modKey && !altKey && shiftKey && key.toLowerCase() === 'f') does.search();
      else if (altKey && !event.ctrlKey && !event.metaKey && key === 'ArrowUp') does.step(-1, shiftKey);
      else if (altKey && !event.ctrlKey && !event.metaKey && key === 'ArrowDown') does.step(1, shiftKey);
      else if (key === 'F6' && plain) this.#part(shiftKey ? -1 : 1);
      else if (key === '?' && plain && !writes(event.target)) this.open();
      else if (modKey && key === '/') this.open();
      else if (key === 'Escape' && plain && document.activeElement !== find('text', HTMLElement)) does.write();
      else return;
      event.preventDefault();
    });
  }

  open() {
    if (!document.querySelector('dialog[open]')) this.#dialog.showModal();
  }

  /** @param {1 | -1} by */
  #part(by) {
    const parts = PARTS.map((id) => find(id, HTMLElement)).filter((part) => part.checkVisibility({ visibilityProperty: true }));
    const at = parts.findIndex((part) => part.contains(document.activeElement));
    const part = parts[(at + by + parts.length) % parts.length];
    const inside = part?.querySelector('[aria-current]') ?? part?.querySelector('button');
    if (part && part.tabIndex >= 0) part.focus();
    else if (inside instanceof HTMLElement) inside.focus();
  }
}

/** @param {EventTarget | null} target */
function writes(target) {
  return target instanceof HTMLElement && target.matches('input, textarea, [contenteditable]');
}
