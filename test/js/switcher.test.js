import assert from 'node:assert/strict';
import { test } from 'node:test';
import { fitting, offered } from '../../static/js/switcher.js';

const target = (label, { kind = 'room', known = true, unread = 0 } = {}) => ({ name: kind === 'person' ? `@${label}` : label, label, kind, known, unread });
const targets = [
  target('general'),
  target('deploys', { unread: 3 }),
  target('web-design'),
  target('oxygen', { unread: 1 }),
  target('design', { known: false }),
  target('dëniz', { kind: 'person' }),
  target('general', { kind: 'person', known: false }),
];
const labels = (query) => fitting(targets, query).map(({ label, kind }) => (kind === 'person' ? `@${label}` : label));

test('without words all are there, what is unread first, then what one is in', () => {
  assert.deepEqual(labels(''), ['deploys', 'oxygen', 'general', 'web-design', '@dëniz', 'design', '@general']);
});

test('what begins with the words comes before what has them in it, and that before scattered letters', () => {
  assert.deepEqual(labels('de'), ['deploys', '@dëniz', 'design', 'web-design']);
  assert.deepEqual(labels('gen'), ['general', '@general', 'oxygen'], 'a better fit is not behind an unread one');
  assert.deepEqual(labels('DPL'), ['deploys']);
  assert.deepEqual(labels('deniz'), ['@dëniz'], 'without its accents');
  assert.deepEqual(labels('xyz'), []);
});

test('# asks for rooms, ~ for private ones, @ for people', () => {
  assert.deepEqual(labels('#gen'), ['general', 'oxygen']);
  assert.deepEqual(labels('@gen'), ['@general']);
  const secret = target('garden', { kind: 'private' });
  assert.equal(fitting([...targets, secret], 'ga')[0], secret);
  assert.deepEqual(fitting([...targets, secret], '~g'), [secret]);
  assert.equal(fitting([...targets, secret], '#ga').includes(secret), false);
  assert.deepEqual(labels('@'), ['@dëniz', '@general']);
});

test('what has no such name yet can be joined, made, or written to', () => {
  assert.deepEqual(offered(targets, 'lunch'), [{ kind: 'room', name: 'lunch' }, { kind: 'person', name: '@lunch' }]);
  assert.deepEqual(offered(targets, '#Lunch'), [{ kind: 'room', name: 'Lunch' }]);
  assert.deepEqual(offered(targets, '@erin'), [{ kind: 'person', name: '@erin' }]);
  assert.deepEqual(offered(targets, 'general'), [], 'there is a room and a person of this name');
  assert.deepEqual(offered(targets, 'Design'), [{ kind: 'person', name: '@Design' }]);
  assert.deepEqual(offered(targets, '~lunch'), [{ kind: 'private', name: '~lunch' }]);
  for (const none of ['', '#', '~', '@', 'two words', '-x', '🙂']) assert.deepEqual(offered(targets, none), []);
});
