import assert from 'node:assert/strict';
import { test } from 'node:test';
import { deeds, moderates } from '../../static/js/roles.js';

test('what is offered is what the server allows', () => {
  const roles = ['owner', 'moderator', 'member', 'muted', 'banned'];
  const may = Object.fromEntries(roles.map((mine) => [mine, roles.map((theirs) => deeds({ mine, theirs, within: false }).join(' '))]));
  assert.deepEqual(may, {
    owner: ['member expel banned', 'owner member muted expel banned', 'owner moderator muted expel banned', 'member expel banned', 'member'],
    moderator: ['', '', 'muted expel banned', 'member expel banned', 'member'],
    member: ['', '', '', '', ''],
    muted: ['', '', '', '', ''],
    banned: ['', '', '', '', ''],
  });
  assert.deepEqual(deeds({ mine: 'owner', theirs: 'owner', within: true }), [], 'a private room is handed on by who owns it');
  assert.deepEqual(roles.filter(moderates), ['owner', 'moderator']);
});
