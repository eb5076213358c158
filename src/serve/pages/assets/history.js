// Distribution history: what an account was paid, of which token, for which day, and why.

import { accruedPart } from './accrued.js';
import { get, getText } from './api.js';
import { chart, spark } from './chart.js';
import { announce, button, el, fileNamePart, freshId, name, saveFile } from './dom.js';
import { amount, counted, dayText, daysOfMonth, monthAfter, period, periodText, time } from './format.js';
import { openExplanation, saveProof } from './explain.js';
import {
  choice,
  empty,
  fillPart,
  followHistory,
  parameter,
  periodFields,
  periodQuestion,
  setParameters,
  startPage,
} from './shell.js';
import { pagedTable } from './table.js';

const DAY = 86_400_000;
/** Up to so many days, the chart has a bar for each day; above, for each month. */
const MOST_DAYS = 100;
/** A chart with more places than this would be drawn without those for periods without a payout. */
const MOST_PLACES = 800;

const dayOf = (millis) => new Date(millis).toISOString().slice(0, 10);

/** The periods to choose from. Both days are included. */
function presets() {
  const today = Date.now();
  const thisYear = new Date(today).getUTCFullYear();
  return [
    ['All', { from: '', to: '' }],
    ['30 days', { from: dayOf(today - 30 * DAY), to: '' }],
    ['90 days', { from: dayOf(today - 90 * DAY), to: '' }],
    [String(thisYear), { from: `${thisYear}-01-01`, to: `${thisYear}-12-31` }],
    [String(thisYear - 1), { from: `${thisYear - 1}-01-01`, to: `${thisYear - 1}-12-31` }],
  ];
}

/** Steps from the chosen month, or from this one if none is chosen. */
const MONTH_STEPS = [
  ['Previous month', -1],
  ['This month', null],
  ['Next month', 1],
];

function monthOf(step) {
  const today = dayOf(Date.now()).slice(0, 7);
  const chosen = parameter('from') || parameter('to');
  return step === null ? today : monthAfter(/^\d{4}-\d\d-\d\d$/.test(chosen) ? chosen.slice(0, 7) : today, step);
}

const filters = () => ({ asset: parameter('asset'), from: parameter('from'), to: parameter('to') });

/** The same for the API. */
const question = () => ({ asset: parameter('asset'), ...periodQuestion() });

/** The form that chooses an account, for those who may see more than one. */
function accountForm(account) {
  const id = freshId('account');
  const input = el('input', {
    id,
    name: 'account',
    value: account,
    autocomplete: 'off',
    spellcheck: 'false',
    autocapitalize: 'off',
    maxlength: 128,
    required: true,
  });
  return el(
    'form',
    {
      class: 'filters',
      role: 'search',
      'aria-label': 'Choose an account',
      onsubmit: (event) => {
        event.preventDefault();
        location.search = new URLSearchParams({ account: input.value }).toString();
      },
    },
    el('div', { class: 'field grow' }, el('label', { for: id }, 'Account'), input),
    el('button', { type: 'submit', class: 'primary' }, 'Show'),
  );
}

function periodForm(assets, changed) {
  const {
    inputs: [fromInput, toInput],
    fields,
  } = periodFields(changed);
  const choose = (range) => {
    fromInput.value = range.from;
    toInput.value = range.to;
    changed(range);
  };
  const small = { class: 'small' };
  const buttons = presets().map(([label, range]) => button(label, () => choose(range), small));
  const months = MONTH_STEPS.map(([label, step]) => button(label, () => choose(daysOfMonth(monthOf(step))), small));
  const mark = () => {
    const now = filters();
    const isNow = (range) => String(range.from === now.from && range.to === now.to);
    presets().forEach(([, range], at) => buttons[at].setAttribute('aria-pressed', isNow(range)));
    MONTH_STEPS.forEach(([label, step], at) => {
      const month = monthOf(step);
      months[at].setAttribute('aria-label', `${label}, ${dayText(month)}`);
      months[at].title = dayText(month);
      if (step === null) months[at].setAttribute('aria-pressed', isNow(daysOfMonth(month)));
    });
  };
  mark();
  const tokens = el('div', { class: 'field' });
  const setTokens = (known) => {
    const all = [...new Set([...known, ...(filters().asset ? [filters().asset] : [])])].sort();
    tokens.replaceChildren(
      ...choice('Token', [['', 'All tokens'], ...all.map((one) => [one, one])], filters().asset, (value) =>
        changed({ asset: value }),
      ).childNodes,
    );
  };
  setTokens(assets);
  const form = el(
    'div',
    { class: 'filters', role: 'group', 'aria-label': 'Filters' },
    tokens,
    fields,
    el(
      'div',
      { class: 'periods' },
      el('fieldset', { class: 'presets' }, el('legend', { class: 'hidden-text' }, 'Period'), buttons),
      el('fieldset', { class: 'presets months' }, el('legend', { class: 'hidden-text' }, 'Month'), months),
    ),
  );
  form.mark = mark;
  form.setTokens = setTokens;
  return form;
}

/** The only total, above its chart: as wide as that, and without a drawing of the same. */
function onlyTotal(total, chosen) {
  const query = new URLSearchParams(location.search);
  query.delete('asset');
  query.delete('why');
  return el(
    'div',
    { class: 'card only' },
    el('h3', {}, name(total.asset)),
    el('p', { class: 'big' }, amount(total.amount, total.reward_asset)),
    el('p', { class: 'note' }, counted(total.payouts, 'payout')),
    chosen.asset ? el('a', { href: `?${query}`, 'data-asset': total.asset }, 'Show all tokens') : null,
  );
}

function totalCards(summary, chosen) {
  const wanted = chosen.asset;
  const heading = el('h2', { class: 'hidden-text' }, 'Totals by token');
  if (summary.totals.length === 1) return [heading, onlyTotal(summary.totals[0], chosen)];
  return [
    heading,
    el(
      'ul',
      { class: 'cards' },
      summary.totals.map((total) => {
        const bars = summary.periods
          .filter((one) => one.asset === total.asset && one.reward_asset === total.reward_asset)
          .sort((left, right) => (left.period < right.period ? -1 : 1))
          .map((one) => one.amount);
        const query = new URLSearchParams(location.search);
        const isChosen = wanted === total.asset;
        if (isChosen) query.delete('asset');
        else query.set('asset', total.asset);
        query.delete('why');
        return el(
          'li',
          { class: 'card choose' },
          el(
            'a',
            { href: `?${query}`, 'aria-current': isChosen ? 'true' : null, 'data-asset': total.asset },
            el('h3', {}, name(total.asset)),
            el('p', { class: 'big' }, amount(total.amount, total.reward_asset)),
            el('p', { class: 'note' }, counted(total.payouts, 'payout'), isChosen ? '. Show all tokens' : ''),
            bars.length > 1 ? spark(bars) : null,
          ),
        );
      }),
    ),
  ];
}

/** The period after this one: the next day, or the next month. */
function nextPeriod(text, by) {
  return by === 'day' ? dayOf(Date.parse(text) + DAY) : monthAfter(text, 1);
}

/** A place for each period, also for those without a payout, so that equal times are equally wide. */
function withGaps(points, by) {
  const all = [];
  for (const point of points) {
    let expected = all.length ? nextPeriod(all.at(-1).period, by) : point.period;
    while (expected < point.period && all.length < MOST_PLACES) {
      all.push({ period: expected, amount: null, average_balance: null });
      expected = nextPeriod(expected, by);
    }
    all.push(point);
  }
  return all.length < MOST_PLACES ? all : points;
}

function rewardChart(summary, by) {
  return [...new Set(summary.totals.map((total) => `${total.asset}\n${total.reward_asset}`))].slice(0, 1).map((key) => {
    const [asset, rewardAsset] = key.split('\n');
    const points = summary.periods
      .filter((one) => one.asset === asset && one.reward_asset === rewardAsset)
      .sort((left, right) => (left.period < right.period ? -1 : 1));
    return chart({
      title: `Rewards and average balance of ${asset} by ${by}`,
      points: withGaps(points, by),
      label: (point) => dayText(point.period),
      dayHead: by === 'day' ? 'Day' : 'Month',
      panels: [
        {
          label: `Reward, ${rewardAsset}`,
          series: [{ name: 'Reward', kind: 'bar', tone: 'first', unit: rewardAsset, value: (point) => point.amount }],
        },
        {
          label: `Average balance, ${asset}`,
          series: [
            {
              name: 'Average balance',
              kind: 'line',
              tone: 'second',
              unit: asset,
              value: (point) => point.average_balance,
            },
          ],
        },
      ],
    });
  });
}

/** Days, if the period is short or its rewards are on few days; otherwise months. */
async function summaryOf(account) {
  const chosen = filters();
  const parts = ['accounts', account, 'summary'];
  const end = Date.parse(chosen.to || new Date().toISOString());
  const isShort = chosen.from && (end - Date.parse(chosen.from)) / DAY <= MOST_DAYS;
  if (!isShort) {
    const byMonth = await get(parts, { ...question(), by: 'month' });
    const months = new Set(byMonth.periods.map((one) => one.period));
    if (months.size > 4) return [byMonth, 'month'];
  }
  return [await get(parts, { ...question(), by: 'day' }), 'day'];
}

function statusOf(paid) {
  if (!paid.credited_at) return el('span', { class: 'muted' }, 'Final');
  const isOther = paid.credited_amount && paid.credited_amount !== paid.amount;
  return isOther
    ? [el('span', { class: 'badge warn' }, 'Credited otherwise'), ' ', amount(paid.credited_amount, paid.reward_asset)]
    : [el('span', { class: 'badge good' }, 'Credited'), ' ', time(paid.credited_at)];
}

function payoutTable(account, explain) {
  return pagedTable({
    caption: 'Payouts, newest first',
    kind: 'payouts',
    limit: 30,
    what: 'payouts',
    columns: [
      { head: 'For', kind: 'row', cell: (paid) => period(paid.epoch_start, paid.epoch_end) },
      { head: 'Token', cell: (paid) => name(paid.asset) },
      { head: 'Paid', kind: 'number', cell: (paid) => el('strong', {}, amount(paid.amount, paid.reward_asset)) },
      {
        head: 'Average balance',
        kind: 'number',
        cell: (paid) => el('span', {}, amount(paid.average_balance, paid.asset)),
      },
      { head: 'State', cell: (paid) => el('span', {}, statusOf(paid)) },
      {
        head: 'Actions',
        kind: 'action',
        cell: (paid) => {
          const of = `${paid.asset}, ${periodText(paid.epoch_start, paid.epoch_end)}`;
          return el(
            'span',
            { class: 'row' },
            button('Why this amount?', () => explain(paid.asset, paid.epoch), {
              class: 'small',
              'aria-label': `Why this amount? ${of}`,
            }),
            button('Proof', (event) => saveProof(event.currentTarget, account, paid.asset, paid.epoch), {
              class: 'small',
              'aria-label': `Download the proof of ${of}`,
            }),
          );
        },
      },
    ],
    question: () => [['accounts', account, 'distributions'], question()],
    nothing: () =>
      filters().asset || filters().from || filters().to
        ? empty('No payout in this period.', 'Choose another token or a longer period.')
        : empty('No payout yet.', 'A payout appears here when the period that it is for is over and sealed. Small and capital letters of an account differ.'),
  });
}

function lateTable(account) {
  const place = el('details', { class: 'figures' }, el('summary', {}, 'Records that came late'));
  place.addEventListener('toggle', () => {
    if (!place.open || place.childElementCount > 1) return;
    const list = pagedTable({
      caption: 'Records that came late',
      what: 'late records',
      columns: [
        { head: 'Happened', kind: 'row', cell: (late) => time(late.event_time) },
        { head: 'Token', cell: (late) => name(late.asset) },
        { head: 'Change', kind: 'number', cell: (late) => amount(late.delta, late.asset) },
        { head: 'Missed epoch', kind: 'number', cell: (late) => String(late.missed_epoch) },
        { head: 'Counted in epoch', kind: 'number', cell: (late) => String(late.applied_epoch) },
        { head: 'Rule', cell: (late) => late.policy },
      ],
      question: () => [['accounts', account, 'late-postings'], {}],
      nothing: () => empty('Nothing came late.'),
    });
    place.append(
      el('p', { class: 'muted' }, 'They came after their period was closed. The rule says how they count.'),
      list,
    );
    list.reload();
  });
  return place;
}

async function saveCsv(control, account) {
  const chosen = filters();
  control.disabled = true;
  try {
    const text = await getText(['accounts', account, 'distributions'], { ...question(), format: 'csv' }, 'text/csv');
    const parts = ['rewards', account, chosen.asset || 'all', chosen.from || 'start', chosen.to || 'today'];
    saveFile(`${parts.map(fileNamePart).join('-')}.csv`, 'text/csv;charset=utf-8', text);
    announce('The file is saved.');
  } catch (error) {
    announce(`The file was not saved. ${error.message}`);
    control.after(el('span', { class: 'field-fault', role: 'alert' }, `The file was not saved. ${error.message}`));
  } finally {
    control.disabled = false;
  }
}

function build(session, place) {
  const isCustomerOnly =
    Boolean(session.account) && !session.roles.some((role) => ['support', 'finance', 'auditor'].includes(role));
  const account = parameter('account') || session.account || '';
  if (!isCustomerOnly || account !== session.account) place.append(accountForm(account));
  if (!account) {
    place.append(
      empty('Whose history?', 'Type the account as the exchange writes it, such as u-000042 or u-000042/grid.'),
    );
    return;
  }
  const totals = el('div', { class: 'part' });
  const explain = (asset, epoch) => {
    setParameters({ why: `${asset}:${epoch}` });
    openExplanation(account, asset, epoch, () => setParameters({ why: '' }));
  };
  const payouts = payoutTable(account, explain);
  const refresh = () => {
    fillPart(totals, 'totals', async () => {
      let summary;
      let by;
      try {
        [summary, by] = await summaryOf(account);
      } catch (error) {
        // The list of payouts says the same.
        if (error.status !== 403) throw error;
        return session.account && session.account !== account
          ? el('p', {}, el('a', { href: '/history' }, 'Show the history of my own account'))
          : [];
      }
      form.setTokens([...new Set([...knownAssets, ...summary.totals.map((one) => one.asset)])]);
      if (!filters().asset) knownAssets = summary.totals.map((one) => one.asset);
      if (!summary.totals.length) return [];
      const isOne = summary.totals.length === 1;
      return [totalCards(summary, filters()), isOne ? rewardChart(summary, by) : null];
    });
    return payouts.reload();
  };
  let knownAssets = [];
  const form = periodForm([], (changes) => {
    setParameters(changes, { push: true });
    form.mark();
    refresh().then(() => announce('The list has changed.'));
  });
  totals.addEventListener('click', (event) => {
    const link = event.target.closest('a[data-asset]');
    if (!link || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    setParameters({ asset: new URL(link.href).searchParams.get('asset') ?? '' }, { push: true });
    refresh().then(() => announce('The list has changed.'));
  });
  followHistory();
  const csv = button('Download CSV', () => saveCsv(csv, account), { class: 'small' });
  place.append(
    place.hasChildNodes() ? '' : el('p', { class: 'account-line' }, 'Account ', el('strong', {}, name(account))),
    accruedPart(session, account) ?? '',
    form,
    totals,
    el(
      'div',
      { class: 'row apart' },
      el('h2', { id: 'payouts' }, 'Payouts'),
      el('span', { class: 'row no-print' }, csv),
    ),
    payouts,
    lateTable(account),
  );
  refresh();
  const why = parameter('why');
  const colon = why.lastIndexOf(':');
  if (colon > 0) explain(why.slice(0, colon), why.slice(colon + 1));
}

startPage(build);
