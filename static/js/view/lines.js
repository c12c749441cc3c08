// How a line of a conversation looks. Whatever people wrote enters as text, never as markup.

import { reacted } from '../changes.js';
import { plain } from '../markdown.js';
import { mentions } from '../mentions.js';
import { text } from '../strings.js';
import { make, paint } from './dom.js';
import { rich } from './rich.js';

/** @typedef {import('../timeline.js').Break} Break */
/** @typedef {import('../timeline.js').Line} Line */
/** @typedef {import('../store.js').Entry} Entry */
/** @typedef {import('../changes.js').Changed} Changed */
/** @typedef {{event: string, from: string, body: string}} Quoted a message that another replies to; without from where it is not here */

/** Lines of one person within this time make a group, in milliseconds. */
const GROUP_MS = 5 * 60_000;
/** How much of a message is shown by one that replies to it. */
const QUOTE_LENGTH = 160;
/** A text with more lines, or code points, than these is folded. */
const FOLD_LINES = 18;
const FOLD_LENGTH = 1_600;
/** Somebody can put thousands of emoji under a message: so many are shown, those that most people chose, and one's own. */
const MOST_REACTIONS = 20;

export class Lines {
  #on;
  #user;
  /** The long texts that are shown whole, by event. @type {Set<string>} */
  #unfolded = new Set();

  /**
   * @param {import('../view.js').Handlers & {reveal: (event: string) => void, go: (room: string, event: string) => void}} handlers
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
   * @param {Quoted | null} original what it replies to
   */
  line(line, at, first, named, change, held, original) {
    const time = make('time', { title: text.moment(at) }, text.time(at));
    time.dateTime = line.at;
    const words = change?.text ?? line.text;
    const body = this.#body(words);
    if (line.edited) {
      const last = body.lastElementChild;
      (last instanceof HTMLParagraphElement ? last : body).append(' ', make('span', { class: 'soft' }, `(${text.edited})`));
    }
    const by = first ? this.#by(line.from, named ? line.room : '', time, line.event) : [time, make('span', { class: 'unseen' }, `${text.author(line.from)}: `)];
    const item = make('li', { class: `line${first ? ' first' : ''}` }, ...by, ...(original ? [this.#quote(original)] : []), body);
    if (isLong(words)) item.append(this.#fold(line.event, body));
    if (mentions(words, this.#user)) item.classList.add('to-me');
    const reactions = reacted(line.reactions, change, this.#user);
    if (reactions.length > 0) item.append(this.#reactions(line, reactions));
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
   * @param {Quoted | null} original what it replies to
   */
  pending(entry, first, held, original) {
    const body = this.#body('text' in entry ? entry.text : entry.type === 'react' ? entry.emoji : text.aDeletion);
    const line = make('li', { class: `line pending${first ? ' first' : ''}` }, ...(first ? this.#by(this.#user, '', null, '') : []),
      ...(original ? [this.#quote(original)] : []), body);
    line.classList.toggle('failed', entry.failure !== undefined);
    line.append(entry.failure === undefined ? make('p', { class: 'status' }, held ? text.waiting : text.sending) : this.#failed(entry));
    return line;
  }

  /** @param {Quoted} quoted */
  #quote({ event, from, body }) {
    const words = from === '' ? [body] : [make('bdi', { class: 'from' }, from), ' ', make('bdi', {}, body)];
    return make('button', { class: 'quote', click: () => this.#on.reveal(event) }, make('span', { class: 'unseen' }, text.replyTo), ...words);
  }

  /**
   * @param {Line} line
   * @param {import('../timeline.js').Reaction[]} reactions
   */
  #reactions(line, reactions) {
    const react = (/** @type {string} */ emoji, /** @type {boolean} */ on) =>
      void this.#on.change(line.room, { type: 'react', target: line.event, emoji, on });
    const most = reactions.length > MOST_REACTIONS
      ? reactions.toSorted((a, b) => b.from.length - a.from.length).filter(({ from }, n) => n < MOST_REACTIONS || from.includes(this.#user))
      : reactions;
    const buttons = most.map(({ emoji, from }) => {
      const mine = from.includes(this.#user);
      const who = text.reactedBy(from.map((name) => (name === this.#user ? text.you : text.author(name))));
      const button = make('button', { title: who, label: `${emoji} ${from.length}: ${who}`, click: () => react(emoji, !mine) },
        make('span', { class: 'glyph' }, emoji), ` ${from.length}`);
      button.ariaPressed = String(mine);
      return button;
    });
    const left = reactions.length - most.length;
    return make('p', { class: 'reactions' }, ...buttons, ...(left > 0 ? [make('span', { class: 'left' }, `+${left}`)] : []));
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
  #failed(entry) {
    const { key, type = 'send', failure = '' } = entry;
    const why = entry.type === 'react' ? text.notReacted(entry.emoji, failure)
      : { send: text.failed, edit: text.notEdited, retract: text.notDeleted, react: text.failed }[type](failure);
    return make('p', { class: 'status refused' }, why, ' ',
      make('button', { class: 'link', click: () => this.#on.retry(key) }, text.retry), ' ',
      make('button', { class: 'link', click: () => this.#on.discard(key) }, type === 'send' ? text.delete : text.discard));
  }

  /**
   * @param {string} from
   * @param {string} room
   * @param {HTMLElement | null} time
   * @param {string} event
   */
  #by(from, room, time, event) {
    const avatar = make('span', { class: 'avatar' });
    avatar.ariaHidden = 'true';
    paint(avatar, from);
    const name = make('bdi', {}, text.author(from));
    const by = make('p', { class: 'by' }, from === this.#user || from === ''
      ? make('span', { class: 'name' }, name)
      : make('button', { class: 'name', click: () => this.#on.open(`@${from}`) }, name));
    if (room) by.append(make('button', { class: 'room', title: text.inRoom, click: () => this.#on.go(room, event) }, '#', make('bdi', {}, room)));
    if (time) by.append(time);
    return [avatar, by];
  }
}

/**
 * Whether a line goes on the group of the former.
 * @param {Pick<Line, 'from' | 'room' | 'at'> | null} former
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

/**
 * What a reply shows of the message that it is to: one line of it, without marks.
 * @param {Line[]} lines
 * @param {string} event
 * @returns {Quoted}
 */
export function quoted(lines, event) {
  const line = lines.findLast((each) => each.event === event);
  if (!line) return { event, from: '', body: text.anEarlier };
  return { event, from: text.author(line.from), body: plain(line.text.slice(0, 3 * QUOTE_LENGTH)).replace(/\s+/g, ' ').slice(0, QUOTE_LENGTH) };
}
