import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EMOJI, named, search } from '../../static/js/emoji.js';

test('each emoji is one, and has a name of its own', () => {
  assert.ok(EMOJI.length > 200);
  const names = EMOJI.flatMap((each) => each.names);
  assert.equal(new Set(names).size, names.length);
  assert.equal(new Set(EMOJI.map(({ emoji }) => emoji)).size, EMOJI.length);
  for (const { names: its, emoji } of EMOJI) {
    for (const name of its) assert.match(name, /^[a-z0-9+_-]+$/);
    assert.equal([...new Intl.Segmenter().segment(emoji)].length, 1, emoji);
    assert.match(emoji, /^\p{Extended_Pictographic}|^\p{Emoji_Presentation}/u);
  }
});

test('found by name, by its beginning, by any part of it', () => {
  assert.equal(named('thumbsup'), '👍');
  assert.equal(named('+1'), '👍');
  assert.equal(named('nothing'), undefined);
  assert.deepEqual(search('ta', 2), [{ name: 'tada', emoji: '🎉' }, { name: 'taco', emoji: '🌮' }]);
  assert.deepEqual(search('check').slice(0, 2).map(({ emoji }) => emoji), ['✅', '🏁']);
  assert.deepEqual(search('zzzz'), []);
  assert.equal(search('', 5).length, 5);
});
