import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Idle } from '../../static/js/idle.js';
import { Clock } from './kit.js';

const MINUTE = 60_000;

function idle() {
  const clock = new Clock();
  const said = [];
  const it = new Idle({ setTimeout: clock.setTimeout, clearTimeout: clock.clearTimeout, now: () => clock.now }, () => said.push(it.away));
  return { it, clock, said };
}

test('a page in sight that nobody uses: away after ten minutes, and back with the first use', async () => {
  const { it, clock, said } = idle();
  await clock.pass(9 * MINUTE);
  it.used();
  await clock.pass(10 * MINUTE - 1);
  assert.deepEqual(said, []);
  await clock.pass(1);
  assert.deepEqual(said, [true]);
  await clock.pass(60 * MINUTE);
  it.seen(false);
  assert.deepEqual(said, [true], 'the screen goes dark');
  it.seen(true);
  it.used();
  assert.deepEqual(said, [true, false]);
  await clock.pass(10 * MINUTE);
  assert.deepEqual(said, [true, false, true]);
});

test('a page out of sight: away after two minutes, and back when it is looked at', async () => {
  const { it, clock, said } = idle();
  await clock.pass(9 * MINUTE);
  it.seen(false);
  await clock.pass(2 * MINUTE - 1);
  assert.deepEqual(said, []);
  await clock.pass(1);
  assert.deepEqual(said, [true]);
  it.seen(true);
  assert.deepEqual(said, [true, false]);
  it.seen(false);
  await clock.pass(MINUTE);
  it.seen(true);
  await clock.pass(9 * MINUTE);
  assert.deepEqual(said, [true, false], 'a glance elsewhere is no absence');
});
