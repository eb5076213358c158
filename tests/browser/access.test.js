// Who sees what, and what a page says when it fails.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  ACCOUNT,
  CUSTOMER,
  DESKTOP,
  GUARDED,
  OPERATOR,
  PHONE,
  api,
  assertAccessible,
  assertFits,
  historyOf,
  open,
  settled,
  startBrowser,
  stopBrowser,
  withPage,
} from './setup.js';

before(startBrowser);
after(stopBrowser);

const REFUSED = /status of 4\d\d/;
const guarded = (work, token, expected = REFUSED) => withPage(work, { base: GUARDED, token, expected });
const kept = (page) => page.evaluate(() => sessionStorage.getItem('softstake.token'));

test('without a token there is a form, and no data', () =>
  guarded(async (page) => {
    await open(page, historyOf(ACCOUNT));
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.equal(await page.locator('table').count(), 0);
    assert.equal(await page.getByRole('alert').count(), 0);
  }));

test('a wrong token is refused, and not kept; the right one opens the own history', () =>
  guarded(async (page) => {
    await open(page, '/history');
    for (const wrong of ['wrong', `${CUSTOMER.slice(0, -6)}AAAAAA`, 'no token at all', 'é']) {
      await page.getByLabel('Token').fill(wrong);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('alert').waitFor();
      await settled(page);
      assert.equal(await kept(page), null);
    }
    await page.getByLabel('Token').fill(CUSTOMER);
    await page.keyboard.press('Enter');
    await page.locator('.payouts tbody tr').first().waitFor();
    await settled(page);
    const paid = await api(`accounts/${encodeURIComponent(ACCOUNT)}/distributions?limit=30`, {
      base: GUARDED,
      token: CUSTOMER,
    });
    assert.equal(await page.locator('.payouts tbody tr').count(), paid.items.length);
    assert.ok(!page.url().includes(CUSTOMER), 'the token is in the address');
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    assert.equal(await kept(page), null);
  }));

test('a customer has links to what a customer may see', () =>
  guarded(async (page) => {
    await open(page, '/history');
    const links = await page.locator('nav[aria-label="Pages"] a:visible').allTextContents();
    assert.deepEqual(links, ['History', 'Audit']);
    assert.equal(await page.getByLabel('Account', { exact: true }).count(), 0, 'a customer chooses no account');
  }, CUSTOMER));

test("somebody else's account stays closed to a customer", () =>
  guarded(async (page) => {
    await open(page, historyOf(`${ACCOUNT}-other`));
    await page.getByRole('alert').first().waitFor();
    assert.equal(await page.locator('table').count(), 0);
    assert.equal(await page.locator('.card').count(), 0);
  }, CUSTOMER));

test('a customer sees no page of the exchange', () =>
  guarded(async (page) => {
    for (const address of ['/treasury', '/finance']) {
      await open(page, address);
      await page.getByRole('alert').first().waitFor();
      assert.equal(await page.locator('table, article').count(), 0, address);
    }
    await open(page, '/operations');
    await page.getByRole('alert').first().waitFor();
    assert.equal(await page.getByText('softstake control release').count(), 0);
  }, CUSTOMER));

test('an operator sees operations, and no history', () =>
  guarded(async (page) => {
    await open(page, '/operations');
    await page.getByRole('heading', { name: 'Epochs under way' }).waitFor();
    assert.ok((await page.locator('.table-place[aria-label="Epochs under way"] tbody tr').count()) > 0);
    // This server asks no processor.
    await page.locator('.processor').getByText('set serve.processors').waitFor();
    assert.equal(await page.locator('.processor').getByRole('alert').count(), 0);
    await open(page, historyOf(ACCOUNT));
    await page.getByRole('alert').first().waitFor();
    assert.equal(await page.locator('.payouts table').count(), 0);
  }, OPERATOR));

test('a token that runs out while the page is open brings the form back', () =>
  guarded(async (page) => {
    await open(page, '/history');
    await page.evaluate(() => sessionStorage.setItem('softstake.token', 'run.out'));
    await page.getByRole('button', { name: 'All', exact: true }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
  }, CUSTOMER));

/** Answers in place of the server, for what the server cannot be made to say at will. */
async function answer(page, pattern, status, body, headers = {}) {
  await page.route(pattern, (route) =>
    route.fulfill({
      status,
      headers: { 'content-type': 'application/problem+json', ...headers },
      body: JSON.stringify(body),
    }),
  );
}

test('too many questions, a server that is not ready, and no network: a sentence and a way on', () =>
  withPage(
    async (page) => {
      const list = /\/distributions\?/;
      for (const [status, headers, words] of [
        [429, { 'retry-after': '7' }, 'Try again in 7 seconds.'],
        [503, {}, 'Wait a moment, and try again.'],
        [500, {}, 'status 500'],
      ]) {
        await answer(page, list, status, {}, headers);
        await open(page, historyOf(ACCOUNT));
        await page.getByRole('alert').filter({ hasText: words }).waitFor();
        await page.unroute(list);
        await page.getByRole('button', { name: 'Try again' }).click();
        await page.locator('.payouts tbody tr').first().waitFor();
      }
      await page.route(/\/v1\//, (route) => route.abort());
      await page.goto(historyOf(ACCOUNT));
      await page.getByText('The server cannot be reached').waitFor();
      await page.unroute(/\/v1\//);
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.locator('.payouts tbody tr').first().waitFor();
    },
    { expected: /status of \d\d\d|ERR_FAILED/ },
  ));

test('history: an estimate that is not there now is a quiet sentence, and without a processor there is none', async () => {
  await withPage(
    async (page) => {
      await answer(page, /\/accrued$/, 503, { title: 'Not available now', status: 503 }, { 'retry-after': '10' });
      await open(page, historyOf(ACCOUNT));
      await page.getByText('cannot be estimated now').waitFor();
      assert.equal(await page.getByRole('alert').count(), 0);
      assert.ok((await page.locator('.payouts tbody tr').count()) > 0);
    },
    { expected: /status of 503/ },
  );
  await withPage(
    async (page) => {
      await open(page, '/history');
      assert.equal(await page.locator('.accrued').count(), 0);
      assert.equal(await page.getByRole('alert').count(), 0);
    },
    { base: GUARDED, token: CUSTOMER },
  );
});

/** A bad night: an instance is away, a task is in trouble, and closes wait. */
function night() {
  const wait = (asset, waits_for, partitions, more = {}) => ({
    event: 'close',
    asset,
    epoch: 7,
    what: null,
    waits_for,
    missing: `what ${waits_for} says`,
    waits_seconds: 3_725,
    partitions,
    partitions_left_out: 0,
    ...more,
  });
  const at = (number, offset, cut) => ({
    partition: `exchange.deposits:${number}`,
    offset,
    cut,
    state: offset === null ? null : 'working',
    instance: offset === null ? null : 'softstake-1',
  });
  const instance = (more) => ({
    address: '10.0.0.7:9464 (softstake)',
    answered_seconds_ago: 0.4,
    tasks: [],
    unreachable_because: null,
    uptime_seconds: 90_000,
    version: '0.1.0 rules 2',
    ...more,
  });
  return {
    problems: [
      { severity: 'bad', text: 'softstake-0 does not answer (last answer 2m 3s ago): <b>Connection refused</b>' },
      { severity: 'warn', text: 'epoch 7 of ATOM has waited 1h 2m: the subtotals of the ledger partitions 0 missing' },
    ],
    instances: [
      instance({ name: 'softstake-0', state: 'unreachable', severity: 'bad', unreachable_because: 'no answer within 5s' }),
      instance({
        name: 'x'.repeat(80),
        state: 'in trouble',
        severity: 'bad',
        tasks: [
          { state: 'restarting', count: 1 },
          { state: 'working', count: 1_200 },
        ],
      }),
    ],
    coordinators: ['softstake-1'],
    tasks: [
      { state: 'restarting', count: 1 },
      { state: 'working', count: 1_200 },
    ],
    records_per_second: 812_345.6,
    lag_records: 1_234_567,
    partitions_without_lag: 1,
    waits: [
      wait('ATOM', 'subtotals', [at(3, 5, 1_000_000), at(4, null, 9)]),
      wait('SOL', 'answers', Array.from({ length: 100 }, (_, number) => at(number, 5, null)), { partitions_left_out: 41 }),
      wait('BTC', 'seal', []),
      wait(null, null, [], { event: 'listing', epoch: null, what: 'the listing of DOT', missing: 'the answers of x' }),
    ],
    topics: [
      {
        topic: 'exchange.deposits',
        partitions: 100,
        lag_records: 1_234_567,
        lag_offsets: null,
        records_per_second: 812_345.6,
        delay_seconds: 61,
      },
      {
        topic: 'softstake.ledger',
        partitions: 8,
        lag_records: null,
        lag_offsets: 12,
        records_per_second: 3.4,
        delay_seconds: null,
      },
    ],
    partitions: [
      {
        task: 'ingest exchange.deposits:3',
        state: 'restarting',
        severity: 'bad',
        topic: 'exchange.deposits',
        partition: 3,
        lag_records: null,
        lag_offsets: null,
        records_per_second: 0,
        delay_seconds: null,
        to_recover: 77,
        instance: 'softstake-1',
      },
    ],
    left_out: 12,
  };
}

test('operations: a bad night is told in words, fits a phone, and breaks no rule of accessibility', async () => {
  for (const options of [DESKTOP, PHONE, { ...PHONE, colorScheme: 'dark' }]) {
    await withPage(
      async (page) => {
        await answer(page, /\/v1\/processor$/, 200, night(), { 'content-type': 'application/json' });
        await open(page, '/operations');
        const part = page.locator('.processor');
        await part.getByText('exchange.deposits:3').first().waitFor();
        const rows = part.locator('.table-place[aria-label^="What closed epochs"] tbody tr');
        const text = async (at) => (await rows.nth(at).textContent()).replace(/[\s\u202f]+/g, ' ');
        assert.match(await text(0), /ATOM, epoch 7/);
        assert.match(await text(0), /1 h 2 min/);
        assert.match(await text(0), /exchange\.deposits:3: at 5 of the cut at 1 000 000, working at softstake-1/);
        assert.match(await text(0), /exchange\.deposits:4, at no instance that answers/);
        assert.match(await text(1), /141 partitions, first exchange\.deposits:0/);
        assert.match(await text(2), /the seal of an earlier epoch/);
        assert.match(await text(3), /the listing of DOT/);
        assert.equal(await part.locator('.problems b').count(), 0, 'a text became an element');
        await part.locator('details').evaluateAll((all) =>
          all.forEach((one) => {
            one.open = true;
          }),
        );
        await assertFits(page, 'a bad night');
        await assertAccessible(page, 'a bad night');
      },
      { options },
    );
  }
});

test('operations: without the coordinator, waits are not known; and a processor that fails has a way on', () =>
  withPage(
    async (page) => {
      const alone = { ...night(), coordinators: [], waits: [] };
      await answer(page, /\/v1\/processor$/, 200, alone, { 'content-type': 'application/json' });
      await open(page, '/operations');
      await page.getByText('The instance with the coordinator does not answer.').waitFor();
      await page.unroute(/\/v1\/processor$/);
      await answer(page, /\/v1\/processor$/, 503, { title: 'Not available now', status: 503 });
      await open(page, '/operations');
      await page.locator('.processor').getByRole('alert').waitFor();
      await page.getByRole('heading', { name: 'Epochs under way' }).waitFor();
      await page.unroute(/\/v1\/processor$/);
      await page.getByRole('button', { name: 'Try again' }).click();
      await page.getByRole('heading', { name: 'Instances', exact: true }).waitFor();
    },
    { expected: /status of 503/ },
  ));

test('what a problem says is shown as it says it', () =>
  withPage(
    async (page) => {
      await answer(page, /\/summary\?/, 400, {
        title: 'Wrong <b>parameter</b>',
        detail: '`from` must be a date.',
        status: 400,
        field: 'from',
      });
      await open(page, historyOf(ACCOUNT, { from: '2026-13-99' }));
      await page.getByText('Wrong <b>parameter</b>').waitFor();
    },
    { expected: REFUSED },
  ));

test('names and numbers from a stranger stay text', () =>
  withPage(async (page) => {
    const asset = '<img/src=x/onerror=hacked=1>';
    const huge = `${'9'.repeat(30)}.${'1'.repeat(18)}`;
    const paid = (epoch) => ({
      id: `${asset}:${epoch}:x`,
      account: 'x',
      asset,
      reward_asset: '"><svg/onload=hacked=2>',
      epoch,
      epoch_start: '2026-11-01T00:00:00.000Z',
      epoch_end: '2026-11-02T00:00:00.000Z',
      amount: huge,
      rewarded: huge,
      made_good: '0',
      adjusted: '0',
      withheld_before: '-0.5',
      balance_seconds: '1',
      average_balance: huge,
      programme_from_epoch: 0,
      sealed: true,
      credited_at: null,
      credited_amount: null,
    });
    const items = Array.from({ length: 30 }, (_, at) => paid(at));
    await answer(page, /\/distributions\?/, 200, { items, next: 'more' }, { 'content-type': 'application/json' });
    await answer(
      page,
      /\/summary\?/,
      200,
      {
        totals: [{ asset, reward_asset: 'שלום', payouts: 10_000, amount: huge }],
        periods: [
          { period: '2026-11-01', asset, reward_asset: 'שלום', payouts: 1, amount: huge, average_balance: huge },
        ],
      },
      { 'content-type': 'application/json' },
    );
    await open(page, historyOf('<svg/onload=hacked=3>\u0645'));
    assert.equal(await page.locator('.payouts tbody tr').count(), 30);
    assert.equal(
      await page.locator('.payouts td:nth-child(3)').first().textContent(),
      `${huge} "><svg/onload=hacked=2>`,
    );
    assert.equal(await page.evaluate(() => typeof globalThis.hacked), 'undefined');
    assert.equal(await page.locator('main img, main svg[onload]').count(), 0);
    await page.setViewportSize({ width: 360, height: 740 });
    assert.ok(
      await page.evaluate(() => document.documentElement.scrollWidth <= 360),
      'a huge number is wider than a phone',
    );
  }));
