import assert from 'node:assert/strict';
import { test } from 'node:test';
import { changed, isWritten, reacted } from '../../static/js/changes.js';

const edit = (target, text, more) => ({ type: 'edit', target, text, ...more });
const retract = (target, more) => ({ type: 'retract', target, ...more });

test('of several changes of a message the last text counts, and a deletion under way', () => {
  const all = changed([{ text: 'new' }, edit('a', 'one'), retract('b'), edit('a', 'two')]);
  assert.deepEqual([...all], [
    ['a', { text: 'two', gone: false, waits: true, reactions: new Map(), failed: [] }],
    ['b', { text: undefined, gone: true, waits: true, reactions: new Map(), failed: [] }],
  ]);
});

test('a text that was refused is still shown, with its reason; a deletion that was refused deletes nothing', () => {
  const refused = [edit('a', 'one', { failure: 'no' }), retract('b', { failure: 'no' })];
  assert.deepEqual([...changed(refused)], [
    ['a', { text: 'one', gone: false, waits: false, reactions: new Map(), failed: [refused[0]] }],
    ['b', { text: undefined, gone: false, waits: false, reactions: new Map(), failed: [refused[1]] }],
  ]);
});

test('an entry of an earlier page, without a type, is a new message', () => {
  assert.deepEqual([{ text: 'a' }, { type: 'send', text: 'a' }, edit('a', 'b'), retract('a')].map(isWritten), [true, true, false, false]);
});

test('reactions under way show as if they were there, whatever was there before', () => {
  const react = (emoji, on) => ({ type: 'react', target: 'a', emoji, on });
  const there = [{ emoji: '👍', from: ['bob', 'alice'] }, { emoji: '🎉', from: ['alice'] }];
  const of = (...entries) => reacted(there, changed(entries).get('a'), 'alice');
  assert.deepEqual(of(), there);
  assert.deepEqual(of(react('👍', false), react('🎉', false), react('👀', true)), [{ emoji: '👍', from: ['bob'] }, { emoji: '👀', from: ['alice'] }]);
  assert.deepEqual(of(react('🎉', false), react('🎉', true)), there);
  const refused = { ...react('👍', false), failure: 'no' };
  assert.deepEqual(of(refused), there, 'refused, it is as it was');
  assert.deepEqual(changed([refused]).get('a').failed, [refused]);
  assert.equal(changed([react('👍', true)]).get('a').waits, false, 'the message itself does not change');
});
