// The lines of the open conversation: which are on the page, and what stays in sight.

import { isWritten } from '../changes.js';
import { moderates } from '../roles.js';
import { text } from '../strings.js';
import { Actions, confirmed } from './actions.js';
import { List, find, make, say } from './dom.js';
import { Lines, follows, quoted } from './lines.js';

/** @typedef {import('../timeline.js').Line} Line */
/** @typedef {import('../view.js').Open} Open */
/** @typedef {import('../view.js').Page} Page */
/** @typedef {import('./dom.js').Item} Item */

/** How many lines are on the page at first, how many come at an end that one scrolls to, and how many there are at most. */
const WINDOW = 150;
const STEP = 50;
const MOST = 250;
/** Nearer to an end than this, in pixels, counts as there. */
const NEAR_PX = 48;
/** Nearer to the beginning or the end of the lines on the page than this, in pixels, brings more. */
const AHEAD_PX = 400;
/** How far below the upper edge a line stands that one has jumped to, in pixels. */
const BELOW_EDGE_PX = 64;
/** The key of the line where one left off. */
const LEFT_OFF = 'left off';

export class Log {
  #on;
  #go;
  #user;
  #composer;
  #actions;
  #looks;
  #frame = find('log', HTMLElement);
  #lines = new List(find('lines', HTMLElement));
  #edge = find('edge', HTMLElement);
  #newest = find('newest', HTMLButtonElement);
  #firstNew = find('first-new', HTMLButtonElement);
  /** @type {Page | null} */
  #page = null;
  /** The lines that are on the page, by event, in order. @type {string[]} */
  #shown = [];
  /** Whether they reach to the newest one. */
  #atEnd = true;
  /** Whether the end of the log is kept in sight. */
  #follows = true;
  /** How far it was scrolled when we looked last, and what was in sight, to be kept there when sizes change. */
  #at = 0;
  /** @type {{key: string, offset: number} | null} */
  #sight = null;
  /** The seq of the line where one left off that was in sight, and of the one whose end was. */
  #passed = -1;
  #beyond = -1;
  #moderation;
  /** Called after the next render. @type {Array<() => void>} */
  #rendered = [];

  /**
   * @param {import('../view.js').Handlers} handlers
   * @param {string} user
   * @param {import('./composer.js').Composer} composer
   * @param {(room: string, event: string) => Promise<boolean>} go opens a conversation at one of its lines; resolves to whether
   *   it did
   * @param {import('./moderation.js').Moderation} moderation
   */
  constructor(handlers, user, composer, go, moderation) {
    this.#moderation = moderation;
    this.#on = handlers;
    this.#go = go;
    this.#user = user;
    this.#composer = composer;
    this.#actions = new Actions((event) => this.#can(event), () => composer.focus());
    this.#looks = new Lines({ ...handlers, reveal: (event) => void this.reveal(event), go: (room, event) => void go(room, event) }, user);
    this.#frame.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    const resized = new ResizeObserver(() => {
      this.#look();
      if (this.#follows) this.#toEnd();
      else if (this.#sight) this.#restore(this.#sight);
    });
    resized.observe(this.#frame);
    resized.observe(find('lines', HTMLElement));
    this.#newest.addEventListener('click', () => this.follow());
    this.#firstNew.addEventListener('click', () => void this.#toFirstNew());
    document.addEventListener('visibilitychange', () => this.seen());
  }

  /** Goes to the newest line, and keeps it in sight. */
  follow() {
    this.#beyond = this.#page?.open?.line?.seq ?? -1;
    this.#follows = true;
    if (this.#page && !this.#atEnd) this.render(this.#page, false);
    else this.#toEnd();
    this.seen();
  }

  /**
   * Brings a line of the open conversation into sight, loading older ones until it is there. Resolves to whether it is.
   * @param {string} event
   */
  async reveal(event) {
    return this.#reveal((lines) => lines.findIndex((line) => line.event === event), event);
  }

  /**
   * @param {Page} page
   * @param {boolean} elsewhere whether another conversation was shown before
   */
  render(page, elsewhere) {
    this.#page = page;
    this.#look();
    if (elsewhere) {
      this.#shown = [];
      this.#follows = true;
      this.#passed = this.#beyond = -1;
    }
    const all = page.open?.lines ?? [];
    if (this.#follows || this.#shown.length === 0) {
      this.#show(page, all, all.length - WINDOW, all.length, elsewhere);
    } else {
      // Most of them are there still: the first that is one looks for is.
      const among = (/** @type {string | undefined} */ event) => (event === undefined ? -1 : indexOf(all, event));
      const first = among(this.#shown.find((event) => among(event) >= 0));
      const from = first >= 0 ? first : all.length - WINDOW;
      const last = this.#atEnd ? -1 : among(this.#shown.findLast((event) => among(event) >= 0));
      this.#show(page, all, from, Math.min(last >= 0 ? last + 1 : all.length, from + MOST), false);
    }
    for (const done of this.#rendered.splice(0)) done();
  }

  /**
   * Puts these lines on the page, and keeps in sight what is.
   * @param {Page} page
   * @param {Line[]} all
   * @param {number} from
   * @param {number} to
   * @param {boolean} quietly whether it is no news to be read aloud
   */
  #show({ open, user, held }, all, from, to, quietly) {
    const anchor = this.#follows ? null : this.#anchor();
    from = Math.max(0, from);
    const lines = all.slice(from, to);
    this.#shown = lines.map(({ event }) => event);
    this.#atEnd = to >= all.length;
    const named = open?.kind === 'universe';
    const firstNew = all[firstNewOf(open)];

    const now = new Date();
    /** @type {Item[]} */
    const items = [];
    /** @type {Pick<Line, 'from' | 'room' | 'at'> | null} */
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
      if (line === firstNew) {
        const label = text.newSince(open?.line?.count ?? 0, at, now);
        items.push({ key: LEFT_OFF, sign: label, make: () => make('li', { class: 'left-off' }, make('span', {}, label)) });
        former = null;
      }
      const first = !follows(former, line);
      const change = changes?.get(line.event);
      if (change) shown.add(line.event);
      const original = line.reply ? quoted(all, line.reply) : null;
      items.push({
        key: line.event,
        sign: JSON.stringify([first, named, line.edited, line.text, line.reactions, original, change && [held, change, [...change.reactions]]]),
        make: () => this.#looks.line(line, at, first, named, change, held, original),
      });
      former = line;
      broken(`after ${line.event}`);
    }
    broken('before ');
    // What was refused of a message that is not here must not go unseen.
    const lost = [...changes ?? []].filter(([event]) => !shown.has(event)).flatMap(([, { failed }]) => failed);
    for (const entry of this.#atEnd ? [...open?.pending ?? [], ...lost] : []) {
      const line = { from: user, room: entry.room, at: new Date(entry.at).toISOString() };
      const first = !follows(former, line);
      const original = isWritten(entry) && entry.reply ? quoted(all, entry.reply) : null;
      items.push({
        // Under the key of the wire, so that it stays in its place while its states change.
        key: `pending ${entry.key}`,
        sign: JSON.stringify([first, held, entry.failure, original]),
        make: () => this.#looks.pending(entry, first, held, original),
      });
      former = line;
    }
    if (quietly) {
      this.#frame.ariaBusy = 'true';
      requestAnimationFrame(() => (this.#frame.ariaBusy = 'false'));
    }
    this.#lines.show(items);
    this.#actions.place();

    const more = from > 0 || Boolean(open?.hasOlder);
    say(this.#edge, !open?.known ? '' : open.loading ? text.loading : more ? '' : all.length ? text.beginning : text.empty);
    if (this.#follows) this.#toEnd();
    else if (anchor) this.#restore(anchor);
    else this.#saw();
    this.#buttons();
    // Who is at the beginning, or on a page that does not fill its frame, cannot scroll to ask for more.
    if (more && this.#frame.scrollTop < (this.#follows ? 1 : AHEAD_PX)) this.#more();
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
    // Universe has no composer: what needs one is done in the message's room.
    const write = async (/** @type {() => void} */ begin) => {
      if (open.kind !== 'universe' || (await this.#go(line.room, event))) begin();
    };
    const speaks = open.role !== 'muted';
    return {
      ...(speaks && {
        react: (emoji) => void this.#on.change(line.room, { type: 'react', target: event, emoji, on: true }),
        reply: () => void write(() => this.#composer.reply(event)),
      }),
      ...(navigator.clipboard && { copy: () => void navigator.clipboard.writeText(body).catch(() => {}) }),
      ...(!own && open.kind !== 'universe' && { unread: () => this.#on.markUnread(open.name, event) }),
      ...(own && speaks && { edit: () => void write(() => this.#composer.edit(event)) }),
      ...(this.#moderation.may(line.from) && { moderate: () => this.#moderation.open(line.from) }),
      ...((own || moderates(open.role)) && { remove: () => void this.remove(event) }),
    };
  }

  /**
   * Deletes a message, once its writer has said so again.
   * @param {string} event
   */
  async remove(event) {
    const line = this.#page?.open?.lines.find((each) => each.event === event);
    if (!line || !(await confirmed({ title: text.deleteTitle, body: line.text, hint: text.deleteHint, yes: text.delete }))) return false;
    void this.#on.change(line.room, { type: 'retract', target: event });
    return true;
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#frame;
    const below = scrollHeight - scrollTop - clientHeight;
    // What we scrolled to ourselves is the end, also where the frame has become smaller since.
    if (!this.#follows || scrollTop !== this.#at) this.#follows = this.#atEnd && below < NEAR_PX;
    if (this.#follows) this.#beyond = this.#page?.open?.line?.seq ?? -1;
    this.#saw();
    this.#buttons();
    if (scrollTop < AHEAD_PX) this.#more();
    else if (below < AHEAD_PX && !this.#atEnd) this.#less();
    this.seen();
  }

  /** Shows lines from before those on the page, or has them loaded. */
  #more() {
    const open = this.#page?.open;
    if (!this.#page || !open) return;
    const from = indexOf(open.lines, this.#shown[0] ?? '');
    if (from > 0) {
      const first = Math.max(0, from - STEP);
      if (!this.#follows) this.#show(this.#page, open.lines, first, Math.min(from + this.#shown.length, first + MOST), true);
    } else if (open.hasOlder && !open.loading) {
      void this.#on.older(open.name);
    }
  }

  /** Shows lines from after those on the page. */
  #less() {
    const open = this.#page?.open;
    if (!this.#page || !open) return;
    const to = Math.min(open.lines.length, indexOf(open.lines, this.#shown.at(-1) ?? '') + 1 + STEP);
    this.#show(this.#page, open.lines, Math.max(to - MOST, to - this.#shown.length - STEP), to, true);
  }

  async #toFirstNew() {
    await this.#reveal(() => firstNewOf(this.#page?.open ?? null), LEFT_OFF);
  }

  /**
   * @param {(lines: Line[]) => number} find the place of a line among all; less than 0 where it is not loaded
   * @param {string} key of what to bring into sight
   */
  async #reveal(find, key) {
    const name = this.#page?.open?.name;
    for (;;) {
      const open = this.#page?.open;
      if (!this.#page || !open || open.name !== name) return false;
      const at = find(open.lines);
      if (at >= 0) {
        this.#follows = false;
        if (!this.#lines.get(key)) {
          const from = Math.max(0, at - STEP);
          this.#show(this.#page, open.lines, from, from + WINDOW, true);
        }
        const element = this.#lines.get(key);
        if (!element) return false;
        this.#frame.scrollTop = element.offsetTop - BELOW_EDGE_PX;
        this.#saw();
        if (key !== LEFT_OFF) element.animate({ background: ['var(--tint)', 'transparent'] }, 2_000);
        return true;
      }
      if (!open.hasOlder) return false;
      const rendered = new Promise((resolve) => this.#rendered.push(() => resolve(undefined)));
      await this.#on.older(open.name);
      await rendered;
    }
  }

  /** Finds out whether somebody has scrolled of which the event is still to come. */
  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.#frame;
    if (scrollTop === this.#at) return;
    // Where lines went away the browser scrolls too, but no further than to the end.
    if (scrollTop < this.#at && scrollHeight - scrollTop - clientHeight >= NEAR_PX) this.#follows = false;
    this.#saw();
  }

  #saw() {
    this.#at = this.#frame.scrollTop;
    this.#sight = this.#anchor();
  }

  /** Says how to get to what is not in sight. */
  #buttons() {
    const open = this.#page?.open;
    this.#newest.hidden = this.#follows;
    say(this.#newest, open?.unread ? text.newBelow(open.unread) : text.newest);

    const line = open?.line;
    if (!open || !line) {
      this.#firstNew.hidden = true;
      return;
    }
    const { scrollTop, clientHeight } = this.#frame;
    const top = this.#lines.get(LEFT_OFF)?.offsetTop;
    if (top !== undefined && top >= scrollTop && top < scrollTop + clientHeight) this.#passed = line.seq;
    const above = top === undefined ? firstNewOf(open) < indexOf(open.lines, this.#shown[0] ?? '') : top < scrollTop;
    this.#firstNew.hidden = !above || line.seq === this.#passed;
    say(this.#firstNew, text.newAbove(line.count));
  }

  /** The first line in sight, and where it ends: where it begins changes when it is no more the first of its group. */
  #anchor() {
    const { scrollTop } = this.#frame;
    for (const event of this.#lines.keys()) {
      const element = this.#lines.get(event);
      if (!element || /^(day|break|left) /.test(event)) continue;
      const offset = element.offsetTop + element.offsetHeight - scrollTop;
      if (offset > 0) return { key: event, offset };
    }
    return null;
  }

  /** @param {{key: string, offset: number}} anchor */
  #restore({ key, offset }) {
    const element = this.#lines.get(key);
    if (element) this.#frame.scrollTop = element.offsetTop + element.offsetHeight - offset;
    this.#saw();
  }

  /** Goes to the end, but not beyond the line where one left off. */
  #toEnd() {
    const { scrollHeight, clientHeight } = this.#frame;
    const end = scrollHeight - clientHeight;
    const open = this.#page?.open;
    const top = (this.#lines.get(LEFT_OFF)?.offsetTop ?? Infinity) - BELOW_EDGE_PX;
    const stop = open?.unread && open.line?.seq !== this.#beyond ? Math.max(0, top) : Infinity;
    this.#frame.scrollTop = Math.min(end, stop);
    this.#follows = end - stop < NEAR_PX;
    this.#saw();
  }

  /** Tells whether the open conversation is seen to its end. */
  seen() {
    const seen = this.#follows && document.visibilityState === 'visible';
    this.#on.watch(seen ? this.#page?.open?.name ?? '' : '');
  }
}

/**
 * The place of the first line after where one left off; less than 0 where it is not loaded.
 * @param {Open | null} open
 */
function firstNewOf(open) {
  if (!open?.line) return -1;
  const { lines, line, hasOlder } = open;
  const at = lines.findLastIndex(({ seq }) => seq <= line.seq) + 1;
  return at === 0 && hasOlder && (lines[0]?.seq ?? 0) > line.seq + 1 ? -1 : at;
}

/**
 * @param {Line[]} lines
 * @param {string} event
 */
const indexOf = (lines, event) => lines.findLastIndex((line) => line.event === event);
