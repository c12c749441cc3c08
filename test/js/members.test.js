import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Members } from '../../static/js/members.js';
import { FinalError } from '../../static/js/protocol.js';

test('members are asked for once, and follow what is heard', async () => {
  const asked = [];
  let changes = 0;
  const members = new Members({
    ask: async (request) => {
      asked.push(request());
      return { type: 'ok', id: 1, members: [{ user: 'alice', owner: true, role: 'owner' }, { user: 'carol' }] };
    },
    changed: () => changes++,
  });
  for (const room of ['universe', '@alice:bob', '']) {
    await members.refresh(room);
    assert.equal(members.of(room), null);
  }
  assert.equal(asked.length, 0);
  members.heard('tea', 'bob', 'moderator');
  assert.deepEqual(members.of('tea'), [], 'what is not known is not made up');
  await members.refresh('tea');
  await members.refresh('~tea');
  members.heard('tea', 'bob', 'moderator');
  assert.deepEqual(members.of('tea'), [{ user: 'alice', role: 'owner' }, { user: 'bob', role: 'moderator' }, { user: 'carol', role: '' }]);
  members.heard('tea', 'bob', 'member');
  assert.deepEqual(members.of('tea')?.map(({ user }) => user), ['alice', 'carol']);
  members.heard('~tea', 'alice', 'member');
  assert.deepEqual(members.of('~tea')?.[0], { user: 'alice', role: '' }, 'in a private room they stay members');
  assert.deepEqual(asked.map(({ type }) => type), ['members', 'members']);
  assert.equal(changes, 5);
});

test('each deed is the request that it takes', async () => {
  const asked = [];
  const members = new Members({
    ask: async (request) => {
      asked.push(request());
      if (asked.at(-1)?.type === 'expel') throw new FinalError({ type: 'error', id: 1, code: 'forbidden', message: '' });
      return { type: 'ok', id: 1 };
    },
    changed: () => {},
  });
  await members.change('invite', '~tea', 'bob');
  await members.change('banned', '~tea', 'bob');
  await assert.rejects(members.change('expel', '~tea', 'bob'), FinalError);
  assert.deepEqual(asked, [
    { type: 'invite', room: '~tea', user: 'bob' }, { type: 'members', room: '~tea' },
    { type: 'role', room: '~tea', user: 'bob', role: 'banned' }, { type: 'members', room: '~tea' },
    { type: 'expel', room: '~tea', user: 'bob' },
  ]);
});
