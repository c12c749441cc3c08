import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FinalError } from '../../static/js/protocol.js';
import { Search, parsed } from '../../static/js/search.js';

test('what one types: words, from, in and before', () => {
  assert.deepEqual(parsed('  green  tea '), { text: 'green tea', user: '', room: '', until: '', wrong: '' });
  assert.deepEqual(parsed('tea from:@Bob IN:#Kitchen'), { text: 'tea', user: 'bob', room: 'kitchen', until: '', wrong: '' });
  assert.equal(parsed('before:2026-11-21').until, new Date(2026, 10, 21).toISOString());
  for (const wrong of ['before:soon', 'before:2026-13-01', 'from:', 'in:']) assert.equal(parsed(`tea ${wrong}`).wrong, wrong);
  assert.equal(parsed('at 10:30').text, 'at 10:30');
});

test('each room is looked through in pieces, and what is found stands by time', async () => {
  const message = (event, at, more = {}) => ({ type: 'message', event, seq: 1, prev: '', room: 'r', from: 'bob', at, key: 'k', text: event, ...more });
  const pieces = {
    'tea ': { events: [message('t3', '3'), message('t1', '1')], next: 't1' },
    'tea t1': { events: [message('t0', '0')], next: '' },
    'cake ': { events: [message('c9', '2', { type: 'edited', target: 'c2' })], next: '' },
  };
  const asked = [];
  const ask = async (make) => {
    const { room, before = '', ...rest } = make();
    asked.push(rest);
    if (room === 'left') throw new FinalError({ type: 'error', id: 1, code: 'forbidden', message: '' });
    return pieces[`${room} ${before}`] ?? {};
  };
  const search = new Search(ask, { text: 'x', user: 'bob', room: '', until: '' }, ['tea', 'cake', 'left']);
  await search.look();
  assert.deepEqual(search.hits.map(({ event }) => event), ['t3', 'c2', 't1']);
  assert.equal(search.more, true);
  await search.look();
  assert.deepEqual(search.hits.map(({ event }) => event), ['t3', 'c2', 't1', 't0']);
  assert.equal(search.more, false);
  assert.equal(asked.length, 4);
  const before = asked.length;
  const other = new Search(ask, { text: 'x', user: '', room: '', until: '' }, ['a', 'b', 'c', 'd', 'e', 'f']);
  const looking = other.look();
  other.giveUp();
  await looking;
  assert.equal(asked.length, before + 4, 'given up, it asks no more rooms than those it was asking');
  assert.deepEqual(asked[0], { type: 'search', text: 'x', user: 'bob', until: '' });
});
