// One room's events as this page has them: an unbroken piece of the room's chain, and what it looks like to a reader.

/** @typedef {import('./protocol.js').Durable} Durable */
/** @typedef {import('./protocol.js').Message} Message */
/** @typedef {import('./protocol.js').Reacted} Reacted */
/** @typedef {{emoji: string, from: string[]}} Reaction one emoji and those who put it there, in the order in which they did */

/**
 * @typedef {object} Line a message as a reader sees it
 * @property {string} event
 * @property {number} seq
 * @property {string} room
 * @property {string} from
 * @property {string} at
 * @property {string} key
 * @property {string} text
 * @property {boolean} edited
 * @property {string} reply the event that it replies to, '' for none
 * @property {Reaction[]} reactions
 */

/**
 * A place where what stands here does not continue what this page had shown.
 *
 * @typedef {object} Break
 * @property {string} room
 * @property {'skipped' | 'lost'} kind skipped: older events may close it; lost: what was there is not in the feed
 * @property {'before' | 'after'} side of the line
 * @property {string} line a line's event; '' where the room has no lines
 */

/** How many views that were replaced a room remembers. */
const FORMER = 4;

export class Timeline {
  /** Unbroken: each event's `prev` is the one before. @type {Durable[]} */
  #events = [];
  /** The seq of each event that we have. @type {Map<string, number>} */
  #known = new Map();
  /** The last event; '' at the start of a room; null while nothing is known of it. @type {string | null} */
  #head = null;
  /** The last edit of each edited message. @type {Map<string, {seq: number, text: string}>} */
  #edits = new Map();
  /** The last word of each person on each emoji, by message. @type {Map<string, Map<string, Reacted>>} */
  #reactions = new Map();
  /** @type {Set<string>} */
  #retracted = new Set();
  /** @type {Line[] | null} */
  #lines = null;
  /** Whether the server said that it keeps nothing older. */
  #complete = false;
  /**
   * What was shown before it was replaced, as long as what stands here now does not reach it.
   * @type {Array<{room: string, head: string, seq: number, known: Map<string, number>}>}
   */
  #former = [];

  /** The last event that we have, null when we have no position in this room. */
  get head() {
    return this.#head;
  }

  /** The first event that we have; undefined without any. */
  get first() {
    return this.#events[0]?.event;
  }

  /** The seq of the last event that we have; 0 without any. */
  get seq() {
    return this.#events.at(-1)?.seq ?? 0;
  }

  /** How many events we have. */
  get size() {
    return this.#events.length;
  }

  /** Whether there may be older events than ours. */
  get hasOlder() {
    if (this.#complete) return false;
    const first = this.#events[0];
    return first ? first.prev !== '' : this.#head !== null && this.#head !== '';
  }

  /**
   * The seq of an event; undefined when we do not have it.
   * @param {string} event
   */
  seqOf(event) {
    return this.#known.get(event);
  }

  /**
   * The event before an event that we have; undefined when we do not have it. '' with seq 0 stands before the first.
   * @param {string} event
   * @returns {{event: string, seq: number} | undefined}
   */
  before(event) {
    const found = last(this.#events, (each) => each.event === event);
    return found && { event: found.prev, seq: found.seq - 1 };
  }

  /** Gives up the position, so that the next join starts from the newest events. What is here stays until then. */
  restart() {
    this.#head = null;
  }

  /**
   * Takes the next event. 'repeat': we have it, it was dropped. 'gap': it does not follow our last one, it was dropped,
   * and the room must be joined again.
   * @param {Durable} event
   * @returns {'added' | 'repeat' | 'gap'}
   */
  append(event) {
    if (this.#known.has(event.event) || event.event === this.#head) return 'repeat';
    if (event.prev !== this.#head) return 'gap';
    this.#events.push(event);
    this.#head = event.event;
    this.#note(event);
    return 'added';
  }

  /**
   * Starts from these events. What was here is forgotten, but for which events it were: see `breaks`.
   * @param {Durable[]} events in order
   * @param {string} [head] the room's newest event, where there may be no events to show it
   */
  replace(events, head = '') {
    const newest = this.#events.at(-1);
    const room = this.lines()[0]?.room;
    if (newest && room !== undefined) {
      this.#former = [...this.#former, { room, head: newest.event, seq: newest.seq, known: this.#known }].slice(-FORMER);
    }
    this.#events = [];
    this.#known = new Map();
    this.#forget();
    this.#complete = false;
    const first = events[0];
    this.#head = first ? first.prev : head;
    for (const event of events) this.append(event);
    this.#close();
  }

  /**
   * Takes the answer to a join whose `after` was our head. Returns what a reader sees anew, or, when it replaced all,
   * everything; without ok it has a hole, and the room must be joined again.
   * @param {boolean} resumed
   * @param {Durable[]} events in order
   * @param {string} head
   * @returns {{shown: Durable[], replaced: boolean, ok: boolean}}
   */
  joined(resumed, events, head) {
    // A room known to be empty has no event to resume after, and is continued all the same where it begins.
    const begins = this.#head === '' && (events[0] ? events[0].prev : head) === '';
    if (this.#head === null || !(resumed || begins)) {
      this.replace(events, head);
      return { shown: events, replaced: true, ok: true };
    }
    const shown = [];
    for (const event of events) {
      const taken = this.append(event);
      if (taken === 'gap') return { shown, replaced: false, ok: false };
      if (taken === 'added') shown.push(event);
    }
    return { shown, replaced: false, ok: true };
  }

  /**
   * Puts older events before ours. Returns how many it took: none when they do not end where we begin, and then there
   * are no older ones that we could have.
   * @param {Durable[]} events in order
   */
  prepend(events) {
    const older = events.filter((event) => !this.#known.has(event.event));
    let next = this.#events.length ? /** @type {Durable} */ (this.#events[0]).prev : this.#head;
    for (const event of older.slice().reverse()) {
      if (event.event !== next) {
        this.#complete = true;
        return 0;
      }
      next = event.prev;
    }
    if (older.length === 0) this.#complete = true;
    this.#events.unshift(...older);
    for (const event of older) this.#note(event);
    this.#close();
    return older.length;
  }

  /**
   * Forgets the oldest events beyond a number.
   * @param {number} keep
   */
  trim(keep) {
    if (this.#events.length <= keep) return;
    this.#complete = false;
    this.#events.splice(0, this.#events.length - keep);
    // What is left may say something of messages that are not, and that will be loaded again.
    this.#known = new Map();
    this.#forget();
    for (const event of this.#events) this.#note(event);
  }

  /** What a reader sees: messages with their newest text, without those taken back. */
  lines() {
    this.#lines ??= this.#events
      .filter((event) => event.type === 'message' && !this.#retracted.has(event.event))
      .map((event) => {
        const { event: id, seq, room, from, at, key, text, reply = '' } = /** @type {Message} */ (event);
        const edit = this.#edits.get(id);
        const reactions = this.#reactionsTo(id);
        return { event: id, seq, room, from, at, key, text: edit?.text ?? text, edited: edit !== undefined, reply, reactions };
      });
    return this.#lines;
  }

  /**
   * Where continuity broke: after the last event that a former view had too, else before all that is here. One for each
   * place.
   * @returns {Break[]}
   */
  breaks() {
    const lines = this.lines();
    /** @type {Map<string, Break>} */
    const places = new Map();
    for (const { room, seq, known } of this.#former) {
      const common = last(this.#events, ({ event }) => known.has(event))?.seq ?? 0;
      const after = last(lines, (line) => line.seq <= common)?.event;
      const first = this.#events[0];
      const kind = common === 0 && first && this.hasOlder && first.seq > seq + 1 ? 'skipped' : 'lost';
      /** @type {Break} */
      const found = { room, kind, side: after ? 'after' : 'before', line: after ?? lines[0]?.event ?? '' };
      const place = `${found.side} ${found.line}`;
      if (kind === 'lost' || !places.has(place)) places.set(place, found);
    }
    return [...places.values()];
  }

  /** Forgets the former views that what is here continues after all. */
  #close() {
    const before = this.#events[0]?.prev ?? this.#head;
    this.#former = this.#former.filter(({ head }) => head !== before && !this.#known.has(head));
  }

  /**
   * @param {string} event
   * @returns {Reaction[]}
   */
  #reactionsTo(event) {
    const its = this.#reactions.get(event);
    if (!its) return [];
    /** @type {Map<string, string[]>} */
    const from = new Map();
    for (const each of [...its.values()].filter(({ on }) => on).sort((a, b) => a.seq - b.seq)) {
      from.set(each.emoji, [...(from.get(each.emoji) ?? []), each.from]);
    }
    return Array.from(from, ([emoji, names]) => ({ emoji, from: names }));
  }

  #forget() {
    this.#edits.clear();
    this.#reactions.clear();
    this.#retracted.clear();
    this.#lines = null;
  }

  /**
   * Takes what an event says of messages. Events may come in any order: of two words on one thing the later one counts.
   * @param {Durable} event
   */
  #note(event) {
    this.#known.set(event.event, event.seq);
    this.#lines = null;
    if (event.type === 'retracted') this.#retracted.add(event.target);
    if (event.type === 'edited' && event.seq > (this.#edits.get(event.target)?.seq ?? 0)) this.#edits.set(event.target, event);
    if (event.type === 'reacted') {
      const its = this.#reactions.get(event.target) ?? new Map();
      const one = `${event.emoji} ${event.from}`;
      if (event.seq > (its.get(one)?.seq ?? 0)) its.set(one, event);
      this.#reactions.set(event.target, its);
    }
  }
}

/**
 * The lines of several rooms as one, by time. Each room keeps its own order, also where its clock stepped back.
 *
 * Lines from before the moment since which all rooms are known are left out, so that loading older ones only ever adds
 * at the beginning. `edge` is the room that sets this moment: the one of which to load more, if any.
 * @param {Iterable<Timeline>} timelines
 * @returns {{lines: Line[], breaks: Break[], edge: Timeline | null}}
 */
export function merged(timelines) {
  const dated = [];
  const breaks = [];
  let since = '';
  /** @type {Timeline | null} */
  let edge = null;
  for (const timeline of timelines) {
    const lines = timeline.lines();
    const first = lines[0];
    if (first && timeline.hasOlder && (edge === null || first.at > since)) {
      since = first.at;
      edge = timeline;
    }
    let at = '';
    for (const line of lines) {
      if (line.at > at) at = line.at;
      dated.push({ at, line });
    }
    breaks.push(...timeline.breaks());
  }
  dated.sort((a, b) => (a.at < b.at ? -1 : a.at > b.at ? 1 : 0));
  return { lines: dated.filter(({ at }) => at >= since).map(({ line }) => line), breaks, edge };
}

/**
 * The last of the items for which it holds.
 * @template T
 * @param {T[]} items
 * @param {(item: T) => boolean} holds
 */
function last(items, holds) {
  for (let i = items.length - 1; i >= 0; i--) {
    const item = /** @type {T} */ (items[i]);
    if (holds(item)) return item;
  }
  return undefined;
}
