import assert from 'node:assert/strict';
import { readFileSync, readdirSync } from 'node:fs';
import { test } from 'node:test';
import { speak } from '../../static/js/strings.js';

const ROOT = new URL('../../', import.meta.url);
const read = (path) => readFileSync(new URL(path, ROOT), 'utf8');
const words = (lang) => JSON.parse(read(`templates/strings/${lang}.json`));
const languages = readdirSync(new URL('templates/strings', ROOT)).map((name) => name.replace('.json', ''));
const templates = readdirSync(new URL('templates', ROOT)).filter((name) => name.endsWith('.html'));
const modules = readdirSync(new URL('static/js', ROOT), { recursive: true }).filter((name) => name.endsWith('.js'));

/** A word's shape: which values it is filled with, whatever the order. */
const values = (word) => [...new Set(JSON.stringify(word).match(/\{\w+\}/g))].sort();

test('every language has the words of English, and fills them with the same values', () => {
  const english = words('en');
  assert.ok(languages.length >= 2);
  for (const lang of languages) {
    const its = words(lang);
    assert.deepEqual(Object.keys(its).sort(), Object.keys(english).sort(), lang);
    assert.equal(its.lang, lang);
    const keys = [...read(`templates/strings/${lang}.json`).matchAll(/^  "(\w+)":/gm)].map(([, key]) => key);
    assert.deepEqual(keys.filter((key, i) => keys.indexOf(key) !== i), [], `${lang}: of a word that stands there twice the first is lost`);
    assert.deepEqual(Object.keys(its.languages).sort(), languages, 'a person can choose each');
    for (const [key, word] of Object.entries(english)) {
      if (key === 'errors') continue;
      assert.equal(typeof its[key], typeof word, key);
      assert.deepEqual(values(its[key]), values(word), `${lang}: ${key}`);
      if (typeof word === 'string') assert.notEqual(its[key].trim(), '', key);
      // A language that counts otherwise has other forms, and always the one for the rest.
      else if (word.other) assert.ok(its[key].other, `${lang}: ${key}`);
      else assert.deepEqual(Object.keys(its[key]).sort(), Object.keys(word).sort(), `${lang}: ${key}`);
    }
  }
});

test('every code that the contract names has its words where the server\'s, which are English, do not do', () => {
  const table = read('docs/protocol.md').split('## Error codes')[1];
  const codes = [...table.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap(([, cell]) => cell.match(/\w+/g));
  assert.ok(codes.length >= 10);
  for (const lang of languages.filter((lang) => lang !== 'en')) {
    const { errors } = words(lang);
    assert.deepEqual(codes.filter((code) => !errors[code]), [], lang);
    assert.equal(speak(words(lang)).reason({ code: 'empty', message: 'Nothing.' }), errors.empty);
    assert.equal(speak(words(lang)).reason({ code: 'unheard_of', message: 'Nothing.' }), 'Nothing.');
  }
});

test('templates have no words of their own, and use those that there are', () => {
  const english = words('en');
  for (const name of templates) {
    const template = read(`templates/${name}`);
    for (const [, key] of template.matchAll(/\.T\.(\w+)/g)) assert.ok(key in english, `${name}: ${key}`);
    const bare = template.replace(/\{\{[^}]*\}\}/g, '').replace(/<script\b[\s\S]*?<\/script>/g, '');
    const shown = [...bare.matchAll(/>([^<]+)</g), ...bare.matchAll(/\s(?:aria-label|title|placeholder|alt)="([^"]*)"/g)];
    const said = shown.map(([, said]) => said.trim()).filter((said) => /\p{Letter}/u.test(said));
    assert.deepEqual(said.filter((word) => !['chatd', '– chatd'].includes(word)), [], name);
  }
});

test('modules have no words of their own', () => {
  for (const name of modules) {
    const code = read(`static/js/${name}`).replace(/\/\*[\s\S]*?\*\/|^\s*\/\/.*|[^:]\/\/ .*/gm, '').replace(/new \w*Error\([^)]*\)|super\([^)]*\)/g, '');
    for (const [, , string] of code.matchAll(/(['"`])((?:(?!\1|\n)[^\\]|\\.)*)\1/g)) {
      // What people read begins with a capital or has spaces between words.
      const sentence = /^\p{Uppercase}\p{Lowercase}+ \p{Letter}|\p{Letter}{2,} \p{Lowercase}{2,} \p{Lowercase}{2,}|[\p{Lowercase}]{3,}…$/u;
      assert.doesNotMatch(string.replace(/\$\{[^}]*\}/g, ''), sentence, name);
    }
  }
});

test('numbers, names and days, as each language says them', () => {
  const english = speak(words('en'), 'en-GB');
  const german = speak(words('de'), 'de');
  assert.equal(english.held(1), '1 message is kept here and will be sent.');
  assert.equal(english.held(1200), '1,200 messages are kept here and will be sent.');
  assert.equal(german.held(1200), '1.200 Nachrichten sind hier aufbewahrt und werden gesendet.');
  assert.equal(english.typing(['alice']), 'alice is typing…');
  assert.equal(english.typing(['alice', 'bob']), 'alice and bob are typing…');
  assert.equal(german.typing(['alice', 'bob']), 'alice und bob schreiben …');
  assert.equal(english.typing(['alice', 'bob', 'cathy']), 'Several people are typing…');
  assert.equal(english.unread(100), '99+');
  assert.equal(english.left(-3), '3 too many');
  const now = new Date(2026, 10, 21, 0, 5);
  assert.equal(english.day(new Date(2026, 10, 20, 23, 59), now), 'Yesterday');
  assert.equal(german.day(new Date(2026, 10, 20), now), 'Gestern');
  assert.equal(english.day(new Date(2026, 9, 1), now), 'Thursday 1 October');
  assert.equal(german.day(new Date(2026, 9, 1), now), 'Donnerstag, 1. Oktober');
  assert.equal(english.day(new Date(2024, 0, 2), now), '2 January 2024');
  assert.equal(english.refused('{reason}', 'no'), '{reason}: no', 'what people are called fills nothing');
});
