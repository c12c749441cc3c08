import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Outbox, REPEAT_MS, requestOf } from '../../static/js/outbox.js';
import { FinalError } from '../../static/js/protocol.js';
import { FullError, MAX_ENTRIES, memoryStore } from '../../static/js/store.js';
import { settle } from './kit.js';

let keys = 0;

/** Web locks as a browser has them, for one name; `steal` throws the holder out. */
function lockManager() {
  let holder = null;
  const queue = [];
  const next = () => {
    holder = queue.shift() ?? null;
    holder?.work();
  };
  return {
    request: (_, { steal, signal }, work) =>
      new Promise((resolve, reject) => {
        const mine = { work, reject };
        signal?.addEventListener('abort', () => {
          if (!queue.includes(mine)) return;
          queue.splice(queue.indexOf(mine), 1);
          reject(signal.reason);
        });
        if (steal) {
          holder?.reject(new DOMException('stolen', 'AbortError'));
          queue.unshift(mine);
          next();
        } else {
          queue.push(mine);
          if (!holder) next();
        }
      }),
    /** The tab that holds it goes away. */
    release: next,
  };
}

/** Channels between tabs. */
function channels() {
  const all = [];
  return () => {
    const mine = { onmessage: null, postMessage: () => all.forEach((each) => each !== mine && each.onmessage?.()) };
    all.push(mine);
    return mine;
  };
}

/** A tab: an outbox whose sends the test answers. */
async function tab({ user = 'alice', store = memoryStore(), locks, channel, clock = { now: 0 } } = {}) {
  const sends = [];
  const send = async (entry) => {
    const first = entry();
    return new Promise((resolve, reject) => sends.push({ ...first, repeat: entry, resolve, reject }));
  };
  const outbox = new Outbox({
    user,
    store,
    send,
    newKey: () => `key-${++keys}`,
    now: () => clock.now,
    tooOld: 'it is too old',
    changed: () => {},
    locks,
    channel,
  });
  await outbox.start();
  await settle();
  return { outbox, sends, texts: () => sends.map(({ text }) => text) };
}

const refusal = (code) => new FinalError({ type: 'error', id: 1, code, message: `it is ${code}` });
const list = (outbox, room = 'general') => outbox.list(room).map(({ text, failure }) => (failure ? [text, failure] : text));

test('messages of one room go one by one, rooms beside each other', async () => {
  const { outbox, sends, texts } = await tab();
  await outbox.add('general', 'one');
  await outbox.add('general', 'two');
  await outbox.add('random', 'other');
  await settle();
  assert.deepEqual(texts(), ['one', 'other']);
  assert.equal(outbox.waiting, 3);
  sends[0].resolve(1);
  await settle();
  assert.deepEqual(texts(), ['one', 'other', 'two']);
  assert.equal(outbox.waiting, 2);
});

test('what was sent is shown until it stands in the room', async () => {
  const { outbox, sends } = await tab();
  await outbox.add('general', 'one');
  await settle();
  sends[0].resolve(5);
  await settle();
  assert.deepEqual(list(outbox), ['one']);
  assert.equal(outbox.waiting, 0);
  outbox.heard('general', 4);
  outbox.heard('random', 9);
  assert.deepEqual(list(outbox), ['one']);
  outbox.heard('general', 5);
  assert.deepEqual(list(outbox), []);
});

test('a reload sends what was kept, in order, with the same keys', async () => {
  const store = memoryStore();
  const before = await tab({ store });
  await before.outbox.add('general', 'one');
  await before.outbox.add('general', 'two');
  await settle();
  const after = await tab({ store });
  after.sends[0].resolve(1);
  await settle();
  assert.deepEqual(after.texts(), ['one', 'two']);
  assert.equal(after.sends[0].key, before.sends[0].key);
});

test('another user never sends it', async () => {
  const store = memoryStore();
  await (await tab({ store })).outbox.add('general', 'secret');
  const bob = await tab({ store, user: 'bob' });
  await settle();
  assert.deepEqual(bob.sends, []);
  assert.deepEqual(list(bob.outbox), []);
});

test('a refused message stays with its reason, and later ones go on', async () => {
  const { outbox, sends, texts } = await tab();
  await outbox.add('general', 'one');
  await outbox.add('general', 'two');
  await settle();
  sends[0].reject(refusal('too_long'));
  await settle();
  assert.deepEqual(list(outbox), [['one', 'it is too_long'], 'two']);
  assert.equal(outbox.waiting, 1);
  assert.deepEqual(texts(), ['one', 'two']);
});

test('a refused message can be sent again, under a new key, or deleted', async () => {
  const { outbox, sends } = await tab();
  await outbox.add('general', 'one');
  await settle();
  sends[0].reject(refusal('key_reused'));
  await settle();
  await outbox.retry(sends[0].key);
  await settle();
  assert.equal(sends[1].text, 'one');
  assert.notEqual(sends[1].key, sends[0].key);
  assert.deepEqual(list(outbox), ['one']);
  await outbox.delete(sends[1].key);
  assert.deepEqual(list(outbox), ['one'], 'what may have been sent cannot be deleted');
  sends[1].reject(refusal('forbidden'));
  await settle();
  await outbox.delete(sends[1].key);
  assert.deepEqual(list(outbox), []);
});

test('a change waits behind what was written before it, keeps what it is through a reload, and can be tried again', async () => {
  const store = memoryStore();
  const { outbox, sends } = await tab({ store });
  await outbox.add('general', 'one');
  await outbox.change('general', { type: 'edit', target: 'e1', text: 'better' });
  await outbox.change('general', { type: 'retract', target: 'e2' });
  await settle();
  assert.equal(sends.length, 1);
  const after = await tab({ store });
  for (let i = 0; i < 2; i++) {
    after.sends[i].resolve(i + 1);
    await settle();
  }
  const [one, edit, retract] = after.sends.map(requestOf);
  assert.deepEqual(one, { type: 'send', room: 'general', key: sends[0].key, text: 'one' });
  assert.deepEqual(edit, { type: 'edit', room: 'general', key: edit.key, target: 'e1', text: 'better' });
  assert.deepEqual(retract, { type: 'retract', room: 'general', key: retract.key, target: 'e2' });
  after.sends[2].reject(refusal('forbidden'));
  await settle();
  await after.outbox.retry(retract.key);
  await settle();
  const again = requestOf(after.sends[3]);
  assert.deepEqual(again, { ...retract, key: again.key });
  assert.notEqual(again.key, retract.key);
});

test('a reply and a reaction go out as such; a reaction that is refused says so, but not to a message that is gone', async () => {
  const { outbox, sends } = await tab();
  await outbox.add('general', 'yes', 'e1');
  await outbox.change('general', { type: 'react', target: 'e1', emoji: '👍', on: true });
  await settle();
  assert.deepEqual(requestOf(sends[0]), { type: 'send', room: 'general', key: sends[0].key, text: 'yes', reply: 'e1' });
  sends[0].resolve(1);
  await settle();
  assert.deepEqual(requestOf(sends[1]), { type: 'react', room: 'general', key: sends[1].key, target: 'e1', emoji: '👍', on: true });
  sends[1].reject(refusal('forbidden'));
  await settle();
  outbox.heard('general', 1);
  const [refused] = outbox.list();
  assert.equal(refused.emoji, '👍');
  assert.equal(refused.failure, 'it is forbidden');
  await outbox.retry(refused.key);
  await settle();
  sends[2].reject(refusal('not_found'));
  await settle();
  assert.deepEqual(outbox.list(), []);
});

test('what a later version of the page has written is neither sent nor lost', async () => {
  const store = memoryStore();
  await store.add({ type: 'dance', key: 'k', user: 'alice', room: 'general', at: 0 });
  const { outbox, sends } = await tab({ store });
  await outbox.add('general', 'one');
  await settle();
  assert.deepEqual(sends.map(({ text }) => text), ['one']);
  assert.equal((await store.all('alice')).length, 2);
});

test('what is not there any more need not be deleted; a change of it is refused', async () => {
  const { outbox, sends } = await tab();
  await outbox.change('general', { type: 'retract', target: 'e1' });
  await settle();
  sends[0].reject(refusal('not_found'));
  await settle();
  assert.deepEqual(outbox.list(), []);
  await outbox.change('general', { type: 'edit', target: 'e1', text: 'x' });
  await settle();
  sends[1].reject(refusal('not_found'));
  await settle();
  assert.deepEqual(list(outbox), [['x', 'it is not_found']]);
});

test('when it is full it says so', async () => {
  const { outbox } = await tab();
  for (let i = 0; i < MAX_ENTRIES; i++) await outbox.add('general', `${i}`);
  await assert.rejects(outbox.add('general', 'one more'), FullError);
  assert.equal(outbox.waiting, MAX_ENTRIES);
});

test('full means all tabs of the person together, and one refused message can still be tried again', async () => {
  const shared = { store: memoryStore(), locks: lockManager() };
  const channel = channels();
  const first = await tab({ ...shared, channel: channel() });
  const second = await tab({ ...shared, channel: channel() });
  await Promise.allSettled(Array.from({ length: MAX_ENTRIES + 10 }, (_, i) => (i % 2 ? first : second).outbox.add('general', `${i}`)));
  await settle();
  assert.equal(first.outbox.waiting, MAX_ENTRIES);
  assert.equal(second.outbox.waiting, MAX_ENTRIES);
  const leader = second.sends.length ? second : first;
  leader.sends[0].reject(refusal('forbidden'));
  await settle();
  await leader.outbox.retry(leader.sends[0].key);
  assert.equal(first.outbox.waiting, MAX_ENTRIES);
  assert.equal(list(first.outbox).at(-1), leader.sends[0].text);
});

test('what the store will not keep is not taken', async () => {
  const store = memoryStore();
  const { outbox, sends } = await tab({ store });
  store.add = async () => {
    throw new DOMException('the disk is full', 'QuotaExceededError');
  };
  await assert.rejects(outbox.add('general', 'one'), { name: 'QuotaExceededError' });
  await settle();
  assert.deepEqual(sends, []);
  assert.deepEqual(list(outbox), []);
});

test('what was kept is taken and sent, though the store can be neither read nor cleared after that', async () => {
  const store = memoryStore();
  const { outbox, sends, texts } = await tab({ store });
  store.all = store.remove = async () => {
    throw new DOMException('closed', 'InvalidStateError');
  };
  await outbox.add('general', 'one');
  await outbox.add('general', 'two');
  await settle();
  sends[0].resolve(1);
  await settle();
  assert.deepEqual(texts(), ['one', 'two']);
});

test('a refusal that cannot be kept is not asked for again and again', async () => {
  const store = memoryStore();
  const { outbox, sends } = await tab({ store });
  store.update = async () => {
    throw new DOMException('the disk is full', 'QuotaExceededError');
  };
  await outbox.add('general', 'one');
  await settle();
  sends[0].reject(refusal('forbidden'));
  await settle();
  assert.equal(sends.length, 1);
  assert.deepEqual(list(outbox), ['one']);
});

test('after a day the server may have forgotten the key: nothing is repeated unasked', async () => {
  const store = memoryStore();
  const before = await tab({ store });
  await before.outbox.add('general', 'one');
  await settle();
  const clock = { now: REPEAT_MS - 1 };
  const after = await tab({ store, clock });
  assert.deepEqual(after.texts(), ['one']);
  assert.equal(after.sends[0].repeat().text, 'one');
  clock.now = REPEAT_MS;
  assert.throws(after.sends[0].repeat, FinalError, 'a page that slept since does not repeat either');
  const late = await tab({ store, clock });
  assert.deepEqual(late.texts(), []);
  assert.deepEqual(list(late.outbox), [['one', 'it is too old']]);
  await late.outbox.retry(before.sends[0].key);
  await settle();
  assert.deepEqual(late.texts(), ['one']);
  assert.notEqual(late.sends[0].key, before.sends[0].key);
});

test('one tab sends, the others see it', async () => {
  const shared = { store: memoryStore(), locks: lockManager() };
  const channel = channels();
  const first = await tab({ ...shared, channel: channel() });
  const second = await tab({ ...shared, channel: channel() });
  await first.outbox.add('general', 'one');
  await settle();
  assert.deepEqual(first.texts(), ['one']);
  assert.deepEqual(second.texts(), []);
  assert.deepEqual(list(second.outbox), ['one']);
  first.sends[0].resolve(1);
  await settle();
  assert.deepEqual(list(second.outbox), []);
});

test('the tab in which one types takes over, and repeats what is under way with its key', async () => {
  const shared = { store: memoryStore(), locks: lockManager() };
  const channel = channels();
  const first = await tab({ ...shared, channel: channel() });
  const second = await tab({ ...shared, channel: channel() });
  await first.outbox.add('general', 'one');
  await settle();
  await second.outbox.add('general', 'two');
  await settle();
  assert.deepEqual(second.texts(), ['one']);
  assert.equal(second.sends[0].key, first.sends[0].key);
  first.sends[0].resolve(1);
  await settle();
  assert.deepEqual(first.texts(), ['one'], 'it leads no more');
  second.sends[0].resolve(1);
  await settle();
  assert.deepEqual(second.texts(), ['one', 'two']);
  shared.locks.release();
  await settle();
  assert.deepEqual(first.texts(), ['one', 'two'], 'it waited for its next turn');
});

test('what was sent is shown once while the store still has it', async () => {
  const store = memoryStore();
  store.remove = () => new Promise(() => {});
  const { outbox, sends } = await tab({ store });
  await outbox.add('general', 'one');
  await settle();
  sends[0].resolve(1);
  await settle();
  assert.deepEqual(list(outbox), ['one']);
  assert.equal(outbox.waiting, 0);
});

test('when the tab that sends goes away, another takes over', async () => {
  const shared = { store: memoryStore(), locks: lockManager() };
  const channel = channels();
  const first = await tab({ ...shared, channel: channel() });
  const second = await tab({ ...shared, channel: channel() });
  await first.outbox.add('general', 'one');
  await settle();
  shared.locks.release();
  await settle();
  assert.deepEqual(second.texts(), ['one']);
});

test('a refused message that is sent again twice at once goes once', async () => {
  const { outbox, sends, texts } = await tab();
  await outbox.add('general', 'one');
  await settle();
  sends[0].reject(refusal('forbidden'));
  await settle();
  const { key } = sends[0];
  await Promise.all([outbox.retry(key), outbox.retry(key)]);
  await settle();
  sends[1].resolve(1);
  await settle();
  assert.deepEqual(texts(), ['one', 'one']);
  assert.equal(outbox.waiting, 0);
});
