// All that the page says to people.

const days = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });
const daysOfYears = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const times = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const moments = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });

/** @param {number} n @param {string} one @param {string} many */
const count = (n, one, many) => `${n} ${n === 1 ? one : many}`;

export const text = {
  universe: 'Universe',
  universeHint: 'What is said in all public rooms',
  connecting: 'connecting…',
  reconnecting: 'reconnecting…',
  offline: 'offline',
  you: 'you',
  edited: 'edited',
  sending: 'sending…',
  waiting: 'waiting',
  retry: 'Try again',
  delete: 'Delete',
  loading: 'Loading…',
  empty: 'Nothing has been said here yet.',
  beginning: 'This is the beginning.',
  skipped: 'Earlier messages were skipped.',
  lost: 'Some messages here could not be recovered.',
  load: 'Load them',
  newest: 'Newest messages',
  full: 'Too many messages are waiting already. This one stays here.',
  notKept: 'The message could not be kept. It stays here.',
  putOff: 'Messages cannot be stored right now.',
  tooOld: 'it is more than a day old, and may have been sent then.',
  notLasting: 'This browser keeps nothing: messages that wait are lost when the page is closed.',

  /** @param {Date} date @param {Date} now */
  day(date, now) {
    const day = (/** @type {Date} */ of) => new Date(of.getFullYear(), of.getMonth(), of.getDate()).getTime();
    const ago = Math.round((day(now) - day(date)) / 86_400_000);
    if (ago === 0) return 'Today';
    if (ago === 1) return 'Yesterday';
    return ago > 0 && ago < 180 ? days.format(date) : daysOfYears.format(date);
  },
  /** @param {Date} date */
  time: (date) => times.format(date),
  /** @param {Date} date */
  moment: (date) => moments.format(date),
  /** @param {string} name */
  write: (name) => `Message ${name}`,
  /** @param {number} n */
  here: (n) => `${n} here`,
  /** @param {number} n */
  unread: (n) => (n > 99 ? '99+' : String(n)),
  /** @param {number} n */
  unreadLabel: (n) => count(n, 'unread message', 'unread messages'),
  /** @param {number} n */
  held: (n) => `${count(n, 'message is', 'messages are')} kept here and will be sent.`,
  /** @param {string} reason */
  failed: (reason) => `Not sent: ${reason}`,
  /** @param {number} n */
  left: (n) => (n >= 0 ? `${n} left` : `${-n} too many`),
  /** @param {string} name @param {string} reason */
  refused: (name, reason) => `${name}: ${reason}`,
  /** @param {string} room */
  leave: (room) => `Leave ${room}`,
  /** @param {string} instance */
  instance: (instance) => `on ${instance}`,
  /** @param {string[]} names */
  typing(names) {
    if (names.length === 0) return '';
    if (names.length === 1) return `${names[0]} is typing…`;
    if (names.length === 2) return `${names[0]} and ${names[1]} are typing…`;
    return 'Several people are typing…';
  },
};
