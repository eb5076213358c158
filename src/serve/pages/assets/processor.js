// What the running processor does: who answers, what is wrong, what closed epochs wait for, and how far each partition is.

import { get } from './api.js';
import { el, name } from './dom.js';
import { counted, duration, grouped, perSecond, withCode } from './format.js';
import { asOf, card, empty, section } from './shell.js';
import { table } from './table.js';

const TONES = { bad: 'bad', warn: 'warn', good: 'good' };

const badge = (text, severity) => el('span', { class: `badge ${TONES[severity] ?? 'plain'}` }, text);

/** The state of a task, as bad as it is. */
const BAD_STATES = ['stopped', 'restarting', 'waiting'];
const stateBadge = (state) =>
  badge(state, BAD_STATES.includes(state) ? 'bad' : state === 'working' ? 'plain' : 'warn');

const count = (number) => (number === null ? '–' : grouped(String(number)));

const WAITS_FOR = {
  answers: 'source partitions to take the cut',
  seal: 'the seal of an earlier epoch',
  subtotals: 'source partitions to pass the cut, and subtotals',
  previews: 'the figures for the gate',
  receipts: 'distributions to be published',
};

const waitsFor = (wait) => {
  if (!wait.waits_for) return 'answers';
  return Object.hasOwn(WAITS_FOR, wait.waits_for) ? WAITS_FOR[wait.waits_for] : wait.waits_for;
};

function problemList(problems) {
  if (!problems.length) return el('p', { class: 'notice good' }, 'Nothing is wrong that the instances know of.');
  return el(
    'ul',
    { class: 'problems' },
    problems.map((problem) =>
      el(
        'li',
        {},
        badge(problem.severity === 'bad' ? 'Mend' : 'Look at', problem.severity),
        el('span', { dir: 'auto' }, withCode(problem.text)),
      ),
    ),
  );
}

const tasksInWords = (tasks) => tasks.map((one) => `${grouped(String(one.count))} ${one.state}`).join(', ');

function cards(answer) {
  const { instances } = answer;
  const ready = instances.filter((one) => one.state === 'ready').length;
  const away = instances.filter((one) => one.state === 'unreachable').length;
  const others = answer.tasks.filter((one) => one.state !== 'working');
  const working = answer.tasks.find((one) => one.state === 'working')?.count ?? 0;
  const isBad = others.some((one) => BAD_STATES.includes(one.state));
  return el(
    'ul',
    { class: 'cards overview' },
    card(
      'Instances ready',
      `${ready} of ${instances.length}`,
      away ? `${counted(away, 'instance')} ${away === 1 ? 'does' : 'do'} not answer.` : 'All of them answer.',
      away ? 'alarm' : ready < instances.length ? 'warned' : '',
    ),
    card(
      'Events per second',
      answer.records_per_second === null ? '–' : perSecond(answer.records_per_second),
      'Source records that are applied, lately.',
    ),
    card(
      'Lag',
      answer.lag_records === null ? '–' : grouped(String(answer.lag_records)),
      answer.partitions_without_lag
        ? `Records that wait, without ${counted(answer.partitions_without_lag, 'partition')} whose task does not work.`
        : 'Records that can be read and are not applied.',
      answer.partitions_without_lag ? 'warned' : '',
    ),
    card(
      'Tasks working',
      grouped(String(working)),
      others.length ? `Others: ${tasksInWords(others)}.` : 'No task is in another state.',
      isBad ? 'alarm' : others.length ? 'warned' : '',
    ),
  );
}

/** A partition that keeps an event waiting, and how far it is. */
function awaitedPartition(one) {
  const far =
    one.cut !== null && one.offset !== null
      ? `: at ${grouped(String(one.offset))} of the cut at ${grouped(String(one.cut))}`
      : '';
  const who = one.instance
    ? [', ', one.state ?? 'state not known', ' at ', name(one.instance)]
    : ', at no instance that answers';
  return el('li', {}, name(one.partition), far, el('span', { class: 'muted' }, who));
}

function awaited(wait) {
  if (!wait.partitions.length) return el('span', { dir: 'auto' }, wait.missing ?? '–');
  const more = wait.partitions_left_out;
  const isLong = wait.partitions.length > 3;
  const list = el('ul', { class: 'plain-list' }, wait.partitions.map(awaitedPartition));
  const rest = more ? el('p', { class: 'muted' }, `And ${counted(more, 'partition')} more.`) : null;
  if (!isLong) return el('div', {}, list, rest);
  return el(
    'details',
    {},
    el('summary', {}, `${counted(wait.partitions.length + more, 'partition')}, first ${wait.partitions[0].partition}`),
    list,
    rest,
  );
}

function waitTable(answer) {
  if (!answer.coordinators.length) {
    return empty(
      'Not known.',
      'The instance with the coordinator does not answer. It tells what closed epochs wait for.',
    );
  }
  if (!answer.waits.length) return empty('No closed epoch waits.', 'Every closed epoch is sealed, held or void.');
  return table(
    'What closed epochs and other control events wait for',
    [
      {
        head: 'Event',
        kind: 'row',
        cell: (wait) => el('span', {}, wait.asset === null ? wait.what : [name(wait.asset), `, epoch ${wait.epoch}`]),
      },
      { head: 'Has waited', cell: (wait) => duration(wait.waits_seconds) },
      { head: 'Waits for', cell: (wait) => el('span', {}, waitsFor(wait)) },
      { head: 'Not passed yet', kind: 'wide', cell: awaited },
    ],
    answer.waits,
    { hideCaption: true },
  );
}

function instanceTable(instances) {
  return table(
    'Instances',
    [
      { head: 'Instance', kind: 'row', cell: (one) => name(one.name) },
      { head: 'State', cell: (one) => badge(one.state, one.state === 'ready' ? 'good' : one.severity) },
      {
        head: 'Tasks, or why it does not answer',
        kind: 'wide',
        cell: (one) =>
          el(
            'span',
            { dir: 'auto' },
            one.unreachable_because ?? (tasksInWords(one.tasks) || 'none'),
            one.unreachable_because
              ? el(
                  'span',
                  { class: 'second-line' },
                  one.answered_seconds_ago === null
                    ? 'It has not answered yet.'
                    : `Last answer ${duration(one.answered_seconds_ago)} ago.`,
                )
              : null,
          ),
      },
      { head: 'Up for', cell: (one) => duration(one.uptime_seconds) },
      { head: 'Version', cell: (one) => el('span', {}, one.version ?? '–') },
      { head: 'Address', cell: (one) => el('span', { class: 'where' }, one.address) },
    ],
    instances,
    { hideCaption: true },
  );
}

/** Records of an input topic; offsets of an inner one. */
const lagOf = (one) => {
  if (one.lag_records !== null) return count(one.lag_records);
  if (one.lag_offsets === null) return '–';
  return el('span', {}, count(one.lag_offsets), el('span', { class: 'muted' }, ' offsets'));
};

function topicTable(topics) {
  return table(
    'Lag by topic',
    [
      { head: 'Topic', kind: 'row', cell: (one) => el('span', {}, one.topic) },
      { head: 'Partitions', kind: 'number', cell: (one) => count(one.partitions) },
      { head: 'Lag', kind: 'number', cell: lagOf },
      { head: 'Per second', kind: 'number', cell: (one) => perSecond(one.records_per_second) },
      { head: 'Worst delay', kind: 'number', cell: (one) => duration(one.delay_seconds) },
    ],
    topics,
    { hideCaption: true },
  );
}

function partitionTable(answer) {
  const { partitions } = answer;
  const bad = partitions.filter((one) => one.severity !== 'plain').length;
  const their = partitions.length === 1 ? 'its partition' : 'their partitions';
  return el(
    'details',
    { class: 'figures' },
    el('summary', {}, `${counted(partitions.length, 'task')} with ${their}, ${bad ? count(bad) : 'none'} to look at`),
    table(
      'Tasks, each with the partition that it follows',
      [
        { head: 'Task', kind: 'row', cell: (one) => el('span', {}, one.task) },
        { head: 'State', cell: (one) => (one.state ? stateBadge(one.state) : '–') },
        { head: 'Lag', kind: 'number', cell: lagOf },
        { head: 'Per second', kind: 'number', cell: (one) => perSecond(one.records_per_second) },
        { head: 'Delay', kind: 'number', cell: (one) => duration(one.delay_seconds) },
        { head: 'To recover', kind: 'number', cell: (one) => count(one.to_recover) },
        { head: 'Instance', cell: (one) => name(one.instance) },
      ],
      partitions,
      { hideCaption: true },
    ),
  );
}

/** Sections for the processor, from its newest answer. */
export async function processorSections() {
  const answer = await get(['processor']);
  const left = answer.left_out;
  return [
    section('Processor', cards(answer), problemList(answer.problems)),
    section('What closed epochs wait for', waitTable(answer)),
    section(
      'Lag by topic and partition',
      answer.topics.length ? topicTable(answer.topics) : empty('Not known.', 'No instance tells a partition.'),
      answer.partitions.length ? partitionTable(answer) : null,
    ),
    section('Instances', instanceTable(answer.instances)),
    left
      ? el('p', { class: 'muted' }, `${counted(left, 'line')}, less bad than these, ${left === 1 ? 'is' : 'are'} left out.`)
      : null,
    el('p', { class: 'muted' }, `${asOf()}, from the instances themselves.`),
  ];
}

/** What the page says if this server asks no processor. */
export function processorNotSetUp() {
  return section(
    'Processor',
    el(
      'p',
      { class: 'muted' },
      'To see what closed epochs wait for, lags and rates here, set ',
      el('code', {}, 'serve.processors'),
      ' and ',
      el('code', {}, 'serve.processors_token_file'),
      ' to the addresses and the token of ',
      el('code', {}, 'softstake run'),
      '.',
    ),
  );
}
