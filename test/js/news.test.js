import assert from 'node:assert/strict';
import { test } from 'node:test';
import { News } from '../../static/js/news.js';

const line = (n, from = 'bob') => ({ event: `e${n}`, from, text: `text ${n}`, at: '' });
const lines = (from, to) => Array.from({ length: to - from + 1 }, (_, i) => line(from + i));
const open = (lines, pending = [], name = 'general') => ({ name, known: true, lines, pending });

test('each new message of others is said once, one\'s own never', () => {
  const news = new News('alice');
  assert.deepEqual(news.of(null), []);
  assert.deepEqual(news.of(open([])), []);
  assert.deepEqual(news.of(open([line(1)])), [{ from: 'bob', text: 'text 1' }]);
  assert.deepEqual(news.of(open([line(1)])), []);
  const all = [line(1), line(2, 'alice'), line(3)];
  assert.deepEqual(news.of(open(all)), [{ from: 'bob', text: 'text 3' }]);
  assert.deepEqual(news.of(open([line(1), { ...line(3), text: 'edited' }])), [], 'an edit is no new message');
});

test('many at once are a number, older ones are a number', () => {
  const news = new News('alice');
  news.of(open(lines(100, 101)));
  assert.deepEqual(news.of(open(lines(100, 120))), [{ more: 19 }]);
  assert.deepEqual(news.of(open(lines(50, 120))), [{ earlier: 50 }]);
  assert.deepEqual(news.of(open(lines(50, 121))), [{ from: 'bob', text: 'text 121' }]);
});

test('another conversation is no news, and neither is a view that was replaced', () => {
  const news = new News('alice');
  assert.deepEqual(news.of({ ...open([]), known: false }), []);
  assert.deepEqual(news.of(open(lines(1, 5))), [], 'the first that one sees of it');
  assert.deepEqual(news.of(open(lines(20, 30), [], 'other')), []);
  assert.deepEqual(news.of(open(lines(40, 50), [], 'other')), []);
  assert.deepEqual(news.of(open(lines(40, 51), [], 'other')), [{ from: 'bob', text: 'text 51' }]);
  assert.deepEqual(news.of(open(lines(41, 50), [], 'other')), [], 'the last one was taken back, the first ones let go');
});

test('what was refused is said once', () => {
  const news = new News('alice');
  const waits = [{ key: 'a' }];
  const refused = [{ key: 'a', failure: 'too long' }];
  assert.deepEqual(news.of(open([], waits)), []);
  assert.deepEqual(news.of(open([], waits)), []);
  assert.deepEqual(news.of(open([], refused)), [{ refused: 'too long' }]);
  assert.deepEqual(news.of(open([], refused)), []);
});
