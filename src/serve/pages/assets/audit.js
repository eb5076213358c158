// Audit: results of reconciliations, seals with their roots, and a form that checks a proof in this browser.

import { get, getAll } from './api.js';
import { announce, button, copyButton, el, freshId, name } from './dom.js';
import { amount, counted, grouped, period, time, withCode, withoutMillis } from './format.js';
import { parseProof, verifyProof } from './merkle.js';
import { choice, empty, fillPart, parameter, section, setParameters, startPage } from './shell.js';
import { pagedTable, table } from './table.js';

/** A proof has some 20 hashes. What is much larger is no proof. */
const LARGEST = 256 * 1024;

function sourcesOf(cut) {
  const rows = Object.entries(cut ?? {}).flatMap(([topic, partitions]) =>
    Object.entries(partitions).map(([partition, offset]) => `${topic}:${partition} up to ${grouped(String(offset))}`),
  );
  return rows.length
    ? el(
        'ul',
        {},
        rows.map((row) => el('li', {}, row)),
      )
    : 'none';
}

function sealDetails(seal) {
  const unit = seal.reward_asset;
  const line = (term, ...value) => el('div', {}, el('dt', {}, term), el('dd', {}, ...value));
  const amounts = [
    ['Pool', 'reward_pool'],
    ['Commission', 'commission'],
    ['Carried in', 'carried_in'],
    ['Carried out', 'carried_out'],
    ['Returned', 'returned'],
    ['Rewarded', 'rewarded'],
    ['Made good', 'made_good'],
    ['Adjusted', 'adjusted'],
    ['Withheld before', 'withheld_before'],
    ['Withheld after', 'withheld_after'],
  ];
  return el(
    'details',
    {},
    el('summary', {}, 'Seal'),
    el(
      'dl',
      { class: 'lines' },
      line('Mode', seal.mode),
      seal.apr ? line('Rate a year', amount(seal.apr)) : null,
      amounts.map(([term, field]) => line(term, amount(seal[field], unit))),
      seal.ineligible
        ? line(
            'Not eligible',
            `${seal.ineligible.status} by status, ${seal.ineligible.negative} negative, ${seal.ineligible.below_minimum} below the minimum`,
          )
        : null,
      line('Programme from epoch', String(seal.programme_from_epoch)),
      line('Cut', sourcesOf(seal.cut)),
    ),
  );
}

function sealTable(useRoot) {
  return pagedTable({
    caption: 'Seals, newest first',
    what: 'seals',
    columns: [
      { head: 'Epoch', kind: 'row', cell: (epoch) => String(epoch.epoch) },
      { head: 'Covers', cell: (epoch) => period(epoch.start, epoch.end) },
      {
        head: 'Payouts',
        kind: 'number',
        cell: (epoch) => (epoch.seal ? grouped(String(epoch.seal.distributions)) : '–'),
      },
      {
        head: 'Distributed',
        kind: 'number',
        cell: (epoch) => (epoch.seal ? el('span', {}, amount(epoch.seal.distributed, epoch.seal.reward_asset)) : '–'),
      },
      {
        head: 'Root',
        kind: 'wide',
        cell: (epoch) =>
          epoch.seal
            ? el('div', {}, el('code', { class: 'hash' }, epoch.seal.root), sealDetails(epoch.seal))
            : el('span', { class: 'badge plain' }, epoch.state),
      },
      {
        head: 'Actions',
        kind: 'action',
        cell: (epoch) =>
          epoch.seal
            ? el(
                'span',
                { class: 'row' },
                copyButton(epoch.seal.root, `the root of epoch ${epoch.epoch}`),
                button('Use root', () => useRoot(epoch.seal.root), {
                  class: 'small',
                  'aria-label': `Use root of epoch ${epoch.epoch} to check a proof`,
                }),
              )
            : '',
      },
    ],
    question: () => [['assets', parameter('asset'), 'epochs'], {}],
    limit: 25,
    nothing: () => empty('No epoch yet.'),
  });
}

function seals(useRoot) {
  const part = el('div', { class: 'part' });
  fillPart(part, 'assets', async () => {
    const assets = (await getAll(['assets'])).map((asset) => asset.asset);
    if (!assets.length) return empty('No asset is listed yet.');
    if (!parameter('asset')) setParameters({ asset: assets[0] });
    const list = sealTable(useRoot);
    list.reload();
    return [
      el(
        'div',
        { class: 'filters' },
        choice(
          'Asset',
          [...new Set([...assets, parameter('asset')])].sort().map((asset) => [asset, asset]),
          parameter('asset'),
          (value) => {
            setParameters({ asset: value });
            list.reload();
          },
        ),
      ),
      list,
    ];
  });
  return section(
    'Seals',
    el(
      'p',
      { class: 'muted' },
      'A seal is the record that an epoch is settled. Its root covers each payout of the epoch.',
    ),
    part,
  );
}

/** The root of the seal that a proof is for, from this server. */
async function rootFromSeal(text) {
  let proof;
  try {
    proof = parseProof(text);
  } catch (error) {
    return [null, error.message];
  }
  if (typeof proof?.asset !== 'string' || proof.epoch === undefined)
    return [null, 'The file does not name an asset and an epoch.'];
  try {
    const epoch = await get(['assets', proof.asset, 'epochs', String(proof.epoch)]);
    return epoch.seal ? [epoch.seal.root, null] : [null, `Epoch ${proof.epoch} is not sealed.`];
  } catch (error) {
    return [null, `The seal was not found. ${error.message}`];
  }
}

function showOutcome(place, outcome, fromServer) {
  if (!outcome.holds) {
    place.className = 'notice bad';
    place.replaceChildren(
      el('p', {}, el('strong', {}, 'It proves nothing. '), el('span', { dir: 'auto' }, outcome.reason)),
    );
    return;
  }
  const { proof } = outcome;
  place.className = 'notice good';
  place.replaceChildren(
    el(
      'p',
      {},
      el('strong', {}, 'Proven. '),
      name(proof.account),
      ' was paid ',
      amount(proof.amount),
      ` for epoch ${proof.epoch} of `,
      name(proof.asset),
      '.',
    ),
    el(
      'p',
      {},
      fromServer
        ? 'The root came from the seal on this server. Compare it with the root that the exchange publishes elsewhere.'
        : 'The root is the one that you gave.',
    ),
  );
}

function proofForm() {
  const fileId = freshId('file');
  const rootId = freshId('root');
  const help = freshId('help');
  const outcome = el('div', { role: 'status', class: '' });
  const file = el('input', { id: fileId, type: 'file', accept: '.json,application/json', required: true });
  const root = el('input', {
    id: rootId,
    type: 'text',
    class: 'mono',
    autocomplete: 'off',
    spellcheck: 'false',
    autocapitalize: 'off',
    maxlength: 100,
    'aria-describedby': help,
  });
  const fail = (reason) => showOutcome(outcome, { holds: false, reason });
  const check = async () => {
    outcome.className = '';
    outcome.replaceChildren('Checking …');
    const chosen = file.files[0];
    if (!chosen) return fail('Choose the file that softstake prove wrote, or that the history page gave.');
    if (chosen.size > LARGEST) return fail('The file is too large to be a proof.');
    if (!globalThis.crypto?.subtle)
      return fail(
        'This browser checks hashes only on pages that came over HTTPS or from this machine. Use softstake verify.',
      );
    const text = await chosen.text();
    let wanted = root.value.trim();
    const fromServer = !wanted;
    if (fromServer) {
      const [found, reason] = await rootFromSeal(text);
      if (!found) return fail(reason);
      wanted = found;
    }
    return showOutcome(outcome, await verifyProof(text, wanted), fromServer);
  };
  const form = el(
    'form',
    {
      class: 'panel proof-form',
      novalidate: true,
      onsubmit: (event) => {
        event.preventDefault();
        check().catch((error) => fail(error.message));
      },
    },
    el('div', { class: 'field' }, el('label', { for: fileId }, 'Proof file'), file),
    el(
      'div',
      { class: 'field' },
      el('label', { for: rootId }, 'Root of the seal'),
      root,
      el(
        'span',
        { id: help, class: 'muted' },
        'Only the root must be trusted. Take it from where the exchange publishes it. If this is empty, the seal on this server is used.',
      ),
    ),
    el('button', { type: 'submit', class: 'primary' }, 'Check the proof'),
    outcome,
  );
  return {
    node: section('Check a proof', form),
    useRoot: (text) => {
      root.value = text;
      root.focus();
      root.scrollIntoView({ block: 'center' });
      announce('The root is in the form. Choose the proof file.');
    },
  };
}

/** What was compared, in words. */
const KINDS = {
  records: 'Published records, computed again from the log',
  payouts: 'Credits of the payout service',
  balances: 'Balances of another ledger',
};

/** A badge that tells whether a result agrees. */
function agreement(result) {
  if (result.agrees) return el('span', { class: 'badge good' }, 'agrees');
  const count = result.disagreements;
  return count
    ? el('span', { class: 'badge bad' }, counted(count, 'difference'))
    : el('span', { class: 'badge warn' }, 'not complete');
}

function scopeOf(result) {
  const parts = [
    result.with ? `with ${result.with}` : '',
    result.asset ? `asset ${result.asset}` : '',
    result.epoch === null ? '' : `epoch ${result.epoch}`,
  ];
  return parts.filter(Boolean).join(', ');
}

function disagreements(result) {
  const first = result.first_disagreements;
  if (!first.length) return null;
  const more = result.disagreements - first.length;
  return el(
    'details',
    {},
    el('summary', {}, 'First differences'),
    el(
      'ul',
      {},
      first.map((one) =>
        el(
          'li',
          {},
          el('strong', {}, one.kind.replaceAll('_', ' ')),
          ' ',
          name(one.of),
          one.detail ? el('span', { class: 'second-line', dir: 'auto' }, one.detail) : null,
        ),
      ),
    ),
    more > 0 ? el('p', { class: 'muted' }, `and ${grouped(String(more))} more, in the file.`) : null,
  );
}

function resultTable(items) {
  return table(
    'Results of reconciliations, newest first',
    [
      { head: 'Made', kind: 'row', cell: (result) => time(withoutMillis(result.made_at)) },
      {
        head: 'Compared',
        cell: (result) => {
          const scope = scopeOf(result);
          return el(
            'span',
            {},
            KINDS[result.kind] ?? result.kind,
            scope ? el('span', { class: 'second-line', dir: 'auto' }, scope) : null,
          );
        },
      },
      { head: 'Result', cell: agreement },
      {
        head: 'Verdict',
        kind: 'wide',
        cell: (result) => el('div', {}, el('span', { dir: 'auto' }, result.verdict), disagreements(result)),
      },
    ],
    items,
    { hideCaption: true },
  );
}

async function results() {
  const found = await get(['reconciliations']);
  if (!found.is_set) {
    return el(
      'p',
      { class: 'muted' },
      'No results are shown: set serve.reconcile_results to the folder in which a scheduled job puts them.',
    );
  }
  return [
    found.unreadable.length
      ? el(
          'div',
          { class: 'notice warn' },
          el('p', {}, `${counted(found.unreadable.length, 'file')} of the folder cannot be shown:`),
          el(
            'ul',
            {},
            found.unreadable.map((one) =>
              el('li', { dir: 'auto' }, one.file ? [name(one.file), ': '] : null, withCode(one.reason)),
            ),
          ),
        )
      : null,
    found.items.length
      ? resultTable(found.items)
      : empty('No result yet.', 'A result appears when the scheduled job has run.'),
    found.left_out ? el('p', { class: 'muted' }, `${counted(found.left_out, 'older file')} not shown.`) : null,
  ];
}

/** Results of the commands below, for those who may see them. */
function reconciliations(session) {
  if (!session.roles.some((role) => ['finance', 'auditor'].includes(role))) return null;
  const part = el('div', { class: 'part' });
  fillPart(part, 'results', results);
  return section(
    'Reconciliations',
    el('p', { class: 'muted' }, 'Whether what was published follows from the log, and agrees with other books.'),
    part,
  );
}

function commands() {
  const lines = [
    ['Compute all payouts again from the log, and compare', 'softstake reconcile --bus dir:ARCHIVE --html report.html'],
    ['Check a proof without this server', 'softstake verify proof.json --root ROOT'],
    ['Explain one payout from the log', 'softstake explain ASSET EPOCH ACCOUNT --bus dir:ARCHIVE'],
  ];
  return section(
    'Check everything',
    el(
      'p',
      { class: 'muted' },
      'This server shows what was published. Whether it follows from the log, these commands tell:',
    ),
    el(
      'ul',
      { class: 'cards' },
      lines.map(([what, text]) =>
        el(
          'li',
          { class: 'card wide' },
          el('div', { class: 'row apart' }, el('span', {}, what), copyButton(text, 'the command')),
          el('pre', {}, el('code', {}, text)),
        ),
      ),
    ),
  );
}

function build(session, place) {
  const form = proofForm();
  place.append(...[reconciliations(session), form.node, seals(form.useRoot), commands()].filter(Boolean));
}

startPage(build);
