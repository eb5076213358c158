// Finance: the statement by month, with the line that shows that no money appeared or vanished.

import { get } from './api.js';
import { el, freshId, name } from './dom.js';
import { amount, counted, dayText, isNegative, isZero } from './format.js';
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
    : `epochs ${month.first_epoch} to ${month.last_epoch}`;
}

function owedLine(month) {
  const owed = month.withheld_after;
  return isNegative(owed)
    ? 'Withheld at the end is negative: accounts owe more than is kept for them.'
    : 'Withheld at the end is owed to accounts. It is paid with later rewards.';
}

function executed(month, unit) {
  if (month.executed === null || month.executed === undefined) return null;
  const isSame = month.executed === month.distributed;
  return el(
    'div',
    {},
    el('dt', {}, 'Credited by the payout service'),
    el(
      'dd',
      {},
      amount(month.executed, unit),
      ' ',
      el('span', { class: `badge ${isSame ? 'good' : 'warn'}` }, isSame ? 'as distributed' : 'not as distributed'),
    ),
  );
}

function statement(month) {
  const unit = month.reward_asset;
  const id = freshId('statement');
  const [sources, uses] = sides(month);
  const credited = executed(month, unit);
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
    el('p', { class: 'note' }, 'distributed in ', counted(month.payouts, 'payout'), `, ${epochsOf(month)}`),
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
    credited ? el('dl', { class: 'lines beside' }, credited) : null,
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

let reload = () => {};

function build(session, place) {
  const part = el('div', { class: 'part' });
  place.append(part);
  reload = () => fillPart(part, 'the statement', months);
  reload();
}

startPage(build);
