import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FinalError } from '../../static/js/protocol.js';
import { Rooms } from '../../static/js/rooms.js';
import { settle } from './kit.js';

let now = 0;

/** Messages that follow each other in a room, the first after `prev`. */
function chain(room, names, { prev = '', from = 'bob', seq = 1 } = {}) {
  return names.map((event, i) => ({
    type: 'message',
    room,
    seq: seq + i,
    event,
    prev: i ? names[i - 1] : prev,
    from,
    at: `2026-11-21T08:00:${String(seq + i).padStart(2, '0')}.000Z`,
    key: `key-${event}`,
    text: `text ${event}`,
  }));
}

/** Alice's rooms, and a server that answers what the test says. */
function alice() {
  const asked = [];
  const told = [];
  const rooms = new Rooms({
    user: 'alice',
    ask: (request) => ask(request),
    now: () => now,
    tell: (room, { event, back }) => told.push(back ? [room, event, back] : [room, event]),
    changed: () => {},
  });
  const ask = (make) =>
    new Promise((resolve, reject) => {
      const request = make();
      asked.push({
        ...request,
        ok: async (fields) => {
          const ok = { type: 'ok', id: 1, ...fields };
          rooms.answer(request, ok);
          resolve(ok);
          await settle();
        },
        refuse: async (code) => {
          reject(new FinalError({ type: 'error', id: 1, code, message: code }));
          await settle();
        },
      });
    });
  return {
    rooms,
    asked,
    told,
    ask,
    last: () => asked.at(-1),
    requests: (type) => asked.filter((each) => each.type === type),
    /** Joins a room with these events in it. */
    async join(room, events = [], fields = {}) {
      const joined = rooms.join(room);
      await asked.at(-1).ok({ room, resumed: false, events, head: events.at(-1)?.event ?? '', here: [], ...fields });
      return joined;
    },
  };
}

const texts = (rooms, name) => rooms.get(name).timeline.lines().map(({ event }) => event);

test('a new socket gets the list first, then joins what is on it, the open room before others', async () => {
  const { rooms, asked, ask, requests } = alice();
  rooms.current = 'random';
  let done = false;
  rooms.resume(ask).then(() => (done = true));
  assert.deepEqual(asked.map(({ type }) => type), ['rooms']);
  await asked[0].ok({
    rooms: [
      { room: 'general', joined: true },
      { room: 'random', joined: true },
      { room: 'other', joined: false },
      { room: '@alice:bob', joined: true, with: 'bob' },
    ],
  });
  assert.deepEqual(requests('join').map(({ room }) => room), ['random', '@alice:bob', 'general']);
  for (const join of requests('join')) {
    assert.equal(done, false);
    await join.ok({ room: join.room, events: [], head: '' });
  }
  assert.equal(done, true);
  assert.equal(rooms.get('other').joined, false);
});

test('who is in no room is put into the first one', async () => {
  const { rooms, ask, asked, last } = alice();
  void rooms.resume(ask);
  await asked[0].ok({ rooms: [{ room: 'random', joined: false }] });
  assert.equal(last().room, 'general');
});

test('a room left on another device is not joined again', async () => {
  const w = alice();
  await w.join('random');
  await w.join('general');
  void w.rooms.resume(w.ask);
  await w.last().ok({ rooms: [{ room: 'general', joined: true }, { room: 'random', joined: false }] });
  assert.equal(w.last().room, 'general');
  assert.equal(w.rooms.get('random').joined, false);
});

test('a room that was joined while the others were is joined on the new socket too', async () => {
  const w = alice();
  let done = false;
  w.rooms.resume(w.ask).then(() => (done = true));
  await w.last().ok({ rooms: [{ room: 'general', joined: true }] });
  const general = w.last();
  await w.join('random');
  await general.ok({ room: 'general' });
  assert.equal(done, false);
  assert.equal(w.last().room, 'random');
  await w.last().ok({ room: 'random' });
  assert.equal(done, true);
});

test('a room that refuses is off the list, and the others go on', async () => {
  const w = alice();
  let done = false;
  w.rooms.resume(w.ask).then(() => (done = true));
  await w.last().ok({ rooms: [{ room: 'general', joined: true }, { room: 'secret', joined: true }] });
  const [general, secret] = w.requests('join');
  await secret.refuse('forbidden');
  await general.ok({ room: 'general' });
  assert.equal(done, true);
  assert.equal(w.rooms.get('secret').joined, false);
});

test('a gap joins again after the last event, once, and what comes meanwhile waits for the answer', async () => {
  const w = alice();
  const all = chain('general', ['a', 'b', 'c', 'd']);
  await w.join('general', all.slice(0, 1));
  w.rooms.frame(all[2]);
  w.rooms.frame(all[3]);
  const joins = w.requests('join').slice(1);
  assert.deepEqual(joins.map(({ room, after }) => [room, after]), [['general', 'a']]);
  await joins[0].ok({ room: 'general', resumed: true, events: all.slice(1), head: 'd' });
  assert.deepEqual(texts(w.rooms, 'general'), ['a', 'b', 'c', 'd']);
});

test('resumed:false replaces what was shown', async () => {
  const w = alice();
  await w.join('general', chain('general', ['a', 'b']));
  w.rooms.frame({ type: 'reset', room: 'general' });
  assert.equal(w.last().after, 'b');
  await w.last().ok({ room: 'general', resumed: false, events: chain('general', ['x'], { prev: 'w', seq: 9 }), head: 'x' });
  assert.deepEqual(texts(w.rooms, 'general'), ['x']);
});

test('an answer with a hole in it is asked for again, from nothing', async () => {
  const w = alice();
  await w.join('general', chain('general', ['a']));
  w.rooms.frame({ type: 'reset', room: 'general' });
  await w.last().ok({ room: 'general', resumed: true, events: chain('general', ['c'], { prev: 'b' }), head: 'c' });
  assert.equal(w.last().type, 'join');
  assert.equal(w.last().after, undefined);
  assert.deepEqual(texts(w.rooms, 'general'), ['a'], 'what was shown stays until the answer');
  await w.last().ok({ room: 'general', resumed: false, events: chain('general', ['c'], { prev: 'b', seq: 3 }), head: 'c' });
  assert.deepEqual(texts(w.rooms, 'general'), ['c']);
  assert.deepEqual(w.rooms.get('general').timeline.breaks().map(({ kind }) => kind), ['skipped']);
});

for (const [what, resumed, events, shown] of [
  ['a window from before', false, ['a'], null],
  ['an empty room', false, [], null],
  ['what the view has already', true, ['b'], ['a', 'b']],
  ['more than the view has', true, ['b', 'c'], ['a', 'b', 'c']],
  ['what follows something else', true, ['z'], null],
]) {
  test(`an answer that the other socket of a move overtook replaces nothing: ${what}`, async () => {
    const w = alice();
    const all = Object.fromEntries(chain('general', ['a', 'b', 'c']).map((event) => [event.event, event]));
    all.z = chain('general', ['z'], { prev: 'y', seq: 9 })[0];
    await w.join('general', [all.a]);
    w.rooms.frame({ type: 'reset', room: 'general' });
    const late = w.last();
    w.rooms.frame(all.b);
    await late.ok({ room: 'general', resumed, events: events.map((each) => all[each]), head: events.at(-1) ?? '' });
    assert.deepEqual(texts(w.rooms, 'general'), shown ?? ['a', 'b']);
    assert.deepEqual(w.rooms.get('general').timeline.breaks(), []);
    const joins = w.requests('join').slice(2);
    assert.deepEqual(joins.map(({ after }) => after), shown ? [] : ['b'], 'joined again from where the view ends');
  });
}

test('a direct conversation is known by the name that the server gives it', async () => {
  const w = alice();
  const joined = w.rooms.join('@bob');
  await w.last().ok({ room: '@alice:bob', resumed: false, events: [], head: '' });
  assert.equal(await joined, '@alice:bob');
  assert.equal(w.rooms.partner('@alice:bob'), 'bob');
  assert.equal(w.rooms.get('@bob'), undefined);
});

test('someone writes to alice for the first time: joined at once, and unread', async () => {
  const w = alice();
  w.rooms.frame({ type: 'room', room: '@alice:bob', joined: true, with: 'bob' });
  assert.equal(w.last().room, '@alice:bob');
  await w.last().ok({ room: '@alice:bob', resumed: false, events: chain('@alice:bob', ['a', 'b']), head: 'b' });
  assert.equal(w.rooms.unread(w.rooms.get('@alice:bob')), 2);
});

test('unread: what others said since it was read, or since alice spoke', async () => {
  const w = alice();
  const all = chain('general', ['a', 'b', 'c', 'd', 'e']);
  await w.join('general', all.slice(0, 2));
  const general = w.rooms.get('general');
  assert.equal(w.rooms.unread(general), 0, 'what was said before alice came is no news');
  w.rooms.frame(all[2]);
  assert.equal(w.rooms.unread(general), 1);
  w.rooms.frame({ ...all[3], from: 'alice' });
  assert.equal(w.rooms.unread(general), 0);
  w.rooms.frame(all[4]);
  assert.equal(w.rooms.unread(general), 1);
  w.rooms.read(general);
  assert.equal(w.rooms.unread(general), 0);
});

test('what was read is told to the server once, and what was there when alice came as well', async () => {
  const w = alice();
  const all = chain('general', ['a', 'b', 'c']);
  await w.join('general', all.slice(0, 2));
  assert.deepEqual(w.told, [['general', 'b']]);
  w.rooms.frame(all[2]);
  const general = w.rooms.get('general');
  w.rooms.read(general);
  w.rooms.read(general);
  assert.deepEqual(w.told, [['general', 'b'], ['general', 'c']]);
  w.rooms.readElsewhere('general', mark('c', 3));
  await w.join('empty');
  w.rooms.read(w.rooms.get('empty'));
  assert.equal(w.told.length, 2, 'there is nothing to tell');
});

/** Rooms of a page that was just loaded, with these marks on the server and these events in the rooms. */
async function loaded(list, events) {
  const w = alice();
  void w.rooms.resume(w.ask);
  await w.last().ok({ rooms: list.map((room) => ({ joined: true, ...room })) });
  for (const join of w.requests('join')) {
    const its = events[join.room] ?? [];
    await join.ok({ room: join.room, resumed: false, events: its, head: its.at(-1)?.event ?? '' });
  }
  return w;
}

const mark = (event, seq, back = 0) => ({ event, seq, back });

test('another device: the marks come with the list, and nothing is told back', async () => {
  const events = { general: chain('general', ['a', 'b', 'c']), random: chain('random', ['r8', 'r9'], { prev: 'r7', seq: 8 }), first: chain('first', ['f1']) };
  const w = await loaded([{ room: 'general', read: 'b', read_seq: 2 }, { room: 'random', read: 'r1', read_seq: 1 }, { room: 'first' }], events);
  const unread = (name) => w.rooms.unread(w.rooms.get(name));
  assert.equal(unread('general'), 1);
  assert.equal(unread('random'), 2, 'read long ago: all that is here is new');
  assert.equal(unread('first'), 1, 'nothing was said when it was joined');
  assert.deepEqual(w.told, []);
  w.rooms.answer({ type: 'rooms' }, { rooms: [{ room: 'general', joined: true, read: 'c', read_seq: 3 }] });
  assert.equal(unread('general'), 0);
  w.rooms.answer({ type: 'rooms' }, { rooms: [{ room: 'general', joined: true, read: 'b', read_seq: 2 }] });
  assert.equal(unread('general'), 0, 'an older answer takes nothing back');
  assert.deepEqual(w.told, [['general', 'c']], 'and the server hears what it may have lost');
});

test('what is known to be read is not told again', async () => {
  const w = await loaded([{ room: 'general', read: 'b', read_seq: 2 }], { general: chain('general', ['a', 'b']) });
  w.rooms.read(w.rooms.get('general'));
  assert.deepEqual(w.told, []);
});

test('a room that was joined on another device just now has no news', async () => {
  const w = alice();
  w.rooms.frame({ type: 'room', room: 'random', joined: true });
  await w.last().ok({ room: 'random', resumed: false, events: chain('random', ['a', 'b']), head: 'b' });
  assert.equal(w.rooms.unread(w.rooms.get('random')), 0);
});

test('read on another device, before it was heard here', async () => {
  const w = await loaded([{ room: 'general', read: 'a', read_seq: 1 }], { general: chain('general', ['a']) });
  w.rooms.frame({ type: 'read', room: 'general', read: 'b', read_seq: 2 });
  const general = w.rooms.get('general');
  w.rooms.frame(chain('general', ['b'], { prev: 'a', seq: 2 })[0]);
  assert.equal(w.rooms.unread(general), 0);
  w.rooms.frame(chain('general', ['c'], { prev: 'b', seq: 3 })[0]);
  assert.equal(w.rooms.unread(general), 1);
});

test('a mark of a history that is lost counts nothing as read', async () => {
  const w = await loaded([{ room: 'general', read: 'x900', read_seq: 900 }], { general: chain('general', ['a', 'b']) });
  const general = w.rooms.get('general');
  assert.equal(w.rooms.unread(general), 2);
  w.rooms.read(general);
  assert.equal(w.rooms.unread(general), 0);
  assert.deepEqual(w.told, [['general', 'b', 1]], 'so that it outdoes the other');
});

test('marked as unread: on all devices, until it is opened again', async () => {
  const all = chain('general', ['a', 'b', 'c', 'd', 'e']);
  const list = [{ room: 'general', read: 'c', read_seq: 3 }, { room: 'random' }];
  const [desk, phone] = [await loaded(list, { general: all.slice(0, 3) }), await loaded(list, { general: all.slice(0, 3) })];
  for (const { rooms } of [desk, phone]) rooms.current = 'general';
  for (const { rooms } of [desk, phone]) rooms.watch('general');
  const general = desk.rooms.get('general');
  const hear = (w, [, read, back]) => w.rooms.frame({ type: 'read', room: 'general', read, read_seq: { a: 1, c: 3, d: 4, e: 5 }[read], read_back: back });

  desk.rooms.markUnread('general', 'b');
  assert.deepEqual(desk.told, [['general', 'a', 1]]);
  assert.deepEqual(general.line, { seq: 1, count: 2 });
  desk.rooms.watch('general');
  assert.equal(desk.rooms.unread(general), 2, 'it is looked at, and stays unread');
  hear(phone, desk.told[0]);
  phone.rooms.watch('general');
  assert.equal(phone.rooms.unread(phone.rooms.get('general')), 2);
  hear(phone, ['general', 'c', 0]);
  assert.equal(phone.rooms.unread(phone.rooms.get('general')), 2, 'older news undoes nothing');
  for (const { rooms } of [desk, phone]) rooms.frame(all[3]);
  assert.equal(desk.rooms.unread(general), 3);

  phone.rooms.current = 'random';
  phone.rooms.current = 'general';
  assert.deepEqual(phone.rooms.get('general').line, { seq: 1, count: 3 });
  phone.rooms.watch('general');
  assert.deepEqual(phone.told, [['general', 'd', 1]]);
  hear(desk, phone.told[0]);
  assert.equal(desk.rooms.unread(general), 0);

  desk.rooms.markUnread('general', 'a');
  assert.deepEqual(desk.told.at(-1), ['general', '', 2], 'before all');
  assert.equal(desk.rooms.unread(general), 4);
  desk.rooms.frame({ ...all[4], from: 'alice' });
  assert.equal(desk.rooms.unread(general), 0, 'who answers has read it');
});

test('where one left off: a line in the open room, which stays when all is read', async () => {
  const all = chain('general', ['a', 'b', 'c', 'd', 'e', 'f']);
  const w = await loaded([{ room: 'general', read: 'a', read_seq: 1 }], { general: all.slice(0, 3) });
  const general = w.rooms.get('general');
  assert.equal(general.line, null, 'nobody looks');
  w.rooms.current = 'general';
  assert.deepEqual(general.line, { seq: 1, count: 2 });
  w.rooms.watch('general');
  assert.equal(w.rooms.unread(general), 0);
  w.rooms.frame(all[3]);
  assert.equal(w.rooms.unread(general), 0, 'what comes while one looks is read');
  assert.deepEqual(general.line, { seq: 1, count: 2 });
  w.rooms.watch('');
  w.rooms.frame(all[4]);
  assert.deepEqual(general.line, { seq: 4, count: 1 }, 'it moves to where one looked away');
  w.rooms.watch('general');
  w.rooms.frame({ ...all[5], from: 'alice' });
  assert.equal(general.line, null, 'who answers has done with it');
});

test('what a resume brings is not read before it is known to be seen', async () => {
  const w = alice();
  const all = chain('general', ['a', 'b', 'c', 'd']);
  await w.join('general', all.slice(0, 1));
  w.rooms.current = 'general';
  w.rooms.watch('general');
  void w.rooms.resume(w.ask);
  await w.last().ok({ rooms: [{ room: 'general', joined: true, read: 'a', read_seq: 1 }] });
  await w.last().ok({ room: 'general', resumed: true, events: all.slice(1, 3), head: 'c' });
  const general = w.rooms.get('general');
  assert.deepEqual(general.line, { seq: 1, count: 2 });
  assert.equal(w.rooms.unread(general), 2);
  w.rooms.frame(all[3]);
  assert.equal(w.rooms.unread(general), 3);
  assert.deepEqual(general.line, { seq: 1, count: 3 });
  w.rooms.watch('general');
  assert.equal(w.rooms.unread(general), 0);
});

test('mentions are counted, and all that a person says to one', async () => {
  const w = alice();
  await w.join('general');
  await w.join('@bob', [], { room: '@alice:bob' });
  const [a, b] = chain('general', ['a', 'b']);
  w.rooms.frame({ ...a, text: 'Hello @Alice, and @alicia.' });
  w.rooms.frame({ ...b, text: 'mail@alice is no mention' });
  w.rooms.frame(chain('@alice:bob', ['d'])[0]);
  assert.deepEqual(w.rooms.news(w.rooms.get('general')), { unread: 2, mentions: 1 });
  assert.deepEqual(w.rooms.news(w.rooms.get('@alice:bob')), { unread: 1, mentions: 1 });
});

test('a muted room has no news, and its line all the same', async () => {
  const w = await loaded([{ room: 'general', read: 'a', read_seq: 1, muted: true, topic: 'tea', topic_at: 7 }], { general: chain('general', ['a', 'b']) });
  const general = w.rooms.get('general');
  assert.deepEqual(w.rooms.news(general), { unread: 0, mentions: 0 });
  w.rooms.current = 'general';
  assert.deepEqual(general.line, { seq: 1, count: 1 });
  assert.equal(general.topic, 'tea');
  w.rooms.frame({ type: 'topic', room: 'general', topic: 'cake', topic_at: 9, from: 'bob' });
  w.rooms.answer({ type: 'rooms' }, { rooms: [{ room: 'general', joined: true, topic: 'tea', topic_at: 7 }] });
  assert.equal(general.topic, 'cake', 'an older list takes nothing back');
  assert.equal(w.rooms.news(general).unread, 1);
});

test('private rooms are no part of the universe', async () => {
  const w = alice();
  await w.join('~secret', chain('~secret', ['s1']));
  await w.join('general', chain('general', ['g1']));
  void w.rooms.join('universe');
  assert.deepEqual(w.last().positions, { general: 'g1' });
  assert.deepEqual(w.rooms.universe().lines.map(({ event }) => event), ['g1']);
});

test('a room that was left and joined again has no news from between', async () => {
  const w = alice();
  await w.join('general', chain('general', ['a']));
  void w.rooms.leave('general');
  await w.last().ok({ room: 'general' });
  await w.join('general', chain('general', ['b', 'c'], { prev: 'a', seq: 2 }), { resumed: true });
  assert.equal(w.rooms.unread(w.rooms.get('general')), 0);
});

test('relist: what was left elsewhere goes, what is new comes, and a wish during the answer asks again', async () => {
  const w = await loaded([{ room: 'general' }, { room: 'random' }], {});
  let done = false;
  w.rooms.relist().then(() => (done = true));
  const first = w.last();
  void w.rooms.relist();
  assert.equal(w.requests('rooms').length, 2, 'the first was the resume');
  await first.ok({ rooms: [{ room: 'general', joined: true }, { room: 'random', joined: true }] });
  assert.equal(done, false);
  await w.last().ok({ rooms: [{ room: 'general', joined: true }, { room: 'random', joined: false }, { room: 'new', joined: true }] });
  assert.equal(done, true);
  assert.equal(w.rooms.get('random').joined, false);
  assert.deepEqual([w.last().type, w.last().room], ['join', 'new']);
});

test('a roster that the server does not know leaves the one that is shown', async () => {
  const w = alice();
  await w.join('general', [], { here: ['alice', 'bob'] });
  w.rooms.frame({ type: 'reset', room: 'general' });
  await w.last().ok({ room: 'general', resumed: true });
  assert.deepEqual([...w.rooms.get('general').here], ['alice', 'bob']);
});

test('the universe: positions of what is known, fresh rooms replaced, what is gone put into its room', async () => {
  const w = alice();
  await w.join('general', chain('general', ['g1', 'g2']));
  await w.join('@bob', [], { room: '@alice:bob' });
  void w.rooms.join('universe');
  assert.deepEqual(w.last().positions, { general: 'g2' });
  const [r1, , r3] = chain('random', ['r1', 'r2', 'r3']);
  const [g3, g4] = chain('general', ['g3', 'g4'], { prev: 'g2', seq: 3 });
  await w.last().ok({
    room: 'universe',
    resumed: true,
    events: [g3, r1, { type: 'gone', seq: 2, event: 'r2', prev: 'r1' }, r3, { type: 'gone', seq: 4, event: 'g4', prev: 'g3' }],
    heads: { general: g4.event, random: r3.event, silent: '' },
    fresh: ['random', 'silent'],
  });
  assert.deepEqual(texts(w.rooms, 'random'), ['r1', 'r3']);
  assert.equal(w.rooms.get('general').timeline.head, 'g4');
  assert.equal(w.rooms.get('silent').timeline.head, '');

  w.rooms.frame(chain('random', ['r4'], { prev: 'r3', seq: 4 })[0]);
  w.rooms.frame(chain('new', ['n1'])[0]);
  assert.deepEqual(texts(w.rooms, 'random'), ['r1', 'r3', 'r4']);
  assert.deepEqual(texts(w.rooms, 'new'), ['n1']);
  assert.equal(w.requests('join').length, 3, 'nothing was missing');
});

test('a room named like what all objects have is a room like others', async () => {
  const w = alice();
  void w.rooms.join('universe');
  await w.last().ok({ room: 'universe', events: chain('constructor', ['c1']), heads: { constructor: 'c1' }, fresh: ['constructor'] });
  assert.deepEqual(texts(w.rooms, 'constructor'), ['c1']);
  assert.equal(w.requests('join').length, 1, 'nothing was missing');
});

test('a gap in a room that is read through the universe joins the universe', async () => {
  const w = alice();
  void w.rooms.join('universe');
  await w.last().ok({ room: 'universe', events: chain('random', ['r1']), heads: { random: 'r1' }, fresh: ['random'] });
  w.rooms.frame(chain('random', ['r3'], { prev: 'r2' })[0]);
  assert.equal(w.last().room, 'universe');
  assert.deepEqual(w.last().positions, { random: 'r1' });
  assert.equal(w.rooms.get('random').joined, false);
});

test('what is said in rooms that one is not in is ignored outside of the universe', async () => {
  const w = alice();
  void w.rooms.join('universe');
  await w.last().ok({ room: 'universe', events: [], heads: { random: '' }, fresh: ['random'] });
  void w.rooms.leave('universe');
  await w.last().ok({ room: 'universe' });
  const before = w.asked.length;
  w.rooms.frame(chain('random', ['r1'])[0]);
  w.rooms.frame(chain('elsewhere', ['e5'], { prev: 'e4' })[0]);
  assert.deepEqual(texts(w.rooms, 'random'), []);
  assert.equal(w.rooms.get('elsewhere'), undefined);
  assert.equal(w.asked.length, before);
});

test('the universe left and opened again at once stays open', async () => {
  const w = alice();
  void w.rooms.join('universe');
  await w.last().ok({ room: 'universe', heads: {} });
  void w.rooms.leave('universe');
  const leave = w.last();
  void w.rooms.join('universe');
  await w.last().ok({ room: 'universe', heads: {} });
  await leave.ok({ room: 'universe' });
  assert.equal(w.last().type, 'join');
  assert.equal(w.requests('join').length, 3);
});

test('positions of more rooms than a request can hold are left out', async () => {
  const w = alice();
  for (let i = 0; i < 1_000; i++) {
    const room = `${'ж'.repeat(28)}${i}`;
    await w.join(room, chain(room, [`1-${'9'.repeat(18)}`]));
  }
  void w.rooms.join('universe');
  const bytes = new TextEncoder().encode(JSON.stringify(w.last().positions)).length;
  assert.equal(bytes > 40_000 && bytes < 60_000, true, `${bytes} bytes`);
});

test('a reset of what one is not in any more opens nothing', async () => {
  const w = alice();
  await w.join('general');
  const leaving = w.rooms.leave('general');
  await w.last().ok({ room: 'general' });
  await leaving;
  for (const room of ['general', 'universe']) w.rooms.frame({ type: 'reset', room });
  assert.equal(w.requests('join').length, 1);
});

test('no more positions are named than the server takes', async () => {
  const w = alice();
  for (let i = 0; i < 1_100; i++) await w.join(`r${i}`, chain(`r${i}`, ['1-2']));
  void w.rooms.join('universe');
  assert.equal(Object.keys(w.last().positions).length, 1_000);
});

test('a list that was made before a join was does not take the room away', async () => {
  const w = alice();
  await w.join('general');
  void w.rooms.resume(w.ask);
  const list = w.last();
  await w.join('random');
  await list.ok({ rooms: [{ room: 'general', joined: true }, { room: 'random', joined: false }] });
  assert.equal(w.rooms.get('random').joined, true);
});

test('a room that nobody looks at keeps its newest events only', async () => {
  const w = alice();
  await w.join('general');
  await w.join('random');
  w.rooms.current = 'random';
  let prev = { general: '', random: '' };
  for (let i = 1; i <= 600; i++) {
    for (const room of ['general', 'random']) {
      w.rooms.frame(chain(room, [`${room}${i}`], { prev: prev[room], seq: i })[0]);
      prev[room] = `${room}${i}`;
    }
  }
  assert.equal(w.rooms.get('general').timeline.size, 500);
  assert.equal(w.rooms.get('random').timeline.size, 600);
  w.rooms.current = 'general';
  assert.equal(w.rooms.get('random').timeline.size, 500);
  w.rooms.watch('general');
  for (let i = 601; i <= 2_700; i++) w.rooms.frame(chain('general', [`general${i}`], { prev: `general${i - 1}`, seq: i })[0]);
  assert.equal(w.rooms.get('general').timeline.size, 2_000, 'the end of it is looked at');
});

test('history of a view that was replaced meanwhile is dropped', async () => {
  const w = alice();
  const all = chain('general', ['a', 'b', 'c']);
  await w.join('general', all.slice(1, 2));
  const loading = w.rooms.older('general');
  const history = w.last();
  w.rooms.frame({ type: 'reset', room: 'general' });
  await w.last().ok({ room: 'general', resumed: false, events: all.slice(2), head: 'c' });
  await history.ok({ room: 'general', events: all.slice(0, 1) });
  assert.equal(await loading, false);
  assert.deepEqual(texts(w.rooms, 'general'), ['c']);
  assert.equal(w.rooms.get('general').timeline.hasOlder, true);
});

test('older events go before, until there are none', async () => {
  const w = alice();
  const all = chain('general', ['a', 'b', 'c', 'd']);
  await w.join('general', all.slice(2));
  const loading = w.rooms.older('general');
  assert.equal(w.last().before, 'c');
  assert.equal(await w.rooms.older('general'), false, 'one at a time');
  await w.last().ok({ room: 'general', events: all.slice(0, 2) });
  assert.equal(await loading, true);
  assert.deepEqual(texts(w.rooms, 'general'), ['a', 'b', 'c', 'd']);
  const before = w.asked.length;
  assert.equal(await w.rooms.older('general'), false);
  assert.equal(w.asked.length, before, 'the beginning is here');
});

test('a place that is not kept any more has nothing before it', async () => {
  const w = alice();
  await w.join('general', chain('general', ['c'], { prev: 'b' }));
  const loading = w.rooms.older('general');
  await w.last().refuse('not_found');
  assert.equal(await loading, false);
  assert.equal(w.rooms.get('general').timeline.hasOlder, false);
});

test('who is here and who types', async () => {
  const w = alice();
  await w.join('general', [], { here: ['alice', 'bob'] });
  const general = w.rooms.get('general');
  w.rooms.frame({ type: 'presence', room: 'general', user: 'cathy', state: 'here' });
  w.rooms.frame({ type: 'presence', room: 'general', user: 'bob', state: 'gone' });
  assert.deepEqual([...general.here], ['alice', 'cathy']);
  w.rooms.frame({ type: 'presence', room: 'general', user: 'cathy', state: 'away' });
  assert.deepEqual(['cathy', 'alice', 'bob'].map((name) => w.rooms.presence(name)), ['away', 'here', 'gone']);
  w.rooms.frame({ type: 'presence', room: 'general', user: 'cathy', state: 'here' });
  assert.equal(w.rooms.presence('cathy'), 'here');
  await w.join('random', [], { here: ['alice', 'cathy', 'dan'], away: ['dan'] });
  assert.equal(w.rooms.presence('dan'), 'away');
  w.rooms.frame({ type: 'typing', room: 'general', from: 'cathy' });
  w.rooms.frame({ type: 'typing', room: 'general', from: 'alice' });
  assert.deepEqual(w.rooms.typing(general), ['cathy']);
  w.rooms.frame(chain('general', ['a'], { from: 'cathy' })[0]);
  assert.deepEqual(w.rooms.typing(general), [], 'she has said it');
  w.rooms.frame({ type: 'typing', room: 'general', from: 'cathy' });
  now += 6_000;
  assert.deepEqual(w.rooms.typing(general), [], 'she thinks again');
});
