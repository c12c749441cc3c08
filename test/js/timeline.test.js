import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Timeline, merged } from '../../static/js/timeline.js';

/** Messages a1, a2 … that follow each other, the first after `prev`. */
function chain(ids, { prev = '', room = 'general', ...rest } = {}) {
  return ids.map((event, i) => ({
    type: 'message',
    room,
    seq: i + 1,
    event,
    prev: i ? ids[i - 1] : prev,
    from: 'bob',
    at: `2026-11-21T08:00:0${i}.000Z`,
    key: `key-${event}`,
    text: `text ${event}`,
    ...rest,
  }));
}

function timelineOf(events) {
  const timeline = new Timeline();
  timeline.replace(events);
  return timeline;
}

const ids = (timeline) => timeline.lines().map(({ event }) => event);

test('events in order are taken, and known ones dropped', () => {
  const timeline = timelineOf(chain(['a', 'b']));
  const [, , c] = chain(['a', 'b', 'c']);
  assert.equal(timeline.append(c), 'added');
  assert.equal(timeline.append(c), 'repeat');
  assert.equal(timeline.append(chain(['a'])[0]), 'repeat');
  assert.deepEqual(ids(timeline), ['a', 'b', 'c']);
  assert.equal(timeline.head, 'c');
});

test('an event that does not follow the last one is a gap and is not taken', () => {
  const timeline = timelineOf(chain(['a', 'b']));
  const [d] = chain(['d'], { prev: 'c' });
  assert.equal(timeline.append(d), 'gap');
  assert.equal(timeline.head, 'b');
  const [fork] = chain(['b2'], { prev: 'a' });
  assert.equal(timeline.append(fork), 'gap', 'the same seq on a fork is not a repeat');
});

test('nothing follows in a room that was not joined yet', () => {
  assert.equal(new Timeline().append(chain(['b'], { prev: 'a' })[0]), 'gap');
  assert.equal(new Timeline().append(chain(['a'])[0]), 'gap');
});

test('a window that is all gone still has a position', () => {
  const timeline = new Timeline();
  timeline.replace([], 'z');
  assert.equal(timeline.head, 'z');
  assert.equal(timeline.append(chain(['z'], { prev: 'y' })[0]), 'repeat');
  assert.equal(timeline.append(chain(['a'])[0]), 'gap');
  assert.equal(timeline.append(chain(['za'], { prev: 'z' })[0]), 'added');
});

test('replacing forgets what was there', () => {
  const timeline = timelineOf(chain(['a', 'b']));
  timeline.replace(chain(['x', 'y'], { prev: 'w' }));
  assert.deepEqual(ids(timeline), ['x', 'y']);
  assert.equal(timeline.hasOlder, true);
  assert.equal(timeline.seqOf('a'), undefined);
  assert.equal(timeline.seqOf('x'), 1);
});

test('history goes before, where it fits', () => {
  const all = chain(['a', 'b', 'c', 'd']);
  const timeline = timelineOf(all.slice(2));
  assert.equal(timeline.hasOlder, true);
  assert.equal(timeline.prepend(all.slice(0, 3)), 2, 'an overlap is dropped');
  assert.deepEqual(ids(timeline), ['a', 'b', 'c', 'd']);
  assert.equal(timeline.hasOlder, false);
  assert.equal(timeline.append(all[0]), 'repeat');
});

test('history that does not end where we begin is not taken, and no more is to be had', () => {
  const all = chain(['a', 'b', 'c', 'd']);
  for (const history of [all.slice(0, 1), []]) {
    const timeline = timelineOf(all.slice(2));
    assert.equal(timeline.prepend(history), 0);
    assert.equal(timeline.hasOlder, false);
    assert.deepEqual(ids(timeline), ['c', 'd']);
  }
});

test('history of a room of which only the head is known ends with that head', () => {
  const all = chain(['a', 'b']);
  const timeline = new Timeline();
  timeline.replace([], 'b');
  assert.equal(timeline.prepend(all), 2);
  assert.deepEqual(ids(timeline), ['a', 'b']);
});

test('edits, retractions and what is gone show in the lines, and hold the chain together', () => {
  const events = chain(['a', 'b', 'c', 'd', 'e', 'f']);
  events[2] = { ...events[2], type: 'edited', target: 'a', text: 'first edit' };
  events[3] = { ...events[3], type: 'retracted', target: 'b' };
  events[4] = { type: 'gone', seq: 5, event: 'e', prev: 'd' };
  const timeline = timelineOf(events);
  assert.deepEqual(
    timeline.lines().map(({ event, text, edited }) => ({ event, text, edited })),
    [
      { event: 'a', text: 'first edit', edited: true },
      { event: 'f', text: 'text f', edited: false },
    ],
  );
  timeline.append({ ...chain(['g'], { prev: 'f' })[0], seq: 7, type: 'edited', target: 'a', text: 'second edit' });
  assert.equal(timeline.lines()[0].text, 'second edit');
});

test('a type of event that is not known yet holds the chain together too', () => {
  const events = chain(['a', 'b', 'c']);
  events[1] = { ...events[1], type: 'reaction' };
  assert.deepEqual(ids(timelineOf(events)), ['a', 'c']);
});

test('of two edits the later one shows, also when both came as history', () => {
  const events = chain(['a', 'b', 'c', 'd']);
  events[1] = { ...events[1], type: 'edited', target: 'a', text: 'first edit' };
  events[2] = { ...events[2], type: 'edited', target: 'a', text: 'second edit' };
  const timeline = timelineOf(events.slice(3));
  timeline.prepend(events.slice(0, 3));
  assert.equal(timeline.lines()[0].text, 'second edit');

  const late = timelineOf(events.slice(2));
  late.prepend(events.slice(0, 2));
  assert.equal(late.lines()[0].text, 'second edit');
});

test('a retraction reaches a message that comes later as history', () => {
  const events = chain(['a', 'b']);
  events[1] = { ...events[1], type: 'retracted', target: 'a' };
  const timeline = timelineOf(events.slice(1));
  timeline.prepend(events.slice(0, 1));
  assert.deepEqual(timeline.lines(), []);
});

test('trimming keeps the newest and can be loaded again', () => {
  const all = chain(['a', 'b', 'c']);
  const timeline = timelineOf(all);
  timeline.prepend([]);
  timeline.trim(1);
  assert.deepEqual(ids(timeline), ['c']);
  assert.equal(timeline.hasOlder, true);
  assert.equal(timeline.prepend(all.slice(0, 2)), 2);
  assert.deepEqual(ids(timeline), ['a', 'b', 'c']);
});

test('a message that was trimmed and is loaded again has its newest text', () => {
  const all = chain(['a', 'b', 'c']);
  all[1] = { ...all[1], type: 'edited', target: 'a', text: 'old' };
  all[2] = { ...all[2], type: 'edited', target: 'a', text: 'new' };
  for (const keep of [2, 1, 0]) {
    const timeline = timelineOf(all);
    timeline.trim(keep);
    timeline.prepend(all.slice(0, 3 - keep));
    assert.deepEqual(timeline.lines().map(({ text }) => text), ['new'], `${keep} kept`);
  }
});

const HEX = 'abcdefghijklmnopqrstuvwxyz';
/** Messages 1 to n of a feed; from `fork` on they are another history's. */
function feed(n, { fork = Infinity, from = 1 } = {}) {
  const id = (seq) => (seq < 1 ? '' : seq >= fork ? `${HEX[seq - 1]}2` : HEX[seq - 1]);
  return Array.from({ length: n - from + 1 }, (_, i) => {
    const seq = from + i;
    return { ...chain([id(seq)], { prev: id(seq - 1) })[0], seq };
  });
}
const breaksOf = (timeline) => timeline.breaks().map(({ kind, side, line }) => `${kind} ${side} ${line}`);

test('a newer window that does not reach what was shown says so, until loading reaches it', () => {
  const timeline = timelineOf(feed(3));
  assert.deepEqual(breaksOf(timeline), []);
  timeline.joined(false, feed(12, { from: 10 }), 'l');
  assert.deepEqual(ids(timeline), ['j', 'k', 'l'], 'nothing stands here that is not in the feed');
  assert.deepEqual(breaksOf(timeline), ['skipped before j']);
  timeline.prepend(feed(9, { from: 7 }));
  assert.deepEqual(breaksOf(timeline), ['skipped before g']);
  timeline.prepend(feed(6, { from: 4 }));
  assert.deepEqual(breaksOf(timeline), [], 'd follows c, which was shown');
});

test('what was skipped and is not kept any more is lost', () => {
  const timeline = timelineOf(feed(3));
  timeline.joined(false, feed(12, { from: 10 }), 'l');
  timeline.prepend([]);
  assert.deepEqual(breaksOf(timeline), ['lost before j']);
});

test('a fork within the window: a line after the last message that both histories have', () => {
  const timeline = timelineOf(feed(6));
  timeline.joined(false, feed(5, { fork: 5 }), 'e2');
  assert.deepEqual(ids(timeline), ['a', 'b', 'c', 'd', 'e2']);
  assert.deepEqual(breaksOf(timeline), ['lost after d']);
  timeline.append(feed(6, { fork: 5 })[5]);
  assert.deepEqual(breaksOf(timeline), ['lost after d'], 'it stays where it is');
  timeline.joined(false, feed(6, { fork: 2 }), 'f2');
  assert.deepEqual(breaksOf(timeline), ['lost after a']);
});

test('a feed cut short: a line at the end', () => {
  const timeline = timelineOf(feed(6));
  timeline.joined(false, feed(4), 'd');
  assert.deepEqual(breaksOf(timeline), ['lost after d']);
});

test('a fork before the window shows where loading finds it', () => {
  const timeline = timelineOf(feed(6));
  timeline.joined(false, feed(12, { fork: 4, from: 10 }), 'l2');
  assert.deepEqual(breaksOf(timeline), ['skipped before j2']);
  timeline.prepend(feed(9, { fork: 4, from: 7 }));
  assert.deepEqual(breaksOf(timeline), ['lost before g2'], 'what comes before was shown, and was another message');
  timeline.prepend(feed(6, { fork: 4 }));
  assert.deepEqual(breaksOf(timeline), ['lost after c']);
});

test('a room that lost all says so, and so does its new history', () => {
  const timeline = timelineOf(feed(3));
  timeline.joined(false, [], '');
  assert.deepEqual(timeline.lines(), []);
  assert.deepEqual(breaksOf(timeline), ['lost before ']);
  timeline.append(feed(1, { fork: 1 })[0]);
  assert.deepEqual(breaksOf(timeline), ['lost before a2']);
});

test('two outages in a row: each gap is remembered, and one line stands at one place', () => {
  const timeline = timelineOf(feed(2));
  timeline.joined(false, feed(8, { from: 7 }), 'h');
  timeline.joined(false, feed(14, { from: 13 }), 'n');
  assert.deepEqual(breaksOf(timeline), ['skipped before m']);
  timeline.prepend(feed(12, { from: 9 }));
  assert.deepEqual(breaksOf(timeline), ['skipped before i'], 'h is reached, b is not');
  timeline.prepend(feed(8, { from: 3 }));
  assert.deepEqual(breaksOf(timeline), []);
});

test('where one gap may be closed and another never will, the line says what is lost', () => {
  const timeline = timelineOf(feed(20, { from: 18 }));
  timeline.joined(false, feed(5, { fork: 1 }), 'e2');
  timeline.joined(false, feed(12, { fork: 1, from: 10 }), 'l2');
  assert.deepEqual(breaksOf(timeline), ['lost before j2']);
});

test('where nothing had been shown nothing is missed', () => {
  const empty = new Timeline();
  empty.joined(false, [], '');
  empty.joined(false, feed(12, { from: 10 }), 'l');
  assert.deepEqual(breaksOf(empty), []);
  const gone = timelineOf([{ type: 'gone', seq: 1, event: 'a', prev: '' }]);
  gone.joined(false, feed(12, { from: 10 }), 'l');
  assert.deepEqual(breaksOf(gone), []);
});

test('a position that was given up is asked for from nothing, and what was shown until then is remembered', () => {
  const timeline = timelineOf(feed(3));
  timeline.restart();
  assert.equal(timeline.head, null);
  assert.deepEqual(ids(timeline), ['a', 'b', 'c']);
  assert.equal(timeline.append(feed(4)[3]), 'gap');
  timeline.joined(false, feed(4), 'd');
  assert.deepEqual(ids(timeline), ['a', 'b', 'c', 'd']);
  assert.deepEqual(breaksOf(timeline), []);
});

test('several rooms merge by time, each in its own order', () => {
  const general = chain(['g1', 'g2', 'g3']);
  general[2].at = '2026-11-21T07:00:00.000Z'; // a clock stepped back
  const random = chain(['r1', 'r2'], { room: 'random' });
  random[1].at = '2026-11-21T08:00:00.500Z';
  assert.deepEqual(
    merged([timelineOf(general), timelineOf(random)]).lines.map(({ event, room }) => `${room} ${event}`),
    ['general g1', 'random r1', 'random r2', 'general g2', 'general g3'],
  );
});

test('a merge begins where all rooms are known, and says of which to load more', () => {
  const general = timelineOf(chain(['g2', 'g3'], { prev: 'g1' }));
  const old = timelineOf(chain(['r1', 'r2'], { room: 'random', at: '2026-11-20T08:00:00.000Z' }));
  const before = merged([old, general]);
  assert.deepEqual(before.lines.map(({ event }) => event), ['g2', 'g3']);
  assert.equal(before.edge, general);
  general.prepend(chain(['g1'], { at: '2026-11-19T08:00:00.000Z' }));
  const after = merged([old, general]);
  assert.deepEqual(after.lines.map(({ event }) => event), ['g1', 'r1', 'r2', 'g2', 'g3']);
  assert.equal(after.edge, null);
});

test('a merge says where each of its rooms broke', () => {
  const general = timelineOf(feed(6));
  general.joined(false, feed(5, { fork: 5 }), 'e2');
  const random = timelineOf(chain(['r1'], { room: 'random' }));
  random.joined(false, [], '');
  const { breaks } = merged([general, random]);
  assert.deepEqual(breaks.map(({ room, side, line }) => [room, side, line]), [['general', 'after', 'd'], ['random', 'before', '']]);
});

test('of what a person says of one emoji the last counts; who said it first stands first', () => {
  const events = chain(['a', 'b', 'c', 'd', 'e', 'f'], { type: 'reacted', target: 'a', emoji: '👍', on: true });
  events[0] = chain(['a'])[0];
  Object.assign(events[1], { from: 'cathy' });
  Object.assign(events[2], { from: 'bob' });
  Object.assign(events[3], { from: 'bob', emoji: '🎉' });
  Object.assign(events[4], { from: 'cathy', on: false });
  Object.assign(events[5], { from: 'cathy' });
  const at = (n) => timelineOf(events.slice(0, n)).lines()[0].reactions;
  assert.deepEqual(at(4), [{ emoji: '👍', from: ['cathy', 'bob'] }, { emoji: '🎉', from: ['bob'] }]);
  assert.deepEqual(at(5), [{ emoji: '👍', from: ['bob'] }, { emoji: '🎉', from: ['bob'] }]);
  assert.deepEqual(at(6), [{ emoji: '👍', from: ['bob', 'cathy'] }, { emoji: '🎉', from: ['bob'] }]);
});

test('what was said of a message that was let go is there when it is loaded again', () => {
  const events = chain(['a', 'b', 'c', 'd']);
  events[2] = { ...events[2], type: 'edited', target: 'a', text: 'edited' };
  const timeline = timelineOf(events);
  timeline.trim(3);
  timeline.prepend(events.slice(0, 1));
  assert.equal(timeline.lines()[0].text, 'edited');
});

/** A number from a seed: the same ones in every run. */
function numbers(seed) {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
}

/** A server's room: what is said in it, and what a reader who comes now is told of it. */
class Feed {
  events = [];
  #next;

  /** @param {(below: number) => number} next */
  constructor(next) {
    this.#next = next;
  }

  get head() {
    return this.events.at(-1)?.event ?? '';
  }

  /** Somebody says or changes something; returns the event. */
  say() {
    const next = this.#next;
    const seq = this.events.length + 1;
    const messages = this.events.filter(({ type }) => type === 'message');
    const target = messages[next(messages.length)];
    const base = { room: 'general', seq, event: `e${seq}`, prev: this.head, from: ['alice', 'bob', 'cathy'][next(3)], at: new Date(seq * 1000).toISOString(), key: `k${seq}` };
    const kind = target ? next(10) : 0;
    /** @type {any} */
    let event = { ...base, type: 'message', text: `text ${seq}`, ...(kind === 1 && { reply: target.event }) };
    if (kind > 3) event = { ...base, type: 'edited', target: target?.event, from: target?.from, text: `edit ${seq}` };
    if (kind > 5) event = { ...base, type: 'reacted', target: target?.event, emoji: ['👍', '🎉'][next(2)], on: next(3) > 0 };
    if (kind === 9) {
      event = { ...base, type: 'retracted', target: target?.event, from: target?.from };
      this.events = this.events.map((each) => each === target || (each.type === 'edited' && each.target === target.event)
        ? { type: 'gone', room: each.room, seq: each.seq, event: each.event, prev: each.prev } : each);
    }
    this.events.push(event);
    return event;
  }

  /** The events after one, or the newest ones where that is too far back. */
  join(after, most) {
    const from = after ? this.events.findIndex(({ event }) => event === after) + 1 : -1;
    const resumed = from > 0 && this.events.length - from <= most;
    return { resumed, events: this.events.slice(resumed ? from : Math.max(0, this.events.length - most)), head: this.head };
  }

  older(before, limit) {
    const end = this.events.findIndex(({ event }) => event === before);
    return this.events.slice(Math.max(0, end - limit), end);
  }
}

test('a page that lived through it all equals one that is loaded afresh', () => {
  for (let seed = 1; seed <= 400; seed++) {
    const next = numbers(seed);
    const feed = new Feed(next);
    const page = new Timeline();
    let live = false;
    const join = () => {
      const { resumed, events, head } = feed.join(page.head, 5 + next(30));
      page.joined(resumed, events, head);
      live = true;
    };
    const older = (/** @type {Timeline} */ timeline) => timeline.first !== undefined && timeline.prepend(feed.older(timeline.first, 1 + next(12)));
    for (let step = 0; step < 150; step++) {
      const what = next(20);
      if (what === 0) live = false;
      else if (what === 1 || (!live && what < 5)) join();
      else if (what === 2) page.trim(5 + next(20));
      else if (what === 3) older(page);
      else {
        const event = feed.say();
        if (live) assert.equal(page.append(event), 'added');
        if (live && what === 4) assert.equal(page.append(event), 'repeat');
      }
    }
    join();
    const fresh = new Timeline();
    const { events, head } = feed.join('', 20);
    fresh.joined(false, events, head);
    for (const timeline of [page, fresh]) while (timeline.hasOlder) older(timeline);
    assert.deepEqual(page.lines(), fresh.lines(), `seed ${seed}`);
    assert.equal(page.head, fresh.head);
  }
});
