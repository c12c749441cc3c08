// Where the parts of the page meet.

import { changed, isWritten } from './changes.js';
import { Connection } from './connection.js';
import { Idle } from './idle.js';
import { Marks } from './marks.js';
import { Members } from './members.js';
import { brief, Notices } from './notices.js';
import { Outbox, requestOf } from './outbox.js';
import { Patience } from './patience.js';
import { FinalError, UNIVERSE, newKey } from './protocol.js';
import { FIRST_ROOM, Rooms } from './rooms.js';
import { Search, parsed } from './search.js';
import { readSettings } from './settings.js';
import { FullError, openStore } from './store.js';
import { text } from './strings.js';
import { View } from './view.js';
import { chime, notify } from './view/desktop.js';

/** How often others hear that this person types, in milliseconds. */
const TYPING_MS = 3_000;
/** The longest until the page shows a change, where it shows none by frames as nobody sees it, in milliseconds. */
const UNSEEN_MS = 500;
/** Until the server says it. */
const LIMIT = 4_000;
/** How long a new login's cookie may be under way when the end of the former one is heard. */
const NEW_LOGIN_MS = 500;

const user = document.body.dataset['user'] ?? '';
let instance = document.body.dataset['instance'] ?? '';
let limit = LIMIT;
/** There is no connection. */
const lost = patience();
/** The server puts off what is sent. */
const putOff = patience();
let wasLive = false;
let typedAt = 0;

const store = await openStore(globalThis.indexedDB);
const channel = new BroadcastChannel(`chatd:${user}`);
const readChannel = new BroadcastChannel(`chatd-read:${user}`);

const env = {
  open: (/** @type {string} */ path, /** @type {string} */ subprotocol) =>
    new WebSocket(new URL(path, location.href.replace(/^http/, 'ws')), subprotocol),
  fetch: (/** @type {string} */ path, /** @type {RequestInit} */ init) => fetch(path, init),
  setTimeout: (/** @type {() => void} */ work, /** @type {number} */ ms) => setTimeout(work, ms),
  clearTimeout: (/** @type {unknown} */ timer) => clearTimeout(/** @type {number | undefined} */ (timer ?? undefined)),
  now: () => Date.now(),
  random: () => Math.random(),
  online: () => navigator.onLine,
  locks: navigator.locks,
};
const connection = new Connection(
  user,
  env,
  {
    state: stateChanged,
    welcome: (welcome) => {
      instance = welcome.instance;
      limit = welcome.limits.text;
    },
    frame: (frame) => {
      if (frame.type === 'relist') void relist();
      else rooms.frame(frame);
      if (frame.type === 'role') roleChanged(frame);
      if (frame.type === 'message') void notices.heard(frame);
    },
    answer: (request, ok) => {
      rooms.answer(request, ok);
      if (request.type !== 'join') return;
      // What was missed is news too, and how a conversation begins; what a room said before one came is not.
      const begun = ok.room?.startsWith('@') && rooms.get(ok.room)?.fresh;
      if (!begun && !(request.after && ok.resumed)) return;
      for (const event of ok.events ?? []) if (event.type === 'message') void notices.heard(event);
    },
    later: (request, code) => {
      if ('key' in request && code !== 'too_fast') putOff.set(true);
    },
    resume: async (ask) => {
      // First of all, or who is away would seem to come back with each socket.
      saidAway = false;
      if (idle.away) await sayAway(ask);
      await rooms.resume(ask);
    },
    // Where another tab has made a new login, the server leads from there back to here.
    out: () => setTimeout(() => location.assign(`/login${location.hash}`), NEW_LOGIN_MS),
    stranger: () => location.reload(),
  },
);

const idle = new Idle(env, () => void tellAway());
/** What the newest socket was told. */
let saidAway = false;

/** @param {import('./connection.js').Ask} ask */
async function sayAway(ask) {
  try {
    await ask(() => ({ type: (saidAway = idle.away) ? 'away' : 'back' }));
  } catch (err) {
    if (!(err instanceof FinalError)) throw err; // a server of before knows nothing of it
  }
}

async function tellAway() {
  await sayAway((request) => connection.ask(request)).catch(() => {}); // the page is closing
}

const rooms = new Rooms({
  user,
  ask: (request) => connection.ask(request),
  now: () => Date.now(),
  tell: (room, mark) => {
    marks.tell(room, mark);
    readChannel.postMessage({ room, mark });
  },
  changed: render,
});

const members = new Members({ ask: (request) => connection.ask(request), changed: render });

const notices = new Notices({
  user,
  locks: navigator.locks,
  settings,
  unread: (name) => {
    const room = rooms.get(name);
    return room !== undefined && room.joined && rooms.news(room).unread > 0;
  },
  setTimeout: (work, ms) => setTimeout(work, ms),
  show: (room, message, count) => {
    const direct = room.startsWith('@');
    const icon = /** @type {HTMLLinkElement | null} */ (document.querySelector('link[rel=icon]'))?.href ?? '';
    const title = direct ? message.from : text.noticeIn(message.from, room);
    return notify(title, { body: text.notice(brief(message.text), count), tag: `${user} ${room}`, icon, click: () => void open(room) });
  },
  play: chime,
});

const marks = new Marks({ ask: (request) => connection.ask(request), setTimeout: (work, ms) => setTimeout(work, ms) });
readChannel.onmessage = ({ data: { room, mark } }) => rooms.readElsewhere(room, mark);

const outbox = new Outbox({
  user,
  store,
  send: async (entry) => {
    try {
      const ok = await connection.ask(() => requestOf(entry()));
      return ok.seq ?? 0;
    } catch (err) {
      throw err instanceof FinalError ? new FinalError({ type: 'error', id: 0, code: err.code, message: text.reason(err) }) : err;
    } finally {
      putOff.set(false);
    }
  },
  tooOld: text.tooOld,
  newKey: () => newKey(Date.now(), (bytes) => crypto.getRandomValues(bytes)),
  now: () => Date.now(),
  changed: render,
  // Tabs that share no store have nothing to agree on.
  locks: store.lasting ? navigator.locks : undefined,
  channel: store.lasting ? channel : undefined,
});

const view = new View({
  open: (name) => void open(name),
  join: (name) => open(asTyped(name)),
  leave: () => void leave(),
  send: (name, body, reply) => {
    typedAt = 0;
    return keep(outbox.add(name, body, reply));
  },
  change: (name, what) => keep(outbox.change(name, what)),
  retry: (key) => void outbox.retry(key),
  discard: (key) => void outbox.delete(key),
  older: (name) => rooms.older(name).catch(() => false),
  typing: (name) => {
    if (Date.now() - typedAt < TYPING_MS) return;
    typedAt = Date.now();
    connection.typing(name);
  },
  watch: (name) => rooms.watch(name),
  search: (typed) => {
    const query = parsed(typed);
    if (query.wrong) return query.wrong;
    const joined = rooms.all().filter((room) => room.joined).map(({ name }) => name);
    const named = joined.filter((name) => [name, name.replace(/^~/, ''), rooms.partner(name), `@${rooms.partner(name)}`].includes(query.room));
    if (query.room && named.length === 0) return `in:${query.room}`;
    return new Search((request) => connection.ask(request), query, query.room ? named : joined);
  },
  find: async (query) => {
    try {
      const ok = await connection.ask(() => ({ type: 'find', text: query }));
      return { rooms: /** @type {import('./protocol.js').FoundRoom[]} */ (/** @type {unknown} */ (ok.rooms ?? [])), more: ok.more ?? false };
    } catch {
      return { rooms: [], more: false }; // refused, or the page is closing
    }
  },
  topic: async (name, topic) => {
    try {
      await connection.ask(() => ({ type: 'topic', room: name, text: topic }));
      return '';
    } catch (err) {
      return err instanceof FinalError ? text.reason(err) : '';
    }
  },
  mute: (name, mute) => {
    connection.ask(() => ({ type: 'mute', room: name, mute })).catch(() => {});
  },
  markUnread: (name, event) => rooms.markUnread(name, event),
  invite: (name, person) => admit('invite', name, person),
  moderate: (name, person, deed) => admit(deed, name, person),
  removeRoom: async (name) => {
    try {
      await connection.ask(() => ({ type: 'remove', room: name }));
      return '';
    } catch (err) {
      return err instanceof FinalError ? text.reason(err) : '';
    }
  },
  draft: (name, { body, reply }) => {
    remember(`draft:${user}:${name}`, body);
    remember(`reply:${user}:${name}`, reply);
  },
  drafted: (name) => ({ body: remembered(`draft:${user}:${name}`) ?? '', reply: remembered(`reply:${user}:${name}`) ?? '' }),
  settings,
  set: (changes) => {
    remember(`settings:${user}`, JSON.stringify({ ...settings(), ...changes }));
    render();
  },
  tryNow: () => connection.kick(true),
  diagnose: () => ({
    instance,
    state: connection.state,
    facts: connection.facts,
    gap: rooms.gap,
    waiting: outbox.waiting,
    rooms: rooms.all().filter(({ joined }) => joined).map((room) => ({ label: rooms.partner(room.name) ?? room.name, seq: room.timeline.seq })),
  }),
  measure: () => (wasLive && !connection.trouble ? rooms.relist() : Promise.resolve()),
});

/** What this person has chosen, in whatever tab. */
function settings() {
  return readSettings(remembered(`settings:${user}`));
}

function look() {
  notices.look(document.visibilityState === 'visible' && document.hasFocus());
}

/**
 * Resolves to why it could not be kept, or ''.
 * @param {Promise<void>} kept
 */
async function keep(kept) {
  try {
    await kept;
    return '';
  } catch (err) {
    return err instanceof FullError ? text.full : text.notKept;
  }
}

/**
 * Resolves to why it did not work, or ''.
 * @param {'invite' | import('./roles.js').Deed} deed
 * @param {string} name
 * @param {string} person
 */
async function admit(deed, name, person) {
  try {
    await members.change(deed, name, person.trim().replace(/^@/, ''));
    return '';
  } catch (err) {
    return err instanceof FinalError ? text.reason(err) : '';
  }
}

/** @param {import('./protocol.js').RoleNotice} notice */
function roleChanged({ room, user: who, role }) {
  if (who === user && role === 'banned') {
    view.tell(text.bannedTitle(room), text.bannedHint);
    openAnother();
  } else {
    members.heard(room, who, role);
    // Who moderates now sees more.
    if (who === user && room === rooms.current) members.refresh(room).catch(() => {}); // the page is closing
  }
}

/** @param {import('./connection.js').State} state */
function stateChanged(state) {
  const live = state === 'live' || state === 'moving';
  if (live) {
    // While that socket was opened, another one heard of it.
    if (saidAway !== idle.away) void tellAway();
    if (!wasLive) void openFirst();
    else openAnother();
    // News of roles may have been missed.
    if (lost.level !== '') members.refresh(rooms.current).catch(() => {});
    wasLive = true;
  }
  lost.set(!live);
  render();
}

function patience() {
  return new Patience({
    setTimeout: (work, ms) => setTimeout(work, ms),
    clearTimeout: (timer) => clearTimeout(/** @type {number} */ (timer)),
    changed: () => render(),
  });
}

async function relist() {
  try {
    await rooms.relist();
    openAnother();
  } catch {
    // The page is closing.
  }
}

/** Opens another conversation where the open one was left, on another device. */
function openAnother() {
  if (rooms.current && rooms.current !== UNIVERSE && !rooms.get(rooms.current)?.joined) void openAny();
}

/** Opens the conversation of the address, or another. */
async function openFirst() {
  const name = named();
  if (!name || (await open(name)) !== '') await openAny();
}

/** The conversation that the address names, or ''. */
function named() {
  try {
    return decodeURIComponent(location.hash.replace(/^#\/?/, ''));
  } catch {
    return ''; // not an address of ours
  }
}

/** Opens the conversation that was open last, or a room that this person is in, or any conversation. */
async function openAny() {
  const joined = rooms.all().filter((room) => room.joined).map(({ name }) => name);
  const last = remembered(`last:${user}`) ?? '';
  const room = [last, FIRST_ROOM].find((name) => joined.includes(name)) ?? joined.find((name) => !name.startsWith('@')) ?? joined[0];
  await open(room ?? FIRST_ROOM);
}

/**
 * Opens a conversation, and joins it where that has not been done. Resolves to why it did not work, or ''.
 * @param {string} name
 */
async function open(name) {
  const direct = rooms.all().find((room) => room.joined && name.startsWith('@') && `@${rooms.partner(room.name)}` === name);
  let room = direct?.name ?? name;
  const joined = rooms.get(room)?.joined;
  if (room === rooms.current && (joined || room === UNIVERSE)) return '';
  if (!joined) {
    const before = rooms.current;
    try {
      room = await rooms.join(room);
    } catch (err) {
      return err instanceof FinalError ? text.reason(err) : '';
    }
    // Who went elsewhere while this one was on its way stays there.
    if (rooms.current !== before) return '';
  }
  if (rooms.current === UNIVERSE) rooms.leave(UNIVERSE).catch(() => {});
  rooms.current = room;
  members.refresh(room).catch(() => {}); // the page is closing
  remember(`last:${user}`, room);
  // With a slash, or the browser would scroll to a part of the page that has the room's name as its id.
  const address = `#/${encodeURIComponent(room)}`;
  if (named() === '' || named() === room) history.replaceState(null, '', address);
  else history.pushState(null, '', address);
  render();
  return '';
}

async function leave() {
  const name = rooms.current;
  try {
    await rooms.leave(name);
  } catch {
    return;
  }
  if (rooms.current === name) await openAny();
}

/**
 * What one types to name a room or a person: `#room` is `room`.
 * @param {string} name
 */
function asTyped(name) {
  return name.trim().replace(/^#/, '');
}

let due = false;

/** Shows everything, once for all changes of this moment. */
function render() {
  if (due) return;
  due = true;
  const show = () => {
    if (!due) return;
    due = false;
    view.render(page());
  };
  // No frames are made for a page that nobody sees, but its title counts.
  if (document.visibilityState === 'visible') requestAnimationFrame(show);
  setTimeout(show, UNSEEN_MS);
}

/** @returns {import('./view.js').Page} */
function page() {
  const all = rooms.all();
  notices.tidy();
  /** @param {import('./rooms.js').Room} room */
  const listed = (room) => ({
    name: room.name,
    label: rooms.partner(room.name) ?? room.name.replace(/^~/, ''),
    presence: presenceOf(room),
    muted: room.joined && room.muted,
    ...(room.joined ? rooms.news(room) : { unread: 0, mentions: 0 }),
  });
  /** @param {import('./rooms.js').Room} room */
  const presenceOf = ({ name }) => {
    const partner = rooms.partner(name);
    return partner === undefined ? /** @type {const} */ ('') : rooms.presence(partner);
  };
  const direct = (/** @type {import('./rooms.js').Room} */ { name }) => name.startsWith('@');
  return {
    user,
    instance,
    universe: { name: UNIVERSE, label: text.universe, presence: /** @type {const} */ (''), muted: false, unread: 0, mentions: 0 },
    rooms: all.filter((room) => room.joined && !direct(room)).map(listed),
    directs: all.filter((room) => room.joined && direct(room)).map(listed),
    others: all.filter((room) => !room.joined && !direct(room)).map(listed),
    quiet: settings().quiet,
    known: [...new Set(all.flatMap(({ here }) => [...here]))].sort((a, b) => a.localeCompare(b)),
    open: openPage(),
    state: connection.state,
    ...trouble(),
    notice: notice(),
    held: lost.level !== '' || putOff.level !== '',
    limit,
  };
}

/** What to say of the connection, and of a server that stores nothing. */
function trouble() {
  const pill = lost.level === '' ? '' : !navigator.onLine ? text.offline : wasLive ? text.reconnecting : text.connecting;
  return { pill, bar: explained(), stale: lost.level !== '' };
}

/** @returns {import('./view/bar.js').Bar | null} */
function explained() {
  const { trouble } = connection;
  if (lost.level === 'cause' && trouble) {
    return { cause: text.causes[navigator.onLine ? trouble.why : 'offline'], nextTry: trouble.nextTry, tries: true };
  }
  return putOff.level === 'cause' ? { cause: text.causes.store, nextTry: null, tries: false } : null;
}

/** What to say of the messages that wait. */
function notice() {
  const n = outbox.waiting;
  if (n === 0 || (lost.level === '' && putOff.level === '')) return '';
  const words = outbox.lasting ? text.held(n) : text.notLasting;
  return putOff.level === 'word' && lost.level === '' ? `${text.putOff} ${words}` : words;
}

/** @returns {import('./view.js').Open | null} */
function openPage() {
  const name = rooms.current;
  if (name === UNIVERSE) {
    const { lines, breaks, edge } = rooms.universe();
    const loading = rooms.all().some((room) => room.loading);
    return {
      name, kind: 'universe', title: text.universe, here: [], typing: [], lines, breaks, pending: [],
      members: null, role: '', changes: changed(outbox.list()),
      hasOlder: edge !== null, loading, known: true, line: null, unread: 0, muted: false, topic: '',
    };
  }
  const room = rooms.get(name);
  if (!room) return null;
  const { timeline } = room;
  const lines = timeline.lines();
  outbox.heard(name, timeline.seq);
  const entries = outbox.list(name);
  const mine = new Set(lines.filter(({ from }) => from === user).map(({ key }) => key));
  const partner = rooms.partner(name);
  return {
    name,
    kind: partner === undefined ? 'room' : 'direct',
    title: partner ?? name,
    here: [...room.here].map((name) => ({ name, away: room.away.has(name) }))
      .sort((a, b) => Number(a.away) - Number(b.away) || a.name.localeCompare(b.name)),
    members: members.of(name),
    role: room.role,
    typing: rooms.typing(room),
    lines,
    breaks: timeline.breaks(),
    pending: entries.filter(isWritten).filter(({ key }) => !mine.has(key)),
    changes: changed(entries),
    hasOlder: timeline.hasOlder,
    loading: room.loading,
    known: timeline.head !== null,
    line: room.line,
    unread: rooms.unread(room),
    muted: room.muted,
    topic: room.topic,
  };
}

/** @param {string} key */
function remembered(key) {
  try {
    return localStorage.getItem(`chatd.${key}`);
  } catch {
    return null; // not allowed here: that costs a draft, no more
  }
}

/** @param {string} key @param {string} value */
function remember(key, value) {
  try {
    if (value === '') localStorage.removeItem(`chatd.${key}`);
    else localStorage.setItem(`chatd.${key}`, value);
  } catch {
    // As above; full is no worse.
  }
}

for (const name of ['focus', 'blur']) addEventListener(name, look);
addEventListener('storage', render); // another tab's settings
addEventListener('hashchange', () => void (named() && open(named())));
for (const name of ['online', 'offline', 'pageshow']) addEventListener(name, () => connection.kick());
document.addEventListener('resume', () => connection.kick());
for (const name of ['pointermove', 'pointerdown', 'keydown', 'wheel', 'focus']) addEventListener(name, () => idle.used(), { passive: true });
document.addEventListener('visibilitychange', () => {
  idle.seen(document.visibilityState === 'visible');
  if (document.visibilityState === 'visible') connection.kick();
  else marks.flush();
  look();
  render();
});
// Those who type stop being shown by themselves.
setInterval(() => rooms.all().some((room) => room.typing.size > 0) && render(), 2_000);

look();
notices.start();
render();
await outbox.start();
for (const { room, text } of outbox.list().filter(isWritten)) {
  // A page that ended between keeping a message and clearing the composer has left it in both.
  const draft = `draft:${user}:${room}`;
  if (remembered(draft) !== text) continue;
  remember(draft, '');
  remember(`reply:${user}:${room}`, '');
}
connection.start();
