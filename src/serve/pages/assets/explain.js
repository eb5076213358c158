// "Why this amount?": the sentences and the steps from the balance to the payout, the proof, and its check.

import { get, getText } from './api.js';
import { announce, button, el, fileNamePart, freshId, name, saveFile } from './dom.js';
import { amount, period, withNumbers } from './format.js';
import { verifyProof } from './merkle.js';
import { fillPart } from './shell.js';

const proofParts = (account, asset, epoch) => ['accounts', account, 'distributions', asset, epoch, 'proof'];

/** Saves the file that `softstake verify` accepts. */
export async function saveProof(control, account, asset, epoch) {
  control.disabled = true;
  control.parentElement.querySelector('.field-fault')?.remove();
  try {
    const text = await getText(proofParts(account, asset, epoch), {}, 'application/json');
    saveFile(`proof-${[asset, String(epoch), account].map(fileNamePart).join('-')}.json`, 'application/json', text);
    announce('The proof is saved.');
  } catch (error) {
    control.after(el('span', { class: 'field-fault', role: 'alert' }, `No proof was saved. ${error.message}`));
  } finally {
    control.disabled = false;
  }
}

async function checkHere(place, account, asset, epoch, root) {
  const text = await getText(proofParts(account, asset, epoch), {}, 'application/json');
  const outcome = await verifyProof(text, root);
  place.className = `notice ${outcome.holds ? 'good' : 'bad'}`;
  place.replaceChildren(
    outcome.holds
      ? el(
          'p',
          {},
          el('strong', {}, 'Proven. '),
          'This browser computed the root from the payout. It is the root of the seal.',
        )
      : el('p', {}, el('strong', {}, 'It proves nothing. '), outcome.reason),
  );
}

/** The steps of the API, in words. */
const STEP_WORDS = {
  balance_seconds: 'Balance times time',
  average_balance: 'Average balance',
  counted_balance: 'What of it counts',
  tier: 'Of it, in this tier',
  rate: 'Rate a year',
  reward_rate: 'Price',
  pool: 'All rewards of the period',
  commission: 'Kept by the exchange',
  to_share: 'Shared by all',
  share: 'Your share',
  rewarded: 'Earned',
  made_good: 'Made good for earlier periods',
  adjusted: 'Adjusted',
  withheld_before: 'Kept from earlier periods',
  due: 'Due',
  waits: 'Kept for later',
  paid: 'Paid',
};

/** A step that this page does not know yet has its own name. */
const stepWords = (name) => (Object.hasOwn(STEP_WORDS, name) ? STEP_WORDS[name] : name.replaceAll('_', ' '));

function steps(explanation) {
  return el(
    'ol',
    { class: 'steps' },
    explanation.steps.map((step) =>
      el(
        'li',
        {},
        el('span', {}, stepWords(step.name)),
        el('span', { class: 'value' }, amount(step.value, step.unit)),
        step.why ? el('span', { class: 'why' }, withNumbers(step.why)) : null,
      ),
    ),
  );
}

async function bodyOf(account, asset, epoch) {
  const parts = ['accounts', account, 'distributions', asset, epoch];
  const [paid, explanation] = await Promise.all([get(parts), get([...parts, 'explanation'])]);
  const outcome = el('div', { role: 'status' });
  const root = paid.seal?.root;
  const checkButton = root
    ? button('Check the proof here', async () => {
        checkButton.disabled = true;
        try {
          await checkHere(outcome, account, asset, epoch, root);
        } catch (error) {
          outcome.className = 'notice bad';
          outcome.replaceChildren(el('p', {}, error.message));
        }
        checkButton.disabled = false;
      })
    : null;
  return [
    el(
      'p',
      { class: 'muted' },
      name(account),
      ', for ',
      period(paid.epoch_start, paid.epoch_end),
      `, epoch ${paid.epoch}`,
    ),
    el('p', { class: 'paid' }, amount(paid.amount, paid.reward_asset)),
    el(
      'ul',
      { class: 'sentences' },
      explanation.sentences.map((sentence) => el('li', { dir: 'auto' }, withNumbers(sentence))),
    ),
    el('h3', {}, 'Step by step'),
    steps(explanation),
    root ? el('p', { class: 'muted' }, 'Root of the seal: ', el('code', { class: 'hash' }, root)) : null,
    el(
      'div',
      { class: 'row no-print' },
      button('Download the proof', (event) => saveProof(event.currentTarget, account, asset, epoch)),
      checkButton,
      button('Print', () => window.print()),
    ),
    outcome,
  ];
}

/** Opens the explanation. `closed` is called when it is closed again. */
export function openExplanation(account, asset, epoch, closed) {
  const id = freshId('why');
  const body = el('div', { class: 'dialog-body' });
  const dialog = el(
    'dialog',
    { 'aria-labelledby': id, class: 'explanation' },
    el(
      'div',
      { class: 'dialog-head' },
      el('h2', { id }, 'Why this amount of ', name(asset), '?'),
      button('Close', () => dialog.close(), { class: 'small' }),
    ),
    body,
  );
  dialog.addEventListener('close', () => {
    dialog.remove();
    closed();
  });
  dialog.addEventListener('click', (event) => {
    if (event.target === dialog) dialog.close();
  });
  document.body.append(dialog);
  dialog.showModal();
  fillPart(body, 'the explanation', () => bodyOf(account, asset, epoch));
}
