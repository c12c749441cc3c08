import assert from 'node:assert/strict';
import { test } from 'node:test';
import { emojiAt, isInBlock, offersAt } from '../../static/js/complete.js';

const PEOPLE = ['cathy', 'bob', 'bobby', 'jacob'];
const labels = (before) => offersAt(before, PEOPLE)?.offers.map(({ label }) => label) ?? null;

test('people, after an at sign that begins a word', () => {
  assert.deepEqual(labels('@'), PEOPLE);
  assert.deepEqual(labels('hey @bo'), ['bob', 'bobby']);
  assert.deepEqual(labels('(**@OB'), ['bob', 'bobby', 'jacob']);
  for (const none of ['', 'bo', 'mail@bo', '@bo ', '@nobody', '`@bo', '```\n@bo', '@cathy']) assert.equal(labels(none), null, none);
  assert.deepEqual(labels('`code` @bo'), ['bob', 'bobby']);
  assert.deepEqual(labels('```\ncode\n```\n@bo'), ['bob', 'bobby']);
  assert.deepEqual(labels('```\ncode\n``` @bo'), ['bob', 'bobby']);
});

test('a name that is written out is whole, though it begins another', () => {
  assert.deepEqual(offersAt('so @bob', PEOPLE), { from: 3, whole: true, offers: [
    { label: 'bob', mark: '', insert: '@bob' }, { label: 'bobby', mark: '', insert: '@bobby' }] });
  assert.equal(offersAt('@Bo', PEOPLE)?.whole, false);
});

test('emoji, after a colon and two letters', () => {
  assert.deepEqual(offersAt('well :tad', [])?.offers, [{ label: ':tada:', mark: '🎉', insert: '🎉' }]);
  assert.equal(offersAt('well :ta', [])?.from, 5);
  for (const none of [':', ':t', 'a:ta', '10:30', ':)', '`:ta', ': tada']) assert.equal(labels(none), null, none);
});

test('a closed name becomes its emoji', () => {
  assert.deepEqual(emojiAt('well :tada:'), { from: 5, insert: '🎉' });
  assert.deepEqual(emojiAt('🎉:+1:'), { from: 2, insert: '👍' });
  for (const none of ['tada:', ':nothing:', 'at 10:100:', '::tada:', '`:tada:', 'a:tada:']) assert.equal(emojiAt(none), null, none);
});

test('a block of code goes on until its fence is closed', () => {
  for (const [before, is] of [['', false], ['```', true], ['so:\n```js\nlet a', true], ['```\na\n```', false], ['say ```', false], ['```\na\n```\n```', true]]) {
    assert.equal(isInBlock(before), is, before);
  }
});
