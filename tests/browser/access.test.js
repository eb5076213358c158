// Who sees what, and what a page says when it fails.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  ACCOUNT,
  CUSTOMER,
  GUARDED,
  OPERATOR,
  api,
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
