// A world for the browser's modules: a clock that goes when told, sockets and a server whose words the test says.

import { Connection } from '../../static/js/connection.js';

/** Lets everything that waits for nothing run. */
export async function settle() {
  for (let i = 0; i < 50; i++) await Promise.resolve();
}

export class Clock {
  now = 1_000_000;
  #timers = [];

  setTimeout = (work, ms) => {
    const timer = { work, at: this.now + ms };
    this.#timers.push(timer);
    return timer;
  };

  clearTimeout = (timer) => {
    this.#timers = this.#timers.filter((each) => each !== timer);
  };

  /** Lets time pass, each timer at its moment. */
  async pass(ms) {
    const until = this.now + ms;
    await settle();
    for (;;) {
      const next = this.#timers.filter(({ at }) => at <= until).sort((a, b) => a.at - b.at)[0];
      if (!next) break;
      this.clearTimeout(next);
      this.now = Math.max(this.now, next.at);
      next.work();
      await settle();
    }
    this.now = until;
  }
}

export class FakeSocket {
  onmessage = null;
  onclose = null;
  sent = [];
  closed = false;

  send(data) {
    if (this.closed) throw new Error('send on a closed socket');
    this.sent.push(JSON.parse(data));
  }

  close() {
    this.closed = true;
  }

  /** The server says these objects, in one frame. */
  async says(...frames) {
    this.onmessage?.({ data: frames.map((frame) => JSON.stringify(frame)).join('\n') });
    await settle();
  }

  async welcomes(fields = {}) {
    await this.says({ type: 'welcome', user: 'alice', instance: 'one', ping_ms: 25_000, limits: { text: 4000 }, ...fields });
  }

  /** Answers the last request of a type. */
  async answers(type, fields = {}) {
    const request = this.sent.filter((each) => each.type === type).at(-1);
    await this.says({ type: 'ok', id: request.id, ...fields });
  }

  /** The server, or the network, ends it. */
  async ends(code) {
    this.closed = true;
    this.onclose?.({ code });
    await settle();
  }

  requests(type) {
    return this.sent.filter((each) => each.type === type);
  }
}

/**
 * A connection of alice's in such a world. Its rooms: one `join` of general on each socket.
 * @param {object} [options]
 * @param {() => number} [options.random]
 * @param {() => boolean} [options.online]
 */
export function world({ random = () => 0.5, online = () => true, locks } = {}) {
  const clock = new Clock();
  const sockets = [];
  const refreshes = [];
  const heard = { states: [], frames: [], answers: [], welcomes: [], later: [], out: 0, stranger: 0 };
  /** What the next refreshes answer; the last one stands for all later ones. */
  const script = [{ status: 200, user: 'alice' }];
  const env = {
    open: () => {
      const socket = new FakeSocket();
      sockets.push(socket);
      return socket;
    },
    fetch: async (path, { method, signal }) => {
      refreshes.push({ path, method, at: clock.now });
      const answer = script.length > 1 ? script.shift() : script[0];
      if (answer === 'unreachable') throw new TypeError('failed to fetch');
      if (answer === 'silent') {
        return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason)));
      }
      return {
        status: answer.status,
        headers: new Headers(answer.retryAfter ? { 'Retry-After': answer.retryAfter } : {}),
        json: async () => (answer.code ? { error: { code: answer.code } } : { user: answer.user }),
      };
    },
    setTimeout: clock.setTimeout,
    clearTimeout: clock.clearTimeout,
    now: () => clock.now,
    random,
    online: () => online(),
    locks,
  };
  const connection = new Connection('alice', env, {
    state: (state) => heard.states.push(state),
    welcome: (welcome) => heard.welcomes.push(welcome),
    frame: (frame) => heard.frames.push(frame),
    answer: (request, ok) => heard.answers.push({ request, ok }),
    later: (request, code) => heard.later.push([request.type, code]),
    resume: async (ask) => {
      await ask(() => ({ type: 'join', room: 'general' }));
    },
    out: () => heard.out++,
    stranger: () => heard.stranger++,
  });
  return {
    clock,
    sockets,
    refreshes,
    heard,
    script,
    connection,
    get socket() {
      return sockets.at(-1);
    },
    /** From nothing to live. */
    async goLive() {
      connection.start();
      await settle();
      await this.finish();
    },
    /** Lets the newest socket through to live. */
    async finish() {
      await this.socket.welcomes();
      await this.socket.answers('join', { room: 'general', resumed: true, events: [], head: '' });
    },
  };
}
