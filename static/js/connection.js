// The way to the server: one that comes back by itself, and that changes sockets without a moment between them when an
// instance asks for it. It knows sockets, answers and waiting; what the frames mean for rooms is its owner's business.

import { Backoff } from './backoff.js';
import { BARRED, CLOSE, FinalError, MAX_FRAME_BYTES, PING_GRACE_MS, REFUSED, SUBPROTOCOL, TOO_LARGE, decode, encode, isFinal } from './protocol.js';

/** @typedef {import('./protocol.js').Frame} Frame */
/** @typedef {import('./protocol.js').Failure} Failure */
/** @typedef {import('./protocol.js').Ok} Ok */
/** @typedef {import('./protocol.js').Request} Request */
/** @typedef {import('./protocol.js').Welcome} Welcome */

/**
 * The part of a WebSocket that is used here.
 * @typedef {object} Socket
 * @property {(data: string) => void} send
 * @property {(code?: number, reason?: string) => void} close
 * @property {((event: MessageEvent) => void) | null} onmessage
 * @property {((event: CloseEvent) => void) | null} onclose
 */

/**
 * The world, as a parameter.
 * @typedef {object} Env
 * @property {(path: string, subprotocol: string) => Socket} open
 * @property {(path: string, init: RequestInit) => Promise<Pick<Response, 'status' | 'headers' | 'json'>>} fetch
 * @property {(work: () => void, ms: number) => unknown} setTimeout
 * @property {(timer: unknown) => void} clearTimeout
 * @property {() => number} now milliseconds
 * @property {() => number} random
 * @property {() => boolean} online whether the browser has a network at all, as far as it knows
 * @property {Pick<LockManager, 'request'> | undefined} locks
 */

/** @typedef {(request: () => Request) => Promise<Ok>} Ask makes a request until it is answered ok or refused for good */

/**
 * @typedef {object} Handlers
 * @property {(state: State) => void} state after each change of state
 * @property {(welcome: Welcome) => void} welcome a socket is open
 * @property {(frame: Frame) => void} frame what is said in rooms, and to this person
 * @property {(request: Request, ok: Ok) => void} answer an ok, in its place between the frames
 * @property {(request: Request, code: string) => void} later the server put a request off, and it is made again
 * @property {(ask: Ask) => Promise<void>} resume joins every room on a new socket
 * @property {() => void} out the login has ended
 * @property {() => void} stranger the cookie is another person's now
 */

/** The most that a refresh of the session may take, and the most that it waits for other tabs', in milliseconds. */
const REFRESH_MS = 10_000;
const REFRESH_TURN_MS = 5_000;
/** The most from opening a socket to its welcome, in milliseconds. */
const HANDSHAKE_MS = 10_000;
/** The most that an answer may take, in milliseconds. */
const ANSWER_MS = 20_000;
/** The longest random part of the wait before a request is made again that the server put off, in milliseconds. */
const AGAIN_MS = 4_000;
/** The most that anything may take to be heard after we have reason to doubt the socket, in milliseconds. */
const PROBE_MS = 5_000;
/** The same where the browser says that there is no network. It may be wrong, so we ask all the same. */
const OFFLINE_PROBE_MS = 1_000;
/** The most that a left socket stays open for the answers that are still due on it, in milliseconds. */
const RETIRE_MS = 5_000;

/**
 * Every state, and what leads from it to which.
 *
 * connecting: refreshing the session, then handshaking. replaying: welcomed, joining rooms. moving: live, and on the way
 * to another socket because this instance leaves. closed is for ever: the login ended or the page goes.
 */
export const TRANSITIONS = Object.freeze(/** @type {const} */ ({
  idle: { start: 'connecting', close: 'closed' },
  connecting: { welcome: 'replaying', fail: 'waiting', close: 'closed' },
  replaying: { replayed: 'live', fail: 'waiting', close: 'closed' },
  live: { drain: 'moving', lost: 'waiting', close: 'closed' },
  moving: { welcome: 'moving', fail: 'moving', replayed: 'live', lost: 'waiting', overtaken: 'connecting', close: 'closed' },
  waiting: { due: 'connecting', close: 'closed' },
  closed: {},
}));

/** @typedef {keyof typeof TRANSITIONS} State */
/** @typedef {'start' | 'welcome' | 'replayed' | 'fail' | 'lost' | 'drain' | 'overtaken' | 'due' | 'close'} Cause */

/** A socket, or the try for one, is over; of what was asked on it nothing is known. */
class LostError extends Error {
  /**
   * @param {number} [afterMs] for how long the server wants us to stay away
   * @param {import('./protocol.js').Cause} [why]
   */
  constructor(afterMs = 0, why = 'unreachable') {
    super('lost');
    this.afterMs = afterMs;
    this.why = why;
  }
}
/** The request may be made again. */
class RetryError extends Error {
  /** @param {Failure} failure */
  constructor({ code, retry_after_ms: ms }) {
    super(code);
    this.afterMs = ms ?? 0;
  }
}
/** This page has no more to do with the server. */
class ClosedError extends Error {}
/** The server says that there is no login. */
class OutError extends Error {}
/** The login is another person's. */
class StrangerError extends Error {}

/**
 * @typedef {object} Trouble
 * @property {number} since when there was a connection last, or should have been first, milliseconds
 * @property {import('./protocol.js').Cause} why
 * @property {number | null} nextTry milliseconds; null: it is under way
 *
 * @typedef {object} Facts what may be asked about a connection afterwards
 * @property {number | null} roundTripMs of the last request that was answered
 * @property {number} resumes how often it came back
 * @property {number} moves how often it went to another instance without a loss
 * @property {{at: number, lasted: number | null, code: number} | null} lost the last loss; it lasts while `lasted` is null
 */

/**
 * One try for a socket. The current try is known by identity: whatever an older one still does is ignored.
 * @typedef {{link: Link | null, welcomed: boolean}} Attempt
 */

export class Connection {
  #env;
  #handlers;
  #user;
  #backoff;
  /** Of a move, which fails while all is well here: that must not make the wait after a loss longer. */
  #moveBackoff;
  /** @type {State} */
  #state = 'idle';
  /** The socket in use, in live and moving. @type {Link | null} */
  #link = null;
  /** The try under way. @type {Attempt | null} */
  #attempt = null;
  /** What comes next by itself, in waiting and moving. @type {unknown} */
  #timer = null;
  /** The server wants no try before this moment. */
  #notBefore = 0;
  /** @type {Trouble | null} */
  #trouble = null;
  /** @type {Facts} */
  #facts = { roundTripMs: null, resumes: 0, moves: 0, lost: null };
  /** Those who wait for a socket. @type {Array<{resolve: (link: Link) => void, reject: (err: Error) => void}>} */
  #queue = [];

  /**
   * @param {string} user whose page this is
   * @param {Env} env
   * @param {Handlers} handlers
   */
  constructor(user, env, handlers) {
    this.#user = user;
    this.#env = env;
    this.#handlers = handlers;
    this.#backoff = this.#moveBackoff = new Backoff(env.random);
  }

  get state() {
    return this.#state;
  }

  /** Since when there is no connection, and why; null while there is one. */
  get trouble() {
    return this.#trouble;
  }

  get facts() {
    return this.#facts;
  }

  /** Connects, and stays connected until `close` or the end of the login. */
  start() {
    this.#trouble = { since: this.#env.now(), why: 'unreachable', nextTry: null };
    this.#to('start');
    this.#try();
  }

  /** Ends it all, without a word to the handlers. */
  close() {
    if (this.#state === 'closed') return;
    this.#env.clearTimeout(this.#timer);
    const links = [this.#link, this.#attempt?.link];
    this.#link = this.#attempt = null;
    for (const link of links) link?.drop();
    for (const waiting of this.#queue.splice(0)) waiting.reject(new ClosedError());
    this.#to('close');
  }

  /**
   * The network or the tab has come back, or is in doubt: try at once, or find out whether the socket still lives.
   * @param {boolean} [asked] somebody wants it: where the server wants us to stay away, then as soon as it does not
   */
  kick(asked = false) {
    if (this.#state === 'waiting') {
      const wait = this.#notBefore - this.#env.now();
      if (wait > 0 && !asked) return;
      this.#env.clearTimeout(this.#timer);
      if (wait > 0) return this.#tryIn(wait);
      this.#to('due');
      this.#try();
    } else {
      this.#link?.probe();
    }
  }

  /**
   * Makes a request, again and again, over whatever sockets it takes, until the server says ok. Throws FinalError when
   * it refuses for good, and another error when this connection closes.
   * @type {Ask}
   */
  async ask(request) {
    for (;;) {
      const link = await this.#live();
      try {
        return await this.#askOn(link, request);
      } catch (err) {
        if (!(err instanceof LostError)) throw err;
      }
    }
  }

  /**
   * Says that this person types. It may be lost.
   * @param {string} room
   */
  typing(room) {
    this.#link?.send(encode({ type: 'typing', room }));
  }

  /** @returns {Promise<Link>} */
  #live() {
    if (this.#link) return Promise.resolve(this.#link);
    if (this.#state === 'closed') return Promise.reject(new ClosedError());
    return new Promise((resolve, reject) => this.#queue.push({ resolve, reject }));
  }

  /**
   * As ask, on one socket. Throws LostError when that socket ends.
   * @param {Link} link
   * @param {() => Request} request
   */
  async #askOn(link, request) {
    const backoff = new Backoff(this.#env.random, AGAIN_MS);
    for (;;) {
      const asked = request();
      try {
        return await link.request(asked);
      } catch (err) {
        if (!(err instanceof RetryError)) throw err;
        this.#handlers.later(asked, err.message);
        const wait = backoff.next(this.#env.now(), err.afterMs);
        await Promise.race([link.lost, new Promise((resolve) => this.#env.setTimeout(() => resolve(undefined), wait))]);
      }
    }
  }

  /** @param {Cause} cause */
  #to(cause) {
    /** @type {Partial<Record<Cause, State>>} */
    const row = TRANSITIONS[this.#state];
    const next = row[cause];
    if (!next) throw new Error(`connection: ${cause} in ${this.#state}`);
    const changed = next !== this.#state;
    this.#state = next;
    if (changed) this.#handlers.state(next);
  }

  /** One try for a socket: refresh, handshake, resume, use. */
  async #try() {
    /** @type {Attempt} */
    const attempt = { link: null, welcomed: false };
    this.#attempt = attempt;
    if (this.#trouble) this.#trouble = { ...this.#trouble, nextTry: null };
    try {
      await this.#refresh();
      if (this.#attempt !== attempt) return;
      const link = new Link(this.#env, {
        frame: (frame) => this.#heard(link, frame),
        answer: (request, ok, ms) => {
          this.#facts = { ...this.#facts, roundTripMs: ms };
          this.#handlers.answer(request, ok);
        },
        lost: (code) => this.#lost(link, code),
      });
      attempt.link = link;
      const welcome = await link.welcomed;
      if (this.#attempt !== attempt) return;
      if (welcome.user !== this.#user) throw new StrangerError();
      attempt.welcomed = true;
      this.#to('welcome');
      this.#handlers.welcome(welcome);
      await Promise.race([link.lost, this.#handlers.resume((request) => this.#askOn(link, request))]);
      if (this.#attempt !== attempt) return;
      this.#use(link);
    } catch (err) {
      if (this.#attempt !== attempt) return;
      this.#attempt = null;
      attempt.link?.drop();
      if (err instanceof OutError) this.#end(this.#handlers.out);
      else if (err instanceof StrangerError) this.#end(this.#handlers.stranger);
      else this.#fail(err instanceof LostError ? err : new LostError());
    }
  }

  /**
   * Gets a fresh session id, which also moves this browser to an instance that will be there. Tabs take turns, as they
   * share the cookie; one that hangs in the middle is not waited for. Throws OutError only when the server says so.
   */
  async #refresh() {
    const { locks, setTimeout, clearTimeout } = this.#env;
    const post = async () => {
      const abort = new AbortController();
      const timer = setTimeout(() => abort.abort(), REFRESH_MS);
      try {
        const response = await this.#env.fetch('/session/refresh', {
          method: 'POST',
          credentials: 'same-origin',
          cache: 'no-store',
          redirect: 'error',
          signal: abort.signal,
        });
        if (response.status === 401) throw new OutError();
        if (response.status !== 200) throw await refused(response);
        /** @type {{user?: unknown}} */
        const { user } = await response.json();
        if (user !== this.#user) throw new StrangerError();
      } finally {
        clearTimeout(timer);
      }
    };
    if (!locks) return post();
    const turn = new AbortController();
    const timer = setTimeout(() => turn.abort(), REFRESH_TURN_MS);
    let begun = false;
    try {
      await locks.request('chatd-refresh', { signal: turn.signal }, () => {
        begun = true;
        clearTimeout(timer);
        return post();
      });
    } catch (err) {
      if (begun) throw err;
      await post();
    } finally {
      clearTimeout(timer);
    }
  }

  /**
   * A new socket has every room: it is the one now. The former keeps what it was asked until that is answered.
   * @param {Link} link
   */
  #use(link) {
    const former = this.#link;
    this.#link = link;
    this.#attempt = null;
    const now = this.#env.now();
    this.#backoff.live(now);
    const { lost, resumes, moves } = this.#facts;
    if (former) this.#facts = { ...this.#facts, moves: moves + 1 };
    else if (lost) this.#facts = { ...this.#facts, resumes: resumes + 1, lost: { ...lost, lasted: now - lost.at } };
    this.#trouble = null;
    this.#to('replayed');
    former?.retire();
    for (const waiting of this.#queue.splice(0)) waiting.resolve(link);
    if (link.drainMs !== null) this.#drain(link.drainMs);
  }

  /**
   * The try under way came to nothing.
   * @param {LostError} err
   */
  #fail({ afterMs, why }) {
    if (this.#trouble) this.#trouble = { ...this.#trouble, why };
    this.#later(afterMs, 'fail');
  }

  /**
   * Sets the next try.
   * @param {number} leastMs
   * @param {'fail' | 'lost'} cause
   */
  #later(leastMs, cause) {
    const now = this.#env.now();
    const backoff = this.#state === 'moving' && cause === 'fail' ? this.#moveBackoff : this.#backoff;
    this.#notBefore = now + leastMs;
    this.#tryIn(backoff.next(now, leastMs));
    this.#to(cause);
  }

  /** @param {number} ms */
  #tryIn(ms) {
    if (this.#trouble) this.#trouble = { ...this.#trouble, nextTry: this.#env.now() + ms };
    this.#timer = this.#env.setTimeout(() => {
      if (this.#state === 'waiting') this.#to('due');
      this.#try();
    }, ms);
  }

  /**
   * This instance leaves: move at a random moment, so that its people do not move all at once.
   * @param {number} withinMs
   */
  #drain(withinMs) {
    this.#to('drain');
    this.#moveBackoff = new Backoff(this.#env.random);
    this.#timer = this.#env.setTimeout(() => this.#try(), this.#env.random() * withinMs);
  }

  /**
   * @param {Link} link
   * @param {Frame} frame
   */
  #heard(link, frame) {
    if (link !== this.#link && link !== this.#attempt?.link) return;
    if (frame.type === 'logout') this.#end(this.#handlers.out);
    else if (frame.type !== 'drain') this.#handlers.frame(frame);
    else if (link === this.#link && this.#state === 'live') this.#drain(frame.within_ms);
  }

  /**
   * A socket has ended.
   * @param {Link} link
   * @param {number} code
   */
  #lost(link, code) {
    if (CLOSE[code]?.out) return this.#end(this.#handlers.out);
    if (link !== this.#link) return; // a try finds out by itself
    this.#link = null;
    const at = this.#env.now();
    this.#trouble = { since: at, why: CLOSE[code]?.cause ?? 'unreachable', nextTry: null };
    this.#facts = { ...this.#facts, lost: { at, lasted: null, code } };
    if (this.#attempt) {
      const { welcomed } = this.#attempt;
      this.#to('overtaken');
      if (welcomed) this.#to('welcome');
      return;
    }
    this.#env.clearTimeout(this.#timer);
    this.#later(CLOSE[code]?.pauseMs ?? 0, 'lost');
  }

  /** @param {() => void} tell */
  #end(tell) {
    this.close();
    tell();
  }
}

/**
 * @typedef {object} LinkHandlers
 * @property {(frame: Frame) => void} frame
 * @property {(request: Request, ok: Ok, ms: number) => void} answer after how long
 * @property {(code: number) => void} lost
 */

/** One socket: its requests and their answers, and whether it still lives. */
class Link {
  #env;
  #handlers;
  #socket;
  #ended = false;
  #retired = false;
  #id = 0;
  /** @type {Map<number, {request: Request, bytes: number, at: number, resolve: (ok: Ok) => void, reject: (err: Error) => void, timer: unknown}>} */
  #pending = new Map();
  /** Ends the socket when nothing is heard in time. @type {unknown} */
  #watch;
  /** @type {unknown} */
  #probe = null;
  #silenceMs = HANDSHAKE_MS;
  /** @type {(welcome: Welcome) => void} */
  #welcome = () => {};
  /** @type {(err: Error) => void} */
  #lose = () => {};

  /** Within what time this instance wants us gone; null while it does not. @type {number | null} */
  drainMs = null;

  /**
   * @param {Env} env
   * @param {LinkHandlers} handlers
   */
  constructor(env, handlers) {
    this.#env = env;
    this.#handlers = handlers;
    /** Rejects when the socket ends, and never resolves. @type {Promise<never>} */
    this.lost = new Promise((_, reject) => (this.#lose = reject));
    /** @type {Promise<Welcome>} */
    this.welcomed = Promise.race([this.lost, new Promise((resolve) => (this.#welcome = resolve))]);
    // Either may go unheard: then it is no error either.
    this.lost.catch(() => {});
    this.welcomed.catch(() => {});

    this.#socket = env.open('/ws', SUBPROTOCOL);
    this.#socket.onmessage = ({ data }) => this.#receive(data);
    this.#socket.onclose = ({ code }) => this.#end(code);
    this.#watch = env.setTimeout(() => this.#end(1006), HANDSHAKE_MS);
  }

  /** @param {string} data */
  send(data) {
    if (!this.#ended) this.#socket.send(data);
  }

  /**
   * @param {Request} request
   * @returns {Promise<Ok>}
   */
  request(request) {
    if (this.#ended || this.#retired) return Promise.reject(new LostError());
    const id = ++this.#id;
    const data = encode({ ...request, id });
    const bytes = new TextEncoder().encode(data).length;
    if (bytes > MAX_FRAME_BYTES) return Promise.reject(tooLong());
    return new Promise((resolve, reject) => {
      const timer = this.#env.setTimeout(() => this.#settle(id)?.reject(new LostError()), ANSWER_MS);
      this.#pending.set(id, { request, bytes, at: this.#env.now(), resolve, reject, timer });
      this.send(data);
    });
  }

  /** Asks for an answer, any; ends the socket when nothing is heard. */
  probe() {
    if (this.#ended) return;
    const asked = this.#probe !== null;
    const online = this.#env.online();
    if (asked && online) return;
    this.#env.clearTimeout(this.#probe);
    this.#probe = this.#env.setTimeout(() => this.#end(1006), online ? PROBE_MS : OFFLINE_PROBE_MS);
    if (asked) return;
    // An error is an answer too.
    this.request({ type: 'rooms' }).catch((err) => { if (err instanceof LostError) throw err; }).then(() => this.#trust(), () => {});
  }

  /**
   * Takes no more requests. What has a key and is under way may still be answered here; whatever else is asked again elsewhere,
   * as its answer would be about a socket that nobody listens to.
   */
  retire() {
    this.#retired = true;
    for (const [id, { request }] of this.#pending) {
      if (!('key' in request)) this.#settle(id)?.reject(new LostError());
    }
    if (this.#pending.size === 0) return this.drop();
    this.#env.setTimeout(() => this.drop(), RETIRE_MS);
  }

  /** Closes the socket and is done with it. */
  drop() {
    if (!this.#ended) this.#end(1000);
  }

  /** @param {unknown} data */
  #receive(data) {
    if (this.#ended) return;
    this.#alive();
    /** @type {Frame[]} */
    let frames;
    try {
      frames = decode(String(data));
    } catch {
      return this.#end(1006);
    }
    for (const frame of frames) {
      if (this.#ended) return;
      this.#take(frame);
    }
    if (this.#retired && this.#pending.size === 0) this.drop();
  }

  /** @param {Frame} frame */
  #take(frame) {
    switch (frame.type) {
      case 'ping':
        return;
      case 'welcome':
        this.#silenceMs = frame.ping_ms + PING_GRACE_MS;
        this.#alive();
        return this.#welcome(frame);
      case 'ok': {
        const pending = this.#settle(frame.id);
        if (!pending) return;
        this.#handlers.answer(pending.request, frame, this.#env.now() - pending.at);
        return pending.resolve(frame);
      }
      case 'error':
        return this.#settle(frame.id)?.reject(isFinal(frame) ? new FinalError(frame) : new RetryError(frame));
      case 'drain':
        this.drainMs = frame.within_ms;
    }
    this.#handlers.frame(frame);
  }

  /** @param {number} id */
  #settle(id) {
    const pending = this.#pending.get(id);
    if (pending) this.#env.clearTimeout(pending.timer);
    this.#pending.delete(id);
    return pending;
  }

  /** Something was heard. */
  #alive() {
    this.#env.clearTimeout(this.#watch);
    this.#watch = this.#env.setTimeout(() => this.#end(1006), this.#silenceMs);
    // Without a network what is heard may have been on its way before; only the answer says that there is one.
    if (this.#env.online()) this.#trust();
  }

  /** The socket lives. */
  #trust() {
    this.#env.clearTimeout(this.#probe);
    this.#probe = null;
  }

  /** @param {number} code */
  #end(code) {
    if (this.#ended) return;
    this.#ended = true;
    this.#env.clearTimeout(this.#watch);
    this.#env.clearTimeout(this.#probe);
    // A dead network answers no close either: its close event, minutes later, is of no interest.
    this.#socket.onmessage = this.#socket.onclose = null;
    this.#socket.close(1000);
    if (code === TOO_LARGE && this.#pending.size > 0) {
      // It must not be made again. Of what has no answer, the largest is too large if anything is.
      const [[largest] = [0]] = [...this.#pending].sort(([, a], [, b]) => b.bytes - a.bytes);
      this.#settle(largest)?.reject(tooLong());
    }
    this.#lose(new LostError(CLOSE[code]?.pauseMs, CLOSE[code]?.cause));
    for (const id of [...this.#pending.keys()]) this.#settle(id)?.reject(new LostError());
    this.#handlers.lost(code);
  }
}

function tooLong() {
  return new FinalError({ type: 'error', id: 0, code: 'too_long', message: '' });
}

/**
 * Why a refresh was not answered with a session.
 * @param {Pick<Response, 'headers' | 'json'>} response
 */
async function refused(response) {
  // A balancer's own error is no JSON.
  const { error } = await response.json().catch(() => ({}));
  if (BARRED.has(error?.code)) return new StrangerError(); // the page says what to do
  return new LostError(retryAfterMs(response.headers.get('Retry-After')), REFUSED[error?.code]);
}

/**
 * @param {string | null} header whole seconds
 * @returns {number} milliseconds
 */
function retryAfterMs(header) {
  return header !== null && /^\d{1,5}$/.test(header) ? Number(header) * 1000 : 0;
}
