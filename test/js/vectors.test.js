// The cases that the client in Go passes too (internal/client).

import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { Backoff } from '../../static/js/backoff.js';
import { Outbox, requestOf } from '../../static/js/outbox.js';
import { memoryStore } from '../../static/js/store.js';
import { Timeline } from '../../static/js/timeline.js';
import { settle, world } from './kit.js';

function cases(name) {
  const { cases } = JSON.parse(readFileSync(new URL(`../vectors/${name}.json`, import.meta.url), 'utf8'));
  assert.notEqual(cases.length, 0);
  return cases;
}

const ids = (events) => events.map(({ event }) => event);

for (const { name, rand, want_ms: want } of cases('backoff')) {
  test(`backoff: ${name}`, () => {
    const backoff = new Backoff(() => rand);
    assert.deepEqual(want.map(() => backoff.next(0)), want);
  });
}

for (const { name, steps } of cases('timeline')) {
  test(`timeline: ${name}`, () => {
    const timeline = new Timeline();
    for (const [i, { join, live, want }] of steps.entries()) {
      if (live) {
        const outcome = { added: 'show', repeat: 'repeat', gap: 'broken' }[timeline.append(live)];
        assert.equal(outcome, want.outcome, `step ${i}`);
      } else {
        const { shown, replaced, ok } = timeline.joined(join.resumed, join.events, join.head);
        assert.deepEqual({ shown: ids(shown), replaced, ok }, { shown: want.shown, replaced: want.replaced, ok: want.ok }, `step ${i}`);
      }
      assert.equal(timeline.head ?? '', want.last, `step ${i}`);
    }
  });
}

// The browser's outbox leaves repeating to the connection, so both are tested together: what is taken is what goes out
// on the socket, what is done is answered there, and again is an error that says when.
for (const { name, steps } of cases('outbox')) {
  test(`outbox: ${name}`, async () => {
    const w = world({ random: () => 0 });
    await w.goLive();
    const keys = new Map();
    const outbox = new Outbox({
      user: 'alice',
      store: memoryStore(),
      send: async (entry) => {
        const ok = await w.connection.ask(() => requestOf(entry()));
        return ok.seq;
      },
      tooOld: '',
      newKey: () => keys.get('next'),
      now: () => w.clock.now,
      changed: () => {},
    });
    await outbox.start();
    const start = w.clock.now;
    let taken = 0;
    const requests = () => w.socket.sent.filter((each) => 'key' in each);
    const idOf = ({ room, key }) => requests().filter((each) => each.room === room && each.key === key).at(-1)?.id ?? 9999;
    for (const [i, { add, take, at_ms: at, done, known, again, not_until_ms: notUntil }] of steps.entries()) {
      if (add) {
        keys.set('next', add.key);
        const { room, key, ...what } = add;
        await outbox.change(room, what);
        await settle();
      } else if (done) {
        const waiting = outbox.waiting;
        await w.socket.says({ type: 'ok', id: idOf(done), seq: 1 });
        assert.equal(outbox.waiting, known ? waiting - 1 : waiting, `step ${i}`);
      } else if (again) {
        const after = start + notUntil - w.clock.now;
        await w.socket.says({ type: 'error', id: idOf(again), code: 'unavailable', message: 'later', retry_after_ms: after });
      } else {
        await w.clock.pass(start + at - w.clock.now);
        assert.deepEqual(requests().slice(taken).map(({ key }) => key), take, `step ${i}`);
        taken = requests().length;
      }
    }
  });
}
