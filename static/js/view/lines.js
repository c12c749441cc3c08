// How a line of a conversation looks. Whatever people wrote enters as text, never as markup.

import { mentions } from '../mentions.js';
import { text } from '../strings.js';
import { make, paint } from './dom.js';
import { rich } from './rich.js';

/** @typedef {import('../timeline.js').Break} Break */
/** @typedef {import('../timeline.js').Line} Line */
/** @typedef {import('../store.js').Entry} Entry */
/** @typedef {import('../changes.js').Changed} Changed */

/** Lines of one person within this time make a group, in milliseconds. */
const GROUP_MS = 5 * 60_000;
/** A text with more lines, or code points, than these is folded. */
const FOLD_LINES = 18;
const FOLD_LENGTH = 1_600;

export class Lines {
  #on;
  #user;
  /** The long texts that are shown whole, by event. @type {Set<string>} */
  #unfolded = new Set();

  /**
   * @param {import('../view.js').Handlers} handlers
   * @param {string} user
   */
  constructor(handlers, user) {
    this.#on = handlers;
    this.#user = user;
  }

  /**
   * @param {Line} line
   * @param {Date} at
   * @param {boolean} first of its group
   * @param {boolean} named whether to say its room
   * @param {Changed | undefined} change of it that is under way or was refused
   * @param {boolean} held whether what is under way waits for better times
   */
  line(line, at, first, named, change, held) {
    const time = make('time', { title: text.moment(at) }, text.time(at));
    time.dateTime = line.at;
    const words = change?.text ?? line.text;
    const body = this.#body(words);
    if (line.edited) {
      const last = body.lastElementChild;
      (last instanceof HTMLParagraphElement ? last : body).append(' ', make('span', { class: 'soft' }, `(${text.edited})`));
    }
    const by = first ? this.#by(line.from, named ? line.room : '', time) : [time, make('span', { class: 'unseen' }, `${line.from}: `)];
    const item = make('li', { class: `line${first ? ' first' : ''}` }, ...by, body);
    if (isLong(words)) item.append(this.#fold(line.event, body));
    if (mentions(words, this.#user)) item.classList.add('to-me');
    item.dataset['event'] = line.event;
    item.tabIndex = -1;
    if (!change) return item;
    item.classList.toggle('pending', change.waits);
    item.classList.toggle('gone', change.gone);
    item.classList.toggle('failed', change.failed.length > 0);
    if (change.waits) item.append(make('p', { class: 'status' }, held ? text.waiting : text.saving));
    item.append(...change.failed.map((entry) => this.#failed(entry)));
    return item;
  }

  /**
   * @param {Break} broken
   * @param {boolean} named whether to say its room
   */
  break({ kind, room }, named) {
    const words = make('span', {}, named ? `#${room}: ${text[kind]}` : text[kind]);
    if (kind === 'skipped') words.append(' ', make('button', { class: 'link', click: () => void this.#on.older(room) }, text.load));
    return make('li', { class: 'break' }, words);
  }

  /**
   * Something that is under way or was refused, where it is no part of another line.
   * @param {Entry} entry
   * @param {boolean} first
   * @param {boolean} held whether it waits for better times
   */
  pending(entry, first, held) {
    const body = this.#body('text' in entry ? entry.text : text.aDeletion);
    const line = make('li', { class: `line pending${first ? ' first' : ''}` }, ...(first ? this.#by(this.#user, '', null) : []), body);
    line.classList.toggle('failed', entry.failure !== undefined);
    line.append(entry.failure === undefined ? make('p', { class: 'status' }, held ? text.waiting : text.sending) : this.#failed(entry));
    return line;
  }

  /** @param {string} words */
  #body(words) {
    return make('div', { class: 'text', dir: 'auto' }, ...rich(words, this.#user, (name) => this.#on.open(name)));
  }

  /**
   * Folds a long text, until its reader wants it otherwise.
   * @param {string} event
   * @param {HTMLElement} body
   */
  #fold(event, body) {
    const more = make('button', { class: 'link more', click: () => {
      if (!this.#unfolded.delete(event)) this.#unfolded.add(event);
      show();
    } });
    const show = () => {
      const unfolded = this.#unfolded.has(event);
      body.classList.toggle('folded', !unfolded);
      more.ariaExpanded = String(unfolded);
      more.textContent = unfolded ? text.less : text.more;
    };
    show();
    return more;
  }

  /**
   * Why something was refused, and what can be done.
   * @param {Entry} entry
   */
  #failed({ key, type = 'send', failure = '' }) {
    const why = { send: text.failed, edit: text.notEdited, retract: text.notDeleted }[type](failure);
    return make('p', { class: 'status refused' }, why, ' ',
      make('button', { class: 'link', click: () => this.#on.retry(key) }, text.retry), ' ',
      make('button', { class: 'link', click: () => this.#on.discard(key) }, type === 'send' ? text.delete : text.discard));
  }

  /**
   * @param {string} from
   * @param {string} room
   * @param {HTMLElement | null} time
   */
  #by(from, room, time) {
    const avatar = make('span', { class: 'avatar' });
    avatar.ariaHidden = 'true';
    paint(avatar, from);
    const name = make('bdi', {}, from);
    const by = make('p', { class: 'by' }, from === this.#user
      ? make('span', { class: 'name' }, name)
      : make('button', { class: 'name', click: () => this.#on.open(`@${from}`) }, name));
    if (room) by.append(make('button', { class: 'room', click: () => this.#on.open(room) }, '#', make('bdi', {}, room)));
    if (time) by.append(time);
    return [avatar, by];
  }
}

/**
 * Whether a line goes on the group of the former.
 * @param {Line | null} former
 * @param {Pick<Line, 'from' | 'room' | 'at'>} line
 */
export function follows(former, line) {
  if (!former || former.from !== line.from || former.room !== line.room) return false;
  return Math.abs(Date.parse(line.at) - Date.parse(former.at)) < GROUP_MS;
}

/** @param {string} words */
function isLong(words) {
  return words.length > FOLD_LENGTH || words.split('\n', FOLD_LINES + 1).length > FOLD_LINES;
}
