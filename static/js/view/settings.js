// What one can choose.

import { chosen, cookieOf } from '../settings.js';
import { text } from '../strings.js';
import { canNotify, chime } from './desktop.js';
import { dialog } from './dialog.js';
import { make } from './dom.js';

/** @typedef {import('../settings.js').Settings} Settings */

export class SettingsPanel {
  #get;
  #set;
  #allow = make('div', { class: 'allow' });
  /** @type {Array<[keyof Settings, HTMLInputElement]>} */
  #boxes = [];
  #dialog;

  /**
   * @param {() => Settings} get
   * @param {(changes: Partial<Settings>) => void} set
   */
  constructor(get, set) {
    this.#get = get;
    this.#set = set;
    const theme = this.#select('theme', text.theme, text.themes, (value) => (document.documentElement.dataset['theme'] = value));
    // The words are in the page: another language is another page. What was written and what waits outlives it.
    const lang = this.#select('lang', text.languageLabel, { '': text.browsers, ...text.languages }, () => location.reload());
    this.#dialog = dialog('settings', text.settings,
      group(text.notifications, this.#allow, this.#box('notify', text.notifyMe), this.#box('sound', text.sound), this.#box('quiet', text.quiet)),
      group(text.appearance, theme, lang));
  }

  open() {
    if (document.querySelector('dialog[open]')) return;
    this.#show();
    this.#dialog.showModal();
  }

  #show() {
    const settings = this.#get();
    for (const [key, box] of this.#boxes) box.checked = settings[key];
    const state = canNotify ? Notification.permission : 'denied';
    if (state === 'granted') this.#allow.replaceChildren();
    else if (state === 'denied') this.#allow.replaceChildren(make('p', { class: 'soft' }, canNotify ? text.notificationsDenied : text.notificationsUnknown));
    else this.#allow.replaceChildren(make('button', { class: 'action', click: () => void this.#ask() }, text.notificationsAllow));
    for (const [key, box] of this.#boxes) box.disabled = key === 'notify' && state !== 'granted';
  }

  async #ask() {
    await Notification.requestPermission();
    this.#show();
    this.#boxes.find(([key]) => key === 'notify')?.[1].focus();
  }

  /**
   * @param {keyof Settings} key
   * @param {string} label
   */
  #box(key, label) {
    const box = make('input');
    box.type = 'checkbox';
    box.addEventListener('change', () => {
      this.#set({ [key]: box.checked });
      if (key === 'sound' && box.checked) chime();
    });
    this.#boxes.push([key, box]);
    return make('label', { class: 'choice' }, box, make('span', {}, label));
  }

  /**
   * @param {'lang' | 'theme'} name of the cookie that keeps it
   * @param {string} label
   * @param {Record<string, string>} options
   * @param {(value: string) => void} does
   */
  #select(name, label, options, does) {
    const select = make('select', {}, ...Object.entries(options).map(([value, words]) => {
      const option = make('option', {}, words);
      option.value = value;
      return option;
    }));
    select.name = name;
    select.value = chosen(document.cookie, name);
    select.addEventListener('change', () => {
      document.cookie = cookieOf(name, select.value);
      does(select.value);
    });
    return make('label', { class: 'choice' }, make('span', {}, label), select);
  }
}

/**
 * @param {string} title
 * @param {...Node} children
 */
function group(title, ...children) {
  return make('fieldset', {}, make('legend', {}, title), ...children);
}
