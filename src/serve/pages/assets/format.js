// Amounts stay texts. Digits are grouped, compared and moved as texts, so no digit is ever lost.

import { el } from './dom.js';

/** Behind so many groups of decimals, digits are paler: they are exact, but rarely what somebody looks for. */
const PLAIN_GROUPS = 3;

const PLAIN = /^(-?)(\d+)(?:\.(\d+))?$/;

/** Digits in groups of three, from the right. */
function groupsFromRight(digits) {
  const groups = [];
  for (let end = digits.length; end > 0; end -= 3) groups.unshift(digits.slice(Math.max(0, end - 3), end));
  return groups;
}

/** Digits in groups of three, from the left. */
function groupsFromLeft(digits) {
  return digits.match(/.{1,3}/g) ?? [];
}

/** An amount as a text with narrow spaces, for a drawing. */
export function grouped(amount) {
  const parts = PLAIN.exec(amount);
  if (!parts) return amount;
  const [, sign, whole, fraction] = parts;
  const left = groupsFromRight(whole).join('\u202f');
  return `${sign ? '\u2212' : ''}${left}${fraction ? `.${fraction}` : ''}`;
}

/**
 * An amount. The gaps between groups are margins, not characters: what is copied is the exact number. A line may break
 * between groups.
 */
export function amount(value, unit) {
  const parts = PLAIN.exec(value ?? '');
  if (!parts)
    return el('span', { class: value ? 'amount' : 'amount none' }, value ?? '–', unit && value ? ` ${unit}` : '');
  const [, sign, whole, fraction] = parts;
  const node = el('span', { class: isZero(value) ? 'amount zero' : 'amount' }, sign ? '-' : '');
  const put = (groups, place) =>
    groups.forEach((group, at) => {
      if (at > 0) node.append(el('wbr'));
      const isLast = at === groups.length - 1;
      const isTail = place === 'fraction' && at >= PLAIN_GROUPS;
      node.append(
        isLast && !isTail
          ? group
          : el('span', { class: `${isLast ? '' : 'group'}${isTail ? ' tail' : ''}`.trim() }, group),
      );
    });
  put(groupsFromRight(whole), 'whole');
  if (fraction) {
    node.append('.');
    put(fraction.length > 4 ? groupsFromLeft(fraction) : [fraction], 'fraction');
  }
  return unit ? [node, ' ', el('bdi', { class: 'unit' }, unit)] : node;
}

/** A number in a sentence. Neither a part of a name, a time or a date, nor the year after a month. */
const NUMBER = new RegExp(
  `(?<!\\b(?:January|February|March|April|May|June|July|August|September|October|November|December) )` +
    String.raw`(?<![\p{L}\p{N}.,:_/-])\d+(?:\.\d+)?(?![\p{L}\p{N}:_/-]|[.,]\d)`,
  'gu',
);

/** What a pattern finds in a text, and what is between: `[text, isFound]`, in order. */
function partsOf(text, pattern, shown) {
  const parts = [];
  let end = 0;
  for (const found of text.matchAll(pattern)) {
    if (found.index > end) parts.push([text.slice(end, found.index), false]);
    parts.push([shown(found), true]);
    end = found.index + found[0].length;
  }
  if (end < text.length) parts.push([text.slice(end), false]);
  return parts;
}

/** The numbers of a sentence, and the words between. */
export const numberParts = (text) => partsOf(text, NUMBER, ([number]) => number);

/** What a message has between backticks, and the words between. A backtick without another stays. */
export const codeParts = (text) => partsOf(text, /`([^`]+)`/g, ([, code]) => code);

/** A sentence whose numbers are grouped as elsewhere. What is copied is the sentence. */
export const withNumbers = (text) => numberParts(text).map(([part, isNumber]) => (isNumber ? amount(part) : part));

/** A message with what is between backticks as code. All of it may come from outside, and becomes text nodes alone. */
export const withCode = (text) =>
  codeParts(text ?? '').map(([part, isCode]) => (isCode ? el('code', {}, part) : part));

export function isZero(value) {
  return /^-?0+(\.0+)?$/.test(value ?? '');
}

export function isNegative(value) {
  return (value ?? '').startsWith('-');
}

/** The exact sum of plain decimals. */
export function sumOf(amounts) {
  const parts = amounts.map((value) => PLAIN.exec(value)).filter(Boolean);
  const decimals = Math.max(0, ...parts.map(([, , , fraction = '']) => fraction.length));
  const units = parts.reduce(
    (sum, [, sign, whole, fraction = '']) => sum + BigInt(`${sign}${whole}${fraction.padEnd(decimals, '0')}`),
    0n,
  );
  const digits = String(units < 0n ? -units : units).padStart(decimals + 1, '0');
  const point = digits.length - decimals;
  const fraction = digits.slice(point).replace(/0+$/, '');
  return `${units < 0n ? '-' : ''}${digits.slice(0, point)}${fraction ? `.${fraction}` : ''}`;
}

/** A share from 0 to 1 as per cent: the point moves, nothing is computed. */
export function perCent(share) {
  const parts = PLAIN.exec(share ?? '');
  if (!parts) return '–';
  const [, sign, whole, fraction = ''] = parts;
  const padded = fraction.padEnd(2, '0');
  const left = `${whole}${padded.slice(0, 2)}`.replace(/^0+(?=\d)/, '');
  const right = padded.slice(2).replace(/0+$/, '');
  return `${sign}${left}${right ? `.${right}` : ''} %`;
}

/** Where an amount is drawn. Only for places in a drawing, never for a text. */
export function place(value) {
  const number = Number(value);
  return Number.isFinite(number) ? number : 0;
}

/** `count * 10^exponent` as a plain decimal. */
export function scaled(count, exponent) {
  const sign = count < 0 ? '-' : '';
  const digits = String(Math.abs(count));
  if (count === 0) return '0';
  if (exponent >= 0) return `${sign}${digits}${'0'.repeat(exponent)}`;
  const padded = digits.padStart(1 - exponent, '0');
  const fraction = padded.slice(exponent).replace(/0+$/, '');
  return `${sign}${padded.slice(0, exponent)}${fraction ? `.${fraction}` : ''}`;
}

const MONTHS = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
const TIME = /^(\d{4})-(\d\d)(?:-(\d\d)(?:T(\d\d):(\d\d):(\d\d)(?:\.(\d+))?Z)?)?$/;

/** A time of the API, or null. The API gives all times in UTC. */
function timeParts(text) {
  const parts = TIME.exec(text ?? '');
  if (!parts) return null;
  const [, year, month, day, hour, minute, second, fraction] = parts;
  return { year, month: MONTHS[Number(month) - 1] ?? month, day, hour, minute, second, fraction };
}

/** `3 Nov 2026`, or `Nov 2026`. */
export function dayText(text) {
  const parts = timeParts(text);
  if (!parts) return text ?? '–';
  return parts.day ? `${Number(parts.day)} ${parts.month} ${parts.year}` : `${parts.month} ${parts.year}`;
}

/** `3 Nov`, or `Nov 2026`: for an axis. */
export function shortDay(text) {
  const parts = timeParts(text);
  if (!parts) return text ?? '';
  return parts.day ? `${Number(parts.day)} ${parts.month}` : `${parts.month} ${parts.year}`;
}

/** `3 Nov 2026, 14:05:09 UTC`; milliseconds only if there are any. */
export function timeText(text) {
  const parts = timeParts(text);
  if (!parts) return text ?? '–';
  if (parts.hour === undefined) return dayText(text);
  const seconds = parts.second === '00' && !Number(parts.fraction ?? 0) ? '' : `:${parts.second}`;
  const fraction = Number(parts.fraction ?? 0) ? `.${parts.fraction.replace(/0+$/, '')}` : '';
  return `${dayText(text)}, ${parts.hour}:${parts.minute}${seconds}${fraction} UTC`;
}

/** A time to the second, for one that nobody needs more exactly. */
export function withoutMillis(text) {
  return (text ?? '').replace(/\.\d+Z$/, 'Z');
}

/** Dates and times, each of which stays on one line. They are separated by `, ` or ` to `. */
const together = (text) =>
  text.split(/( to |(?<=,) )/).map((part, at) => (at % 2 ? part : el('span', { class: 'together' }, part)));

export function time(text) {
  return text ? el('time', { datetime: text }, together(timeText(text))) : el('span', {}, '–');
}

/** A period in the fewest words: a whole UTC day is its date, otherwise start to end. */
export function periodText(start, end) {
  const isMidnight = (text) => /T00:00:00(\.0+)?Z$/.test(text ?? '');
  if (!isMidnight(start) || !isMidnight(end)) return `${timeText(start)} to ${timeText(end)}`;
  const days = Math.round((Date.parse(end) - Date.parse(start)) / 86_400_000);
  if (days === 1) return dayText(start);
  return `${dayText(start)} to ${dayText(new Date(Date.parse(end) - 86_400_000).toISOString())}`;
}

export function period(start, end) {
  return el('time', { datetime: start, title: `${timeText(start)} to ${timeText(end)}` }, together(periodText(start, end)));
}

/** The last day of a period that ends at a midnight, which belongs to the next one; otherwise the moment of its end. */
export function lastDay(end) {
  const text = /T00:00:00(\.0+)?Z$/.test(end)
    ? dayText(new Date(Date.parse(end) - 86_400_000).toISOString().slice(0, 10))
    : timeText(end);
  return el('time', { datetime: end }, together(text));
}

/** `2026-10` and 1 give `2026-11`. */
export function monthAfter(month, months) {
  const [year, number] = month.split('-').map(Number);
  return new Date(Date.UTC(year, number - 1 + months, 1)).toISOString().slice(0, 7);
}

/** The first and the last day of a month such as `2026-10`. */
export function daysOfMonth(month) {
  const end = Date.parse(`${monthAfter(month, 1)}-01`) - 86_400_000;
  return { from: `${month}-01`, to: new Date(end).toISOString().slice(0, 10) };
}

/** `1 payout`, `12 payouts`. */
export function counted(count, one, many = `${one}s`) {
  return `${grouped(String(count))} ${String(count) === '1' ? one : many}`;
}

/** A number of seconds in its two largest units: `3 d 4 h`, `2 h 5 min`, `2 min 3 s`, `1.5 s`. It stays on one line. */
export function duration(seconds) {
  if (seconds === null || seconds === undefined) return '–';
  if (seconds < 0) return `\u2212${duration(-seconds)}`;
  if (seconds < 9.95) return `${seconds.toFixed(1)}\u00a0s`;
  const whole = Math.round(seconds);
  const days = Math.floor(whole / 86_400);
  const hours = Math.floor(whole / 3_600) % 24;
  const minutes = Math.floor(whole / 60) % 60;
  if (whole < 60) return `${whole}\u00a0s`;
  if (whole < 3_600) return `${minutes}\u00a0min\u00a0${whole % 60}\u00a0s`;
  if (whole < 86_400) return `${hours}\u00a0h\u00a0${minutes}\u00a0min`;
  return `${grouped(String(days))}\u00a0d\u00a0${hours}\u00a0h`;
}

/** A rate, in whole numbers from 10 on. It is a measurement, no amount. */
export function perSecond(rate) {
  if (rate === null || rate === undefined) return '–';
  return rate > 0 && rate < 10 ? rate.toFixed(1) : grouped(String(Math.max(0, Math.round(rate))));
}
