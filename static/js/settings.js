// What a person has chosen for this browser.

/**
 * @typedef {object} Settings
 * @property {boolean} notify whether the desktop says what is for this person, where the browser was allowed to
 * @property {boolean} quiet do not disturb: neither that nor a sound
 * @property {boolean} sound
 */

/** @type {Readonly<Settings>} */
const DEFAULTS = Object.freeze({ notify: true, quiet: false, sound: false });

/**
 * Reads settings as they were written, or as nobody ever wrote them.
 * @param {string | null} written
 * @returns {Settings}
 */
export function readSettings(written) {
  const settings = { ...DEFAULTS };
  /** @type {unknown} */
  let read;
  try {
    read = JSON.parse(written ?? '{}');
  } catch {
    return settings;
  }
  for (const key of /** @type {Array<keyof Settings>} */ (Object.keys(DEFAULTS))) {
    const value = /** @type {Record<string, unknown> | null} */ (read)?.[key];
    if (typeof value === 'boolean') settings[key] = value;
  }
  return settings;
}

/**
 * Choices that the server needs too, as it makes the page with them.
 * @param {'lang' | 'theme'} name
 * @param {string} value '' for the browser's own
 */
export function cookieOf(name, value) {
  const age = value === '' ? 0 : 31_536_000;
  return `${name}=${encodeURIComponent(value)}; Path=/; Max-Age=${age}; SameSite=Lax`;
}

/**
 * @param {string} cookies document.cookie
 * @param {'lang' | 'theme'} name
 */
export function chosen(cookies, name) {
  const found = cookies.split('; ').find((each) => each.startsWith(`${name}=`));
  return found?.slice(name.length + 1) ?? '';
}
