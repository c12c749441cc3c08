// The page. Only this module and those in view/ touch it: they show what they are given and tell what people do, and
// decide nothing.

import { isPrivate } from './protocol.js';
import { text } from './strings.js';
import { Announcer } from './view/announcer.js';
import { ConnectionBar } from './view/bar.js';
import { Browse } from './view/browse.js';
import { Composer } from './view/composer.js';
import { Diagnostics } from './view/diagnostics.js';
import { find, make, paint, say } from './view/dom.js';
import { Heading } from './view/heading.js';
import { Keys } from './view/keys.js';
import { Log } from './view/log.js';
import { Moderation } from './view/moderation.js';
import { People } from './view/people.js';
import { SearchPanel } from './view/search.js';
import { SettingsPanel } from './view/settings.js';
import { Sidebar } from './view/sidebar.js';
import { Switcher } from './view/switcher.js';

/** @typedef {import('./timeline.js').Break} Break */
/** @typedef {import('./timeline.js').Line} Line */
/** @typedef {import('./store.js').Kept & import('./store.js').Written} Pending */
/** @typedef {import('./changes.js').Changed} Changed */
/** @typedef {import('./store.js').Change} Change */

/**
 * @typedef {object} Listed
 * @property {string} name
 * @property {string} label
 * @property {'here' | 'away' | 'gone' | ''} presence of the other person of a direct conversation
 * @property {boolean} muted
 * @property {number} unread
 * @property {number} mentions of these, messages that are for this person
 *
 * @typedef {object} Open the open conversation
 * @property {string} name
 * @property {'room' | 'direct' | 'universe'} kind
 * @property {string} title
 * @property {Array<{name: string, away: boolean}>} here
 * @property {import('./members.js').Member[] | null} members all of a private room, those of a public one who have a role
 * @property {string} role this person's, '' for a plain member
 * @property {string[]} typing
 * @property {Line[]} lines
 * @property {Break[]} breaks
 * @property {Pending[]} pending
 * @property {Map<string, Changed>} changes of its messages that are under way or were refused, by event
 * @property {boolean} hasOlder
 * @property {boolean} loading
 * @property {boolean} known whether the server has told us of it yet
 * @property {{seq: number, count: number} | null} line where one left off: after this seq, with so many messages to read
 * @property {number} unread messages
 * @property {boolean} muted
 * @property {string} topic what it is about, '' where that was not said
 *
 * @typedef {object} Page
 * @property {string} user
 * @property {string} instance
 * @property {Listed} universe
 * @property {Listed[]} rooms
 * @property {Listed[]} directs
 * @property {Listed[]} others
 * @property {boolean} quiet whether this person is not to be disturbed
 * @property {string[]} known people whom this person may want to write to
 * @property {Open | null} open
 * @property {string} state of the connection, for styles and tests
 * @property {string} pill what to say of the connection, '' for nothing
 * @property {import('./view/bar.js').Bar | null} bar the same with its cause, once it lasts
 * @property {boolean} stale whether what is shown of others may be old
 * @property {boolean} held whether what is written now waits for better times
 * @property {string} notice what to say below the composer, '' for nothing
 * @property {number} limit of a text, in code points
 */

/**
 * @typedef {{body: string, reply: string}} Draft a message that is written; reply: the event that it replies to, or ''
 *
 * @typedef {object} Handlers
 * @property {(name: string) => void} open a conversation that is on the list
 * @property {(name: string) => Promise<string>} join one by name; resolves to why it did not work, or ''
 * @property {() => void} leave the open one
 * @property {(name: string, body: string, reply: string) => Promise<string>} send resolves to why it was not taken, or ''
 * @property {(name: string, what: Change) => Promise<string>} change a message of a conversation; the same
 * @property {(key: string) => void} retry
 * @property {(key: string) => void} discard
 * @property {(typed: string) => import('./search.js').Search | string} search begins to look for messages; or what of it makes no sense
 * @property {(query: string) => Promise<{rooms: import('./protocol.js').FoundRoom[], more: boolean}>} find public rooms
 * @property {(name: string, topic: string) => Promise<string>} topic says what a room is about; resolves to why not, or ''
 * @property {(name: string, mute: boolean) => void} mute
 * @property {(name: string) => Promise<boolean>} older load older lines of a conversation
 * @property {(name: string) => void} typing
 * @property {(name: string) => void} watch this one is seen to its end; '' for none
 * @property {(name: string, event: string) => void} markUnread marks a line as unread, and what came after it
 * @property {(name: string, draft: Draft) => void} draft what stands in its composer
 * @property {(name: string) => Draft} drafted what stood there
 * @property {() => import('./settings.js').Settings} settings
 * @property {(changes: Partial<import('./settings.js').Settings>) => void} set
 * @property {(name: string, person: string) => Promise<string>} invite into a private room; resolves to why it did not work, or ''
 * @property {(name: string, person: string, deed: import('./roles.js').Deed) => Promise<string>} moderate gives them a role, or
 *   puts them out; the same
 * @property {(name: string) => Promise<string>} removeRoom deletes it with all that was said there; the same
 * @property {() => void} tryNow connect at once
 * @property {() => import('./view/diagnostics.js').Diagnosis} diagnose
 * @property {() => Promise<unknown>} measure the round trip to the server
 */

/** How many frames an opened conversation may take to be on the page. */
const OPEN_FRAMES = 120;

export class View {
  #body = document.body;
  #typing = find('typing', HTMLElement);
  #talk = find('talk', HTMLElement);
  #menu = find('menu', HTMLButtonElement);
  #side = find('side', HTMLElement);
  #people = find('people', HTMLElement);
  #peopleToggle = find('people-toggle', HTMLButtonElement);
  #instance = find('instance', HTMLButtonElement);
  #bar;
  #heading;
  #sidebar;
  #here;
  #log;
  #composer;
  #announcer;
  #quiet = find('quiet', HTMLElement);
  #switcher;
  /** @type {Page | null} */
  #page = null;
  /** The conversation that is on the page. */
  #name = '';

  /** @param {Handlers} handlers */
  constructor(handlers) {
    const user = this.#body.dataset['user'] ?? '';
    paint(find('my-avatar', HTMLElement), user);
    this.#bar = new ConnectionBar(handlers.tryNow);
    const diagnostics = new Diagnostics(handlers.diagnose, handlers.measure);
    this.#instance.addEventListener('click', () => diagnostics.open());
    this.#sidebar = new Sidebar(handlers);
    const moderation = new Moderation(handlers, () => this.#page);
    this.#here = new People(handlers, moderation);
    this.#composer = new Composer(handlers, () => this.#log.follow(), (event) => this.#log.remove(event));
    this.#log = new Log(handlers, user, this.#composer, (room, event) => this.#goto(handlers, room, event), moderation);

    this.#heading = new Heading(handlers);
    const browse = new Browse(handlers);
    const search = new SearchPanel(handlers.search, (room, event) => void this.#goto(handlers, room, event));
    find('search-open', HTMLButtonElement).addEventListener('click', () => search.open());
    find('browse-open', HTMLButtonElement).addEventListener('click', () => browse.open());
    this.#menu.addEventListener('click', () => this.#drawer('side', true));
    this.#peopleToggle.addEventListener('click', () => this.#drawer('people', true));
    find('backdrop', HTMLElement).addEventListener('click', () => this.#drawer('', true));
    this.#announcer = new Announcer(user);
    this.#switcher = new Switcher(handlers);
    document.addEventListener('keydown', (event) => {
      if (event.key !== 'Escape' || !this.#body.dataset['drawer'] || document.querySelector('dialog[open]')) return;
      this.#drawer('', true);
      event.preventDefault();
    });
    const keys = new Keys({
      switch: () => this.#switcher.open(),
      search: () => search.open(),
      step: (by, unread) => {
        const name = this.#page && beside(this.#page, by, unread);
        if (name) handlers.open(name);
      },
      write: () => this.#composer.focus(),
    });
    find('switch', HTMLButtonElement).addEventListener('click', () => this.#switcher.open());
    const settings = new SettingsPanel(handlers.settings, handlers.set);
    find('settings-open', HTMLButtonElement).addEventListener('click', () => settings.open());
    find('keys', HTMLButtonElement).addEventListener('click', () => keys.open());
    // The widths at which drawers become lists beside the talk, as in the style sheet.
    for (const width of ['45em', '67.5em']) {
      matchMedia(`(max-width: ${width})`).addEventListener('change', () => this.#drawer('', false));
    }
  }

  /**
   * Tells of something that happened to this person.
   * @param {string} title
   * @param {string} words
   */
  tell(title, words) {
    const ok = make('button', { class: 'action', click: () => element.close() }, text.close);
    ok.autofocus = true;
    const element = make('dialog', { class: 'ask' }, make('h2', {}, title), make('p', { class: 'soft' }, words), make('div', { class: 'answers' }, ok));
    element.setAttribute('aria-label', title);
    element.addEventListener('close', () => element.remove());
    document.body.append(element);
    element.showModal();
  }

  /**
   * Opens a conversation at one of its lines. Resolves to whether it is open.
   * @param {Handlers} handlers
   * @param {string} room
   * @param {string} event
   */
  async #goto(handlers, room, event) {
    await handlers.join(room);
    for (let i = 0; i < OPEN_FRAMES && this.#name !== room; i++) await new Promise((resolve) => requestAnimationFrame(resolve));
    if (this.#name !== room) return false;
    await this.#log.reveal(event);
    return true;
  }

  /** @param {Page} page */
  render(page) {
    const { open } = page;
    this.#page = page;
    this.#body.dataset['state'] = page.state;
    say(this.#instance, text.instance(page.instance));
    this.#bar.render(page);
    this.#body.classList.toggle('held', page.held);
    const unread = [...page.rooms, ...page.directs].reduce((sum, each) => sum + each.unread, 0);
    const mentions = [...page.rooms, ...page.directs].reduce((sum, each) => sum + each.mentions, 0);
    document.title = `${unread ? `(${text.unread(unread)}) ` : ''}${open ? `${open.title} – ` : ''}chatd`;
    this.#icon(mentions ? 'mentions' : unread ? 'unread' : 'none');

    const elsewhere = (open?.name ?? '') !== this.#name;
    this.#name = open?.name ?? '';
    if (elsewhere) this.#drawer('', false);
    this.#heading.render(open);
    say(this.#typing, text.typing(open?.typing ?? []));
    this.#sidebar.render(page, unread);
    this.#here.render(page);
    this.#composer.render(page, elsewhere);
    this.#log.render(page, elsewhere);
    this.#log.seen();
    this.#announcer.render(open);
    this.#quiet.hidden = !page.quiet;
    this.#switcher.render(targets(page));
  }

  /**
   * Shows in the tab's icon whether there is something to read.
   * @param {'none' | 'unread' | 'mentions'} news
   */
  #icon(news) {
    const icon = find('icon', HTMLLinkElement);
    const href = icon.dataset[news] ?? '';
    if (icon.getAttribute('href') !== href) icon.href = href;
  }

  /**
   * Opens one drawer, or none, where lists are drawers. What it covers cannot be reached meanwhile.
   * @param {'side' | 'people' | ''} which
   * @param {boolean} moveFocus
   */
  #drawer(which, moveFocus) {
    const former = this.#body.dataset['drawer'] ?? '';
    if (which === former) return;
    this.#body.dataset['drawer'] = which;
    this.#talk.inert = which !== '';
    for (const [id, button, drawer] of /** @type {const} */ ([
      ['side', this.#menu, this.#side],
      ['people', this.#peopleToggle, this.#people],
    ])) {
      button.ariaExpanded = String(which === id);
      if (moveFocus && which === id) drawer.querySelector('button')?.focus();
      if (moveFocus && which === '' && former === id) button.focus();
    }
  }
}

/**
 * The conversation above or below the open one on the list; undefined where there is none.
 * @param {Page} page
 * @param {1 | -1} by
 * @param {boolean} unread whether only unread ones count
 */
function beside({ universe, rooms, directs, open }, by, unread) {
  const list = [universe, ...rooms, ...directs];
  const at = list.findIndex(({ name }) => name === open?.name);
  for (let step = 1; step <= list.length; step++) {
    const each = list[(at + by * step + list.length * step) % list.length];
    if (each && each.name !== open?.name && (!unread || each.unread > 0)) return each.name;
  }
  return undefined;
}

/**
 * Where the switcher goes.
 * @param {Page} page
 * @returns {import('./switcher.js').Target[]}
 */
function targets({ user, universe, rooms, directs, others, known }) {
  const talked = new Set(directs.map(({ label }) => label));
  /** @param {import('./switcher.js').Target['kind']} kind @param {boolean} known */
  const as = (kind, known) => (/** @type {Listed} */ listed) => ({ ...listed, kind, known });
  return [
    ...rooms.map((room) => as(isPrivate(room.name) ? 'private' : 'room', true)(room)),
    ...directs.map(as('person', true)),
    as('universe', true)(universe),
    ...others.map(as('room', false)),
    ...known.filter((name) => name !== user && !talked.has(name)).map((name) => as('person', false)({ name: `@${name}`, label: name, presence: '', muted: false, unread: 0, mentions: 0 })),
  ];
}
