// A window over the page, with a title and a way out. The browser keeps the focus inside and gives it back.

import { text } from '../strings.js';
import { make } from './dom.js';

/**
 * @param {string} id
 * @param {string} title
 * @param {...Node} children
 */
export function dialog(id, title, ...children) {
  const heading = make('h2', {}, title);
  heading.id = `${id}-title`;
  const close = make('button', { class: 'icon close', click: () => element.close() }, '×');
  close.ariaLabel = text.close;
  const element = make('dialog', { class: 'dialog' }, make('header', {}, heading, close), ...children);
  element.id = id;
  element.setAttribute('aria-labelledby', heading.id);
  // What is outside of it is its own backdrop.
  element.addEventListener('click', (event) => event.target === element && element.close());
  document.body.append(element);
  return element;
}
