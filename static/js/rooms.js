// What this page knows of rooms: which there are, who is here, and the timeline of each. It applies what the server
// says, and asks again where something is missing. It knows no page and no socket.

import { mentions } from './mentions.js';
import { FinalError, MAX_POSITIONS, UNIVERSE, isDurable, isPrivate, isPublic } from './protocol.js';
import { Timeline, merged } from './timeline.js';

/** @typedef {import('./connection.js').Ask} Ask */
/** @typedef {import('./protocol.js').Durable} Durable */
/** @typedef {import('./protocol.js').Frame} Frame */
/** @typedef {import('./protocol.js').MarkInfo} MarkInfo */
/** @typedef {import('./protocol.js').Ok} Ok */
/** @typedef {import('./protocol.js').Request} Request */

/**
 * @typedef {object} Room
 * @property {string} name
 * @property {boolean} joined
 * @property {Timeline} timeline
 * @property {Set<string>} here
 * @property {Set<string>} away of those who are here
 * @property {Map<string, number>} typing who types, until when
 * @property {boolean} loading older events are under way
 * @property {boolean} fresh it came on the list just now: what was said before is no news
 * @property {Mark | null} mark how far it was read; null: not known yet
 * @property {Mark} told the same, as the server and other tabs know it
 * @property {{seq: number, count: number} | null} line where one left off in the open room: after this seq, with so many
 *   messages to read
 * @property {boolean} muted nobody is to be told of its news
 * @property {string} role this person's, '' for a plain member
 * @property {string} topic
 * @property {number} topicAt since when; the later one counts
 * @property {boolean} kept it was marked as unread, and stays so until it is opened again
 */

/**
 * How far a room was read: up to this event, '' for nothing of it. `back` counts how often the person marked something as
 * unread: the mark with the larger one is the later one, then the one with the larger seq, in whatever order they are heard.
 * @typedef {{event: string, seq: number, back: number}} Mark
 */

/** @type {Mark} */
const NOTHING = Object.freeze({ event: '', seq: 0, back: 0 });

/**
 * @param {Mark} a
 * @param {Mark} b
 */
const later = (a, b) => a.back > b.back || (a.back === b.back && a.seq > b.seq);

/** @param {MarkInfo} info */
const markOf = ({ read = '', read_seq: seq = 0, read_back: back = 0 }) => ({ event: read, seq, back });

/** The room that a person without any is put into. */
export const FIRST_ROOM = 'general';
/** How long one `typing` is believed, in milliseconds. */
const TYPING_MS = 6_000;
const HISTORY_LIMIT = 200;
/** How many events a room may hold that is not looked at, and one that is looked at where it ends. */
const KEEP = 500;
const KEEP_OPEN = 2_000;
/** The most that positions may take in a request, in bytes; rooms beyond it come as fresh ones. */
const POSITIONS_BYTES = 48_000;

export class Rooms {
  #current = '';
  /** The room that is looked at where it ends: what comes there is read. '' for none. */
  #watched = '';
  /** The last time that something was missing in what the server said by itself. @type {{room: string, at: number} | null} */
  gap = null;
  /** @type {Map<string, Room>} */
  #rooms = new Map();
  #user;
  #ask;
  #now;
  #tell;
  #changed;
  /** Whether the events of all public rooms come here. */
  #universe = false;
  #resuming = false;
  /** Whether the list is asked for, and has to be once more. @type {'no' | 'yes' | 'again'} */
  #relisting = 'no';
  /** Where a join is under way: what does not fit meanwhile comes with its answer. @type {Set<string>} */
  #joining = new Set();

  /**
   * @param {object} parts
   * @param {string} parts.user
   * @param {Ask} parts.ask
   * @param {() => number} parts.now milliseconds
   * @param {(room: string, mark: Mark) => void} parts.tell tells the server and other tabs how far a room was read
   * @param {() => void} parts.changed called after each change
   */
  constructor({ user, ask, now, tell, changed }) {
    this.#user = user;
    this.#ask = ask;
    this.#now = now;
    this.#tell = tell;
    this.#changed = changed;
  }

  /** The room that is open, '' before the first is. */
  get current() {
    return this.#current;
  }

  set current(name) {
    if (name === this.#current) return;
    const former = this.get(this.#current);
    if (former) {
      Object.assign(former, { line: null, kept: false });
      if (name !== UNIVERSE) former.timeline.trim(KEEP);
    }
    this.#watched = '';
    this.#current = name;
    const room = this.get(name);
    if (!room) return;
    room.kept = false;
    this.#draw(room);
  }

  /** @param {string} name */
  get(name) {
    return this.#rooms.get(name);
  }

  /** All rooms known, by name. */
  all() {
    return [...this.#rooms.values()].sort((a, b) => a.name.localeCompare(b.name));
  }

  /**
   * The other person of a direct conversation; undefined for a room.
   * @param {string} name
   */
  partner(name) {
    if (!name.startsWith('@')) return undefined;
    const people = name.slice(1).split(':');
    return people.find((person) => person !== this.#user) ?? people[0];
  }

  /** All public rooms as one. */
  universe() {
    return merged(this.all().filter(({ name }) => isPublic(name)).map(({ timeline }) => timeline));
  }

  /**
   * Whether a person is at a page, in any room that is joined here.
   * @param {string} person
   * @returns {'here' | 'away' | 'gone'}
   */
  presence(person) {
    const at = this.all().filter(({ joined, here }) => joined && here.has(person));
    if (at.length === 0) return 'gone';
    return at.every(({ away }) => away.has(person)) ? 'away' : 'here';
  }

  /**
   * Who types in a room at this moment.
   * @param {Room} room
   */
  typing(room) {
    return [...room.typing].filter(([, until]) => until > this.#now()).map(([who]) => who);
  }

  /**
   * What others said since the room was last read, on any device, or since this person last spoke there: how many
   * messages, and how many of them are for this person. Of a room that is muted there are no news.
   * @param {Room} room
   */
  news(room) {
    return room.muted ? { unread: 0, mentions: 0 } : this.#news(room);
  }

  /** @param {Room} room */
  #news({ name, timeline, mark, told }) {
    const { seq, back } = mark ?? told;
    const lines = timeline.lines();
    const news = { unread: 0, mentions: 0 };
    for (let i = lines.length - 1; i >= 0; i--) {
      const line = lines[i];
      if (!line || line.seq <= seq) break;
      if (line.from === this.#user) {
        if (back > 0) continue; // it was marked as unread after that was said
        break;
      }
      news.unread++;
      if (name.startsWith('@') || mentions(line.text, this.#user)) news.mentions++;
    }
    return news;
  }

  /** @param {Room} room */
  unread(room) {
    return this.#news(room).unread;
  }

  /**
   * Notes that a room is looked at where it ends, so that all of it is read, and what comes as well; '' for none.
   * @param {string} name
   */
  watch(name) {
    this.#watched = name;
    const room = this.get(name);
    if (!room) return;
    this.#trim(room);
    this.read(room);
  }

  /**
   * Notes that all of a room was read.
   * @param {Room} room
   */
  read(room) {
    const { timeline, told } = room;
    const had = room.mark ?? told;
    const mark = { event: timeline.head ?? '', seq: timeline.seq, back: had.back };
    if (room.kept || !later(mark, had)) return;
    room.mark = mark;
    this.#tellMark(room);
    this.#changed();
  }

  /**
   * Marks a message as unread, and what came after it, on all devices.
   * @param {string} name
   * @param {string} event
   */
  markUnread(name, event) {
    const room = this.get(name);
    const before = room?.timeline.before(event);
    if (!room || !before) return;
    room.mark = { ...before, back: (room.mark ?? room.told).back + 1 };
    room.kept = true;
    this.#draw(room);
    this.#tellMark(room);
    this.#changed();
  }

  /**
   * Notes how far a room was read elsewhere.
   * @param {string} name
   * @param {Mark} mark
   */
  readElsewhere(name, mark) {
    const room = this.#room(name);
    const had = room.mark ?? room.told;
    if (later(mark, room.told)) room.told = mark;
    if (!later(mark, had)) return;
    if (room.mark) room.mark = mark;
    if (mark.back > had.back) {
      room.kept = name === this.current;
      this.#draw(room);
    }
    this.#changed();
  }

  /** Asks for the list, as news of it may have been missed. Throws when the page closes. */
  async relist() {
    if (this.#relisting !== 'no') {
      this.#relisting = 'again'; // the answer on its way may be older than this wish
      return;
    }
    try {
      do {
        this.#relisting = 'yes';
        await this.#list(this.#ask);
        this.#changed();
      } while (/** @type {string} */ (this.#relisting) === 'again');
    } finally {
      this.#relisting = 'no';
    }
  }

  /**
   * Joins every room on a new socket, the open one first.
   * @param {Ask} ask
   */
  async resume(ask) {
    this.#resuming = true;
    try {
      // The list first: a room left on another device must not be joined again.
      await this.#list(ask);
      /** @type {Set<string>} */
      const done = new Set();
      for (;;) {
        const todo = this.#wanted().filter((name) => !done.has(name));
        if (todo.length === 0) return;
        todo.forEach((name) => done.add(name));
        await Promise.all(todo.map((name) => this.#join(ask, name)));
      }
    } finally {
      this.#resuming = false;
    }
  }

  /**
   * Joins a room, or all of them by the name of the universe. Resolves to its canonical name; throws FinalError.
   * @param {string} name
   * @returns {Promise<string>}
   */
  async join(name) {
    if (name === UNIVERSE) this.#universe = true;
    this.#joining.add(name);
    try {
      const ok = await this.#ask(() => this.#joinRequest(name));
      return ok.room ?? name;
    } finally {
      this.#joining.delete(name);
    }
  }

  /**
   * Leaves a room. Throws FinalError.
   * @param {string} name
   */
  async leave(name) {
    if (name === UNIVERSE) this.#universe = false;
    await this.#ask(() => ({ type: 'leave', room: name }));
  }

  /**
   * Loads older events of a room, or of the room at the edge of the universe. Returns whether there are more to see.
   * @param {string} name
   */
  async older(name) {
    const edge = name === UNIVERSE ? this.universe().edge : this.get(name)?.timeline;
    const room = this.all().find(({ timeline }) => timeline === edge);
    if (!room || room.loading || !room.timeline.hasOlder) return false;
    const before = room.timeline.first;
    room.loading = true;
    this.#changed();
    try {
      const request = { type: /** @type {const} */ ('history'), room: room.name, limit: HISTORY_LIMIT };
      const ok = await this.#ask(() => (before === undefined ? request : { ...request, before }));
      return room.timeline.first === before && room.timeline.prepend(ok.events ?? []) > 0;
    } catch (err) {
      if (!(err instanceof FinalError)) throw err;
      room.timeline.prepend([]); // that place is not kept any more, so there is nothing before it
      return false;
    } finally {
      room.loading = false;
      this.#changed();
    }
  }

  /**
   * Something that the server says by itself.
   * @param {Frame} frame
   */
  frame(frame) {
    if (isDurable(frame)) return this.#take(frame);
    switch (frame.type) {
      case 'presence': {
        const room = this.get(frame.room);
        if (frame.state === 'gone') room?.here.delete(frame.user);
        else room?.here.add(frame.user);
        if (frame.state === 'away') room?.away.add(frame.user);
        else room?.away.delete(frame.user);
        break;
      }
      case 'typing':
        if (frame.from !== this.#user) this.get(frame.room)?.typing.set(frame.from, this.#now() + TYPING_MS);
        break;
      case 'topic':
        this.#about(frame.room, frame.topic, frame.topic_at);
        break;
      case 'role': {
        const room = this.get(frame.room);
        if (!room || frame.user !== this.#user) return;
        if (frame.role === 'banned') this.#forget(room);
        else room.role = frame.role === 'member' ? '' : frame.role;
        break;
      }
      case 'read':
        this.readElsewhere(frame.room, markOf(frame));
        return;
      case 'room':
        this.#listed(frame.room, frame.joined, true);
        break;
      case 'reset':
        this.gap = { room: frame.room, at: this.#now() };
        this.#again(frame.room);
        break;
      default:
        return;
    }
    this.#changed();
  }

  /**
   * An answer, in its place between the frames.
   * @param {Request} request
   * @param {Ok} ok
   */
  answer(request, ok) {
    switch (request.type) {
      case 'rooms':
        for (const listed of ok.rooms ?? []) {
          const { room: name, joined } = listed;
          this.#listed(name, joined, false);
          const mark = markOf(listed);
          if (later(mark, NOTHING)) this.readElsewhere(name, mark);
          // The server may have lost what it was told.
          const room = this.get(name);
          if (room) {
            room.muted = listed.muted ?? false;
            if (joined) room.role = listed.role ?? '';
            if (joined) this.#about(name, listed.topic ?? '', listed.topic_at ?? 0);
          }
          if (room?.joined && room.mark && later(room.mark, mark)) this.#tell(name, room.mark);
        }
        break;
      case 'read':
        this.readElsewhere(ok.room ?? request.room, markOf(ok));
        break;
      case 'join':
        if (request.room === UNIVERSE) this.#joinedUniverse(request.positions ?? {}, ok);
        else this.#joined(request.after ?? '', ok);
        break;
      case 'leave': {
        const room = this.get(request.room);
        if (room) {
          room.mark = null;
          this.#left(room);
        }
        // It was opened again while the answer was on its way.
        if (request.room === UNIVERSE && this.#universe) this.#again(UNIVERSE);
        break;
      }
      default:
        return;
    }
    this.#changed();
  }

  /**
   * Asks for the list, and takes off what is not on it any more.
   * @param {Ask} ask
   */
  async #list(ask) {
    // One that is joined while the list is on its way may not be on it yet.
    const had = this.all().filter(({ joined }) => joined);
    const { rooms: list = [] } = await ask(() => ({ type: 'rooms' }));
    const kept = new Set(list.filter(({ joined }) => joined).map(({ room }) => room));
    for (const room of had) {
      if (!kept.has(room.name)) this.#left(room);
    }
  }

  /** @param {Room} room that this person is not in any more */
  #left(room) {
    room.joined = false;
    room.role = '';
    if (isPrivate(room.name)) this.#rooms.delete(room.name); // what was said there is for its members
  }

  /** @param {Room} room of which nothing is for this person any more */
  #forget(room) {
    this.#left(room);
    this.#rooms.delete(room.name);
  }

  /** Asks what only the list says of a room that is new on it. */
  #listAgain() {
    this.relist().catch(() => {}); // the page is closing
  }

  #wanted() {
    const names = this.all().filter(({ joined }) => joined).map(({ name }) => name);
    if (names.length === 0) names.push(FIRST_ROOM);
    if (this.#universe) names.push(UNIVERSE);
    return names.sort((a, b) => Number(b === this.current) - Number(a === this.current));
  }

  /**
   * @param {Ask} ask
   * @param {string} name
   */
  async #join(ask, name) {
    this.#joining.add(name);
    try {
      await ask(() => this.#joinRequest(name));
    } catch (err) {
      if (!(err instanceof FinalError)) throw err;
      // The server will not have us there: it is off the list until someone asks for it again.
      const room = this.get(name);
      if (room) this.#left(room);
      if (name === UNIVERSE) this.#universe = false;
    } finally {
      this.#joining.delete(name);
    }
  }

  /**
   * Joins once more, after the last event that we have.
   * @param {string} name
   */
  #again(name) {
    const through = name === UNIVERSE || this.get(name)?.joined ? name : UNIVERSE;
    if (this.#joining.has(through) || (through === UNIVERSE && !this.#universe)) return;
    this.#join(this.#ask, through).catch(() => {}); // the page is closing
  }

  /**
   * @param {string} name
   * @returns {Request}
   */
  #joinRequest(name) {
    if (name !== UNIVERSE) {
      const after = this.get(name)?.timeline.head;
      return after ? { type: 'join', room: name, after } : { type: 'join', room: name };
    }
    /** @type {Record<string, string>} */
    const positions = {};
    let bytes = 0;
    let count = 0;
    for (const { name: room, timeline } of this.all()) {
      if (!isPublic(room) || !timeline.head) continue;
      bytes += new TextEncoder().encode(room + timeline.head).length + 6;
      if (bytes > POSITIONS_BYTES || ++count > MAX_POSITIONS) break;
      positions[room] = timeline.head;
    }
    return { type: 'join', room: UNIVERSE, positions };
  }

  /**
   * @param {string} name
   * @param {boolean} joined
   * @param {boolean} news whether that has just happened
   */
  #listed(name, joined, news) {
    if (name === UNIVERSE) return;
    const room = this.#room(name);
    if (!joined || room.joined) return;
    room.joined = true;
    room.fresh = news;
    if (news) this.#listAgain();
    if (!this.#resuming) this.#again(name);
  }

  /**
   * @param {string} after
   * @param {Ok} ok
   */
  #joined(after, { room: name = '', resumed = false, events = [], head = '', here, away, role = '' }) {
    const room = this.#room(name);
    if (!room.joined) {
      room.fresh = true;
      this.#listAgain();
    }
    room.joined = true;
    room.role = role;
    if (here) Object.assign(room, { here: new Set(here), away: new Set(away) });
    this.#apply(room, after, resumed, events, head);
  }

  /**
   * @param {Record<string, string>} positions
   * @param {Ok} ok
   */
  #joinedUniverse(positions, { events = [], heads = {}, fresh = [] }) {
    // What is `gone` does not say its room: from each room's head back, `prev` does.
    const owner = new Map(Object.entries(heads).map(([room, event]) => [event, room]));
    /** @type {Map<string, Durable[]>} */
    const found = new Map(Object.keys(heads).map((room) => [room, []]));
    for (const event of events.slice().reverse()) {
      const name = event.room ?? owner.get(event.event);
      if (name === undefined) continue;
      owner.set(event.prev, name);
      found.set(name, [event, ...(found.get(name) ?? [])]);
    }
    for (const [name, its] of found) {
      const room = this.#room(name);
      // Of more rooms than a request can hold the position is not told, though we have one.
      this.#apply(room, own(positions, name) ?? room.timeline.head ?? '', !fresh.includes(name), its, own(heads, name) ?? '');
    }
  }

  /**
   * Takes a room's part of the answer to a join.
   * @param {Room} room
   * @param {string} after what the join named as our last event, '' for none
   * @param {boolean} resumed
   * @param {Durable[]} events
   * @param {string} head
   */
  #apply(room, after, resumed, events, head) {
    // With two sockets, the view may have gone on through the other one meanwhile. Then the answer may bring more, but
    // says nothing of where the view ends now.
    const overtaken = after !== (room.timeline.head ?? '');
    if (overtaken && !(resumed && room.timeline.joined(resumed, events, head).ok)) {
      this.#joining.delete(room.name);
      return this.#again(room.name);
    }
    if (!overtaken && !room.timeline.joined(resumed, events, head).ok) {
      // An answer with a hole in it. Without a position there can be none.
      room.timeline.restart();
      this.#joining.delete(room.name);
      return this.#again(room.name);
    }
    if (events.some((event) => 'from' in event && event.from !== this.#user) && this.#watched === room.name) {
      this.#watched = ''; // it came all at once: whether it is seen has to be found out
    }
    const { timeline, mark, told } = room;
    if (!room.joined) return;
    if (mark === null) {
      room.mark = told;
      // What a room said before one saw it is no news, what a person said to one is.
      const all = { event: timeline.head ?? '', seq: timeline.seq, back: told.back };
      if (room.fresh && !room.name.startsWith('@') && later(all, told)) {
        room.mark = all;
        this.#tellMark(room);
      }
    }
    const now = room.mark ?? told;
    if (!resumed && events.length > 0 && now.seq > timeline.seq) {
      // It counts in a feed that is lost. Of what is here instead nothing was read, which the next mark has to outdo.
      room.mark = { event: '', seq: 0, back: now.back + 1 };
    }
    this.#draw(room);
  }

  /**
   * Notes what a room is about. News and lists may overtake each other: the later topic counts.
   * @param {string} name
   * @param {string} topic
   * @param {number} at
   */
  #about(name, topic, at) {
    const room = this.get(name);
    if (room && at > room.topicAt) Object.assign(room, { topic, topicAt: at });
  }

  /** @param {Room} room */
  #tellMark({ name, mark, told }) {
    if (mark && mark.event + mark.back && later(mark, told)) this.#tell(name, mark);
  }

  /**
   * Draws the line where one left off, if there is something to read in the open room. It stays when that is read.
   * @param {Room} room
   */
  #draw(room) {
    if (room.name !== this.current) return;
    const { seq } = room.mark ?? room.told;
    const count = this.unread(room);
    if (count > 0) room.line = { seq, count };
  }

  /** @param {Durable} event */
  #take(event) {
    if (event.room === undefined) return;
    const inUniverse = this.#universe && isPublic(event.room);
    const room = this.get(event.room) ?? (inUniverse ? this.#room(event.room) : undefined);
    if (!room || !(room.joined || inUniverse)) return;
    // A room made after the universe was joined begins with its first event.
    if (!room.joined && room.timeline.head === null && event.prev === '') room.timeline.replace([]);
    switch (room.timeline.append(event)) {
      case 'repeat':
        return;
      case 'gap':
        this.gap = { room: room.name, at: this.#now() };
        return this.#again(room.name);
      case 'added':
        if ('from' in event) room.typing.delete(event.from);
        this.#trim(room);
        if (event.type === 'message' && event.from === this.#user) {
          const { back } = room.mark ?? room.told;
          Object.assign(room, { mark: { event: event.event, seq: event.seq, back }, line: null, kept: false });
        }
        if (this.#watched === room.name) this.read(room);
        else this.#draw(room);
        this.#changed();
    }
  }

  /**
   * Forgets what is far from what is looked at.
   * @param {Room} room
   */
  #trim({ name, timeline }) {
    if (name === this.current) {
      if (name === this.#watched) timeline.trim(KEEP_OPEN);
    } else if (this.current !== UNIVERSE || this.#watched === UNIVERSE) {
      timeline.trim(KEEP);
    }
  }

  /** @param {string} name */
  #room(name) {
    let room = this.#rooms.get(name);
    if (!room) {
      room = {
        name, joined: false, timeline: new Timeline(), here: new Set(), away: new Set(), typing: new Map(), loading: false, fresh: false,
        mark: null, told: NOTHING, line: null, muted: false, role: '', topic: '', topicAt: 0, kept: false,
      };
      this.#rooms.set(name, room);
    }
    return room;
  }
}

/**
 * What an object says of a room; nothing of one that is named like what all objects have, such as `constructor`.
 * @param {Record<string, string>} object
 * @param {string} name
 */
function own(object, name) {
  return Object.hasOwn(object, name) ? object[name] : undefined;
}
