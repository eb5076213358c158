// The parts of the pages that need no browser: amounts as text, and the check of proofs.

import assert from 'node:assert/strict';
import { test } from 'node:test';
import { ACCOUNT, api } from './setup.js';

const assets = new URL('../../src/serve/pages/assets/', import.meta.url);
const {
  codeParts,
  daysOfMonth,
  duration,
  grouped,
  isZero,
  monthAfter,
  numberParts,
  perCent,
  perSecond,
  periodText,
  scaled,
  sumOf,
  timeText,
} = await import(new URL('format.js', assets));
const { verifyProof } = await import(new URL('merkle.js', assets));

test('amounts stay texts', () => {
  const gap = '\u202f';
  for (const [value, shown] of [
    ['0', '0'],
    ['1234567.891', `1${gap}234${gap}567.891`],
    ['-1000', `\u22121${gap}000`],
    ['1e5', '1e5'],
    ['9'.repeat(30), Array(10).fill('999').join(gap)],
    ['0.000000000000000001', '0.000000000000000001'],
  ])
    assert.equal(grouped(value), shown);
  for (const [value, shown] of [
    ['0.962', '96.2 %'],
    ['1', '100 %'],
    ['0', '0 %'],
    ['0.000000000000000001', '0.0000000000000001 %'],
    ['0.1', '10 %'],
  ]) {
    assert.equal(perCent(value), shown);
  }
  for (const [count, exponent, text] of [
    [5, -2, '0.05'],
    [20, -1, '2'],
    [-15, -1, '-1.5'],
    [3, 4, '30000'],
    [0, 9, '0'],
    [1, -18, '0.000000000000000001'],
  ]) {
    assert.equal(scaled(count, exponent), text);
  }
  assert.ok(isZero('-0.00') && !isZero('0.01'));
});

test('sums are exact', () => {
  for (const [amounts, sum] of [
    [[], '0'],
    [['0.1', '0.2'], '0.3'],
    [['9'.repeat(30), '0.000000000000000001'], `${'9'.repeat(30)}.000000000000000001`],
    [['1.50', '-2'], '-0.5'],
    [['1.5', '0.5'], '2'],
    [['-0.01', '0.01'], '0'],
  ])
    assert.equal(sumOf(amounts), sum);
});

test('durations have two units, and rates few digits', () => {
  for (const [seconds, text] of [
    [null, '–'],
    [0.04, '0.0 s'],
    [59.4, '59 s'],
    [59.6, '1 min 0 s'],
    [7_500, '2 h 5 min'],
    [90_000_000, '1\u202f041 d 16 h'],
    [-3, '\u22123.0 s'],
  ])
    assert.equal(duration(seconds), text.replaceAll(' ', '\u00a0'));
  assert.deepEqual([null, 0, 3.25, 12_345.6].map(perSecond), ['–', '0', '3.3', '12\u202f346']);
});

test('times say their zone, and a whole day is its date', () => {
  assert.equal(timeText('2026-11-03T14:05:09.120Z'), '3 Nov 2026, 14:05:09.12 UTC');
  assert.equal(timeText('2026-11-03T14:05:00.000Z'), '3 Nov 2026, 14:05 UTC');
  assert.equal(periodText('2026-11-03T00:00:00.000Z', '2026-11-04T00:00:00.000Z'), '3 Nov 2026');
  assert.equal(periodText('2026-11-03T00:00:00.000Z', '2026-11-10T00:00:00.000Z'), '3 Nov 2026 to 9 Nov 2026');
  assert.equal(
    periodText('2026-11-03T01:00:00.000Z', '2026-11-03T02:00:00.000Z'),
    '3 Nov 2026, 01:00 UTC to 3 Nov 2026, 02:00 UTC',
  );
});

test('the numbers of a sentence are found, and no part of a name, a time or a date is one', () => {
  for (const [text, numbers] of [
    ['From 24 November 2026, 00:00 to 25 November 2026, 00:00 (UTC) you held 31642.342661 ATOM on average.', ['24', '25', '31642.342661']],
    ['It earns 12.5 % a year, at 3 USDT for 1 1INCH. 40000.', ['12.5', '3', '1', '40000']],
    ['At 2026-11-01T00:00:00.000Z, u-000009 and ABC.1000 and 1000_X and v1.2.3', []],
    ['Of this, 1000, 2000 and 30.5.', ['1000', '2000', '30.5']],
    ['', []],
  ]) {
    const parts = numberParts(text);
    assert.deepEqual(
      parts.filter(([, isNumber]) => isNumber).map(([part]) => part),
      numbers,
      text,
    );
    assert.equal(parts.map(([part]) => part).join(''), text);
  }
});

test('what is between backticks is code, and a lonely backtick stays', () => {
  for (const [text, parts] of [
    ['`gate` has the field `max`, or not', [['gate', true], [' has the field ', false], ['max', true], [', or not', false]]],
    ['a ` b', [['a ` b', false]]],
    ['a `b` c ` d', [['a ', false], ['b', true], [' c ` d', false]]],
    ['``', [['``', false]]],
    ['`<b>`', [['<b>', true]]],
    ['', []],
  ])
    assert.deepEqual(codeParts(text), parts, text);
});

test('months go over the ends of years, and have their days', () => {
  assert.deepEqual(
    [monthAfter('2026-12', 1), monthAfter('2026-01', -1), monthAfter('2026-11', 0)],
    ['2027-01', '2025-12', '2026-11'],
  );
  assert.deepEqual(daysOfMonth('2026-12'), { from: '2026-12-01', to: '2026-12-31' });
  assert.deepEqual(daysOfMonth('2028-02'), { from: '2028-02-01', to: '2028-02-29' });
});

test('a proof holds, and no changed byte of what it says passes', async () => {
  const account = encodeURIComponent(ACCOUNT);
  const [paid] = (await api(`accounts/${account}/distributions?limit=1`)).items;
  const proof = await api(`accounts/${account}/distributions/${encodeURIComponent(paid.asset)}/${paid.epoch}/proof`);
  const text = JSON.stringify(proof);
  assert.equal((await verifyProof(text, proof.root)).holds, true);
  assert.equal((await verifyProof(text, proof.root.toUpperCase())).holds, true);
  for (let at = 0; at < text.length; at += 1) {
    const other = text[at] === '1' ? '2' : '1';
    const outcome = await verifyProof(text.slice(0, at) + other + text.slice(at + 1), proof.root);
    assert.equal(outcome.holds, false, `${at}: ${text.slice(at - 10, at + 10)}`);
    assert.ok(outcome.reason.length > 10);
  }
  for (const wrong of [
    `${text}x`,
    text.replace('{', '{"format":1,'),
    text.replace('{', '{"more":1,'),
    '',
    '[]',
    'null',
    '1'.repeat(1_000),
    '['.repeat(10_000),
  ]) {
    assert.equal((await verifyProof(wrong, proof.root)).holds, false, wrong.slice(0, 40));
  }
  for (const root of ['', 'z'.repeat(64), proof.root.slice(1), '0'.repeat(64)])
    assert.equal((await verifyProof(text, root)).holds, false, root);
});
