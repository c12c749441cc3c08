// All that the page says to people. The words stand in templates/strings, a file for each language; the server writes
// those of this page's language into it. What needs a number, a name or a date is put together here.

/** @typedef {typeof import('../../templates/strings/en.json')} Words */
/** @typedef {Partial<Record<Intl.LDMLPluralRule, string>> & {other: string}} Forms */

/**
 * How a language's words are said.
 * @param {Words} words
 * @param {string} [locale] whose dates and numbers; undefined for the browser's
 */
export function speak(words, locale) {
  const days = new Intl.DateTimeFormat(locale, { weekday: 'long', day: 'numeric', month: 'long' });
  const daysOfYears = new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'long', year: 'numeric' });
  const times = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' });
  const moments = new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeStyle: 'medium' });
  const stamps = new Intl.DateTimeFormat(locale, { dateStyle: 'short', timeStyle: 'medium' });
  const numbers = new Intl.NumberFormat(locale);
  const units = (/** @type {string} */ unit) => new Intl.NumberFormat(locale, { style: 'unit', unit, maximumFractionDigits: 1 });
  const rules = new Intl.PluralRules(locale);
  const lists = new Intl.ListFormat(locale);

  /** @param {string} words @param {Record<string, string | number>} values */
  const fill = (words, values) => words.replace(/\{(\w+)\}/g, (whole, key) => {
    const value = values[key];
    return typeof value === 'number' ? numbers.format(value) : value ?? whole;
  });
  /** @param {Forms} forms @param {number} n @param {Record<string, string | number>} [values] */
  const count = (forms, n, values) => fill(forms[rules.select(n)] ?? forms.other, { n, ...values });

  return {
    ...words,
    /** @param {Date} date @param {Date} now */
    day(date, now) {
      const day = (/** @type {Date} */ of) => new Date(of.getFullYear(), of.getMonth(), of.getDate()).getTime();
      const ago = Math.round((day(now) - day(date)) / 86_400_000);
      if (ago === 0) return words.today;
      if (ago === 1) return words.yesterday;
      return ago > 0 && ago < 180 ? days.format(date) : daysOfYears.format(date);
    },
    /** @param {Date} date */
    time: (date) => times.format(date),
    /** @param {Date} date */
    moment: (date) => moments.format(date),
    /** @param {string} from who said something; '' where their account was deleted */
    author: (from) => from || words.deletedAccount,
    /** @param {string} name */
    write: (name) => fill(words.write, { name }),
    /** @param {number} n */
    here: (n) => fill(words.here, { n }),
    /** @param {number} n */
    unread: (n) => (n > 99 ? fill(words.many, { n: 99 }) : numbers.format(n)),
    /** @param {number} n @param {number} mentions */
    unreadLabel(n, mentions) {
      const unread = count(words.unreadLabel, n);
      return mentions ? lists.format([unread, count(words.mentionsLabel, mentions)]) : unread;
    },
    /** @param {number} n @param {Date} date @param {Date} now */
    newSince(n, date, now) {
      const day = this.day(date, now);
      return fill(words.newSince, { n, when: day === words.today ? times.format(date) : `${day} ${times.format(date)}` });
    },
    /** @param {number} n */
    newAbove: (n) => count(words.newAbove, n),
    /** @param {number} n */
    members: (n) => count(words.members, n),
    /** @param {number} n */
    hits: (n) => count(words.hits, n),
    /** @param {string} part */
    notUnderstood: (part) => fill(words.notUnderstood, { part }),
    /** @param {number} n */
    newBelow: (n) => count(words.newBelow, n),
    /** @param {number} n */
    held: (n) => count(words.held, n),
    /** @param {string} reason */
    failed: (reason) => fill(words.failed, { reason }),
    /** @param {string} name @param {string} body */
    replyingTo: (name, body) => fill(words.replyingTo, { name, body }),
    /** @param {string[]} names */
    reactedBy: (names) => lists.format(names),
    /** @param {number} n */
    suggestions: (n) => count(words.suggestions, n),
    /** @param {string} reason */
    notEdited: (reason) => fill(words.notEdited, { reason }),
    /** @param {string} emoji @param {string} reason */
    notReacted: (emoji, reason) => fill(words.notReacted, { emoji, reason }),
    /** @param {string} reason */
    notDeleted: (reason) => fill(words.notDeleted, { reason }),
    /** @param {number} n */
    left: (n) => (n >= 0 ? fill(words.left, { n }) : fill(words.tooMany, { n: -n })),
    /** @param {string} name @param {string} reason */
    refused: (name, reason) => fill(words.refused, { name, reason }),
    /** @param {string} name */
    moderateLabel: (name) => fill(words.moderateLabel, { name }),
    /** @param {string} room */
    bannedTitle: (room) => fill(words.bannedTitle, { room }),
    /** @param {string} role */
    role: (role) => /** @type {Record<string, string>} */ (words.roles)[role] ?? '',
    /** @param {string} room */
    leave: (room) => fill(words.leave, { room }),
    /** @param {string} instance */
    instance: (instance) => fill(words.instance, { instance }),
    /** @param {number} n */
    number: (n) => numbers.format(n),
    /** @param {number} n */
    nextTry: (n) => count(words.nextTry, n),
    /** @param {number} ms */
    milliseconds: (ms) => units('millisecond').format(ms),
    /** @param {Date} date @param {number | null} ms how long it lasted; null: it does @param {number} code */
    loss(date, ms, code) {
      const values = { when: stamps.format(date), code: String(code) };
      return ms === null ? fill(words.lossLasts, values) : fill(words.loss, { ...values, long: units('second').format(ms / 1000) });
    },
    /** @param {string} room @param {Date} date */
    gap: (room, date) => fill(words.gap, { room, when: stamps.format(date) }),
    /** @param {string} name */
    offerRoom: (name) => fill(words.offerRoom, { name }),
    /** @param {string} name */
    offerPrivate: (name) => fill(words.offerPrivate, { name }),
    /** @param {string} name */
    offerPerson: (name) => fill(words.offerPerson, { name }),
    /** @param {string} from @param {string} text */
    heard: (from, text) => fill(words.heard, { from, text }),
    /** @param {number} n */
    newMessages: (n) => count(words.newMessages, n),
    /** @param {number} n */
    earlier: (n) => count(words.earlier, n),
    /** @param {string} from @param {string} room */
    noticeIn: (from, room) => fill(words.noticeIn, { from, room }),
    /** @param {string} text of the newest @param {number} n */
    notice: (text, n) => count(words.noticeCount, n, { text }),
    /** @param {string[]} names */
    typing(names) {
      if (names.length === 0) return '';
      return names.length > 2 ? words.severalTyping : count(words.typing, names.length, { names: lists.format(names) });
    },
    /**
     * Why something was refused: in the server's own words where they are in this language, English, as they are more
     * exact than its code.
     * @param {{code: string, message: string}} failure
     */
    reason({ code, message }) {
      /** @type {Record<string, string>} */
      const errors = words.errors;
      return (words.lang === 'en' && message) || (errors[code] ?? message);
    },
  };
}

const element = globalThis.document?.getElementById('strings');
/** No words where there is no page, as in tests. @type {Words} */
const words = JSON.parse(element?.textContent ?? '{}');
/** The browser's own kind of the page's language, as en-GB of en. */
const locale = globalThis.navigator?.languages?.find((each) => each.split('-')[0] === words.lang) ?? words.lang;

export const text = speak(words, locale);
