// What was written or changed and is not yet known to be kept by the server. An entry is kept here before the composer clears, and
// leaves when the server said ok, or when its writer deletes it. Entries of one room go strictly in order, the next
// after the answer to the former; each repeat carries the same key, so that it can arrive twice and count once.

import { FinalError } from './protocol.js';

/** @typedef {import('./store.js').Change} Change */
/** @typedef {import('./store.js').Entry} Entry */
/** @typedef {import('./store.js').Store} Store */
/** @typedef {{postMessage(message: unknown): void, onmessage: ((event: MessageEvent) => void) | null}} Channel */
/** @typedef {Pick<LockManager, 'request'>} Locks */

/**
 * How long after it was written a message may be repeated, in milliseconds. The server knows keys for a day; the rest is
 * for clocks that differ. A repeat after that could be a second message.
 */
export const REPEAT_MS = 23 * 3_600_000;

const TYPES = new Set(['send', 'edit', 'retract', 'react']);

export class Outbox {
  #user;
  #store;
  #send;
  #tooOld;
  #newKey;
  #now;
  #changed;
  #locks;
  #channel;
  /** What the store holds, as last read. @type {Entry[]} */
  #entries = [];
  /** Sent, but perhaps not yet heard in the room: shown until then. @type {Map<string, {entry: Entry, seq: number}>} */
  #sent = new Map();
  /** The rooms whose entries are being sent by this tab. @type {Set<string>} */
  #sending = new Set();
  #leads = false;
  #turn = new AbortController();

  /**
   * @param {object} parts
   * @param {string} parts.user
   * @param {Store} parts.store
   * @param {(entry: () => Entry) => Promise<number>} parts.send asks for the entry each time it sends it, which may throw;
   *   resolves to the message's seq when the server said ok; rejects with FinalError when it refused, with anything else
   *   when this page will not send any more
   * @param {string} parts.tooOld says of a message that it was written too long ago to be sent unasked
   * @param {() => string} parts.newKey
   * @param {() => number} parts.now milliseconds
   * @param {() => void} parts.changed called after each change of what `list` shows
   * @param {Locks | undefined} parts.locks one tab sends; without locks each tab does, which the keys make harmless
   * @param {Channel | undefined} parts.channel tells the other tabs of changes
   */
  constructor({ user, store, send, tooOld, newKey, now, changed, locks, channel }) {
    this.#user = user;
    this.#store = store;
    this.#send = send;
    this.#tooOld = tooOld;
    this.#newKey = newKey;
    this.#now = now;
    this.#changed = changed;
    this.#locks = locks;
    this.#channel = channel;
  }

  /** Whether what is written here outlives the page. */
  get lasting() {
    return this.#store.lasting;
  }

  /** Reads what is kept and starts to send. */
  async start() {
    if (this.#channel) this.#channel.onmessage = () => void this.#read();
    if (this.#locks) this.#queue(this.#locks, false);
    else this.#leads = true;
    await this.#read();
  }

  /**
   * Keeps a message and sends it in its turn. Resolves when it is kept; throws FullError when there are too many, and
   * another error when it could not be kept.
   * @param {string} room
   * @param {string} text
   * @param {string} [reply] the event that it replies to
   */
  async add(room, text, reply) {
    await this.change(room, { text, ...(reply && { reply }) });
  }

  /**
   * The same for a change of a message, which waits behind all that was written before it.
   * @param {string} room
   * @param {import('./store.js').Written | Change} what
   */
  async change(room, what) {
    // The tab in which one types sends: the one that led may be in the background, where its timers hardly run. It takes
    // its turn first, or the other one would begin with this message.
    if (!this.#leads && this.#locks) this.#queue(this.#locks, true);
    await this.#keep({ ...what, key: this.#newKey(), user: this.#user, room, at: this.#now() });
  }

  /**
   * Sends a refused message again, as a new one behind all others.
   * @param {string} key
   */
  async retry(key) {
    const entry = this.#entries.find((each) => each.key === key && each.failure !== undefined);
    if (!entry) return;
    const { failure: _, ...again } = entry;
    await this.#keep({ ...again, key: this.#newKey(), at: this.#now() }, key);
  }

  /**
   * Forgets a refused message.
   * @param {string} key
   */
  async delete(key) {
    if (!this.#entries.some((each) => each.key === key && each.failure !== undefined)) return;
    await this.#store.remove(key);
    await this.#tell();
  }

  /**
   * Tells how far a room has been heard: what was sent and stands there need not be shown as under way any more.
   * @param {string} room
   * @param {number} seq
   */
  heard(room, seq) {
    for (const [key, sent] of this.#sent) {
      if (sent.entry.room === room && sent.seq <= seq) this.#sent.delete(key);
    }
  }

  /**
   * What is under way, waiting or refused, oldest first.
   * @param {string} [room] only of this room
   */
  list(room) {
    const sent = Array.from(this.#sent.values(), ({ entry }) => entry);
    const all = [...sent, ...this.#entries.filter(({ key }) => !this.#sent.has(key))];
    return room === undefined ? all : all.filter((entry) => entry.room === room);
  }

  /** How many messages wait, in all rooms. */
  get waiting() {
    return this.#entries.filter(({ key, failure }) => failure === undefined && !this.#sent.has(key)).length;
  }

  /**
   * Waits for its turn to be the tab that sends, and keeps it until the page goes or another tab takes it.
   * @param {Locks} locks
   * @param {boolean} steal
   */
  #queue(locks, steal) {
    this.#turn.abort(); // of two requests, the older one would be a turn too many
    const turn = (this.#turn = new AbortController());
    const held = () => {
      this.#leads = true;
      void this.#read();
      return new Promise(() => {});
    };
    locks.request(`chatd-outbox:${this.#user}`, steal ? { steal } : { signal: turn.signal }, held).catch(() => {
      if (turn !== this.#turn) return;
      // Another tab took the lock. What is in flight here may arrive twice, and its key makes that one.
      this.#leads = false;
      this.#queue(locks, false);
    });
  }

  /**
   * @param {Entry} entry
   * @param {string} [instead] the key of the one that it replaces
   */
  async #keep(entry, instead) {
    // Asked for twice, here or in another tab, it is one all the same.
    if (!(await this.#store.add(entry, instead))) return this.#tell();
    // It is kept, whatever a look at the store says next.
    this.#entries = [...this.#entries.filter(({ key }) => key !== instead), entry];
    await this.#tell();
  }

  async #tell() {
    this.#channel?.postMessage('changed');
    await this.#read();
  }

  async #read() {
    await this.#look();
    this.#changed();
    if (!this.#leads) return;
    for (const { room } of this.#entries) {
      if (!this.#sending.has(room)) void this.#sendRoom(room);
    }
  }

  async #look() {
    try {
      // What a later version of the page has written is left to it.
      this.#entries = (await this.#store.all(this.#user)).filter(({ type = 'send' }) => TYPES.has(type));
    } catch {
      // A store that cannot be read now: what was read last has to do.
    }
  }

  /**
   * Sends what waits in a room, one after the other.
   * @param {string} room
   */
  async #sendRoom(room) {
    this.#sending.add(room);
    try {
      for (;;) {
        const waits = (/** @type {Entry} */ each) => each.room === room && each.failure === undefined && !this.#sent.has(each.key);
        const entry = this.#entries.find(waits);
        if (!entry || !this.#leads) return;
        try {
          this.#sent.set(entry.key, { entry, seq: await this.#send(() => this.#fresh(entry)) });
          // What cannot be removed now is sent once more by another page, and its key makes that one.
          await this.#store.remove(entry.key).catch(() => {});
        } catch (err) {
          if (!(err instanceof FinalError)) return;
          // What is not there any more need not be taken back, and nobody can react to it.
          const settled = (entry.type === 'react' || entry.type === 'retract') && err.code === 'not_found';
          if (settled) await this.#store.remove(entry.key);
          else await this.#store.update({ ...entry, failure: err.message });
        }
        await this.#look();
        this.#channel?.postMessage('changed');
        this.#changed();
      }
    } catch {
      // The refusal could not be kept: the server says it again next time.
    } finally {
      this.#sending.delete(room);
    }
  }

  /**
   * An entry that may still be sent under its key.
   * @param {Entry} entry
   */
  #fresh(entry) {
    if (this.#now() - entry.at < REPEAT_MS) return entry;
    throw new FinalError({ type: 'error', id: 0, code: 'too_old', message: this.#tooOld });
  }
}

/**
 * What an entry asks of the server.
 * @param {Entry} entry
 * @returns {Extract<import('./protocol.js').Request, {key: string}>}
 */
export function requestOf(entry) {
  const { room, key } = entry;
  switch (entry.type) {
    case 'edit':
      return { type: 'edit', room, key, target: entry.target, text: entry.text };
    case 'retract':
      return { type: 'retract', room, key, target: entry.target };
    case 'react':
      return { type: 'react', room, key, target: entry.target, emoji: entry.emoji, on: entry.on };
    default:
      return { type: 'send', room, key, text: entry.text, ...(entry.reply && { reply: entry.reply }) };
  }
}
