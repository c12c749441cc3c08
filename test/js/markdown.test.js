import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from '../../static/js/markdown.js';

/** A tree in few letters, so that tests can be read. */
function shown(node) {
  if (Array.isArray(node)) return node.map(shown).join('');
  const { type, children, text } = node;
  switch (type) {
    case 'text': return text;
    case 'paragraph': return `<p>${shown(children)}</p>`;
    case 'code': return `<pre ${node.language}>${text}</pre>`;
    case 'codespan': return `<c>${text}</c>`;
    case 'list': return `<list ${node.start ?? '-'}>${node.items.map((item) => `<i>${shown(item)}</i>`).join('')}</list>`;
    case 'link': return `<a ${node.href}>${shown(children)}</a>`;
    case 'mention': return `<@${node.name}>`;
    default: return `<${type}>${shown(children)}</${type}>`;
  }
}

/** What a person wrote, and what is shown; a line of its own is a paragraph. */
const cases = {
  'marks': [
    ['**b** *i* _i_ ~~s~~ `c`', '<strong>b</strong> <em>i</em> <em>i</em> <del>s</del> <c>c</c>'],
    ['***both***', '<strong><em>both</em></strong>'],
    ['*a **b** c* **a *b* c**', '<em>a <strong>b</strong> c</em> <strong>a <em>b</em> c</strong>'],
    ['**a\nb**', '<strong>a\nb</strong>'],
    ['这是**重点**内容', '这是<strong>重点</strong>内容'],
    ['``a ` b`` `` ` ``', '<c>a ` b</c> <c>`</c>'],
    ['`**a** <b> https://a.b @bob`', '<c>**a** <b> https://a.b @bob</c>'],
  ],
  'no marks': [
    ['2*3*4 snake_case_name __init__ a ~ b ~/x', null],
    ['**open', null],
    ['* a*', null, '<list -><i><p>a*</p></i></list>'],
    ['**a\n\nb**', null],
    ['*** **** ~~~~ ____', null],
    ['# no heading', null],
    ['| no | table |', null],
    ['<img src=x onerror=alert(1)> &amp;', null],
    ['  a drawing  \n  /\\  ', null],
    ['¯\\_(ツ)_/¯', null],
    ['\\*not\\* \\x \\_ \\`', '*not* \\x _ `'],
    ['**a *b**', '<strong>a *b</strong>'],
    ['*a **b*', '<em>a **b</em>'],
  ],
  'links': [
    ['https://en.wikipedia.org/wiki/Foo_(bar).', '<a https://en.wikipedia.org/wiki/Foo_(bar)>https://en.wikipedia.org/wiki/Foo_(bar)</a>.'],
    ['(http://a.b/c_d_e*f) **https://x.y/**', '(<a http://a.b/c_d_e*f>http://a.b/c_d_e*f</a>) <strong><a https://x.y/>https://x.y/</a></strong>'],
    ['[the *notes*](https://a.b/c) [mail](mailto:a@b.c)', '<a https://a.b/c>the <em>notes</em></a> <a mailto:a@b.c>mail</a>'],
    ['[x](javascript:alert(1)) [y](data:text/html,z) [z](//a.b) [w](ftp://a.b)', null],
    ['![image](https://a.b/c.png)', '!<a https://a.b/c.png>image</a>'],
    ['[https://good.example](https://bad.example)', '[<a https://good.example>https://good.example</a>](<a https://bad.example>https://bad.example</a>)'],
    ['[good.example](https://bad.example)', '[good.example](<a https://bad.example>https://bad.example</a>)'],
    ['[good。example](https://bad.example)', '[good。example](<a https://bad.example>https://bad.example</a>)'], // browsers take such a dot for one
    ['https:// http://! xhttp://a.b', null],
    ['https://[bad', null],
    ['https://a.b/?c[]=1&d', '<a https://a.b/?c[]=1&d>https://a.b/?c[]=1&d</a>'],
  ],
  'mentions': [
    ['@bob, @Bob. (@ann-b) _@bob_', '<@bob>, <@Bob>. (<@ann-b>) <em><@bob></em>'],
    ['a@b.c @ @@ @@bob \\@bob', 'a@b.c @ @@ @@bob @bob'],
    ['@zoë @李雷', '<@zoë> <@李雷>'],
  ],
};

for (const [about, its] of Object.entries(cases)) {
  test(about, () => {
    for (const [text, want, whole] of its) assert.equal(shown(parse(text)), whole ?? `<p>${want ?? text}</p>`, text);
  });
}

test('blocks', () => {
  for (const [text, want] of [
    ['a\n\n> q1\n> **q2**\n> > n\nafter', '<p>a</p><quote><p>q1\n<strong>q2</strong></p><quote><p>n</p></quote></quote><p>after</p>'],
    ['- a\n- b\n  - c\n  - d\n- e\n\ntext', '<list -><i><p>a</p></i><i><p>b</p><list -><i><p>c</p></i><i><p>d</p></i></list></i><i><p>e</p></i></list><p>text</p>'],
    ['7. x\n8. y\n\n9) z\n- other', '<list 7><i><p>x</p></i><i><p>y</p></i><i><p>z</p></i></list><list -><i><p>other</p></i></list>'],
    ['2026. A year', '<p>2026. A year</p>'],
    ['so:\n```js x\n  let x = `1`; // **no**\n\n```\nend', '<p>so:</p><pre js>  let x = `1`; // **no**\n</pre><p>end</p>'],
    ['````\n```\n````', '<pre >```</pre>'],
    ['```\nnever closed', '<pre >never closed</pre>'],
    ['> - in a quote\n>   ```\n>   code\n>   ```', '<quote><list -><i><p>in a quote</p><pre >code</pre></i></list></quote>'],
    ['- \n-x', '<p>- \n-x</p>'],
    ['', '<p></p>'],
    ['>'.repeat(7) + 'deep', '<quote>'.repeat(5) + '<p>>>deep</p>' + '</quote>'.repeat(5)],
  ]) assert.equal(shown(parse(text)), want, text);
});

const BITS = ['*', '**', '***', '_', '~~', '`', '``', '```', '\n', '\n\n', ' ', '  ', '> ', '- ', '1. ', '\\', '[', '](', ')', '](https://a.b', 'https://a.b', 'mailto:',
  '@', '@bob', 'x', 'yy', 'Z', '.', '!', '<b>', '&', '\u{1F642}', '\u0627', '\u202e', '\ud800'];

/** Every word of a tree, in order, with what stands beside it. */
function* words(nodes) {
  for (const node of nodes) {
    if (node.type === 'code') yield node.language;
    if (node.type === 'list') for (const item of node.items) yield* words(item);
    else if (node.children) yield* words(node.children);
    else yield node.text;
    if (node.type === 'link') yield node.href;
  }
}

/** A number from a seed: the same ones in every run. */
function numbers(seed) {
  return (below) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return seed % below;
  };
}

test('nothing that was said is lost or made up, and no link leads to what may not be', () => {
  const next = numbers(7);
  for (let run = 0; run < 5_000; run++) {
    const text = Array.from({ length: next(30) }, () => BITS[next(BITS.length)]).join('');
    const tree = parse(text);
    // A bare link says its address twice, an info string may have words that are not shown.
    const said = [...words(tree)].join('').replaceAll('https://a.b', '').replace(/[^a-z]/gi, '');
    const wrote = text.replace(/```[^`\n]*(?=\n|$)/g, (fence) => fence.replaceAll(/ .*/g, '')).replaceAll('https://a.b', '').replace(/[^a-z]/gi, '');
    if (!/```|mailto|https:\/\/a\.b[^\s]/.test(text)) assert.equal(said, wrote, JSON.stringify(text));
    for (const [, href] of shown(tree).matchAll(/<a (\S*)>/g)) assert.match(href, /^(https?:\/\/|mailto:)/, JSON.stringify(text));
  }
});

test('however a text is made, its time grows with its length', { timeout: 30_000 }, () => {
  for (const bit of [...BITS, '*a', '*a ', '**a', '_a ', '~~a', '[a](https://', '[a', '`a', '`'.repeat(3) + 'a', '```a`', '> > ', '- a\n', '  - a\n', '>', 'http://!', 'mailto:(',
    '*a **b _c ~~d\n', '`a ``b ```c ', '@a@', 'https://a.b/(', '- a\n\n', '\\*']) {
    const start = performance.now();
    parse(bit.repeat(200_000 / bit.length));
    parse('x' + bit.repeat(200_000 / bit.length) + 'y\n`');
    // A time that grew with the square would be minutes.
    assert.ok(performance.now() - start < 3_000, `${JSON.stringify(bit)}: ${performance.now() - start} ms`);
  }
});
