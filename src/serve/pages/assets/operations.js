// Operations: epochs under way and what they wait for, held epochs, dead letters, late postings, and how far the view is.

import { get, getAll } from './api.js';
import { copyButton, el, name } from './dom.js';
import { amount, counted, grouped, period, time, withCode } from './format.js';
import { asOf, card, choice, empty, fillPart, parameter, section, setParameters, startPage } from './shell.js';
import { processorNotSetUp, processorSections } from './processor.js';
import { pagedTable, table } from './table.js';

/** The epochs are asked for again so often, as long as the page is seen: less often if there are many assets. */
const EVERY_SECONDS = 15;
const ASSETS_AT_ONCE = 20;
const PROCESSOR_EVERY_SECONDS = 5;
let everySeconds = EVERY_SECONDS;
/** So many of an asset's newest epochs are looked at. What waits is among them. */
const NEWEST = 12;

const WAITS = {
  open: 'Waits for its end and for a close.',
  closing: 'Waits until every partition has passed its cut and every account is settled.',
  held: 'Waits for a decision: release or void.',
  void: 'Nothing of it is published. Waits for a new close.',
};

const BADGES = { open: 'plain', closing: 'warn', held: 'bad', void: 'bad', sealed: 'good' };

const badge = (state) => el('span', { class: `badge ${BADGES[state] ?? 'plain'}` }, state);

/** A word for a POSIX shell. */
export function shellWord(text) {
  return /^[A-Za-z0-9_./:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
}

function command(verb, held) {
  const asset = shellWord(held.asset);
  // After `--`, a name that begins with a hyphen is no option.
  const names = held.asset.startsWith('-') ? `-- ${asset} ${held.epoch}` : `${asset} ${held.epoch}`;
  return `softstake control ${verb} --by 'YOUR NAME' --reason 'WHY' ${names}`;
}

const LIMITS = {
  always: 'Its programme holds each epoch for a decision.',
  max_payout: 'The largest payout is above the limit.',
  max_total: 'The sum of the payouts is above the limit.',
  max_change: 'The rewards changed more than the limit against the epoch before.',
};

function line(term, ...value) {
  return el('div', {}, el('dt', {}, term), el('dd', {}, ...value));
}

function heldCard(held) {
  const unit = held.reward_asset ?? held.asset;
  const commands = ['release', 'void'].map((verb) => {
    const text = command(verb, held);
    return [
      el(
        'div',
        { class: 'row apart' },
        el(
          'span',
          {},
          verb === 'release'
            ? 'Release: its distributions are published and paid. This cannot be taken back.'
            : 'Void: nothing of it is published. It can be closed again.',
        ),
        copyButton(text, `the command to ${verb}`),
      ),
      el('pre', {}, el('code', {}, text)),
    ];
  });
  return el(
    'li',
    { class: 'card alarm wide' },
    el('h3', {}, name(held.asset), `, epoch ${held.epoch}`),
    el('p', {}, period(held.start, held.end), '. ', LIMITS[held.limit] ?? '', ' Limit: ', el('code', {}, held.limit)),
    el(
      'dl',
      { class: 'lines' },
      line('It would pay in all', amount(held.total, unit)),
      line('At most to one account', amount(held.largest, unit)),
      line(
        'Change against the epoch before',
        held.change === null || held.change === undefined
          ? 'there is no epoch before to compare with'
          : ['a factor of ', amount(held.change)],
      ),
    ),
    commands,
    el(
      'p',
      { class: 'note' },
      'Add ',
      el('code', {}, '--config FILE'),
      ' or ',
      el('code', {}, '--bus'),
      ' as your deployment has it. The command shows these figures again, and asks before it writes.',
    ),
  );
}

/** Epochs under way, with the newest sealed one of each asset. */
async function epochsUnderWay() {
  const assets = await getAll(['assets']);
  everySeconds = EVERY_SECONDS * Math.max(1, Math.ceil(assets.length / ASSETS_AT_ONCE));
  const perAsset = [];
  // A few at a time: an exchange may list many.
  for (let at = 0; at < assets.length; at += 4) {
    perAsset.push(
      ...(await Promise.all(
        assets.slice(at, at + 4).map(async (asset) => {
          const epochs = (await get(['assets', asset.asset, 'epochs'], { limit: NEWEST })).items;
          return {
            asset,
            under: epochs.filter((epoch) => epoch.state !== 'sealed').reverse(),
            sealed: epochs.find((epoch) => epoch.state === 'sealed'),
          };
        }),
      )),
    );
  }
  return perAsset;
}

function waitsFor(epoch, under) {
  if (epoch.waits_for) return epoch.waits_for;
  const before = under.find((other) => other.epoch < epoch.epoch && (other.state === 'held' || other.state === 'void'));
  if (before && epoch.state === 'closing') return `Waits for epoch ${before.epoch}, which is ${before.state}.`;
  return WAITS[epoch.state] ?? '';
}

function epochTable(perAsset) {
  const rows = perAsset.flatMap(({ asset, under, sealed }) =>
    under.map((epoch, at) => ({ asset, epoch, under, sealed: at === 0 ? sealed : null })),
  );
  if (!rows.length) return empty('No asset is listed yet.', 'List one with softstake control list.');
  return table(
    'Epochs under way',
    [
      { head: 'Asset', kind: 'row', cell: (row) => name(row.asset.asset) },
      { head: 'Epoch', kind: 'number', cell: (row) => String(row.epoch.epoch) },
      { head: 'Covers', cell: (row) => period(row.epoch.start, row.epoch.end) },
      { head: 'State', cell: (row) => badge(row.epoch.state) },
      { head: 'Waits for', kind: 'wide', cell: (row) => el('span', {}, waitsFor(row.epoch, row.under)) },
      {
        head: 'Newest sealed',
        cell: (row) =>
          row.sealed ? el('span', {}, `epoch ${row.sealed.epoch}, `, period(row.sealed.start, row.sealed.end)) : '–',
      },
    ],
    rows,
    { hideCaption: true },
  );
}

function sum(items) {
  return String(items.reduce((total, item) => total + BigInt(item.count), 0n));
}

/** A figure that this role may not see is left out. */
async function orNone(asked) {
  try {
    return await asked;
  } catch (error) {
    if (error.status === 403) return null;
    throw error;
  }
}

async function overview() {
  const [sync, held, letters, late, perAsset] = await Promise.all([
    get(['sync']),
    orNone(get(['held']).then((answer) => answer.items)),
    orNone(get(['dead-letters', 'counts'])),
    orNone(get(['late-postings', 'counts'])),
    epochsUnderWay(),
  ]);
  const closing = perAsset.flatMap((one) => one.under).filter((epoch) => epoch.state === 'closing').length;
  const behind = String(sync.behind_records);
  const cards = [
    card(
      'This view',
      sync.caught_up ? 'Up to date' : `${grouped(behind)} behind`,
      sync.caught_up ? 'It has all that is published.' : 'Records that are published and not shown yet.',
      sync.caught_up ? '' : 'warned',
    ),
    held &&
      card(
        'Held epochs',
        grouped(String(held.length)),
        held.length ? 'They wait for a decision.' : 'Nothing waits for a decision.',
        held.length ? 'alarm' : '',
      ),
    card(
      'Epochs closing',
      grouped(String(closing)),
      closing ? 'Closed, and not sealed yet.' : 'Every closed epoch is sealed, held or void.',
      '',
    ),
    letters &&
      card('Dead letters', grouped(sum(letters.items)), 'Records that were rejected, since the beginning.', ''),
    late && card('Late postings', grouped(sum(late.items)), 'Postings that came after their epoch was closed.', ''),
  ];
  return [
    el('h2', { class: 'hidden-text' }, 'Overview'),
    el('ul', { class: 'cards overview' }, cards),
    sync.unreadable_records
      ? el(
          'p',
          { class: 'notice warn' },
          `${counted(sync.unreadable_records, 'record')} of the published topics cannot be read, because no Softstake wrote them. They are left out.`,
        )
      : null,
    held?.length ? section('Held epochs', el('ul', { class: 'cards' }, held.map(heldCard))) : null,
    section('Epochs under way', epochTable(perAsset)),
    section(
      'How far the view is',
      el(
        'details',
        { class: 'figures' },
        el(
          'summary',
          {},
          `${counted(sync.partitions.length, 'partition')}, ${sync.caught_up ? 'all read to their ends' : 'not all read to their ends'}`,
        ),
        table(
          'Partitions that the view reads',
          [
            { head: 'Topic', kind: 'row', cell: (row) => row.topic },
            { head: 'Partition', kind: 'number', cell: (row) => String(row.partition) },
            { head: 'Read up to', kind: 'number', cell: (row) => grouped(String(row.offset)) },
            { head: 'End', kind: 'number', cell: (row) => grouped(String(row.end)) },
          ],
          sync.partitions,
          { hideCaption: true },
        ),
      ),
    ),
    el('p', { class: 'muted' }, `${asOf()}. Asked again every ${everySeconds} seconds.`),
  ];
}

function record(letter) {
  const text = letter.payload ?? letter.payload_base64 ?? '';
  const note =
    letter.payload === null || letter.payload === undefined ? 'The record is not text. This is its Base64.' : '';
  return el(
    'details',
    {},
    el('summary', {}, 'Record'),
    note ? el('p', { class: 'muted' }, note) : null,
    el('pre', { dir: 'auto', tabindex: 0 }, el('code', {}, text)),
    letter.payload_cut ? el('p', { class: 'muted' }, 'It is longer. The rest is in the dead letter on the bus.') : null,
  );
}

function countTable(items) {
  if (!items.length) return empty('No dead letter.', 'Every record could be applied.');
  return table(
    'Dead letters by topic and code',
    [
      { head: 'Topic', kind: 'row', cell: (row) => row.topic },
      { head: 'Code', cell: (row) => el('code', {}, row.code) },
      { head: 'Count', kind: 'number', cell: (row) => grouped(String(row.count)) },
    ],
    items,
    { hideCaption: true },
  );
}

function deadLetters(mayRead) {
  const filters = el('div', { class: 'filters' });
  const list = pagedTable({
    caption: 'Dead letters, newest first',
    what: 'dead letters',
    columns: [
      { head: 'Code', kind: 'row', cell: (letter) => el('code', {}, letter.code) },
      { head: 'Time of the event', cell: (letter) => time(letter.time) },
      {
        head: 'Where',
        cell: (letter) => el('span', { class: 'where' }, `${letter.topic}:${letter.partition}:${letter.offset}`),
      },
      {
        head: 'Reason and record',
        kind: 'wide',
        cell: (letter) => el('div', {}, el('span', { class: 'reason', dir: 'auto' }, withCode(letter.reason)), record(letter)),
      },
    ],
    limit: 20,
    question: () => [['dead-letters'], { code: parameter('code'), topic: parameter('topic') }],
    nothing: () => empty('No dead letter.', 'Every record could be applied.'),
  });
  const load = async () => {
    const { items } = await get(['dead-letters', 'counts']);
    const options = (key, all) => {
      const names = [
        ...new Set([...items.map((item) => item[key]), ...(parameter(key) ? [parameter(key)] : [])]),
      ].sort();
      return [
        ['', all],
        ...names.map((one) => [one, `${one} (${grouped(sum(items.filter((item) => item[key] === one)))})`]),
      ];
    };
    filters.replaceChildren(
      ...['code', 'topic'].map((key) =>
        choice(
          key === 'code' ? 'Code' : 'Topic',
          options(key, key === 'code' ? 'All codes' : 'All topics'),
          parameter(key),
          (value) => {
            setParameters({ [key]: value });
            list.reload();
          },
        ),
      ),
    );
    if (!mayRead)
      return [countTable(items), el('p', { class: 'muted' }, 'The records are for the roles operator and auditor.')];
    list.reload();
    return [
      filters,
      list,
      el(
        'p',
        { class: 'muted' },
        'To correct them: ',
        el('code', {}, 'softstake redrive export'),
        ', then ',
        el('code', {}, 'softstake redrive apply'),
        '.',
      ),
    ];
  };
  const part = el('div', { class: 'part' });
  fillPart(part, 'dead letters', load);
  return section('Dead letters', part);
}

function latePostings() {
  const list = pagedTable({
    caption: 'Late postings, newest first',
    what: 'late postings',
    columns: [
      { head: 'Account', kind: 'row', cell: (late) => name(late.account) },
      { head: 'Change', kind: 'number', cell: (late) => el('span', {}, amount(late.delta, late.asset)) },
      { head: 'Happened', cell: (late) => time(late.event_time) },
      { head: 'Missed epoch', kind: 'number', cell: (late) => String(late.missed_epoch) },
      { head: 'Applied in epoch', kind: 'number', cell: (late) => String(late.applied_epoch) },
      { head: 'Policy', cell: (late) => late.policy },
      {
        head: 'Event',
        kind: 'wide',
        cell: (late) =>
          el(
            'span',
            { class: 'where' },
            el('bdi', {}, late.event_id),
            el('bdi', { class: 'second-line' }, late.event_source),
          ),
      },
    ],
    limit: 20,
    question: () => [['late-postings'], { asset: parameter('late') }],
    nothing: () => empty('No late posting.'),
  });
  const part = el('div', { class: 'part' });
  fillPart(part, 'late postings', async () => {
    const { items } = await get(['late-postings', 'counts']);
    const assets = [
      ...new Set([...items.map((item) => item.asset), ...(parameter('late') ? [parameter('late')] : [])]),
    ].sort();
    list.reload();
    return [
      el(
        'div',
        { class: 'filters' },
        choice(
          'Asset',
          [
            ['', 'All assets'],
            ...assets.map((asset) => [
              asset,
              `${asset} (${grouped(sum(items.filter((item) => item.asset === asset)))})`,
            ]),
          ],
          parameter('late'),
          (value) => {
            setParameters({ late: value });
            list.reload();
          },
        ),
      ),
      list,
    ];
  });
  return section('Late postings', part);
}

/** Asks again, as long as the part is on the page. What somebody is reading or has opened is not taken away. */
function askAgain(part, refresh, seconds) {
  const again = async () => {
    if (!part.isConnected) return;
    const isUsed =
      part.contains(document.activeElement) ||
      part.querySelector('details[open]') ||
      getSelection()?.containsNode(part, true);
    if (!document.hidden && !isUsed) await refresh();
    setTimeout(again, seconds() * 1_000);
  };
  setTimeout(again, seconds() * 1_000);
}

function build(session, place) {
  const may = (...roles) => session.roles.some((role) => roles.includes(role));
  const top = el('div', { class: 'part' });
  const refresh = () => fillPart(top, 'the epochs', overview);
  place.append(top);
  if (may('operator', 'auditor')) {
    const processor = el('div', { class: 'part processor' });
    place.append(processor);
    if (session.has_processor) {
      const ask = () => fillPart(processor, 'what the processor does', processorSections);
      ask();
      askAgain(processor, ask, () => PROCESSOR_EVERY_SECONDS);
    } else processor.append(processorNotSetUp());
  }
  place.append(deadLetters(may('operator', 'auditor')));
  if (may('operator', 'finance', 'auditor')) place.append(latePostings());
  refresh();
  askAgain(top, refresh, () => everySeconds);
}

startPage(build);
