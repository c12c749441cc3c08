import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Patience } from '../../static/js/patience.js';
import { Clock } from './kit.js';

function patience() {
  const clock = new Clock();
  const levels = [];
  const it = new Patience({ setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, changed: () => levels.push(it.level) });
  return { clock, levels, it };
}

test('under two seconds nothing, then a word, after ten the cause', async () => {
  const { clock, levels, it } = patience();
  it.set(true);
  await clock.pass(1_999);
  assert.equal(it.level, '');
  await clock.pass(1);
  assert.equal(it.level, 'word');
  await clock.pass(7_999);
  assert.equal(it.level, 'word');
  await clock.pass(1);
  assert.deepEqual(levels, ['word', 'cause']);
  await clock.pass(3_600_000);
  assert.deepEqual(levels, ['word', 'cause']);
});

test('what is said again does not begin again, what is over is over at once', async () => {
  const { clock, levels, it } = patience();
  it.set(true);
  await clock.pass(1_500);
  it.set(true);
  await clock.pass(500);
  assert.equal(it.level, 'word');
  it.set(false);
  assert.equal(it.level, '');
  await clock.pass(60_000);
  assert.deepEqual(levels, ['word']);
  it.set(true);
  await clock.pass(1_999);
  assert.equal(it.level, '', 'the next time is another time');
});
