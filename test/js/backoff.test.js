import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Backoff } from '../../static/js/backoff.js';

test('the longest possible wait doubles from a quarter of a second to twenty, and stays there', () => {
  const backoff = new Backoff(() => 1);
  const waits = Array.from({ length: 1100 }, () => backoff.next(0));
  assert.deepEqual(waits.slice(0, 9), [250, 500, 1000, 2000, 4000, 8000, 16_000, 20_000, 20_000]);
  assert.equal(waits.at(-1), 20_000);
});

test('the wait is random from nothing', () => {
  assert.equal(new Backoff(() => 0).next(0), 0);
  assert.equal(new Backoff(() => 0.5).next(0), 125);
});

test('a connection that lived too short does not count as a success', () => {
  const backoff = new Backoff(() => 1);
  backoff.next(0);
  backoff.next(0);
  backoff.live(1000);
  assert.equal(backoff.next(5999), 1000);
});

test('one that lived long enough does, once', () => {
  const backoff = new Backoff(() => 1);
  backoff.next(0);
  backoff.next(0);
  backoff.live(1000);
  assert.equal(backoff.next(6000), 250);
  assert.equal(backoff.next(60_000), 500, 'nothing was live since');
});

test('what the server asks for is waited in full, and more', () => {
  assert.equal(new Backoff(() => 0).next(0, 3000), 3000);
  assert.equal(new Backoff(() => 1).next(0, 3000), 3250);
});
