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
  assert.equal(timeline.has('a'), false);
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
  timeline.append({ ...chain(['g'], { prev: 'f' })[0], type: 'edited', target: 'a', text: 'second edit' });
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
