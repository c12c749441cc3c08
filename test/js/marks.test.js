import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Marks } from '../../static/js/marks.js';
import { Clock, settle } from './kit.js';

const mark = (event, back = 0) => ({ event, back });

/** Marks, and a server that answers when the test says. */
function marks() {
  const clock = new Clock();
  const asked = [];
  const ask = (request) =>
    new Promise((resolve, reject) => asked.push({ ...request(), again: request, ok: () => (resolve({}), settle()), reject }));
  return { marks: new Marks({ ask, setTimeout: clock.setTimeout }), clock, asked, events: () => asked.map(({ event }) => event) };
}

test('the first mark is told at once, of the next ones the last', async () => {
  const w = marks();
  w.marks.tell('general', mark('a'));
  w.marks.tell('random', mark('r'));
  assert.deepEqual(w.events(), ['a', 'r']);
  w.marks.tell('general', mark('b'));
  await w.asked[0].ok();
  w.marks.tell('general', mark('c'));
  await w.clock.pass(1_999);
  assert.deepEqual(w.events(), ['a', 'r']);
  await w.clock.pass(1);
  assert.deepEqual(w.events(), ['a', 'r', 'c']);
  await w.asked[2].ok();
  await w.clock.pass(60_000);
  assert.equal(w.asked.length, 3, 'there is no more to tell');
  w.marks.tell('general', mark('c', 1));
  assert.deepEqual([w.asked.at(-1).event, w.asked.at(-1).back], ['c', 1]);
});

test('a mark that has to be told again is the newest one', async () => {
  const w = marks();
  w.marks.tell('general', mark('a'));
  w.marks.tell('general', mark('b'));
  assert.equal(w.asked[0].again().event, 'b');
  await w.asked[0].ok();
  await w.clock.pass(60_000);
  assert.equal(w.asked.length, 1);
});

test('when the page may go, what waits is told at once', async () => {
  const w = marks();
  w.marks.tell('general', mark('a'));
  await w.asked[0].ok();
  w.marks.tell('general', mark('b'));
  w.marks.flush();
  await settle();
  assert.deepEqual(w.events(), ['a', 'b']);
});

test('a refusal is the end of one mark, not of the next', async () => {
  const w = marks();
  w.marks.tell('general', mark('a'));
  w.asked[0].reject(new Error('forbidden'));
  await settle();
  w.marks.tell('general', mark('b'));
  assert.deepEqual(w.events(), ['a', 'b']);
});
