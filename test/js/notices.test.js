import assert from 'node:assert/strict';
import { test } from 'node:test';
import { brief, Notices } from '../../static/js/notices.js';
import { chosen, cookieOf, readSettings } from '../../static/js/settings.js';
import { Clock, settle } from './kit.js';

/** Locks as browsers have them, as much as is used here: each holder until its work is done. */
function locksOfABrowser() {
  const held = [];
  const waiting = [];
  const next = () => {
    for (const each of [...waiting]) {
      const against = held.filter(({ name }) => name === each.name);
      if (against.length > 0 && !(each.mode === 'shared' && against.every(({ mode }) => mode === 'shared'))) continue;
      waiting.splice(waiting.indexOf(each), 1);
      held.push(each);
      Promise.resolve(each.work()).then(() => {
        held.splice(held.indexOf(each), 1);
        next();
      });
    }
  };
  return {
    async request(name, options, work) {
      if (!work) [options, work] = [{}, options];
      waiting.push({ name, mode: options.mode ?? 'exclusive', work });
      next();
    },
    query: async () => ({ held: held.map(({ name, mode }) => ({ name, mode })), pending: [] }),
  };
}

function world() {
  const clock = new Clock();
  const locks = locksOfABrowser();
  const told = [];
  const settings = { notify: true, quiet: false, sound: false };
  const read = new Set();
  let id = 0;
  return {
    clock,
    told,
    settings,
    read,
    tab: (name, with_ = {}) => {
      const notices = new Notices({
        user: 'alice',
        locks,
        settings: () => settings,
        unread: (room) => !read.has(room),
        setTimeout: clock.setTimeout,
        show: (room, { text }, count) => {
          told.push(`${name} shows ${room} ${text} ${count}`);
          return { close: () => told.push(`${name} closes ${room}`) };
        },
        play: () => told.push(`${name} plays`),
        ...with_,
      });
      notices.start();
      return notices;
    },
    says: (text, { from = 'bob', room = 'general', event = `e${++id}` } = {}) => ({ type: 'message', room, event, from, text }),
  };
}

test('what names one and what is for one alone is told, once; other talk and one\'s own words are not', async () => {
  const w = world();
  const tab = w.tab('one');
  for (const message of [
    w.says('hello'),
    w.says('hello @alice'),
    w.says('psst', { room: '@alice:bob' }),
    w.says('I am @alice', { from: 'alice' }),
  ]) void tab.heard(message), void tab.heard(message);
  await w.clock.pass(1_000);
  assert.deepEqual(w.told, ['one shows general hello @alice 1', 'one shows @alice:bob psst 1']);
  void tab.heard(w.says('@alice again'));
  await w.clock.pass(1_000);
  assert.equal(w.told.at(-1), 'one shows general @alice again 2');
});

test('of several tabs one tells, and another when that one is gone; none while one looks at any', async () => {
  const w = world();
  const [one, two] = [w.tab('one'), w.tab('two')];
  const both = async (message) => {
    void one.heard(message), void two.heard(message);
    await w.clock.pass(1_000);
  };
  await both(w.says('@alice'));
  assert.deepEqual(w.told, ['one shows general @alice 1']);
  two.look(true);
  two.look(true);
  await settle();
  await both(w.says('@alice there?'));
  assert.equal(w.told.length, 1);
  two.look(false);
  await settle();
  await both(w.says('@alice now'));
  assert.equal(w.told.length, 2);
});

test('what was read at once is not told, and what is told goes when it is read', async () => {
  const w = world();
  const tab = w.tab('one');
  void tab.heard(w.says('@alice'));
  await w.clock.pass(300);
  w.read.add('general');
  await w.clock.pass(1_000);
  assert.deepEqual(w.told, []);
  w.read.clear();
  void tab.heard(w.says('@alice'));
  await w.clock.pass(1_000);
  tab.tidy();
  assert.equal(w.told.length, 1);
  w.read.add('general');
  tab.tidy();
  tab.tidy();
  assert.deepEqual(w.told, ['one shows general @alice 1', 'one closes general']);
});

test('a sound when it is wanted, nothing at all when one is not to be disturbed', async () => {
  const w = world();
  const tab = w.tab('one');
  const tell = async () => {
    w.told.length = 0;
    void tab.heard(w.says('@alice'));
    await w.clock.pass(1_000);
    return w.told.map((each) => each.split(' ')[1]);
  };
  w.settings.sound = true;
  assert.deepEqual(await tell(), ['shows', 'plays']);
  w.settings.notify = false;
  assert.deepEqual(await tell(), ['plays']);
  w.settings.notify = w.settings.quiet = true;
  assert.deepEqual(await tell(), []);
});

test('settings: what is not there or makes no sense is as nobody chose it, and a sound is off', () => {
  const none = { notify: true, quiet: false, sound: false };
  for (const written of [null, '', '{', 'null', '[]', '{"sound":"yes","other":true}']) assert.deepEqual(readSettings(written), none);
  assert.deepEqual(readSettings('{"quiet":true}'), { ...none, quiet: true });
  assert.equal(chosen('a=1; theme=dark; lang=de', 'theme'), 'dark');
  assert.equal(chosen('othertheme=dark', 'theme'), '');
  assert.match(cookieOf('lang', 'de'), /^lang=de; Path=\/; Max-Age=\d{8}; SameSite=Lax$/);
  assert.match(cookieOf('lang', ''), /Max-Age=0/);
});

test('a notice shows the beginning of a long text, and no half letter', () => {
  assert.equal(brief('short'), 'short');
  assert.equal(brief('x'.repeat(200)), 'x'.repeat(200));
  assert.equal(brief('x'.repeat(4000)), `${'x'.repeat(200)}…`);
  assert.equal(brief('𝄞'.repeat(201)), `${'𝄞'.repeat(200)}…`);
});
