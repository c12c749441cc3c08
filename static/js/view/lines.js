// How a line of a conversation looks. Whatever people wrote enters as text, never as markup.

import { text } from '../strings.js';
import { make, paint } from './dom.js';

/** @typedef {import('../timeline.js').Break} Break */
/** @typedef {import('../timeline.js').Line} Line */
/** @typedef {import('../store.js').Entry} Entry */
/** @typedef {import('../changes.js').Changed} Changed */

/** Lines of one person within this time make a group, in milliseconds. */
const GROUP_MS = 5 * 60_000;
const URL_PATTERN = /(https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]}])/;

export class Lines {
  #on;
  #user;

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
    const body = make('p', { class: 'text', dir: 'auto' }, ...linked(change?.text ?? line.text));
    if (line.edited) body.append(' ', make('span', { class: 'soft' }, `(${text.edited})`));
    const by = first ? this.#by(line.from, named ? line.room : '', time) : [time, make('span', { class: 'unseen' }, `${line.from}: `)];
    const item = make('li', { class: `line${first ? ' first' : ''}` }, ...by, body);
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
    const body = make('p', { class: 'text', dir: 'auto' }, ...('text' in entry ? linked(entry.text) : [text.aDeletion]));
    const line = make('li', { class: `line pending${first ? ' first' : ''}` }, ...(first ? this.#by(this.#user, '', null) : []), body);
    line.classList.toggle('failed', entry.failure !== undefined);
    line.append(entry.failure === undefined ? make('p', { class: 'status' }, held ? text.waiting : text.sending) : this.#failed(entry));
    return line;
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

/**
 * A text with its links.
 * @param {string} body
 * @returns {Array<Node | string>}
 */
function linked(body) {
  return body.split(URL_PATTERN).map((part, i) => {
    if (i % 2 === 0) return part;
    const link = make('a', {}, part);
    link.href = part;
    link.target = '_blank';
    link.rel = 'noopener noreferrer';
    return link;
  });
}
