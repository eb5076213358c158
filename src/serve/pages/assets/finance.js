// Finance: the statement by month, with the line that shows that no money appeared or vanished.

import { get } from './api.js';
import { el, freshId, name } from './dom.js';
import { amount, counted, dayText, isNegative, isZero, period, timeText, withoutMillis } from './format.js';
import {
  choice,
  empty,
  fillPart,
  parameter,
  periodFields,
  periodQuestion,
  section,
  setParameters,
  startPage,
} from './shell.js';
import { table } from './table.js';

function line(term, value) {
  return el('div', {}, el('dt', {}, term), el('dd', {}, amount(value)));
}

/** The two sides of the conservation line (contract, section 5). */
function sides(month) {
  const isPool = month.mode ? month.mode === 'pool' : !isZero(month.pool);
  const shared = [
    ['Withheld before', month.withheld_before],
    ['Made good', month.made_good],
    ['Adjusted', month.adjusted],
  ];
  return isPool
    ? [
        [['Pool', month.pool], ['Carried in', month.carried_in], ...shared],
        [
          ['Commission', month.commission],
          ['Distributed', month.distributed],
          ['Withheld after', month.withheld_after],
          ['Carried out', month.carried_out],
          ['Returned', month.returned],
        ],
      ]
    : [
        [['Rewarded', month.rewarded], ...shared],
        [
          ['Distributed', month.distributed],
          ['Withheld after', month.withheld_after],
        ],
      ];
}

function epochsOf(month) {
  return month.first_epoch === month.last_epoch
    ? `epoch ${month.first_epoch}`
    : el('span', { class: 'together' }, `epochs ${month.first_epoch} to ${month.last_epoch}`);
}

function owedLine(month) {
  const owed = month.withheld_after;
  return isNegative(owed)
    ? 'Withheld at the end is negative: accounts owe more than is kept for them.'
    : 'Withheld at the end is owed to accounts. It is paid with later rewards.';
}

/** What was credited of it, and what is still to be credited; nothing if executions are not followed. */
function credits(month) {
  if (month.executed === null || month.executed === undefined) return null;
  const unit = month.reward_asset;
  const isOver = isNegative(month.not_credited);
  const isAll = isZero(month.not_credited);
  const over = month.over_credited_epochs ?? [];
  const line = (term, ...value) => el('div', {}, el('dt', {}, term), el('dd', {}, ...value));
  const badge = (tone, text) => [' ', el('span', { class: `badge ${tone}` }, text)];
  return [
    el(
      'dl',
      { class: 'lines beside credits' },
      line('Credited by the payout service', amount(month.executed, unit)),
      line(
        'Not credited yet',
        amount(month.not_credited, unit),
        isOver ? badge('bad', 'too much credited') : null,
        isAll && !over.length ? badge('good', 'all credited') : null,
      ),
    ),
    over.length
      ? el(
          'p',
          { class: 'notice bad inner' },
          `More was credited than distributed in ${over.length === 1 ? 'epoch' : 'epochs'} ${listed(over)}. `,
          el('code', {}, 'softstake reconcile payouts'),
          ' names each payout.',
        )
      : null,
  ];
}

/** The first few of a list. */
function listed(epochs) {
  const shown = epochs.slice(0, 8).join(', ');
  return epochs.length > 8 ? `${shown} and ${epochs.length - 8} more` : shown;
}

function statement(month) {
  const unit = month.reward_asset;
  const id = freshId('statement');
  const [sources, uses] = sides(month);
  const credited = credits(month);
  const isFunded = month.mode === 'apr';
  const isOther = month.asset !== month.reward_asset;
  return el(
    'article',
    { class: `card${month.conserved ? '' : ' alarm'}`, 'aria-labelledby': id },
    el(
      'div',
      { class: 'row apart' },
      el('h3', { id }, name(month.asset), isOther ? [', paid in ', name(month.reward_asset)] : null),
      el(
        'span',
        { class: `badge ${month.conserved ? 'good' : 'bad'}` },
        month.conserved ? 'conserved' : 'not conserved',
      ),
    ),
    el('p', { class: 'big' }, amount(month.distributed, unit)),
    el('p', { class: 'note' }, 'distributed in ', counted(month.payouts, 'payout'), ', ', epochsOf(month)),
    el(
      'div',
      { class: 'ledger' },
      el(
        'div',
        {},
        el('h4', {}, isFunded ? 'Where it came from: the exchange' : 'Where it came from'),
        el(
          'dl',
          { class: 'lines' },
          sources.map(([term, value]) => line(term, value)),
        ),
      ),
      el(
        'div',
        {},
        el('h4', {}, 'Where it went'),
        el(
          'dl',
          { class: 'lines' },
          uses.map(([term, value]) => line(term, value)),
        ),
      ),
    ),
    credited,
    month.conserved
      ? null
      : el(
          'div',
          { class: 'notice bad' },
          el('p', {}, 'It does not add up. Run softstake statement and softstake reconcile for this asset.'),
          (month.wrong ?? []).map((sentence) => el('p', { dir: 'auto' }, sentence)),
        ),
    el('p', { class: 'note' }, owedLine(month)),
  );
}

async function months() {
  const { items } = await get(['finance'], { by: 'month', ...periodQuestion() });
  const wanted = parameter('asset');
  const assets = [...new Set([...items.map((item) => item.asset), ...(wanted ? [wanted] : [])])].sort();
  const shown = items.filter((item) => !wanted || item.asset === wanted);
  const periods = [...new Set(shown.map((item) => item.month))].sort().reverse();
  const broken = items.filter((item) => !item.conserved).length;
  const over = items.filter((item) => item.over_credited_epochs?.length).length;
  return [
    el(
      'div',
      { class: 'filters' },
      choice('Asset', [['', 'All assets'], ...assets.map((asset) => [asset, asset])], wanted, (value) => {
        setParameters({ asset: value });
        reload();
      }),
      ...periodFields((changes) => {
        setParameters(changes);
        reload();
      }).fields,
    ),
    items.length
      ? el(
          'p',
          { class: `notice ${broken ? 'bad' : 'good'}` },
          broken
            ? `${counted(broken, 'statement')} of ${items.length} do not add up. Their cards say so.`
            : `All ${counted(items.length, 'statement')} add up: what came in is what went out, to the last digit.`,
        )
      : null,
    over
      ? el(
          'p',
          { class: 'notice bad' },
          `More was credited than distributed in ${counted(over, 'statement')}. ${over === 1 ? 'Its card says' : 'Their cards say'} so.`,
        )
      : null,
    items.length && items.every((item) => item.executed === null)
      ? el(
          'p',
          { class: 'muted' },
          'What the payout service credited is not followed: start softstake serve with --executions to see it here.',
        )
      : null,
    periods.length
      ? periods.map((month) =>
          section(
            dayText(month),
            el('div', { class: 'statements' }, shown.filter((item) => item.month === month).map(statement)),
          ),
        )
      : empty('No sealed epoch in this period.', 'A statement appears when the first epoch is sealed.'),
  ];
}

/** What the amount of a line rests on, in words. */
function basisOf(line) {
  const like = `Estimate: like epoch ${line.like_epoch}`;
  const words = {
    held: 'The distributions that are held',
    pool: 'Estimate: the pool, less the commission',
    like_epoch: like,
    sealed: 'Sealed since: the part up to then',
    nothing: 'The programme rewards nothing',
    unknown: 'Not known: no epoch is sealed to estimate by',
  };
  return words[line.basis] ?? line.basis;
}

/** When the epochs of a line are, or since when they are open. */
function whenOf(line, asOf) {
  if (line.until !== asOf) return period(line.start, line.until);
  const start = /T00:00:00(\.0+)?Z$/.test(line.start) ? dayText(line.start) : timeText(line.start);
  return el('time', { datetime: line.start }, `since ${start}`);
}

function accruedTable(items, asOf) {
  return table(
    'Accrued, not yet sealed',
    [
      { head: 'Asset', kind: 'row', cell: (line) => name(line.asset) },
      {
        head: 'Epochs',
        cell: (line) =>
          line.first_epoch === line.last_epoch ? String(line.first_epoch) : `${line.first_epoch} to ${line.last_epoch}`,
      },
      { head: 'State', cell: (line) => line.state },
      { head: 'Time', cell: (line) => el('span', {}, whenOf(line, asOf)) },
      {
        head: 'Amount',
        kind: 'number',
        cell: (line) => el('span', {}, line.amount === null ? '–' : amount(line.amount, line.reward_asset)),
      },
      { head: 'Rests on', cell: (line) => basisOf(line) },
    ],
    items,
    { hideCaption: true },
  );
}

/** The day in the address, and the time that is asked for: its end, or now if it is not over. */
function accruedAt() {
  const day = parameter('at').slice(0, 10);
  const end = Date.parse(day) + 86_400_000;
  return Number.isNaN(end) || end > Date.now() ? { day, at: '' } : { day, at: new Date(end).toISOString() };
}

async function accrued() {
  const { at } = accruedAt();
  const answer = await get(['finance', 'accrued'], { at });
  const asOf = `As of ${timeText(withoutMillis(answer.as_of))}.`;
  if (!answer.items.length) return empty('Nothing is accrued that is not sealed.', asOf);
  return [
    el(
      'ul',
      { class: 'cards three' },
      answer.totals.map((total) =>
        el(
          'li',
          { class: `card${total.is_complete ? '' : ' warned'}` },
          el('h3', {}, name(total.reward_asset)),
          el('p', { class: 'big' }, amount(total.amount, total.reward_asset)),
          el('p', { class: 'note' }, total.is_complete ? 'accrued' : 'and what is not known'),
        ),
      ),
    ),
    accruedTable(answer.items, answer.as_of),
    el('p', { class: 'muted' }, `${asOf} What accounts are owed of sealed epochs is not in it.`),
  ];
}

function accruedSection() {
  const part = el('div', { class: 'part' });
  const load = () => fillPart(part, 'what is accrued', accrued);
  const id = freshId('at');
  const input = el('input', {
    id,
    type: 'date',
    value: accruedAt().day,
    min: '2000-01-01',
    max: new Date().toISOString().slice(0, 10),
    onchange: () => {
      setParameters({ at: input.value });
      load();
    },
  });
  load();
  return section(
    'Accrued, not yet sealed',
    el(
      'p',
      { class: 'muted' },
      'What accounts have earned of all assets in epochs that no statement has yet. With the statements up to the same time, it has every epoch once.',
    ),
    el(
      'div',
      { class: 'filters' },
      el('div', { class: 'field' }, el('label', { for: id }, 'As of the end of (UTC)'), input),
    ),
    part,
  );
}

let reload = () => {};

function build(session, place) {
  const part = el('div', { class: 'part' });
  place.append(part, accruedSection());
  reload = () => fillPart(part, 'the statement', months);
  reload();
}

startPage(build);
