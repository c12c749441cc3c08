// The wire contract, docs/protocol.md, as types and tables: what travels, and what each code asks of us.

/**
 * @typedef {{type: 'message', room: string, seq: number, event: string, prev: string, from: string, at: string, key: string, text: string, reply?: string}} Message
 * @typedef {{type: 'edited', room: string, seq: number, event: string, prev: string, from: string, at: string, key: string, target: string, text: string}} Edited
 * @typedef {{type: 'retracted', room: string, seq: number, event: string, prev: string, from: string, at: string, key: string, target: string}} Retracted
 * @typedef {{type: 'reacted', room: string, seq: number, event: string, prev: string, from: string, at: string, key: string, target: string, emoji: string, on: boolean}} Reacted
 * @typedef {{type: 'gone', room?: string, seq: number, event: string, prev: string}} Gone
 * @typedef {Message | Edited | Retracted | Reacted | Gone} Durable an event that a room keeps: a link of its chain
 */

/**
 * @typedef {{type: 'welcome', user: string, instance: string, session_expires_at: string, ping_ms: number, limits: {text: number}}} Welcome
 * @typedef {{type: 'ping'}} Ping
 * @typedef {{type: 'presence', room: string, user: string, state: 'here' | 'away' | 'gone'}} Presence
 * @typedef {{type: 'typing', room: string, from: string}} Typing
 * @typedef {{type: 'room', room: string, joined: boolean, with?: string}} RoomNotice
 * @typedef {{type: 'reset', room: string}} Reset
 * @typedef {{type: 'drain', within_ms: number}} Drain
 * @typedef {{type: 'logout'}} Logout
 * @typedef {{type: 'relist'}} Relist
 * @typedef {{type: 'topic', room: string, topic: string, topic_at: number, from: string}} Topic
 * @typedef {{type: 'role', room: string, user: string, role: string}} RoleNotice somebody has another role
 * @typedef {{room: string, joined: boolean, topic?: string, members: number}} FoundRoom
 * @typedef {{read?: string, read_seq?: number, read_back?: number}} MarkInfo how far this person has read
 * @typedef {{type: 'read', room: string} & MarkInfo} Read
 * @typedef {{type: 'error', id: number, code: string, message: string, retry_after_ms?: number}} Failure
 * @typedef {Welcome | Ping | Presence | Typing | RoomNotice | Reset | Drain | Logout | Relist | Read | Topic | RoleNotice | Failure | Ok | Durable} Frame
 */

/**
 * @typedef {{room: string, joined: boolean, with?: string, muted?: boolean, role?: string, topic?: string, topic_at?: number} & MarkInfo} ListedRoom
 * @typedef {object} Ok an answer; which fields there are depends on the request
 * @property {'ok'} type
 * @property {number} id
 * @property {string} [room] canonical, whatever was asked for
 * @property {boolean} [resumed]
 * @property {Durable[]} [events]
 * @property {string} [head]
 * @property {string[] | null} [here] null where the server does not know
 * @property {string[]} [away] of those who are here
 * @property {Record<string, string>} [heads] join of universe
 * @property {string[]} [fresh] join of universe
 * @property {string} [event]
 * @property {number} [seq]
 * @property {boolean} [duplicate]
 * @property {ListedRoom[]} [rooms]
 * @property {Array<{user: string, owner?: boolean, role?: string}>} [members]
 * @property {string} [role] join: this person's, unless they are a plain member
 * @property {boolean} [more] find
 * @property {string} [next] search
 * @property {string} [read]
 * @property {number} [read_seq]
 * @property {number} [read_back]
 */

/**
 * A request, without the id that its link gives it.
 * @typedef {{type: 'join', room: string, after?: string, positions?: Record<string, string>}} Join
 * @typedef {{type: 'send', room: string, key: string, text: string, reply?: string}} Send
 * @typedef {{type: 'edit', room: string, key: string, target: string, text: string}} Edit
 * @typedef {{type: 'retract', room: string, key: string, target: string}} Retract
 * @typedef {{type: 'react', room: string, key: string, target: string, emoji: string, on: boolean}} React
 * @typedef {Join | Send | Edit | Retract | React | {type: 'leave', room: string} | {type: 'invite' | 'expel', room: string, user: string} | {type: 'role', room: string, user: string, role: string} | {type: 'members' | 'remove', room: string} | {type: 'read', room: string, event: string, back?: number} | {type: 'history', room: string, before?: string, limit?: number} | {type: 'rooms'} | {type: 'away'} | {type: 'back'} | {type: 'find', text: string} | {type: 'search', room: string, text: string, user: string, until: string, before?: string} | {type: 'topic', room: string, text: string} | {type: 'mute', room: string, mute: boolean}} Request
 */

export const SUBPROTOCOL = 'chatd.v1';
export const UNIVERSE = 'universe';
/** The largest frame that we may send, in bytes. */
export const MAX_FRAME_BYTES = 65_536;
/** The most positions that one join of the universe may name. */
export const MAX_POSITIONS = 1_000;
/** Silence beyond `ping_ms` that makes a socket dead, in milliseconds. */
export const PING_GRACE_MS = 10_000;

/** The close code of a socket on which a frame was too large: come back without that frame. */
export const TOO_LARGE = 1009;

/** @typedef {'unreachable' | 'restart' | 'store' | 'busy'} Cause why there is no connection, as far as one can tell */

/**
 * What a close code asks for. `out`: log in again. `pauseMs`: the least time to wait before coming back. `cause`: what
 * it tells. A code that is not here, and none, means: come back.
 * @type {Readonly<Record<number, {out?: true, pauseMs?: number, cause?: Cause}>>}
 */
export const CLOSE = Object.freeze({
  1001: { cause: 'restart' },
  1012: { cause: 'restart' },
  4401: { out: true },
  4429: { pauseMs: 2000, cause: 'busy' },
  4503: { pauseMs: 1000, cause: 'busy' },
});

/**
 * What the codes of a refused refresh tell.
 * @type {Readonly<Record<string, Cause>>}
 */
export const REFUSED = Object.freeze({ draining: 'restart', unavailable: 'store', full: 'busy', too_fast: 'busy' });

/** The codes of a refresh that is refused for as long as one is where one is: nobody is let in from there, or no guest. */
export const BARRED = new Set(['barred', 'no_guests_here']);

const NOT_FINAL = new Set(['unavailable', 'too_fast', 'internal']);

/**
 * Whether an error ends its request. The server says so with `retry_after_ms`; the three codes that are never final
 * are so without it too.
 * @param {Failure} failure
 */
export function isFinal(failure) {
  return failure.retry_after_ms === undefined && !NOT_FINAL.has(failure.code);
}

/** The server refused a request, and would refuse it again. */
export class FinalError extends Error {
  /** @param {Failure} failure */
  constructor({ code, message }) {
    super(message);
    this.code = code;
  }
}

/**
 * Whether a room is for those who were invited.
 * @param {string} room
 */
export const isPrivate = (room) => room.startsWith('~');

/**
 * Whether anybody may be in a room.
 * @param {string} room
 */
export const isPublic = (room) => !room.startsWith('@') && !isPrivate(room);

/**
 * Whether a frame is a link of a room's chain, of whatever type: a type of event that we do not know yet still stands
 * between two that we do.
 * @param {Frame} frame
 * @returns {frame is Durable}
 */
export function isDurable(frame) {
  return 'event' in frame && 'prev' in frame && typeof frame.event === 'string' && typeof frame.prev === 'string';
}

/**
 * The objects of one frame. Throws SyntaxError on what is not JSON objects with a type.
 * @param {string} text
 * @returns {Frame[]}
 */
export function decode(text) {
  const frames = [];
  for (const line of text.split('\n')) {
    if (line.trim() === '') continue;
    /** @type {unknown} */
    const value = JSON.parse(line);
    if (typeof value !== 'object' || value === null || !('type' in value) || typeof value.type !== 'string') {
      throw new SyntaxError('not an object with a type');
    }
    frames.push(/** @type {Frame} */ (value));
  }
  return frames;
}

/**
 * @param {(Request & {id: number}) | {type: 'typing', room: string}} request
 * @returns {string}
 */
export function encode(request) {
  return JSON.stringify(request);
}

/**
 * A key for one message: no two are the same, and later ones sort later.
 * @param {number} now milliseconds
 * @param {(bytes: Uint8Array<ArrayBuffer>) => Uint8Array} fill crypto.getRandomValues
 */
export function newKey(now, fill) {
  const bytes = fill(new Uint8Array(12));
  return now.toString(36) + '-' + Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

/**
 * The length of a text as the server counts it: Unicode code points.
 * @param {string} text
 */
export function textLength(text) {
  let length = 0;
  for (const _ of text) length++;
  return length;
}
