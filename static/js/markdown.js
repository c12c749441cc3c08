// What people write, as a tree: the part of Markdown that is of use in a chat. It makes no markup, and its time grows
// with the length of the text, whatever that says (docs/design.md, The page). What is no markup stays as it was written.

/**
 * @typedef {{type: 'text', text: string}} Text
 * @typedef {{type: 'codespan', text: string}} CodeSpan
 * @typedef {{type: 'strong' | 'em' | 'del', children: Inline[]}} Span
 * @typedef {{type: 'link', href: string, children: Inline[]}} Link of http, https or mailto
 * @typedef {{type: 'mention', name: string, text: string}} Mention
 * @typedef {Text | CodeSpan | Span | Link | Mention} Inline
 *
 * @typedef {{type: 'paragraph', children: Inline[]}} Paragraph with its line breaks
 * @typedef {{type: 'code', language: string, text: string}} Code
 * @typedef {{type: 'quote', children: Block[]}} Quote
 * @typedef {{type: 'list', start: number | null, items: Block[][]}} List start: the first number, null for dots
 * @typedef {Paragraph | Code | Quote | List} Block
 */

/** Quotes and lists in one another deeper than this are text. */
const DEPTH = 5;

const FENCE = /^ {0,3}(`{3,})([^`]*)$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^( {0,3})([-*]|(\d{1,3})[.)])( +)(?=\S)/;
const INDENT = /^ {2,}/;

/**
 * @param {string} text
 * @returns {Block[]}
 */
export function parse(text) {
  return blocks(text.split('\n'), 0);
}

/**
 * @param {string[]} lines
 * @param {number} depth
 * @returns {Block[]}
 */
function blocks(lines, depth) {
  /** @type {Block[]} */
  const found = [];
  /** @type {string[]} */
  let plain = [];
  const paragraph = () => {
    if (plain.some((line) => line.trim() !== '')) found.push({ type: 'paragraph', children: inline(trimmed(plain).join('\n'), true) });
    plain = [];
  };
  for (let i = 0; i < lines.length; ) {
    const line = /** @type {string} */ (lines[i]);
    const fence = FENCE.exec(line);
    const nests = depth < DEPTH;
    if (fence) {
      paragraph();
      const [, ticks = '', about = ''] = fence;
      let end = i + 1;
      while (end < lines.length && !closes(/** @type {string} */ (lines[end]), ticks.length)) end++;
      found.push({ type: 'code', language: about.trim().split(/\s/)[0] ?? '', text: lines.slice(i + 1, end).join('\n') });
      i = end + 1;
    } else if (nests && QUOTE.test(line)) {
      paragraph();
      let end = i;
      while (end < lines.length && QUOTE.test(/** @type {string} */ (lines[end]))) end++;
      found.push({ type: 'quote', children: blocks(lines.slice(i, end).map((each) => each.replace(QUOTE, '')), depth + 1) });
      i = end;
    } else if (nests && ITEM.test(line)) {
      paragraph();
      const list = listAt(lines, i, depth);
      found.push(list.block);
      i = list.end;
    } else {
      plain.push(line);
      i++;
    }
  }
  // Spaces at the ends are kept where all is text: it may be a drawing.
  if (found.length === 0) return [{ type: 'paragraph', children: inline(plain.join('\n'), true) }];
  paragraph();
  return found;
}

/**
 * @param {string} line
 * @param {number} ticks
 */
function closes(line, ticks) {
  const bare = line.trim();
  return bare.length >= ticks && /^`+$/.test(bare);
}

/**
 * The list that begins at a line.
 * @param {string[]} lines
 * @param {number} from
 * @param {number} depth
 * @returns {{block: List, end: number}}
 */
function listAt(lines, from, depth) {
  const first = ITEM.exec(/** @type {string} */ (lines[from]));
  const numbered = first?.[3] !== undefined;
  /** @type {string[][]} */
  const items = [];
  let i = from;
  for (; i < lines.length; i++) {
    const line = /** @type {string} */ (lines[i]);
    const item = ITEM.exec(line);
    const nested = items.length > 0 && INDENT.test(line);
    if (item && !nested && (item[3] !== undefined) === numbered) items.push([line.slice(item[0].length)]);
    else if (nested) items.at(-1)?.push(line.replace(/^ {2,4}/, ''));
    else if (line.trim() === '' && goesOn(lines[i + 1], numbered)) items.at(-1)?.push('');
    else break;
  }
  return {
    block: { type: 'list', start: numbered ? Number(first[3]) : null, items: items.map((its) => blocks(trimmed(its), depth + 1)) },
    end: i,
  };
}

/**
 * Whether a line after an empty one still belongs to the list.
 * @param {string | undefined} line
 * @param {boolean} numbered
 */
function goesOn(line, numbered) {
  if (line === undefined || line.trim() === '') return false;
  const item = ITEM.exec(line);
  return INDENT.test(line) || (item !== null && (item[3] !== undefined) === numbered);
}

/**
 * Without the empty lines at both ends.
 * @param {string[]} lines
 */
function trimmed(lines) {
  let from = 0;
  let to = lines.length;
  while (from < to && lines[from]?.trim() === '') from++;
  while (to > from && lines[to - 1]?.trim() === '') to--;
  return lines.slice(from, to);
}

const URL_AT = /(?:https?:\/\/|mailto:)(?:[^\s<>"`[\]]|\[[^\s<>"`[\]]*\])*[^\s<>"`'.,;:!?)[\]}*_~]/y;
const LABELLED = /\[([^[\]\n]+)\]\(((?:https?:\/\/|mailto:)[^\s()<>[\]"`]+(?:\([^\s()<>[\]"`]*\)[^\s()<>[\]"`]*)?)\)/y;
const MENTION = /@([\p{L}\p{N}][\p{L}\p{M}\p{N}_.-]{0,31})/uy;
const WORD = /[\p{L}\p{N}]/u;
/** A label that reads like an address must not lead elsewhere. */
const ADDRESS = /:\/\/|[\p{L}\p{N}-][.\u3002\uff0e\uff61]\p{L}{2,}/u;
const ESCAPED = '\\`*_~[]>@-';
/** Where plain text may end. */
const SPECIAL = /[\\`*_~[@\n]|https?:\/\/|mailto:/g;

/** @type {Readonly<Record<string, Span['type']>>} */
const MARKS = { '**': 'strong', '*': 'em', _: 'em', '~~': 'del' };

/**
 * @param {string} text
 * @param {boolean} links whether there may be links in it
 * @returns {Inline[]}
 */
function inline(text, links) {
  /** What is open, outermost first; of each mark at most one. @type {Array<{mark: string, children: Inline[]}>} */
  const open = [{ mark: '', children: [] }];
  const top = () => /** @type {{mark: string, children: Inline[]}} */ (open.at(-1));
  /** @param {Inline} node */
  const put = (node) => {
    const { children } = top();
    const last = children.at(-1);
    if (node.type === 'text' && last?.type === 'text') last.text += node.text;
    else if (node.type !== 'text' || node.text !== '') children.push(node);
  };
  const say = (/** @type {string} */ words) => put({ type: 'text', text: words });
  /** Takes what is open beyond a depth for text. @param {number} depth */
  const giveUp = (depth) => {
    while (open.length > depth) {
      const { mark, children } = /** @type {{mark: string, children: Inline[]}} */ (open.pop());
      say(mark);
      children.forEach(put);
    }
  };
  const depthOf = (/** @type {string} */ mark) => open.findIndex((each) => each.mark === mark);
  const endOf = ticksOf(text);

  /** Takes a run of marks; returns how much of it it took. @param {string} run @param {number} at */
  const marks = (run, at) => {
    const former = text[at - 1] ?? ' ';
    const next = text[at + run.length] ?? ' ';
    // A letter of another plane is two units: enough of it is here to know it.
    const before = charBefore(text, at);
    const after = charAt(text, at + run.length);
    const opens = next.trim() !== '';
    const ends = former.trim() !== '';
    const left = run.length;
    /** @param {string} mark */
    const fits = (mark) => {
      if (mark === '_') return { opens: opens && !WORD.test(before), ends: ends && !WORD.test(after) };
      // Times, as in 2*3*4, is no mark; but a language without spaces has letters at both sides of one.
      if (mark === '*') return { opens: opens && !/[A-Za-z0-9]/.test(before), ends: ends && !/[A-Za-z0-9]/.test(after) };
      return { opens, ends };
    };
    const wanted = run[0] === '*' ? (left === 1 ? ['*'] : left === 2 ? ['**'] : left === 3 ? ['**', '*'] : [])
      : run[0] === '_' ? (left === 1 ? ['_'] : []) : left === 2 ? ['~~'] : [];
    // The innermost ends first, the outermost begins first.
    const ending = wanted.filter((mark) => depthOf(mark) > 0 && fits(mark).ends).sort((a, b) => depthOf(b) - depthOf(a));
    let taken = 0;
    for (const mark of ending) {
      const depth = depthOf(mark);
      if (depth < 0) continue; // given up with one that it was inside of
      giveUp(depth + 1);
      if (top().children.length === 0) continue;
      const { children } = /** @type {{mark: string, children: Inline[]}} */ (open.pop());
      put({ type: /** @type {Span['type']} */ (MARKS[mark]), children });
      taken += mark.length;
    }
    if (taken === 0) {
      for (const mark of wanted) {
        if (depthOf(mark) > 0 || !fits(mark).opens) continue;
        open.push({ mark, children: [] });
        taken += mark.length;
      }
    }
    say(run.slice(taken));
  };

  let i = 0;
  while (i < text.length) {
    SPECIAL.lastIndex = i;
    const special = SPECIAL.exec(text);
    const at = special?.index ?? text.length;
    if (at > i) say(text.slice(i, at));
    if (!special) break;
    i = at;
    const char = /** @type {string} */ (text[i]);
    if (char === '\n') {
      // Nothing reaches over an empty line.
      if (text[i + 1] === '\n') giveUp(1);
      say('\n');
      i++;
    } else if (char === '\\') {
      const escaped = ESCAPED.includes(text[i + 1] ?? ' ');
      // The arm of ¯\_(ツ)_/¯ is no escape.
      const from = escaped && text[i - 1] !== '¯' ? i + 1 : i;
      i += escaped ? 2 : 1;
      say(text.slice(from, i));
    } else if (char === '`') {
      const { ticks, end } = endOf(i);
      if (end < 0) say('`'.repeat(ticks));
      else {
        const code = text.slice(i + ticks, end);
        // The space that keeps an inner tick from the outer ones.
        put({ type: 'codespan', text: /^ .*[^ ].* $/s.test(code) ? code.slice(1, -1) : code });
      }
      i = end < 0 ? i + ticks : end + ticks;
    } else if ('*_~'.includes(char)) {
      let end = i;
      while (text[end] === char) end++;
      marks(text.slice(i, end), i);
      i = end;
    } else if (char === '[') {
      const link = links ? matchAt(LABELLED, text, i) : null;
      const [whole = '', label = '', href = ''] = link ?? [];
      if (link && !ADDRESS.test(label) && valid(href)) {
        put({ type: 'link', href, children: inline(label, false) });
        i += whole.length;
      } else {
        say('[');
        i++;
      }
    } else if (char === '@') {
      const name = /[\p{L}\p{N}@]/u.test(charBefore(text, i)) ? undefined : matchAt(MENTION, text, i)?.[1];
      // A dot, or a mark that began before it, ends the sentence and not the name.
      const its = name?.replace(depthOf('_') > 0 ? /[._]+$/ : /\.+$/, '');
      if (its) put({ type: 'mention', name: its, text: `@${its}` });
      else say('@');
      i += 1 + (its?.length ?? 0);
    } else {
      let href = links && !WORD.test(charBefore(text, i)) ? matchAt(URL_AT, text, i)?.[0] : undefined;
      // A bracket that the address itself opened belongs to it.
      if (href && text[i + href.length] === ')' && count(href, '(') > count(href, ')')) href += ')';
      if (href && valid(href)) put({ type: 'link', href, children: [{ type: 'text', text: href }] });
      else say((href ??= special[0]));
      i += href.length;
    }
  }
  giveUp(1);
  return top().children;
}

/**
 * Finds where a span of code ends: at the next run of as many ticks.
 * @param {string} text
 */
function ticksOf(text) {
  /** Where the runs of each length begin. @type {Map<number, number[]>} */
  const runs = new Map();
  /** @type {Map<number, number>} */
  const lengths = new Map();
  for (const { 0: run, index } of text.matchAll(/`+/g)) {
    lengths.set(index, run.length);
    const its = runs.get(run.length);
    if (its) its.push(index);
    else runs.set(run.length, [index]);
  }
  for (const its of runs.values()) its.reverse();
  return (/** @type {number} */ at) => {
    const ticks = lengths.get(at) ?? 1;
    const its = runs.get(ticks) ?? [];
    // They are asked for from left to right, so what lies behind is not needed again.
    while (its.length > 0 && /** @type {number} */ (its.at(-1)) <= at) its.pop();
    return { ticks, end: its.at(-1) ?? -1 };
  };
}

/**
 * @param {RegExp} pattern a sticky one
 * @param {string} text
 * @param {number} at
 */
function matchAt(pattern, text, at) {
  pattern.lastIndex = at;
  return pattern.exec(text);
}

/** @param {string} href */
function valid(href) {
  try {
    return ['http:', 'https:', 'mailto:'].includes(new URL(href).protocol);
  } catch {
    return false;
  }
}

/** @param {string} text @param {number} at */
function charAt(text, at) {
  const point = text.codePointAt(at);
  return point === undefined ? '' : String.fromCodePoint(point);
}

/** @param {string} text @param {number} at */
function charBefore(text, at) {
  const low = /[\uDC00-\uDFFF]/.test(text[at - 1] ?? '');
  return at === 0 ? '' : charAt(text, low ? at - 2 : at - 1);
}

/** @param {string} text @param {string} char */
function count(text, char) {
  return text.split(char).length - 1;
}

/**
 * A text without its marks.
 * @param {string} text
 */
export function plain(text) {
  return parse(text).map(wordsOf).join('\n');
}

/**
 * @param {Block | Inline} node
 * @returns {string}
 */
function wordsOf(node) {
  if (node.type === 'list') return node.items.map((item) => item.map(wordsOf).join('\n')).join('\n');
  if ('children' in node) return node.children.map(wordsOf).join(node.type === 'quote' ? '\n' : '');
  return node.text;
}
