// What people type to become markup, and what gets into a page in other ways: nothing of it runs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { assertContent, fresh, person, stage, Tab, until } from './kit.js';

const { system, browser } = await stage({ CHATD_SEND_RATE: '1000' });

/** About 200 texts that some page or other has run. All would set `window.ran`. */
function hostile() {
  const run = 'window.ran=1';
  const handlers = ['onerror', 'onload', 'onclick', 'onfocus', 'onmouseover', 'ontoggle', 'onanimationstart', 'onbegin', 'onpointerenter', 'onbeforeinput'];
  const tags = ['img src=x', 'svg', 'body', 'video src=x', 'audio src=x', 'details open', 'input autofocus', 'iframe srcdoc=x', 'object data=x', 'marquee', 'select autofocus', 'style', 'math', 'a href=x'];
  const texts = [];
  for (const tag of tags) for (const handler of handlers) texts.push(`<${tag} ${handler}=${run}>`);
  const schemes = ['javascript:', 'JaVaScRiPt:', 'java\tscript:', 'java\nscript:', ' javascript:', '\u00a0javascript:', 'javascript&colon;', '&#106;avascript:', 'javascript://x/%0a', 'data:text/html,', 'vbscript:', 'blob:', 'file:///', 'http://javascript:', 'view-source:javascript:'];
  for (const scheme of schemes) texts.push(`[here](${scheme}${run})`, `<a href="${scheme}${run}">x</a>`, `${scheme}${run}`);
  texts.push(
    `<script>${run}</script>`, `</script><script>${run}</script>`, `<ScRiPt>${run}</sCrIpT>`, `<script src=//evil.example></script>`, `<script\n>${run}</script\n>`, `<scr<script>ipt>${run}</scr</script>ipt>`,
    `"><script>${run}</script>`, `'><script>${run}</script>`, `\`><script>${run}</script>`, `--><script>${run}</script>`, `]]><script>${run}</script>`, `</title><script>${run}</script>`, `</textarea><script>${run}</script>`,
    `</style><script>${run}</script>`, `<!--<img src="--><img src=x onerror=${run}>">`, `<noscript><p title="</noscript><img src=x onerror=${run}>">`, `<svg><script>${run}</script></svg>`, `<svg><animate onbegin=${run} attributeName=x>`,
    `<math><mi//xlink:href="data:x,<script>${run}</script>">`, `<iframe src="javascript:${run}">`, `<object data="javascript:${run}">`, `<embed src="javascript:${run}">`, `<form action="javascript:${run}"><button>x</button></form>`, `<meta http-equiv=refresh content="0;javascript:${run}">`,
    `<base href="//evil.example/">`, `<link rel=stylesheet href=//evil.example>`, `<template><script>${run}</script></template>`, `\${${run}}`, `{{${run}}}`, `{{constructor.constructor('${run}')()}}`, `<%= ${run} %>`, `#{${run}}`, `&lt;script&gt;${run}&lt;/script&gt;`, `\\u003cscript\\u003e${run}\\u003c/script\\u003e`,
    `![x](x" onerror="${run})`, `![x](javascript:${run})`, `[x](https://a" onclick="${run})`, `[x](https://a' onclick='${run})`, `[![x](y)](javascript:${run})`, `[x]: javascript:${run}\n[x]`, `<javascript:${run}>`, `<https://a"onclick="${run}>`, `https://a.example/"onclick="${run}`, `**<img src=x onerror=${run}>**`,
    `\`<img src=x onerror=${run}>\``, `\`\`\`"><script>${run}</script>\n<img src=x onerror=${run}>\n\`\`\``, `> <img src=x onerror=${run}>`, `- <svg onload=${run}>`, `@<img src=x onerror=${run}>`, `:<img src=x onerror=${run}>:`,
    `\u202e<img src=x onerror=${run}>`, `<\u0130mg src=x onerror=${run}>`, `＜script＞${run}＜/script＞`, `+ADw-script+AD4-${run}+ADw-/script+AD4-`, `\ufeff<script>${run}</script>`, `__proto__`, `constructor`, `javascript:${run}//@`, `mailto:x?body=<script>${run}</script>`, `mailto:a@b.example?cc="><script>`,
  );
  return texts;
}

/** Looks for anything that typed text has become. */
function suspicious() {
  const found = [];
  if (window.ran) found.push('something ran');
  const scripts = [...document.scripts].map(({ type, src, id }) => `${type} ${new URL(src || '/', location.href).pathname.replace(/\/[0-9a-f]{16}\//, '/')} ${id}`);
  if (scripts.join() !== 'application/json / strings,module /static/js/main.js ') found.push(`scripts: ${scripts}`);
  for (const element of document.querySelectorAll('*')) {
    for (const { name, value } of element.attributes) {
      if (name.startsWith('on') || name === 'style' && !/^(--hue: \d+|height: \d+px);$/.test(value) || name === 'srcdoc' || /^\s*(javascript|data|vbscript|blob|file):/i.test(value) && ['src', 'href', 'action', 'formaction', 'data', 'xlink:href'].includes(name)) found.push(`${element.localName}[${name}=${value}]`);
    }
  }
  found.push(...[...document.querySelectorAll('iframe, object, embed, base, meta[http-equiv], style, video, audio, math, marquee, .line :is(img, input, form, link, script, template, title, textarea)')].map(({ outerHTML }) => outerHTML.slice(0, 80)));
  for (const { href, rel, target, protocol } of document.querySelectorAll('.line a, dialog a')) {
    if (!['http:', 'https:', 'mailto:'].includes(protocol) || !/noopener/.test(rel) || !/nofollow/.test(rel) || target !== '_blank') found.push(`link ${href} ${rel}`);
  }
  return found;
}

/** A tab that notes what would never be noticed: dialogs, and what the policy had to stop. */
async function watched(name) {
  const tab = await person(browser, system.url, name);
  tab.page.on('dialog', (dialog) => {
    tab.complaints.push(`dialog: ${dialog.message()}`);
    void dialog.dismiss();
  });
  await tab.page.evaluate(() => document.addEventListener('securitypolicyviolation', ({ violatedDirective }) => console.error(`policy: ${violatedDirective}`)));
  return tab;
}

test('two hundred texts that want to be markup: as messages, edits, replies, topics, reactions, names, notices and titles', async () => {
  const name = fresh('victim');
  const [victim, mallory] = await Promise.all([watched(name), watched(fresh('mallory'))]);
  const room = fresh('room');
  for (const tab of [victim, mallory]) await tab.goto(room);
  await victim.page.evaluate(() => {
    window.shown = [];
    window.Notification = class {
      static permission = 'granted';
      constructor(title, options) {
        window.shown.push({ title, ...options });
      }
      close() {}
    };
    document.hasFocus = () => false;
    dispatchEvent(new Event('blur'));
  });
  const texts = hostile();
  assert.ok(texts.length > 200, `${texts.length} texts`);

  // A socket of mallory's own, which says what no composer would.
  const refused = await mallory.page.evaluate(async ([room, name, texts]) => {
    const socket = new WebSocket(`ws://${location.host}/ws`, 'chatd.v1');
    const waiting = new Map();
    const events = [];
    let id = 0;
    const ask = (request) => new Promise((resolve) => {
      waiting.set(++id, resolve);
      socket.send(JSON.stringify({ id, ...request }));
    });
    await new Promise((resolve) => (socket.onmessage = resolve));
    socket.onmessage = ({ data }) => data.split('\n').map(JSON.parse).forEach((each) => {
      if (each.type === 'ok' || each.type === 'error') waiting.get(each.id)(each);
    });
    const refused = { names: [], emoji: 0 };
    await ask({ type: 'join', room });
    const key = () => crypto.randomUUID();
    const first = await ask({ type: 'send', room, key: key(), text: texts[0] });
    const sent = await Promise.all(texts.slice(1).map((text, i) => ask({ type: 'send', room, key: key(), text, ...(i % 3 === 0 && { reply: first.event }) })));
    events.push(...[first, ...sent].filter(({ type }) => type === 'ok').map(({ event }) => event));
    const direct = texts.slice(0, 12).concat(`<img src=x onerror=window.ran=1>${'x'.repeat(3900)}`);
    for (const text of direct) await ask({ type: 'send', room: `@${name}`, key: key(), text: `@${name} ${text}` });
    for (const [i, text] of texts.entries()) {
      const answers = await Promise.all([text, `${'@~'[i % 2]}${text}`].map((room) => ask({ type: 'join', room })));
      refused.names.push(...answers.filter(({ type }) => type === 'ok').map(({ room }) => room));
      if (i % 20 === 0) await ask({ type: 'edit', room, key: key(), target: events[i], text });
      if (i % 5 === 0 && (await ask({ type: 'react', room, key: key(), target: events[i], emoji: text.slice(0, 16), on: true })).type === 'error') refused.emoji++;
      if (i % 20 === 0) await ask({ type: 'topic', room, text: text.replaceAll(/\s/g, ' ').slice(0, 250) });
    }
    await ask({ type: 'topic', room, text: '<img src=x onerror=window.ran=1>' });
    socket.close();
    return { ...refused, sent: events.length };
  }, [room, name, texts]);
  assert.ok(refused.sent > texts.length - 5, `${refused.sent} of ${texts.length} were sent`);
  assert.equal(refused.emoji, Math.ceil(texts.length / 5), 'none is an emoji');
  assert.deepEqual([...new Set(refused.names)].filter((each) => !/^[@~]?[a-z.:_0-9-]+$/.test(each)), []);

  await victim.page.locator('#topic').getByText('<img src=x onerror=window.ran=1>', { exact: true }).waitFor();
  await until('the last text is there', async () => (await victim.page.locator('.line .text').allTextContents()).some((each) => each.includes('mailto:a@b.example?cc=')));
  for (const tab of [victim, mallory]) assert.deepEqual(await tab.page.evaluate(suspicious), []);
  // What it says is what was typed, letter by letter, where nothing in it is Markdown.
  const shown = await victim.page.locator('.line .text').allTextContents();
  for (const text of ['</script><script>window.ran=1</script>', '<style onload=window.ran=1>', '{{window.ran=1}}', '&lt;script&gt;window.ran=1&lt;/script&gt;']) assert.ok(shown.includes(text), text);

  // Everything that can be pressed on lines, with what it brings.
  for (const link of await victim.page.locator('.line a').all()) assert.match(await link.getAttribute('href'), /^(https?|mailto):/);
  await until('notices', async () => (await victim.page.evaluate(() => window.shown.length)) > 0);
  for (const { title, body } of await victim.page.evaluate(() => window.shown)) {
    assert.ok(title.length <= 100 && body.length <= 500, `a notice of ${title.length} and ${body.length}`);
    assert.equal(typeof body, 'string');
  }
  await victim.goto(`@${await mallory.page.textContent('.me-name')}`);
  assert.ok((await victim.page.title()).length < 100);
  await victim.page.reload();
  await victim.live();
  assert.deepEqual(await victim.page.evaluate(suspicious), []);
  await victim.goto(room);
  await victim.page.click('#search-open');
  await victim.page.keyboard.type('ran');
  await victim.page.keyboard.press('Enter');
  await victim.page.locator('dialog[open]').getByText('window.ran=1').first().waitFor();
  assert.deepEqual(await victim.page.evaluate(suspicious), []);
  assertContent([victim, mallory]);
});

test('what gets into the page in another way does not run either, and the server hears of it', async () => {
  const victim = await person(browser, system.url, fresh('victim'));
  const { page } = victim;
  let reports = 0;
  page.on('response', (response) => {
    if (response.url().endsWith('/report') && response.status() === 204) reports++;
  });
  const results = await page.evaluate(async () => {
    await new Promise((resolve) => setTimeout(resolve)); // what a debugger asks for may use eval, what follows may not
    const says = {};
    const refused = (name, attempt) => {
      try {
        attempt();
        says[name] = 'was let';
      } catch (err) {
        says[name] = err.name;
      }
    };
    refused('innerHTML', () => (document.createElement('div').innerHTML = '<img src=x onerror=window.ran=1>'));
    refused('document.write', () => document.write('<script>window.ran=1</script>'));
    refused('insertAdjacentHTML', () => document.body.insertAdjacentHTML('beforeend', '<b>'));
    refused('DOMParser', () => new DOMParser().parseFromString('<b>', 'text/html'));
    refused('eval', () => (0, eval)('window.ran=1'));
    refused('Function', () => new Function('window.ran=1')());
    refused('a policy', () => trustedTypes.createPolicy('mine', { createHTML: (html) => html }));
    refused('a script\'s text', () => (document.createElement('script').text = 'window.ran=1'));
    refused('a script\'s source', () => (document.createElement('script').src = 'data:text/javascript,window.ran=1'));
    refused('a timer of text', () => setTimeout('window.ran=1'));
    const link = document.createElement('a');
    link.href = 'javascript:window.ran=1';
    document.body.append(link);
    link.click();
    const frame = document.createElement('iframe');
    frame.src = 'javascript:parent.ran=1';
    document.body.append(frame);
    const form = document.createElement('form');
    form.action = 'https://evil.example/';
    document.body.append(form);
    form.submit();
    says.fetch = await fetch('https://evil.example/').catch((err) => err.name);
    says.image = await new Promise((resolve) => {
      const image = new Image();
      image.onload = () => resolve('was let');
      image.onerror = () => resolve('refused');
      image.src = 'https://evil.example/x.png';
    });
    says.worker = await new Promise((resolve) => {
      try {
        new Worker('data:text/javascript,0').onerror = () => resolve('refused');
      } catch {
        resolve('refused');
      }
    });
    says.ran = String(window.ran);
    return says;
  });
  const let_ = Object.entries(results).filter(([name, each]) => each === 'was let' || (name === 'ran' && each !== 'undefined'));
  assert.deepEqual(let_, []);
  assert.equal(Object.keys(results).length, 14);

  // As if the server had written it: the page comes with its policy, and with what somebody put in.
  await page.route(system.url, async (route) => {
    const response = await route.fetch();
    const body = (await response.text()).replace('</head>', '<script>window.ran=1</script><base href="https://evil.example/"><meta http-equiv="refresh" content="0;url=javascript:window.ran=1"></head>')
      .replace('</html>', '<img src=x onerror="window.ran=1"><svg onload="window.ran=1"></svg><style>*{color:red}</style><p style="color:red" onclick="window.ran=1">x</p><script src="https://evil.example/x.js"></script></html>');
    await route.fulfill({ response, body });
  });
  await page.goto(system.url);
  await page.waitForSelector('body[data-state]'); // the page's own script has begun
  assert.equal(await page.evaluate(() => window.ran), undefined);
  await page.locator('p').getByText('x', { exact: true }).dispatchEvent('click');
  assert.equal(await page.evaluate(() => window.ran), undefined);
  assert.equal(await page.evaluate(() => document.baseURI), page.url());
  await until('reports', async () => reports > 3);

  // No page may hold this one in a frame.
  const other = await page.context().newPage();
  await other.route('http://evil.example/', (route) => route.fulfill({ contentType: 'text/html', body: `<iframe src="${system.url}"></iframe>` }));
  await other.goto('http://evil.example/');
  await until('the frame is refused', async () => other.frames().some((frame) => frame.url().startsWith('chrome-error:')));
  await other.close();
});
