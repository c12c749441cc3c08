// The lines of the open conversation: which are on the page, and what stays in sight.

import { text } from '../strings.js';
import { Actions, confirmed } from './actions.js';
import { List, find, make, say } from './dom.js';
import { Lines, follows } from './lines.js';

/** @typedef {import('../timeline.js').Line} Line */
/** @typedef {import('../view.js').Page} Page */
/** @typedef {import('./dom.js').Item} Item */

/** How many lines are on the page at first, and how many more each time one scrolls to their beginning. */
const WINDOW = 150;
/** Nearer to an end than this, in pixels, counts as there. */
const NEAR_PX = 48;
/** Nearer to the beginning than this, in pixels, loads more. */
const AHEAD_PX = 400;

export class Log {
  #on;
  #user;
  #composer;
  #actions;
  #looks;
  #frame = find('log', HTMLElement);
  #lines = new List(find('lines', HTMLElement));
  #edge = find('edge', HTMLElement);
  #newest = find('newest', HTMLButtonElement);
  /** @type {Page | null} */
  #page = null;
  /** How many of the conversation's lines are on the page, and how many there were. */
  #window = WINDOW;
  #total = 0;
  /** Whether the end of the log is kept in sight. */
  #follows = true;

  /**
   * @param {import('../view.js').Handlers} handlers
   * @param {string} user
   * @param {import('./composer.js').Composer} composer
   */
  constructor(handlers, user, composer) {
    this.#on = handlers;
    this.#user = user;
    this.#composer = composer;
    this.#actions = new Actions((event) => this.#can(event), () => composer.focus());
    this.#looks = new Lines(handlers, user);
    this.#frame.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#follows && this.#toEnd()).observe(this.#frame);
    this.#newest.addEventListener('click', () => this.follow());
    document.addEventListener('visibilitychange', () => this.seen());
  }

  /** Goes to the newest line, and keeps it in sight. */
  follow() {
    this.#follows = true;
    this.#toEnd();
  }

  /**
   * @param {Page} page
   * @param {boolean} elsewhere whether another conversation was shown before
   */
  render(page, elsewhere) {
    const { open, user, held } = page;
    this.#page = page;
    if (elsewhere) {
      this.#window = WINDOW;
      this.#total = 0;
      this.#follows = true;
    }
    const anchor = this.#follows ? null : this.#anchor();
    const all = open?.lines ?? [];
    // Who reads further up keeps what they see, whatever is added at either end.
    if (!this.#follows) this.#window += Math.max(0, all.length - this.#total);
    else if (!elsewhere) this.#window = WINDOW;
    this.#total = all.length;
    const lines = all.slice(-this.#window);
    const named = open?.kind === 'universe';

    const now = new Date();
    /** @type {Item[]} */
    const items = [];
    /** @type {Line | null} */
    let former = null;
    let day = '';
    const changes = open?.changes;
    /** The changes that stand at their lines. @type {Set<string>} */
    const shown = new Set();
    const breaks = new Map(open?.breaks.map((each) => [`${each.side} ${each.line}`, each]));
    const broken = (/** @type {string} */ place) => {
      const found = breaks.get(place);
      if (!found) return;
      items.push({
        key: `break ${found.room} ${place}`,
        sign: `${found.kind} ${named}`,
        make: () => this.#looks.break(found, named),
      });
      former = null;
    };
    for (const line of lines) {
      const at = new Date(line.at);
      const its = at.toDateString();
      if (its !== day) {
        const label = text.day(at, now);
        items.push({ key: `day ${its}`, sign: label, make: () => make('li', { class: 'day' }, make('span', {}, label)) });
        day = its;
        former = null;
      }
      broken(`before ${line.event}`);
      const first = !follows(former, line);
      const change = changes?.get(line.event);
      if (change) shown.add(line.event);
      items.push({
        key: line.event,
        sign: `${first} ${named} ${line.edited} ${line.text}${change ? `${held} ${signOf(change)}` : ''}`,
        make: () => this.#looks.line(line, at, first, named, change, held),
      });
      former = line;
      broken(`after ${line.event}`);
    }
    broken('before ');
    // What was refused of a message that is not here must not go unseen.
    const lost = [...changes ?? []].filter(([event]) => !shown.has(event)).flatMap(([, { failed }]) => failed);
    for (const entry of [...open?.pending ?? [], ...lost]) {
      const line = { from: user, room: entry.room, at: new Date(entry.at).toISOString() };
      const first = !follows(former, line);
      items.push({
        // Under the key of the wire, so that it stays in its place while its states change.
        key: `pending ${entry.key}`,
        sign: `${first} ${held} ${entry.failure ?? ''}`,
        make: () => this.#looks.pending(entry, first, held),
      });
      former = { ...line, event: '', seq: 0, key: entry.key, text: '', edited: false };
    }
    if (elsewhere) {
      // Another conversation is not news to be read aloud.
      this.#frame.ariaBusy = 'true';
      requestAnimationFrame(() => (this.#frame.ariaBusy = 'false'));
    }
    this.#lines.show(items);
    this.#actions.place();

    const more = open !== null && (open.hasOlder || all.length > lines.length);
    say(this.#edge, !open?.known ? '' : open.loading ? text.loading : more ? '' : all.length ? text.beginning : text.empty);
    if (this.#follows) this.#toEnd();
    else if (anchor) this.#restore(anchor);
    this.#newest.hidden = this.#follows;
    this.#newest.textContent = text.newest;
    // A page that does not fill its frame cannot be scrolled to ask for more.
    if (more && this.#frame.scrollHeight <= this.#frame.clientHeight) this.#more();
  }

  /**
   * What one can do with a line.
   * @param {string} event
   * @returns {import('./actions.js').Can | null}
   */
  #can(event) {
    const open = this.#page?.open;
    const line = open?.lines.find((each) => each.event === event);
    const change = open?.changes.get(event);
    if (!open || !line || change?.gone) return null;
    const body = change?.text ?? line.text;
    const own = line.from === this.#user;
    return {
      ...(navigator.clipboard && { copy: () => void navigator.clipboard.writeText(body).catch(() => {}) }),
      ...(own && open.kind !== 'universe' && { edit: () => this.#composer.edit(event) }),
      ...(own && { remove: () => void this.remove(event) }),
    };
  }

  /**
   * Deletes a message, once its writer has said so again.
   * @param {string} event
   */
  async remove(event) {
    const line = this.#page?.open?.lines.find((each) => each.event === event);
    if (!line || !(await confirmed(line.text))) return false;
    void this.#on.change(line.room, { type: 'retract', target: event });
    return true;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#frame;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.#newest.hidden = this.#follows;
    if (scrollTop < AHEAD_PX) this.#more();
    this.seen();
  }

  /** Shows lines from before those on the page, or has them loaded. */
  #more() {
    const open = this.#page?.open;
    if (!this.#page || !open) return;
    if (this.#total > this.#window) {
      this.#window += WINDOW;
      if (!this.#follows) this.render(this.#page, false);
    } else if (open.hasOlder && !open.loading) {
      void this.#on.older(open.name);
    }
  }

  /** The first line in sight, and where it ends: where it begins changes when it is no more the first of its group. */
  #anchor() {
    const { scrollTop } = this.#frame;
    for (const [key, element] of this.#lines.entries()) {
      const offset = element.offsetTop + element.offsetHeight - scrollTop;
      if (offset > 0 && !/^(day|break) /.test(key)) return { key, offset };
    }
    return null;
  }

  /** @param {{key: string, offset: number}} anchor */
  #restore({ key, offset }) {
    const element = this.#lines.get(key);
    if (element) this.#frame.scrollTop = element.offsetTop + element.offsetHeight - offset;
  }

  #toEnd() {
    this.#frame.scrollTop = this.#frame.scrollHeight;
  }

  /** Tells that the open conversation is seen to its end, where it is. */
  seen() {
    if (this.#page?.open && this.#follows && document.visibilityState === 'visible') this.#on.read(this.#page.open.name);
  }
}

/** @param {import('../changes.js').Changed} change */
function signOf({ text, gone, waits, failed }) {
  return JSON.stringify([text, gone, waits, failed.map(({ key, failure }) => [key, failure])]);
}
