// A text of somebody's on the page: as elements whose kinds are ours and whose words enter as text, never as markup.

import { parse } from '../markdown.js';
import { isName } from '../mentions.js';
import { make } from './dom.js';

/** @typedef {import('../markdown.js').Block} Block */
/** @typedef {import('../markdown.js').Inline} Inline */

/**
 * @param {string} body
 * @param {string} user who reads it
 * @param {(name: string) => void} open opens a conversation with a person
 * @returns {Array<Node | string>}
 */
export function rich(body, user, open) {
  const found = parse(body);
  const [only] = found;
  const write = new Writer(user, open);
  return found.length === 1 && only?.type === 'paragraph' ? write.spans(only.children) : found.map((block) => write.block(block));
}

class Writer {
  #user;
  #open;

  /** @param {string} user @param {(name: string) => void} open */
  constructor(user, open) {
    this.#user = user;
    this.#open = open;
  }

  /**
   * @param {Block} block
   * @returns {HTMLElement}
   */
  block(block) {
    switch (block.type) {
      case 'paragraph':
        return make('p', { dir: 'auto' }, ...this.spans(block.children));
      case 'quote':
        return make('blockquote', {}, ...block.children.map((each) => this.block(each)));
      case 'list': {
        const items = block.items.map((item) => make('li', { dir: 'auto' }, ...this.#item(item)));
        if (block.start === null) return make('ul', {}, ...items);
        const list = make('ol', {}, ...items);
        list.start = block.start;
        return list;
      }
      case 'code': {
        const code = make('pre', { dir: 'ltr' }, make('code', {}, block.text));
        code.tabIndex = 0; // it scrolls, also by keys
        return code;
      }
    }
  }

  /** @param {Block[]} item */
  #item(item) {
    return item.flatMap((block, i) => (i === 0 && block.type === 'paragraph' ? this.spans(block.children) : [this.block(block)]));
  }

  /**
   * @param {Inline[]} spans
   * @returns {Array<Node | string>}
   */
  spans(spans) {
    return spans.map((span) => {
      switch (span.type) {
        case 'text':
          return span.text;
        case 'codespan':
          return make('code', {}, span.text);
        case 'mention':
          if (isName(span.name, this.#user)) return make('strong', { class: 'mention mine' }, span.text);
          return make('button', { class: 'mention', click: () => this.#open(`@${span.name}`) }, span.text);
        case 'link': {
          const link = make('a', { title: span.href }, ...this.spans(span.children));
          link.href = span.href;
          link.target = '_blank';
          link.relList.add('noopener', 'noreferrer', 'nofollow');
          return link;
        }
        default:
          return make(span.type, {}, ...this.spans(span.children));
      }
    });
  }
}
