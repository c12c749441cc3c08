// The page: the only module that touches it. It shows what it is given and tells what people do; it decides nothing.
// Whatever people wrote enters as text, never as markup.

import { textLength } from './protocol.js';
import { text } from './strings.js';

/** @typedef {import('./timeline.js').Break} Break */
/** @typedef {import('./timeline.js').Line} Line */
/** @typedef {import('./store.js').Entry} Pending */

/**
 * @typedef {{name: string, label: string, unread: number}} Listed
 *
 * @typedef {object} Open the open conversation
 * @property {string} name
 * @property {'room' | 'direct' | 'universe'} kind
 * @property {string} title
 * @property {string[]} here
 * @property {string[]} typing
 * @property {Line[]} lines
 * @property {Break[]} breaks
 * @property {Pending[]} pending
 * @property {boolean} hasOlder
 * @property {boolean} loading
 * @property {boolean} known whether the server has told us of it yet
 *
 * @typedef {object} Page
 * @property {string} user
 * @property {string} instance
 * @property {Listed} universe
 * @property {Listed[]} rooms
 * @property {Listed[]} directs
 * @property {Listed[]} others
 * @property {Open | null} open
 * @property {string} state of the connection, for styles and tests
 * @property {string} pill what to say of the connection, '' for nothing
 * @property {boolean} held whether what is written now waits for better times
 * @property {string} notice what to say below the composer, '' for nothing
 * @property {number} limit of a text, in code points
 */

/**
 * @typedef {object} Handlers
 * @property {(name: string) => void} open a conversation that is on the list
 * @property {(name: string) => Promise<string>} join one by name; resolves to why it did not work, or ''
 * @property {() => void} leave the open one
 * @property {(name: string, body: string) => Promise<string>} send resolves to why it was not taken, or ''
 * @property {(key: string) => void} retry
 * @property {(key: string) => void} discard
 * @property {(name: string) => Promise<boolean>} older load older lines of a conversation
 * @property {(name: string) => void} typing
 * @property {(name: string) => void} read it is seen to its end
 * @property {(name: string, body: string) => void} draft what stands in its composer
 * @property {(name: string) => string} drafted what stood there
 */

/** Lines of one person within this time make a group, in milliseconds. */
const GROUP_MS = 5 * 60_000;
/** How many lines are on the page at first, and how many more each time one scrolls to their beginning. */
const WINDOW = 150;
/** Nearer to an end than this, in pixels, counts as there. */
const NEAR_PX = 48;
/** Nearer to the beginning than this, in pixels, loads more. */
const AHEAD_PX = 400;
/** The rest of the limit is shown when it is smaller than this. */
const SHOW_LEFT = 200;
const URL_PATTERN = /(https?:\/\/[^\s<>"]*[^\s<>"'.,;:!?)\]}])/;

/** @typedef {{key: string, sign: string, make: () => HTMLElement}} Item */

/**
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {{class?: string, dir?: string, title?: string, click?: () => void}} [with_]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
function make(tag, with_ = {}, ...children) {
  const element = document.createElement(tag);
  if (with_.class) element.className = with_.class;
  if (with_.dir) element.dir = with_.dir;
  if (with_.title) element.title = with_.title;
  if (with_.click) element.addEventListener('click', with_.click);
  if (element instanceof HTMLButtonElement) element.type = 'button';
  element.append(...children);
  return element;
}

/**
 * @template {HTMLElement} T
 * @param {string} id
 * @param {new () => T} type
 * @returns {T}
 */
function find(id, type) {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`no ${type.name} #${id}`);
  return element;
}

export class View {
  #on;
  #body = document.body;
  #title = find('title', HTMLElement);
  #pill = find('pill', HTMLElement);
  #log = find('log', HTMLElement);
  #lines = find('lines', HTMLElement);
  #edge = find('edge', HTMLElement);
  #newest = find('newest', HTMLButtonElement);
  #typing = find('typing', HTMLElement);
  #composer = find('composer', HTMLFormElement);
  #text = find('text', HTMLTextAreaElement);
  #note = find('note', HTMLElement);
  #talk = find('talk', HTMLElement);
  #menu = find('menu', HTMLButtonElement);
  #menuDot = find('menu-dot', HTMLElement);
  #side = find('side', HTMLElement);
  #people = find('people', HTMLElement);
  #peopleToggle = find('people-toggle', HTMLButtonElement);
  #leave = find('leave', HTMLButtonElement);
  #instance = find('instance', HTMLElement);
  #joinName = find('join-name', HTMLInputElement);
  #joinError = find('join-error', HTMLElement);

  /** What each list shows: its elements by key. @type {WeakMap<Element, Map<string, {sign: string, element: HTMLElement}>>} */
  #shown = new WeakMap();
  /** @type {Page | null} */
  #page = null;
  /** The conversation whose lines are on the page. */
  #name = '';
  /** How many of its lines are on the page, and how many there were. */
  #window = WINDOW;
  #total = 0;
  /** Whether the end of the log is kept in sight. */
  #follows = true;
  #sending = false;
  /** Enter was pressed again before the former message was kept. */
  #sendNext = false;
  /** What the last message met with. */
  #refusal = '';

  /** @param {Handlers} handlers */
  constructor(handlers) {
    this.#on = handlers;
    const avatar = find('my-avatar', HTMLElement);
    paint(avatar, this.#body.dataset['user'] ?? '');

    this.#log.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.#follows && this.#toEnd()).observe(this.#log);
    this.#newest.addEventListener('click', () => {
      this.#follows = true;
      this.#toEnd();
    });
    document.addEventListener('visibilitychange', () => this.#seen());

    this.#composer.addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#send();
    });
    this.#text.addEventListener('keydown', (event) => {
      // An Enter that ends the composition of a character sends nothing.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing || event.keyCode === 229) return;
      event.preventDefault();
      void this.#send();
    });
    this.#text.addEventListener('input', () => {
      this.#refusal = '';
      if (this.#text.value.trim() !== '') this.#on.typing(this.#name);
      this.#written();
    });

    find('join', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      void this.#join(this.#joinName.value);
    });
    this.#joinName.addEventListener('input', () => (this.#joinError.hidden = true));
    this.#leave.addEventListener('click', () => this.#on.leave());
    this.#menu.addEventListener('click', () => this.#drawer('side', true));
    this.#peopleToggle.addEventListener('click', () => this.#drawer('people', true));
    find('backdrop', HTMLElement).addEventListener('click', () => this.#drawer('', true));
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape') this.#drawer('', true);
    });
    // The widths at which drawers become lists beside the talk, as in the style sheet.
    for (const width of ['720px', '1080px']) {
      matchMedia(`(max-width: ${width})`).addEventListener('change', () => this.#drawer('', false));
    }
  }

  /** @param {Page} page */
  render(page) {
    this.#page = page;
    const { open } = page;
    this.#body.dataset['state'] = page.state;
    this.#instance.textContent = text.instance(page.instance);
    say(this.#pill, page.pill);
    this.#body.classList.toggle('held', page.held);

    this.#list('universe', [page.universe]);
    this.#list('rooms', page.rooms);
    this.#list('directs', page.directs);
    this.#list('others', page.others);
    const unread = [...page.rooms, ...page.directs].reduce((sum, each) => sum + each.unread, 0);
    this.#menuDot.hidden = unread === 0;
    document.title = `${unread ? `(${text.unread(unread)}) ` : ''}${open ? `${open.title} – ` : ''}chatd`;

    const elsewhere = (open?.name ?? '') !== this.#name;
    if (elsewhere) this.#switch(open);
    say(this.#title, open?.title ?? '');
    this.#leave.hidden = !open || open.kind === 'universe';
    this.#composer.hidden = open?.kind === 'universe';
    this.#text.disabled = !open;
    this.#renderHere(page);
    this.#renderLog(page, elsewhere);
    say(this.#typing, text.typing(open?.typing ?? []));
    this.#written();
    this.#seen();
  }

  /** @param {Open | null} open */
  #switch(open) {
    this.#name = open?.name ?? '';
    this.#window = WINDOW;
    this.#total = 0;
    this.#follows = true;
    this.#refusal = '';
    this.#drawer('', false);
    if (!open) return;
    this.#text.value = this.#on.drafted(open.name);
    this.#text.placeholder = text.write(open.title);
    this.#text.setAttribute('aria-label', text.write(open.title));
    this.#leave.setAttribute('aria-label', text.leave(open.title));
    this.#text.disabled = false;
    // Where a keyboard would cover half of the page, it comes when asked for.
    if (matchMedia('(pointer: fine)').matches && open.kind !== 'universe') this.#text.focus();
  }

  /**
   * @param {string} id
   * @param {Listed[]} listed
   */
  #list(id, listed) {
    const list = find(id, HTMLElement);
    const label = document.getElementById(`${id}-label`);
    if (label) label.hidden = listed.length === 0;
    const current = this.#page?.open?.name;
    this.#reconcile(list, listed.map(({ name, label, unread }) => ({
      key: name,
      sign: `${unread} ${name === current}`,
      make: () => {
        const direct = name.startsWith('@');
        const mark = make('span', { class: direct ? 'avatar' : 'sigil' }, direct || id === 'universe' ? '' : '#');
        mark.ariaHidden = 'true';
        if (direct) paint(mark, label);
        const button = make('button', { class: 'entry', click: () => this.#on.open(name) }, mark, make('bdi', {}, label));
        if (id === 'universe') button.title = text.universeHint;
        if (name === current) button.ariaCurrent = 'page';
        if (unread) {
          const badge = make('span', { class: 'badge' }, text.unread(unread));
          badge.setAttribute('aria-label', text.unreadLabel(unread));
          badge.setAttribute('role', 'img');
          button.append(badge);
        }
        return make('li', {}, button);
      },
    })));
  }

  /** @param {Page} page */
  #renderHere({ user, open }) {
    const names = open?.here ?? [];
    const none = !open || open.kind === 'universe';
    this.#body.classList.toggle('alone', none);
    this.#peopleToggle.hidden = none;
    say(this.#peopleToggle, text.here(names.length));
    this.#reconcile(find('here', HTMLElement), names.map((name) => ({
      key: name,
      sign: '',
      make: () => {
        const mark = make('span', { class: 'avatar' });
        mark.ariaHidden = 'true';
        paint(mark, name);
        const person = [mark, make('bdi', {}, name)];
        if (name === user) return make('li', { class: 'entry' }, ...person, make('span', { class: 'soft' }, text.you));
        return make('li', {}, make('button', { class: 'entry', click: () => this.#on.open(`@${name}`) }, ...person));
      },
    })));
  }

  /**
   * @param {Page} page
   * @param {boolean} elsewhere whether another conversation was shown before
   */
  #renderLog({ open, user, held }, elsewhere) {
    const anchor = this.#follows ? null : this.#anchor();
    const all = open?.lines ?? [];
    // Who reads further up keeps what they see, whatever is added at either end.
    if (!this.#follows) this.#window += Math.max(0, all.length - this.#total);
    else if (!elsewhere) this.#window = WINDOW;
    this.#total = all.length;
    const lines = all.slice(-this.#window);
    const named = open?.kind === 'universe';

    const now = new Date();
    /** @type {Item[]} */
    const items = [];
    /** @type {Line | null} */
    let former = null;
    let day = '';
    const breaks = new Map(open?.breaks.map((each) => [`${each.side} ${each.line}`, each]));
    const broken = (/** @type {string} */ place) => {
      const found = breaks.get(place);
      if (!found) return;
      items.push({
        key: `break ${found.room} ${place}`,
        sign: `${found.kind} ${named}`,
        make: () => this.#break(found, named),
      });
      former = null;
    };
    for (const line of lines) {
      const at = new Date(line.at);
      const its = at.toDateString();
      if (its !== day) {
        const label = text.day(at, now);
        items.push({ key: `day ${its}`, sign: label, make: () => make('li', { class: 'day' }, make('span', {}, label)) });
        day = its;
        former = null;
      }
      broken(`before ${line.event}`);
      const first = !follows(former, line);
      items.push({
        key: line.event,
        sign: `${first} ${named} ${line.edited} ${line.text}`,
        make: () => this.#line(line, at, first, named),
      });
      former = line;
      broken(`after ${line.event}`);
    }
    broken('before ');
    for (const entry of open?.pending ?? []) {
      const line = { from: user, room: entry.room, at: new Date(entry.at).toISOString() };
      const first = !follows(former, line);
      items.push({
        // Under the key of the wire, so that it stays in its place while its states change.
        key: `pending ${entry.key}`,
        sign: `${first} ${held} ${entry.failure ?? ''}`,
        make: () => this.#pending(entry, user, first, held),
      });
      former = { ...line, event: '', seq: 0, key: entry.key, text: '', edited: false };
    }
    if (elsewhere) {
      // Another conversation is not news to be read aloud.
      this.#log.ariaBusy = 'true';
      requestAnimationFrame(() => (this.#log.ariaBusy = 'false'));
    }
    this.#reconcile(this.#lines, items);

    const more = open !== null && (open.hasOlder || all.length > lines.length);
    say(this.#edge, !open?.known ? '' : open.loading ? text.loading : more ? '' : all.length ? text.beginning : text.empty);
    if (this.#follows) this.#toEnd();
    else if (anchor) this.#restore(anchor);
    this.#newest.hidden = this.#follows;
    this.#newest.textContent = text.newest;
    // A page that does not fill its frame cannot be scrolled to ask for more.
    if (more && this.#log.scrollHeight <= this.#log.clientHeight) this.#more();
  }

  /**
   * @param {Line} line
   * @param {Date} at
   * @param {boolean} first of its group
   * @param {boolean} named whether to say its room
   */
  #line(line, at, first, named) {
    const time = make('time', { title: text.moment(at) }, text.time(at));
    time.dateTime = line.at;
    const body = make('p', { class: 'text', dir: 'auto' }, ...linked(line.text));
    if (line.edited) body.append(' ', make('span', { class: 'soft' }, `(${text.edited})`));
    if (!first) {
      const by = make('span', { class: 'unseen' }, `${line.from}: `);
      return make('li', { class: 'line' }, time, by, body);
    }
    return make('li', { class: 'line first' }, ...this.#by(line.from, named ? line.room : '', time), body);
  }

  /**
   * @param {Break} broken
   * @param {boolean} named whether to say its room
   */
  #break({ kind, room }, named) {
    const words = make('span', {}, named ? `#${room}: ${text[kind]}` : text[kind]);
    if (kind === 'skipped') words.append(' ', make('button', { class: 'link', click: () => void this.#on.older(room) }, text.load));
    return make('li', { class: 'break' }, words);
  }

  /**
   * @param {Pending} entry
   * @param {string} user
   * @param {boolean} first
   * @param {boolean} held whether it waits for better times
   */
  #pending(entry, user, first, held) {
    const body = make('p', { class: 'text', dir: 'auto' }, ...linked(entry.text));
    const line = make('li', { class: `line pending${first ? ' first' : ''}` }, ...(first ? this.#by(user, '', null) : []), body);
    if (entry.failure === undefined) {
      line.append(make('p', { class: 'status' }, held ? text.waiting : text.sending));
    } else {
      line.classList.add('failed');
      line.append(make('p', { class: 'status' },
        text.failed(entry.failure), ' ',
        make('button', { class: 'link', click: () => this.#on.retry(entry.key) }, text.retry), ' ',
        make('button', { class: 'link', click: () => this.#on.discard(entry.key) }, text.delete)));
    }
    return line;
  }

  /**
   * @param {string} from
   * @param {string} room
   * @param {HTMLElement | null} time
   */
  #by(from, room, time) {
    const avatar = make('span', { class: 'avatar' });
    avatar.ariaHidden = 'true';
    paint(avatar, from);
    const name = make('bdi', {}, from);
    const by = make('p', { class: 'by' }, from === this.#page?.user
      ? make('span', { class: 'name' }, name)
      : make('button', { class: 'name', click: () => this.#on.open(`@${from}`) }, name));
    if (room) by.append(make('button', { class: 'room', click: () => this.#on.open(room) }, '#', make('bdi', {}, room)));
    if (time) by.append(time);
    return [avatar, by];
  }

  /**
   * Makes a list's children be these, leaving alone what has not changed.
   * @param {HTMLElement} list
   * @param {Item[]} items
   */
  #reconcile(list, items) {
    const before = this.#shown.get(list) ?? new Map();
    const after = new Map();
    /** @type {Element | null} */
    let next = list.firstElementChild;
    for (const { key, sign, make } of items) {
      const old = before.get(key);
      const element = old?.sign === sign ? old.element : make();
      after.set(key, { sign, element });
      if (old && old.element !== element) {
        if (next === old.element) next = old.element.nextElementSibling;
        const focused = old.element.contains(document.activeElement);
        old.element.remove();
        list.insertBefore(element, next);
        if (focused) element.querySelector('button')?.focus();
      } else if (element === next) {
        next = element.nextElementSibling;
      } else {
        list.insertBefore(element, next);
      }
    }
    for (const [key, { element }] of before) {
      if (!after.has(key)) element.remove();
    }
    this.#shown.set(list, after);
  }

  #scrolled() {
    const { scrollTop, scrollHeight, clientHeight } = this.#log;
    this.#follows = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.#newest.hidden = this.#follows;
    if (scrollTop < AHEAD_PX) this.#more();
    this.#seen();
  }

  /** Shows lines from before those on the page, or has them loaded. */
  #more() {
    const open = this.#page?.open;
    if (!this.#page || !open) return;
    if (this.#total > this.#window) {
      this.#window += WINDOW;
      if (!this.#follows) this.render(this.#page);
    } else if (open.hasOlder && !open.loading) {
      void this.#on.older(open.name);
    }
  }

  /** The first line in sight, and where it ends: where it begins changes when it is no more the first of its group. */
  #anchor() {
    const { scrollTop } = this.#log;
    for (const [key, { element }] of this.#shown.get(this.#lines) ?? []) {
      const offset = element.offsetTop + element.offsetHeight - scrollTop;
      if (offset > 0 && !/^(day|break) /.test(key)) return { key, offset };
    }
    return null;
  }

  /** @param {{key: string, offset: number}} anchor */
  #restore({ key, offset }) {
    const shown = this.#shown.get(this.#lines)?.get(key);
    if (shown) this.#log.scrollTop = shown.element.offsetTop + shown.element.offsetHeight - offset;
  }

  #toEnd() {
    this.#log.scrollTop = this.#log.scrollHeight;
  }

  /** Tells that the open conversation is seen to its end, where it is. */
  #seen() {
    if (this.#page?.open && this.#follows && document.visibilityState === 'visible') this.#on.read(this.#name);
  }

  async #send() {
    const body = this.#text.value;
    const name = this.#name;
    if (!name || body.trim() === '' || this.#left() < 0) return;
    if (this.#sending) {
      this.#sendNext = true;
      return;
    }
    this.#sending = true;
    this.#refusal = await this.#on.send(name, body);
    this.#sending = false;
    if (this.#refusal === '' && this.#name === name) {
      // What was typed while the message was being kept stays.
      if (this.#text.value.startsWith(body)) this.#text.value = this.#text.value.slice(body.length);
      this.#follows = true;
      this.#toEnd();
    }
    this.#written();
    if (this.#sendNext) {
      this.#sendNext = false;
      void this.#send();
    }
  }

  #left() {
    return (this.#page?.limit ?? Infinity) - textLength(this.#text.value);
  }

  /** The composer's text or the page's state has changed. */
  #written() {
    if (this.#name) this.#on.draft(this.#name, this.#text.value);
    const { style } = this.#text;
    style.height = 'auto';
    style.height = `${this.#text.scrollHeight}px`;
    const left = this.#left();
    this.#note.classList.toggle('error', this.#refusal !== '' || left < 0);
    say(this.#note, this.#refusal || (left < SHOW_LEFT ? text.left(left) : this.#page?.notice ?? ''));
  }

  /** @param {string} name */
  async #join(name) {
    const reason = await this.#on.join(name);
    if (reason === '' && this.#joinName.value === name) this.#joinName.value = '';
    say(this.#joinError, reason && text.refused(name, reason));
    this.#joinError.hidden = reason === '';
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
 * Whether a line goes on the group of the former.
 * @param {Line | null} former
 * @param {Pick<Line, 'from' | 'room' | 'at'>} line
 */
function follows(former, line) {
  if (!former || former.from !== line.from || former.room !== line.room) return false;
  return Math.abs(Date.parse(line.at) - Date.parse(former.at)) < GROUP_MS;
}

/**
 * A text with its links.
 * @param {string} body
 * @returns {Array<Node | string>}
 */
function linked(body) {
  return body.split(URL_PATTERN).map((part, i) => {
    if (i % 2 === 0) return part;
    const link = make('a', {}, part);
    link.href = part;
    link.target = '_blank';
    link.rel = 'noopener noreferrer';
    return link;
  });
}

/**
 * Sets a text where it differs, so that nothing is read aloud twice.
 * @param {HTMLElement} element
 * @param {string} words
 */
function say(element, words) {
  if (element.textContent !== words) element.textContent = words;
}

/**
 * Makes an avatar a person's: their initial, in a colour of theirs.
 * @param {HTMLElement} avatar
 * @param {string} name
 */
function paint(avatar, name) {
  let hash = 0;
  for (const letter of name) hash = (hash * 31 + (letter.codePointAt(0) ?? 0)) % 360;
  avatar.textContent = ([...name][0] ?? '').toUpperCase();
  avatar.style.setProperty('--hue', String(hash));
}
