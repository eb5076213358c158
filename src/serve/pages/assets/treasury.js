// Treasury: what is eligible, what flows, how much stayed over the unbonding time, and so can be staked.

import { get } from './api.js';
import { chart } from './chart.js';
import { el, name } from './dom.js';
import { amount, counted, isNegative, lastDay, perCent, period, periodText } from './format.js';
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

function positionTable(positions) {
  if (!positions.length) return empty('No asset is listed yet.');
  return table(
    'Positions by asset, at the end of the newest sealed epoch',
    [
      {
        head: 'Asset',
        kind: 'row',
        cell: (row) => el('a', { href: `?${new URLSearchParams({ asset: row.asset })}` }, name(row.asset)),
      },
      {
        head: 'Newest sealed epoch',
        cell: (row) =>
          row.epoch === null || row.epoch === undefined
            ? 'none yet'
            : el('span', { class: 'where' }, `epoch ${row.epoch}, up\u00a0to\u00a0`, lastDay(row.epoch_end)),
      },
      { head: 'Eligible, on average', kind: 'number', cell: (row) => amount(row.eligible_average, row.asset) },
      { head: 'Eligible, at its end', kind: 'number', cell: (row) => amount(row.closing_balance, row.asset) },
      { head: 'Withheld', kind: 'number', cell: (row) => amount(row.withheld, row.reward_asset) },
      { head: 'Open epoch', kind: 'number', cell: (row) => String(row.open_epoch ?? '–') },
    ],
    positions,
    { hideCaption: true },
  );
}

function retainedCards({ retained, not_retained_because: because }, asset) {
  if (!retained) {
    return empty(
      'How much stays is not known yet.',
      because ? `${because}.` : 'It needs sealed epochs over more than the unbonding time.',
    );
  }
  const windows = `${counted(retained.windows, 'window')} of ${counted(retained.unbonding_days, 'day')} (the unbonding time), within the last ${counted(retained.window_days, 'day')}`;
  return [
    el('p', { class: 'muted' }, `How much of the eligible balance was never withdrawn, in ${windows}.`),
    el(
      'ul',
      { class: 'cards broad' },
      ['95', '99'].map((level) =>
        el(
          'li',
          { class: 'card' },
          el('h3', {}, `At ${level} %`),
          el('p', { class: 'big' }, amount(retained[`stakeable_${level}`], asset)),
          el(
            'p',
            { class: 'note' },
            `can be staked: in ${level} of 100 windows, at least ${perCent(retained[`p${level}`])} stayed.`,
          ),
          el(
            'dl',
            { class: 'lines' },
            el('div', {}, el('dt', {}, 'Has to stay liquid'), el('dd', {}, amount(retained[`liquid_${level}`], asset))),
          ),
        ),
      ),
    ),
  ];
}

async function assetPart(asset) {
  const figures = await get(['treasury', asset], periodQuestion());
  const points = figures.epochs;
  if (!points.length) return empty('No sealed epoch in this period.', 'Choose a longer period.');
  const label = (point) => periodText(point.start, point.end);
  const newest = points.at(-1);
  const withPeriod = points.map((point) => ({ ...point, period: point.start.slice(0, 10) }));
  return [
    el('h2', { class: 'hidden-text' }, 'Newest sealed epoch of the period'),
    el(
      'ul',
      { class: 'cards three' },
      el(
        'li',
        { class: 'card' },
        el('h3', {}, 'Eligible at the end'),
        el('p', { class: 'big' }, amount(newest.closing_balance, asset)),
        el('p', { class: 'note' }, `epoch ${newest.epoch}, `, period(newest.start, newest.end)),
      ),
      el(
        'li',
        { class: 'card' },
        el('h3', {}, 'Eligible on average'),
        el('p', { class: 'big' }, amount(newest.eligible_average, asset)),
        el('p', { class: 'note' }, 'over that epoch'),
      ),
      el(
        'li',
        { class: 'card' },
        el('h3', {}, 'Net flow'),
        el('p', { class: 'big' }, amount(newest.net_flow, asset)),
        el(
          'p',
          { class: 'note' },
          newest.net_flow === null
            ? 'There is no epoch before.'
            : isNegative(newest.net_flow)
              ? 'More left than came, in that epoch.'
              : 'More came than left, in that epoch.',
        ),
      ),
    ),
    chart({
      title: `Eligible balance and net flow of ${asset}`,
      points: withPeriod,
      label,
      dayHead: 'Epoch',
      panelHeight: 150,
      panels: [
        {
          label: `Eligible balance, ${asset}`,
          series: [
            { name: 'At the end', kind: 'line', tone: 'second', unit: asset, value: (point) => point.closing_balance },
            { name: 'On average', kind: 'line', tone: 'third', unit: asset, value: (point) => point.eligible_average },
          ],
        },
        {
          label: `Net flow, ${asset}`,
          series: [{ name: 'Net flow', kind: 'bar', tone: 'first', unit: asset, value: (point) => point.net_flow }],
        },
      ],
    }),
    section('What can be staked', retainedCards(figures, asset)),
  ];
}

function build(session, place) {
  const positionsPart = el('div', { class: 'part' });
  const part = el('div', { class: 'part' });
  const filters = el('div', { class: 'filters' });
  place.append(filters, part, section(
      'All assets',
      el('p', { class: 'muted' }, 'Each at the end of its newest sealed epoch, whatever period is chosen above.'),
      positionsPart,
    ));
  fillPart(positionsPart, 'positions', async () => {
    const { items } = await get(['positions']);
    const names = items.map((item) => item.asset);
    const chosen = parameter('asset') || items.find((item) => item.closing_balance)?.asset || names[0];
    if (chosen) {
      const load = () => fillPart(part, 'the figures', () => assetPart(parameter('asset') || chosen));
      const all = [...new Set([chosen, ...names])].sort();
      filters.replaceChildren(
        choice(
          'Asset',
          all.map((one) => [one, one]),
          chosen,
          (value) => {
            setParameters({ asset: value });
            load();
          },
        ),
        ...periodFields((changes) => {
          setParameters(changes);
          load();
        }).fields,
      );
      load();
    }
    return positionTable(items);
  });
}

startPage(build);
