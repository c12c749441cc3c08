import assert from 'node:assert/strict';
import { test } from 'node:test';
import { mentions } from '../../static/js/mentions.js';

for (const [text, named] of [
  ['@alice', true],
  ['hey @alice!', true],
  ['(@ALICE)', true],
  ['@alice.', true],
  ['@alice-', true],
  ['@alice: look', true],
  ['@bob @alice', true],
  ['alice', false],
  ['@alice2', false],
  ['@al', false],
  ['mail@alice', false],
  ['@@alice', false],
  ['@alice.b', false],
  ['', false],
  ['ask **@Alice**!', true],
  ['- @alice: this', true],
  ['`@alice`', false],
  ['```\n@alice\n```', false],
  ['> @alice said', false],
  ['https://a.b/@alice', false],
]) {
  test(`${JSON.stringify(text)} ${named ? 'is' : 'is not'} for alice`, () => assert.equal(mentions(text, 'alice'), named));
}

test('names of other scripts, and names that end as sentences do', () => {
  assert.equal(mentions('@Жанна, привет', 'жанна'), true);
  assert.equal(mentions('so @a.b.', 'a.b.'), true);
  assert.equal(mentions('@e\u0301ric', '\u00e9ric'), true);
});
