// What all parts of the view make the page with.

/** @typedef {{key: string, sign: string, make: () => HTMLElement}} Item an element of a list, made anew when its sign differs */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {{class?: string, dir?: string, title?: string, label?: string, click?: () => void}} [with_]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function make(tag, with_ = {}, ...children) {
  const element = document.createElement(tag);
  if (with_.class) element.className = with_.class;
  if (with_.dir) element.dir = with_.dir;
  if (with_.title) element.title = with_.title;
  if (with_.label) element.setAttribute('aria-label', with_.label);
  if (with_.click) element.addEventListener('click', with_.click);
  if (element instanceof HTMLButtonElement) element.type = 'button';
  element.append(...children);
  return element;
}

/**
 * A drawing of 16 by 16.
 * @param {string} path
 */
export function icon(path) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const line = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  for (const [name, value] of [['viewBox', '0 0 16 16'], ['width', '16'], ['height', '16'], ['aria-hidden', 'true']]) {
    svg.setAttribute(name ?? '', value ?? '');
  }
  line.setAttribute('d', path);
  svg.append(line);
  return svg;
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
export function find(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`no ${type.name} #${id}`);
  return element;
}

/**
 * Sets a text where it differs, so that nothing is read aloud twice.
 * @param {HTMLElement} element
 * @param {string} words
 */
export function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/**
 * Makes an avatar a person's: their initial, in a colour of theirs.
 * @param {HTMLElement} avatar
 * @param {string} name
 */
export function paint(avatar, name) {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 360;
  avatar.textContent = ([...name][0] ?? '').toUpperCase();
  avatar.style.setProperty('--hue', String(hash));
}

/** A list whose children follow what it is told to show. */
export class List {
  #element;
  /** Its elements by key. @type {Map<string, {sign: string, element: HTMLElement}>} */
  #shown = new Map();

  /** @param {HTMLElement} element */
  constructor(element) {
    this.#element = element;
  }

  /** @param {string} key */
  get(key) {
    return this.#shown.get(key)?.element;
  }

  /** The keys of its elements, in order. */
  keys() {
    return this.#shown.keys();
  }

  /**
   * Makes the list's children be these, leaving alone what has not changed.
   * @param {Item[]} items
   */
  show(items) {
    const list = this.#element;
    const before = this.#shown;
    const after = new Map();
    const keys = new Set(items.map(({ key }) => key));
    // What goes goes first: what stays after it need not be moved then.
    for (const [key, { element }] of before) {
      if (!keys.has(key)) element.remove();
    }
    /** @type {Element | null} */
    let next = list.firstElementChild;
    for (const { key, sign, make } of items) {
      const old = before.get(key);
      const element = old?.sign === sign ? old.element : make();
      after.set(key, { sign, element });
      if (old && old.element !== element) {
        if (next === old.element) next = old.element.nextElementSibling;
        const { activeElement } = document;
        const focused = old.element.contains(activeElement);
        const place = [...old.element.querySelectorAll('button')].findIndex((button) => button === activeElement);
        old.element.remove();
        list.insertBefore(element, next);
        if (focused) (place < 0 ? element : element.querySelectorAll('button')[place] ?? element).focus();
      } else if (element === next) {
        next = element.nextElementSibling;
      } else {
        list.insertBefore(element, next);
      }
    }
    this.#shown = after;
  }
}
