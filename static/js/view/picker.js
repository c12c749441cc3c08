// Where one picks an emoji.

import { search } from '../emoji.js';
import { text } from '../strings.js';
import { make } from './dom.js';

/** How many stand in a row, as in the style sheet. */
const COLUMNS = 8;

/**
 * Shows emoji to pick from; resolves to the one that was picked, or ''.
 * @param {DOMRect} near beside which it opens, where there is room
 * @returns {Promise<string>}
 */
export function pick(near) {
  const input = make('input', { label: text.findEmoji });
  input.placeholder = text.findEmoji;
  input.autocomplete = 'off';
  const grid = make('div', { class: 'emoji', label: text.emoji });
  grid.setAttribute('role', 'group');
  const dialog = make('dialog', { class: 'picker', label: text.react }, input, grid);

  const show = () => {
    const found = search(input.value.trim());
    grid.replaceChildren(...found.map(({ name, emoji }, i) => {
      const button = make('button', { title: `:${name}:`, label: name.replaceAll('_', ' '), click: () => dialog.close(emoji) }, emoji);
      if (i > 0) button.tabIndex = -1;
      return button;
    }), ...(found.length ? [] : [make('p', { class: 'soft' }, text.noEmoji)]));
  };
  input.addEventListener('input', show);
  dialog.addEventListener('keydown', (event) => {
    const buttons = [...grid.querySelectorAll('button')];
    const at = buttons.findIndex((button) => button === document.activeElement);
    if (at < 0) {
      if (event.key === 'ArrowDown') buttons[0]?.focus();
      else if (event.key === 'Enter') buttons[0]?.click();
      else return;
    } else {
      const by = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: COLUMNS, ArrowUp: -COLUMNS }[event.key];
      if (by === undefined) return;
      (buttons[at + by] ?? (at + by < 0 ? input : buttons[at]))?.focus();
    }
    event.preventDefault();
  });
  // A click on what is around it, which is the dialog itself.
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());

  return new Promise((resolve) => {
    dialog.addEventListener('close', () => {
      dialog.remove();
      resolve(dialog.returnValue);
    });
    // Where a keyboard would cover it, it comes when asked for.
    if (!matchMedia('(pointer: fine)').matches) dialog.autofocus = true;
    show();
    document.body.append(dialog);
    dialog.showModal();
    place(dialog, near);
  });
}

/**
 * @param {HTMLElement} dialog
 * @param {DOMRect} near
 */
function place(dialog, near) {
  if (matchMedia('(max-width: 720px)').matches) return;
  const { top, bottom, right } = near;
  const { offsetWidth: width, offsetHeight: height } = dialog;
  const below = bottom + height < innerHeight;
  dialog.style.top = `${Math.max(8, below ? bottom + 4 : top - height - 4)}px`;
  dialog.style.left = `${Math.min(innerWidth - width - 8, Math.max(8, right - width))}px`;
}
