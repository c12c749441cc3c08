import assert from 'node:assert/strict';
import { test } from 'node:test';
import { FinalError } from '../../static/js/protocol.js';
import { settle, world } from './kit.js';

const SILENCE_MS = 35_000;
const send = { type: 'send', room: 'general', key: 'k1', text: 'hello' };

test('refresh, handshake, resume, live: in this order', async () => {
  const w = world();
  w.connection.start();
  await settle();
  assert.deepEqual(w.refreshes.map(({ path, method }) => [path, method]), [['/session/refresh', 'POST']]);
  assert.equal(w.connection.state, 'connecting');
  await w.socket.welcomes();
  assert.equal(w.connection.state, 'replaying');
  await w.socket.answers('join', { room: 'general' });
  assert.deepEqual(w.heard.states, ['connecting', 'replaying', 'live']);
});

test('answers and events arrive in the order in which the server said them, within a frame too', async () => {
  const w = world();
  w.connection.start();
  await settle();
  await w.socket.welcomes();
  const order = [];
  w.heard.answers.push = () => order.push('answer');
  w.heard.frames.push = () => order.push('frame');
  await w.socket.says({ type: 'ok', id: 1, room: 'general' }, { type: 'message', event: 'a', prev: '' });
  assert.deepEqual(order, ['answer', 'frame']);
});

test('a lost socket: a random wait, a refresh, a handshake, a resume', async () => {
  const w = world();
  await w.goLive();
  await w.clock.pass(10_000);
  await w.socket.ends(1006);
  assert.equal(w.connection.state, 'waiting');
  await w.clock.pass(124);
  assert.equal(w.refreshes.length, 1);
  await w.clock.pass(1);
  assert.equal(w.refreshes.length, 2, 'half of a quarter of a second, as random says 0.5');
  assert.equal(w.sockets.length, 2);
  await w.finish();
  assert.equal(w.connection.state, 'live');
});

for (const code of [1000, 1001, 1005, 1006, 1009, 1012, 4400, 4408, 4777]) {
  test(`close code ${code} means: come back`, async () => {
    const w = world();
    await w.goLive();
    await w.socket.ends(code);
    await w.clock.pass(250);
    assert.equal(w.sockets.length, 2);
    assert.equal(w.heard.out, 0);
  });
}

for (const [code, least] of [[4429, 2000], [4503, 1000]]) {
  test(`close code ${code} means: come back later`, async () => {
    const w = world({ random: () => 0 });
    await w.goLive();
    await w.socket.ends(code);
    await w.clock.pass(least - 1);
    assert.equal(w.sockets.length, 1);
    await w.clock.pass(1);
    assert.equal(w.sockets.length, 2);
  });
}

test('4401, a logout frame and 401 from the refresh end it, and nothing else does', async () => {
  const closed = world();
  await closed.goLive();
  await closed.socket.ends(4401);
  const told = world();
  await told.goLive();
  await told.socket.says({ type: 'logout' });
  const refused = world();
  refused.script[0] = { status: 401 };
  refused.connection.start();
  await settle();
  for (const w of [closed, told, refused]) {
    assert.equal(w.connection.state, 'closed');
    assert.equal(w.heard.out, 1);
    const tries = w.refreshes.length;
    await w.clock.pass(600_000);
    assert.equal(w.refreshes.length, tries, 'it stays away');
  }

  const unwell = world();
  const answers = [500, 502, 503, 403, 404, 200].map((status) => ({ status, user: 'alice' }));
  unwell.script.splice(0, 1, 'unreachable', 'silent', ...answers);
  unwell.connection.start();
  while (unwell.sockets.length === 0 && unwell.clock.now < 1_200_000) await unwell.clock.pass(1_000);
  assert.equal(unwell.heard.out, 0);
  assert.equal(unwell.refreshes.length, 8);
  await unwell.socket.welcomes();
  assert.equal(unwell.connection.state, 'replaying');
});

test('it never gives up, and at the end tries every ten seconds on average', async () => {
  const w = world();
  w.script[0] = 'unreachable';
  w.connection.start();
  await w.clock.pass(3_600_000);
  assert.equal(w.connection.state, 'waiting');
  const [before, last] = w.refreshes.slice(-2);
  assert.equal(last.at - before.at, 10_000);
});

test('a herd: each stays away for as long as the 503 says, and a kick does not shorten that', async () => {
  const w = world({ random: () => 0 });
  w.script.splice(0, 1, { status: 503, retryAfter: '7' }, { status: 200, user: 'alice' });
  w.connection.start();
  await w.clock.pass(6_999);
  w.connection.kick();
  await settle();
  assert.equal(w.refreshes.length, 1);
  await w.clock.pass(1);
  assert.equal(w.refreshes.length, 2);
});

test('a kick tries at once', async () => {
  const w = world({ random: () => 1 });
  w.script.splice(0, 1, 'unreachable', 'unreachable', 'unreachable', { status: 200, user: 'alice' });
  w.connection.start();
  await w.clock.pass(251 + 501);
  assert.equal(w.refreshes.length, 3);
  w.connection.kick();
  await settle();
  assert.equal(w.refreshes.length, 4);
  await w.clock.pass(1001);
  assert.equal(w.refreshes.length, 4, 'the wait that was under way is over');
});

test('nothing heard for ping_ms and ten seconds more: the socket is dead', async () => {
  const w = world();
  await w.goLive();
  await w.clock.pass(SILENCE_MS - 1);
  await w.socket.says({ type: 'ping' });
  await w.clock.pass(SILENCE_MS - 1);
  assert.equal(w.connection.state, 'live');
  await w.clock.pass(1);
  assert.equal(w.connection.state, 'waiting');
  assert.equal(w.socket.closed, true);
});

test('a socket in doubt is asked, and is dead when it says nothing', async () => {
  const w = world();
  await w.goLive();
  w.connection.kick();
  w.connection.kick();
  assert.equal(w.socket.requests('rooms').length, 1);
  await w.clock.pass(4_000);
  await w.socket.says({ type: 'ping' });
  await w.clock.pass(4_000);
  assert.equal(w.connection.state, 'live', 'anything heard will do');
  w.connection.kick();
  await w.clock.pass(5_000);
  assert.equal(w.connection.state, 'waiting');
});

test('where the browser says that there is no network, a second is enough, also for who was asked before', async () => {
  let online = true;
  const w = world({ online: () => online });
  await w.goLive();
  w.connection.kick();
  await w.clock.pass(1_000);
  online = false;
  w.connection.kick();
  assert.equal(w.socket.requests('rooms').length, 1);
  await w.clock.pass(999);
  assert.equal(w.connection.state, 'live');
  await w.socket.answers('rooms', { rooms: [] });
  await w.clock.pass(5_000);
  assert.equal(w.connection.state, 'live', 'it was wrong');
  w.connection.kick();
  await w.socket.says({ type: 'ping' });
  await w.clock.pass(1_000);
  assert.equal(w.connection.state, 'waiting', 'what was on its way before tells nothing');
});

test('a handshake without a welcome is given up', async () => {
  const w = world();
  w.connection.start();
  await w.clock.pass(10_000);
  assert.equal(w.connection.state, 'waiting');
  assert.equal(w.socket.closed, true);
});

test('a frame that is no JSON ends the socket', async () => {
  const w = world();
  await w.goLive();
  w.socket.onmessage({ data: 'null' });
  await settle();
  assert.equal(w.connection.state, 'waiting');
});

test('an old socket says nothing any more', async () => {
  const w = world();
  await w.goLive();
  const old = w.socket;
  const { onmessage, onclose } = old;
  await old.ends(1006);
  await w.clock.pass(1_000);
  await w.finish();
  onmessage({ data: '{"type":"logout"}' });
  onmessage({ data: '{"type":"message","event":"a","prev":""}' });
  onclose({ code: 4401 });
  assert.equal(w.connection.state, 'live');
  assert.equal(w.heard.frames.length, 0);
});

test('closed is closed, whatever was under way', async () => {
  const stages = {
    refreshing: async () => {},
    handshaking: () => settle(),
    replaying: async (w) => {
      await settle();
      await w.socket.welcomes();
    },
    live: async (w) => {
      await settle();
      await w.finish();
    },
    waiting: async (w) => {
      await settle();
      await w.socket.ends(1006);
    },
  };
  for (const [stage, reach] of Object.entries(stages)) {
    const w = world();
    w.connection.start();
    await reach(w);
    const sockets = w.sockets.length;
    const asked = assert.rejects(w.connection.ask(() => send));
    w.connection.close();
    await asked;
    await w.clock.pass(600_000);
    assert.equal(w.heard.states.at(-1), 'closed', stage);
    assert.equal(w.sockets.length, sockets, stage);
    assert.equal(w.heard.out, 0, stage);
  }
});

test('a logout in one frame with what would have led on', async () => {
  const welcomed = world();
  welcomed.connection.start();
  await settle();
  await welcomed.socket.says({ type: 'welcome', user: 'alice', instance: 'one', ping_ms: 25_000, limits: {} }, { type: 'logout' });
  const resumed = world();
  resumed.connection.start();
  await settle();
  await resumed.socket.welcomes();
  await resumed.socket.says({ type: 'ok', id: 1, room: 'general' }, { type: 'logout' });
  for (const w of [welcomed, resumed]) {
    await assert.rejects(w.connection.ask(() => send));
    assert.equal(w.connection.state, 'closed');
    assert.equal(w.heard.out, 1);
    assert.equal(w.socket.closed, true);
  }
});

test('only a connection that lived for a while makes the next wait short again', async () => {
  for (const [lived, wait] of [[1_000, 2_000], [5_000, 250]]) {
    const w = world({ random: () => 1 });
    w.script.splice(0, 1, 'unreachable', 'unreachable', 'unreachable', { status: 200, user: 'alice' });
    w.connection.start();
    await w.clock.pass(250 + 500 + 1_000);
    await w.finish();
    await w.clock.pass(lived);
    await w.socket.ends(1006);
    await w.clock.pass(wait - 1);
    assert.equal(w.sockets.length, 1, `after ${lived} ms`);
    await w.clock.pass(1);
    assert.equal(w.sockets.length, 2, `after ${lived} ms`);
  }
});

test('after the welcome, silence is measured by what the server promised', async () => {
  const w = world();
  w.connection.start();
  await settle();
  await w.socket.welcomes();
  await w.clock.pass(15_000);
  assert.equal(w.connection.state, 'replaying');
});

test('another person in the cookie is told', async () => {
  const refreshed = world();
  refreshed.script[0] = { status: 200, user: 'bob' };
  refreshed.connection.start();
  await settle();
  const welcomed = world();
  welcomed.connection.start();
  await settle();
  await welcomed.socket.welcomes({ user: 'bob' });
  for (const w of [refreshed, welcomed]) {
    assert.equal(w.heard.stranger, 1);
    assert.equal(w.connection.state, 'closed');
  }
});

test('who is not let in from where they are is told by the page, and does not ask on', async () => {
  for (const code of ['barred', 'no_guests_here']) {
    const w = world();
    await w.goLive();
    w.script[0] = { status: 403, code };
    await w.socket.ends(4403);
    await w.clock.pass(60_000);
    assert.equal(w.heard.stranger, 1, code);
    assert.equal(w.heard.out, 0);
    assert.equal(w.connection.state, 'closed');
  }
});

test('drain: at a random moment the new socket is made, and only then the old one closed', async () => {
  const w = world();
  await w.goLive();
  const old = w.socket;
  await old.says({ type: 'drain', within_ms: 8000 });
  await w.clock.pass(3_999);
  assert.equal(w.sockets.length, 1);
  await w.clock.pass(1);
  assert.equal(w.refreshes.length, 2, 'refreshed first');
  assert.equal(w.sockets.length, 2);
  await w.socket.welcomes();
  await old.says({ type: 'message', event: 'a', prev: '' });
  assert.equal(w.heard.frames.length, 1, 'the old one is still heard');
  assert.equal(old.closed, false);
  await w.socket.answers('join', { room: 'general' });
  assert.equal(old.closed, true);
  assert.deepEqual(w.heard.states, ['connecting', 'replaying', 'live', 'moving', 'live']);
});

test('drain: a new socket that fails is tried again while the old one serves', async () => {
  const w = world();
  await w.goLive();
  w.script.splice(0, 1, 'unreachable', { status: 200, user: 'alice' });
  const old = w.socket;
  await old.says({ type: 'drain', within_ms: 8000 });
  await w.clock.pass(4_000);
  assert.equal(w.connection.state, 'moving');
  assert.equal(old.closed, false);
  await w.clock.pass(1_000);
  await w.socket.ends(1006);
  await w.clock.pass(1_000);
  await w.finish();
  assert.equal(w.connection.state, 'live');
  assert.equal(w.sockets.length, 3);
});

test('drain: where no better place is found it stays on the old socket, until that ends', async () => {
  const w = world();
  await w.goLive();
  w.script[0] = { status: 503, retryAfter: '1' };
  const old = w.socket;
  await old.says({ type: 'drain', within_ms: 8000 });
  const sent = w.connection.ask(() => send);
  await w.clock.pass(30_000);
  await old.says({ type: 'ping' });
  assert.equal(w.connection.state, 'moving');
  assert.equal(w.sockets.length, 1);
  assert.equal(old.closed, false);
  await old.answers('send', { seq: 7 });
  assert.equal((await sent).seq, 7, 'and uses it');
  await old.ends(1012);
  assert.equal(w.connection.state, 'waiting');
  w.script[0] = { status: 200, user: 'alice' };
  await w.clock.pass(125);
  assert.equal(w.sockets.length, 2, 'at once, however often the move had failed');
  await w.finish();
  assert.equal(w.connection.state, 'live');
});

test('drain: asked again and again, it makes one move', async () => {
  const w = world();
  await w.goLive();
  const old = w.socket;
  for (let i = 0; i < 4; i++) {
    await old.says({ type: 'drain', within_ms: 8000 });
    await w.clock.pass(1_000);
  }
  assert.equal(w.sockets.length, 2, 'by the first notice');
  await old.says({ type: 'drain', within_ms: 1 });
  await w.clock.pass(1_000);
  assert.equal(w.sockets.length, 2, 'while the new one is on its way');
  await w.finish();
  await w.clock.pass(20_000);
  assert.equal(w.refreshes.length, 2);
  assert.equal(w.sockets.length, 2);
  assert.equal(w.connection.state, 'live');
  await w.socket.says({ type: 'drain', within_ms: 0 });
  await w.clock.pass(0);
  assert.equal(w.sockets.length, 3, 'a later wish is another one');
});

test('drain: the old socket ends before the new one is ready', async () => {
  const early = world();
  await early.goLive();
  await early.socket.says({ type: 'drain', within_ms: 8000 });
  await early.socket.ends(1012);
  assert.equal(early.connection.state, 'waiting');
  await early.clock.pass(8_000);
  assert.equal(early.sockets.length, 2);
  await early.finish();
  assert.equal(early.connection.state, 'live');

  const late = world();
  await late.goLive();
  const old = late.socket;
  await old.says({ type: 'drain', within_ms: 8000 });
  await late.clock.pass(4_000);
  await late.socket.welcomes();
  await old.ends(1012);
  assert.equal(late.connection.state, 'replaying', 'the try that was under way goes on');
  await late.socket.answers('join', { room: 'general' });
  assert.equal(late.connection.state, 'live');
  assert.equal(late.sockets.length, 2);
});

test('drain: a send under way is answered on the old socket, another question asked again on the new', async () => {
  const w = world();
  await w.goLive();
  const old = w.socket;
  const sent = w.connection.ask(() => send);
  const joined = w.connection.ask(() => ({ type: 'join', room: 'random' }));
  await settle();
  await old.says({ type: 'drain', within_ms: 0 });
  await w.clock.pass(0);
  await w.finish();
  assert.equal(old.closed, false);
  assert.deepEqual(w.socket.requests('join').map(({ room }) => room), ['general', 'random']);
  await old.answers('send', { seq: 7 });
  assert.equal((await sent).seq, 7);
  assert.equal(old.closed, true);
  assert.equal(w.socket.requests('send').length, 0);
  await w.socket.answers('join', { room: 'random' });
  await joined;
});

test('drain: a send that the old socket does not answer is repeated with its key', async () => {
  const w = world();
  await w.goLive();
  const old = w.socket;
  const sent = w.connection.ask(() => send);
  await settle();
  await old.says({ type: 'drain', within_ms: 0 });
  await w.clock.pass(0);
  await w.finish();
  await w.clock.pass(5_000);
  assert.equal(old.closed, true);
  assert.equal(w.socket.requests('send')[0].key, 'k1');
  await w.socket.answers('send', { seq: 7, duplicate: true });
  assert.equal((await sent).seq, 7);
});

test('drain: what the old socket still says is of no interest, nor is its end', async () => {
  const w = world();
  await w.goLive();
  const old = w.socket;
  void w.connection.ask(() => send);
  await settle();
  await old.says({ type: 'drain', within_ms: 0 });
  await w.clock.pass(0);
  await w.finish();
  await old.says({ type: 'message', event: 'a', prev: '' }, { type: 'drain', within_ms: 0 });
  await old.ends(1012);
  assert.equal(w.heard.frames.length, 0);
  assert.equal(w.connection.state, 'live');
  assert.equal(w.socket.requests('send').length, 1, 'and what it did not answer is asked here');
});

test('drain of an instance on which we were still landing is heeded after the landing', async () => {
  const w = world();
  w.connection.start();
  await settle();
  await w.socket.welcomes();
  await w.socket.says({ type: 'drain', within_ms: 8000 });
  await w.socket.answers('join', { room: 'general' });
  assert.equal(w.connection.state, 'moving');
});

test('a request outlives its socket and keeps its content', async () => {
  const w = world();
  const sent = w.connection.ask(() => send);
  await w.goLive();
  assert.equal(w.socket.requests('send').length, 1, 'what was asked before the first socket goes out on it');
  await w.socket.ends(1006);
  await w.clock.pass(1_000);
  await w.finish();
  assert.deepEqual(w.socket.requests('send').map(({ key, text }) => [key, text]), [['k1', 'hello']]);
  await w.socket.answers('send', { seq: 3 });
  assert.equal((await sent).seq, 3);
});

test('an error that says when is asked again then, whatever its code, with a new id; a final one is final', async () => {
  const w = world({ random: () => 0 });
  await w.goLive();
  const sent = w.connection.ask(() => send);
  await settle();
  const [first] = w.socket.requests('send');
  await w.socket.says({ type: 'error', id: first.id, code: 'not_known_yet', message: 'slow down', retry_after_ms: 3000 });
  await w.clock.pass(2_999);
  assert.equal(w.socket.requests('send').length, 1);
  await w.clock.pass(1);
  const [, second] = w.socket.requests('send');
  assert.equal(second.id > first.id, true);
  await w.socket.says({ type: 'error', id: second.id, code: 'too_long', message: 'too long' });
  await assert.rejects(sent, (err) => err instanceof FinalError && err.code === 'too_long');
});

test('what is put off is asked again within seconds, however long Redis was away, and told', async () => {
  const w = world({ random: () => 1 });
  await w.goLive();
  void w.connection.ask(() => send);
  await settle();
  for (let i = 1; i <= 20; i++) {
    const { id } = w.socket.requests('send').at(-1);
    await w.socket.says({ type: 'error', id, code: 'unavailable', message: 'try later', retry_after_ms: 1000 });
    assert.deepEqual(w.heard.later.at(-1), ['send', 'unavailable']);
    await w.clock.pass(5_000);
    assert.equal(w.socket.requests('send').length, i + 1);
  }
});

test('1009: the largest request without an answer is refused, the others are made again', async () => {
  const w = world();
  await w.goLive();
  const large = w.connection.ask(() => ({ ...send, key: 'k2', text: 'x'.repeat(60_000) }));
  const small = w.connection.ask(() => send);
  await settle();
  const refused = assert.rejects(large, (err) => err instanceof FinalError && err.code === 'too_long');
  await w.socket.ends(1009);
  await refused;
  await w.clock.pass(250);
  await w.finish();
  assert.deepEqual(w.socket.requests('send').map(({ key }) => key), ['k1']);
  await w.socket.answers('send', { seq: 3 });
  assert.equal((await small).seq, 3);
});

test('Redis away while resuming: the room is joined when it is back, on the same socket', async () => {
  const w = world();
  w.connection.start();
  await settle();
  await w.socket.welcomes();
  await w.socket.says({ type: 'error', id: 1, code: 'unavailable', message: 'try later' });
  assert.equal(w.connection.state, 'replaying');
  await w.clock.pass(250);
  assert.equal(w.socket.requests('join').length, 2);
  await w.socket.answers('join', { room: 'general' });
  assert.equal(w.connection.state, 'live');
  assert.equal(w.sockets.length, 1);
});

test('a socket that ends while it resumes is followed by another, later where its end says so', async () => {
  const w = world({ random: () => 0 });
  w.connection.start();
  await settle();
  await w.socket.welcomes();
  await w.socket.ends(4503);
  assert.equal(w.connection.state, 'waiting');
  await w.clock.pass(999);
  assert.equal(w.sockets.length, 1);
  await w.clock.pass(1);
  await w.finish();
  assert.equal(w.connection.state, 'live');
});

test('a request that gets no answer is repeated', async () => {
  const w = world();
  await w.goLive();
  void w.connection.ask(() => send);
  await settle();
  await w.clock.pass(10_000);
  await w.socket.says({ type: 'ping' });
  await w.clock.pass(10_000);
  assert.equal(w.socket.requests('send').length, 2);
});

test('tabs take turns to refresh, and do not wait for one that hangs', async () => {
  const asked = [];
  const polite = world({ locks: { request: async (name, _, work) => (asked.push(name), work()) } });
  polite.script.splice(0, 1, { status: 503 }, { status: 200, user: 'alice' });
  polite.connection.start();
  await settle();
  assert.equal(polite.refreshes.length, 1, 'a refusal in its turn is no reason to jump the queue');
  await polite.clock.pass(250);
  await polite.finish();
  assert.deepEqual(asked, ['chatd-refresh', 'chatd-refresh']);
  assert.equal(polite.refreshes.length, 2);

  const stuck = world({
    locks: {
      request: (_, { signal }) =>
        new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason))),
    },
  });
  stuck.connection.start();
  await stuck.clock.pass(4_999);
  assert.equal(stuck.refreshes.length, 0);
  await stuck.clock.pass(1);
  assert.equal(stuck.refreshes.length, 1);
  await stuck.finish();
  assert.equal(stuck.connection.state, 'live');
});

test('a request larger than a frame may be is refused here', async () => {
  const w = world();
  await w.goLive();
  await assert.rejects(w.connection.ask(() => ({ ...send, text: '€'.repeat(22_000) })), FinalError);
  assert.equal(w.socket.requests('send').length, 0);
});

test('while there is no connection it says since when, why, and when the next try comes', async () => {
  const w = world();
  assert.equal(w.connection.trouble, null);
  await w.goLive();
  assert.equal(w.connection.trouble, null);
  await w.clock.pass(10_000);
  const since = w.clock.now;
  w.script.splice(0, 1, 'unreachable', { status: 503, code: 'unavailable', retryAfter: '3' }, { status: 503 }, { status: 200, user: 'alice' });
  await w.socket.ends(1012);
  assert.deepEqual(w.connection.trouble, { since, why: 'restart', nextTry: since + 125 });
  await w.clock.pass(125);
  assert.deepEqual(w.connection.trouble, { since, why: 'unreachable', nextTry: since + 125 + 250 });
  await w.clock.pass(250);
  assert.deepEqual(w.connection.trouble, { since, why: 'store', nextTry: since + 375 + 3_000 + 500 });
  await w.clock.pass(3_500);
  assert.equal(w.connection.trouble.why, 'unreachable', 'a balancer alone');
  await w.clock.pass(1_000);
  assert.equal(w.connection.trouble.nextTry, null, 'it is under way');
  await w.finish();
  assert.equal(w.connection.trouble, null);
  assert.deepEqual(w.connection.facts.lost, { at: since, lasted: 4_875, code: 1012 });
  assert.equal(w.connection.facts.resumes, 1);
});

test('who asks for a try gets it at once, or as soon as the server allows it', async () => {
  const w = world({ random: () => 1 });
  w.script.splice(0, 1, { status: 503, code: 'draining', retryAfter: '7' }, 'unreachable', { status: 200, user: 'alice' });
  w.connection.start();
  await settle();
  assert.equal(w.connection.trouble.why, 'restart');
  assert.equal(w.connection.trouble.nextTry, w.clock.now + 7_250);
  w.connection.kick(true);
  assert.equal(w.connection.trouble.nextTry, w.clock.now + 7_000);
  await w.clock.pass(7_000);
  assert.equal(w.refreshes.length, 2);
  w.connection.kick(true);
  await settle();
  assert.equal(w.refreshes.length, 3);
  await w.clock.pass(60_000);
  assert.equal(w.refreshes.length, 3 + w.sockets.length - 1, 'one try at a time');
});

test('how long an answer takes, and moves beside resumes', async () => {
  const w = world();
  await w.goLive();
  const asked = w.connection.ask(() => ({ type: 'rooms' }));
  await w.clock.pass(42);
  await w.socket.answers('rooms');
  await asked;
  assert.equal(w.connection.facts.roundTripMs, 42);
  await w.socket.says({ type: 'drain', within_ms: 1_000 });
  await w.clock.pass(500);
  await w.finish();
  assert.deepEqual({ ...w.connection.facts, roundTripMs: 0 }, { roundTripMs: 0, resumes: 0, moves: 1, lost: null });
});
