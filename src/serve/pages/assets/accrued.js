// What an account has accrued in periods that are not settled: an estimate, with the rules behind it.

import { get } from './api.js';
import { el, name } from './dom.js';
import { amount, counted, grouped, isZero, perCent, period, sumOf } from './format.js';
import { asOf, fillPart, section } from './shell.js';

/** So many of the newest periods of a token have their figures. More wait only if nothing is closed for long. */
const MOST_PERIODS = 4;
/** So many tokens are shown at once. */
const MOST_TOKENS = 6;

const REASONS = {
  empty: 'Nothing is held in this period.',
  excluded: 'The account does not take part in this period, so it earns nothing.',
  negative: 'The average balance is below zero, so it earns nothing.',
  below_minimum: 'The average balance is below the minimum, so it earns nothing.',
  by_owner: 'Minimum and maximum count for all accounts of the owner together, so there is no estimate for one of them.',
};

/** Why there is no figure, or what the figure rests on. */
function basis(epoch) {
  const reason = Object.hasOwn(REASONS, epoch.eligibility) ? REASONS[epoch.eligibility] : null;
  if (reason) return reason;
  if (epoch.programme.mode !== 'pool') return 'A rate decides. If nothing changes any more, this is the reward.';
  return epoch.like_epoch === null
    ? 'A pool is shared, and its size is not known before the close. No earlier period is settled, so there is no estimate yet.'
    : `A pool is shared, and its size is not known before the close. This is what epoch ${epoch.like_epoch} paid for the same balance.`;
}

const line = (term, ...value) => el('div', {}, el('dt', {}, term), el('dd', {}, ...value));

function tierLine(tier, asset) {
  const factor = tier.apr === undefined ? `× ${grouped(tier.multiplier)}` : `${perCent(tier.apr)} a year`;
  return tier.up_to === null
    ? line('On the rest', factor)
    : line(['On the balance up to ', amount(tier.up_to, asset)], factor);
}

/** The rules that are in force in a period, as far as they change what is earned. */
function ruleLines(epoch, asset, rewardAsset) {
  const rules = epoch.programme;
  return [
    rules.apr ? line('Rate', `${perCent(rules.apr)} a year`) : null,
    rules.mode === 'pool' ? line('Kept by the exchange', perCent(rules.commission_rate)) : null,
    isZero(rules.min_balance) ? null : line('Minimum balance', amount(rules.min_balance, asset)),
    rules.max_balance === null ? null : line('Maximum that counts', amount(rules.max_balance, asset)),
    rules.tiers.map((tier) => tierLine(tier, asset)),
    isZero(rules.min_payout) ? null : line('Minimum payout', amount(rules.min_payout, rewardAsset)),
  ];
}

/** A period. `before` is the one that is shown above it: what both have in common is not said again. */
function periodFigures(epoch, item, before) {
  const figure = (value) => amount(value, item.reward_asset);
  const hasSameRules = before && JSON.stringify(before.programme) === JSON.stringify(epoch.programme);
  const hasSameBasis = before && basis(before) === basis(epoch);
  return [
    el('h4', {}, period(epoch.start, epoch.end), `, epoch ${epoch.epoch}, ${epoch.state}`),
    hasSameBasis ? null : el('p', { class: 'note' }, basis(epoch)),
    el(
      'dl',
      { class: 'lines' },
      epoch.reward_so_far === null ? null : line('So far', figure(epoch.reward_so_far)),
      epoch.reward === null ? null : line('Expected at the end', figure(epoch.reward)),
      line('Average balance', amount(epoch.average_balance, item.asset)),
      epoch.counted_balance === null ? null : line('Of that counts', amount(epoch.counted_balance, item.asset)),
      hasSameRules ? line('Rules', 'as above') : ruleLines(epoch, item.asset, item.reward_asset),
    ),
  ];
}

/** The figures of some periods added up; null if none is known. */
function total(epochs, of) {
  const known = epochs.map(of).filter((value) => value !== null);
  return known.length ? sumOf(known) : null;
}

function accruedCard(item) {
  const { epochs } = item;
  const soFar = total(epochs, (epoch) => epoch.reward_so_far);
  const atTheEnd = total(epochs, (epoch) => epoch.reward);
  const newest = epochs.slice(-MOST_PERIODS).reverse();
  const left = epochs.length - newest.length;
  const covers = epochs.length === 1 ? period(epochs[0].start, epochs[0].end) : counted(epochs.length, 'period');
  const figure = (value) => amount(value, item.reward_asset);
  const notes =
    soFar === null
      ? [basis(epochs.at(-1))]
      : [
          ['so far, for ', covers],
          ['Expected at the end: ', figure(atTheEnd)],
        ];
  return el(
    'li',
    { class: 'card' },
    el('h3', {}, name(item.asset)),
    el('p', { class: 'big' }, soFar === null ? 'No estimate' : figure(soFar)),
    notes.map((note) => el('p', { class: 'note' }, note)),
    el(
      'details',
      { class: 'figures' },
      el('summary', {}, 'The rules behind it', el('span', { class: 'hidden-text' }, ` for ${item.asset}`)),
      el(
        'dl',
        { class: 'lines' },
        line('Balance now', amount(item.balance, item.asset)),
        isZero(item.withheld) ? null : line('Kept from earlier periods', figure(item.withheld)),
      ),
      newest.map((epoch, at) => periodFigures(epoch, item, newest[at - 1])),
      left > 0
        ? el('p', { class: 'note' }, `${counted(left, 'older period')} more ${left === 1 ? 'is' : 'are'} not settled.`)
        : null,
    ),
  );
}

/** Whether there is something to say: it holds something, or held something in a period that is not settled. */
const isWorthACard = (item) =>
  item.epochs.length > 0 && !(isZero(item.balance) && item.epochs.every((epoch) => epoch.eligibility === 'empty'));

async function load(account) {
  let answer;
  try {
    answer = await get(['accounts', account, 'accrued']);
  } catch (error) {
    if (error.status === 401) throw error;
    // The list of payouts says what the token does not allow, and without a processor nothing is missing.
    if (error.status === 403 || error.status === 404) return [];
    return el('p', { class: 'muted' }, 'What is accrued so far cannot be estimated now. Try again in a moment.');
  }
  const items = answer.items.filter(isWorthACard);
  if (!items.length) return [];
  const more = items.slice(MOST_TOKENS);
  const list = (some) => el('ul', { class: 'cards three' }, some.map(accruedCard));
  return section(
    'Accrued so far',
    el(
      'p',
      {},
      el('span', { class: 'badge warn' }, 'Estimate'),
      ` ${asOf()}. Not paid and not final: it changes with the balance, and with records that come late.`,
      ' What is expected at the end supposes that the balance stays as it is.',
    ),
    list(items.slice(0, MOST_TOKENS)),
    more.length
      ? el('details', { class: 'figures' }, el('summary', {}, counted(more.length, 'more token')), list(more))
      : null,
  );
}

/** The part of the page for an account; null if this server asks no processor. */
export function accruedPart(session, account) {
  if (!session.has_processor) return null;
  const part = el('div', { class: 'part accrued' });
  fillPart(part, 'what is accrued', () => load(account));
  return part;
}
