// When the desktop says that there is something for a person who is away: a message to them alone, or one that names
// them. One tab does so for all, and none while the person looks at any of them.

import { mentions } from './mentions.js';

/** @typedef {import('./protocol.js').Message} Message */
/** @typedef {import('./settings.js').Settings} Settings */
/** @typedef {{close(): void}} Shown */

/** How many events are remembered, so that one that comes twice is no news. */
const KEEP = 1_000;
/** What is read within this time, here or on another device, is not told, in milliseconds. */
const WAIT_MS = 600;

/** The most code points of a message that a notice shows: some desktops draw all of them. */
const LENGTH = 200;

/**
 * The beginning of a text, as a notice shows it.
 * @param {string} text
 */
export function brief(text) {
  const letters = [...text.slice(0, 2 * LENGTH + 2)];
  return letters.length > LENGTH ? `${letters.slice(0, LENGTH).join('')}…` : text;
}

export class Notices {
  #user;
  #locks;
  #settings;
  #unread;
  #setTimeout;
  #show;
  #play;
  #leads = false;
  /** Ends the hold on the lock that says that one looks at this tab. @type {(() => void) | null} */
  #leave = null;
  /** @type {Set<string>} */
  #heard = new Set();
  /** What the desktop shows, by room. @type {Map<string, {shown: Shown | null, count: number}>} */
  #shown = new Map();

  /**
   * @param {object} parts
   * @param {string} parts.user
   * @param {Pick<LockManager, 'request' | 'query'> | undefined} parts.locks without locks each tab speaks for itself
   * @param {() => Settings} parts.settings
   * @param {(room: string) => boolean} parts.unread whether there is something unread in a room
   * @param {(work: () => void, ms: number) => unknown} parts.setTimeout
   * @param {(room: string, message: Message, count: number) => Shown | null} parts.show shows the newest of so many
   *   messages of a room, in the place of what was shown of it before; null where the browser does not
   * @param {() => void} parts.play makes a sound
   */
  constructor({ user, locks, settings, unread, setTimeout, show, play }) {
    this.#user = user;
    this.#locks = locks;
    this.#settings = settings;
    this.#unread = unread;
    this.#setTimeout = setTimeout;
    this.#show = show;
    this.#play = play;
  }

  start() {
    if (!this.#locks) {
      this.#leads = true;
      return;
    }
    const held = () => {
      this.#leads = true;
      return new Promise(() => {});
    };
    this.#locks.request(this.#lock('notices'), held).catch(() => {});
  }

  /**
   * Tells whether one looks at this tab.
   * @param {boolean} looks
   */
  look(looks) {
    if (!looks) {
      this.#leave?.();
      this.#leave = null;
    } else if (!this.#leave) {
      const left = new Promise((resolve) => (this.#leave = () => resolve(undefined)));
      // Shared by all tabs that somebody looks at: it lasts as long as there is one, however it ends.
      this.#locks?.request(this.#lock('looks'), { mode: 'shared' }, () => left).catch(() => {});
    }
  }

  /**
   * A message that came while this page was open, or while it was away.
   * @param {Message} message
   */
  async heard(message) {
    const { event, from, room, text } = message;
    if (from === this.#user || this.#heard.has(event)) return;
    if (!room.startsWith('@') && !mentions(text, this.#user)) return;
    this.#heard.add(event);
    if (this.#heard.size > KEEP) this.#heard.delete(/** @type {string} */ (this.#heard.values().next().value));
    if (await this.#looked()) return;
    await new Promise((resolve) => this.#setTimeout(() => resolve(undefined), WAIT_MS));
    const { notify, quiet, sound } = this.#settings();
    if (!this.#leads || quiet || (await this.#looked()) || !this.#unread(room)) return;
    if (notify) {
      const count = (this.#shown.get(room)?.count ?? 0) + 1;
      this.#shown.set(room, { shown: this.#show(room, message, count), count });
    }
    if (sound) this.#play();
  }

  /** Takes away what was read, here or elsewhere. */
  tidy() {
    for (const [room, { shown }] of this.#shown) {
      if (this.#unread(room)) continue;
      shown?.close();
      this.#shown.delete(room);
    }
  }

  async #looked() {
    if (this.#leave || !this.#locks) return this.#leave !== null;
    const { held = [] } = await this.#locks.query();
    return held.some(({ name }) => name === this.#lock('looks'));
  }

  /** @param {string} what */
  #lock(what) {
    return `chatd-${what}:${this.#user}`;
  }
}
