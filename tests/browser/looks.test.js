// Every page on a desktop and a phone, in light and dark, with the keyboard alone, and for screen readers.

import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import {
  ACCOUNT,
  DESKTOP,
  GUARDED,
  OPEN,
  PAGES,
  PHONE,
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

const addresses = () => [historyOf(ACCOUNT), '/history', ...PAGES.slice(1)];

for (const [screen, size] of [
  ['desktop', DESKTOP],
  ['phone', PHONE],
]) {
  for (const colorScheme of ['light', 'dark']) {
    test(`${screen}, ${colorScheme}: all pages fit, and break no rule of accessibility`, () =>
      withPage(
        async (page) => {
          for (const address of addresses()) {
            await open(page, address);
            await assertFits(page, address);
            await assertAccessible(page, `${address} on a ${screen}, ${colorScheme}`);
          }
          await open(page, historyOf(ACCOUNT));
          await page.getByRole('button', { name: 'Why this amount?' }).first().click();
          await page.getByText('Step by step').waitFor();
          await assertAccessible(page, 'the explanation');
        },
        { options: { ...size, colorScheme } },
      ));
  }
}

test('the chart and all that opens break no rule of accessibility', () =>
  withPage(async (page) => {
    await open(page, historyOf(ACCOUNT));
    await page.locator('.card.choose a').first().click();
    await page.locator('figure.chart').waitFor();
    await settled(page);
    await page.getByText('All figures as a table').click();
    await page.getByText('Records that came late').click();
    for (const rules of await page.getByText('The rules behind it').all()) await rules.click();
    await settled(page);
    await assertAccessible(page, 'an open history');
    for (const address of ['/operations', '/audit']) {
      await open(page, address);
      await page.locator('details').evaluateAll((all) =>
        all.forEach((one) => {
          one.open = true;
        }),
      );
      await assertAccessible(page, `${address} with everything open`);
    }
  }));

test('the form for a token, and a page that fails, break no rule of accessibility', () =>
  withPage(
    async (page) => {
      await open(page, '/history');
      await page.getByLabel('Token').fill('wrong');
      await page.keyboard.press('Enter');
      await page.getByRole('alert').waitFor();
      await settled(page);
      await assertAccessible(page, 'a refused token');
      await assertFits(page, 'a refused token');
    },
    { base: GUARDED, options: PHONE, expected: /status of 401/ },
  ));

test('dark is dark, and light is light', async () => {
  const ground = {};
  for (const colorScheme of ['light', 'dark']) {
    await withPage(
      async (page) => {
        await open(page, '/audit');
        ground[colorScheme] = await page.evaluate(() =>
          getComputedStyle(document.body)
            .backgroundColor.match(/\d+/g)
            .slice(0, 3)
            .reduce((sum, one) => sum + Number(one), 0),
        );
      },
      { options: { ...DESKTOP, colorScheme } },
    );
  }
  assert.ok(ground.light > 600 && ground.dark < 150, JSON.stringify(ground));
});

test('with the keyboard alone: to the content, to a reason, and back', () =>
  withPage(async (page) => {
    await open(page, historyOf(ACCOUNT));
    await page.keyboard.press('Tab');
    assert.equal(await page.evaluate(() => document.activeElement.textContent), 'Skip to the content');
    await page.keyboard.press('Enter');
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main');
    await page.waitForTimeout(300);
    assert.equal(await page.evaluate(() => document.activeElement.id), 'main', 'the page was loaded again');
    const label = () =>
      page.evaluate(() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.textContent);
    for (let presses = 0; !(await label()).startsWith('Why this amount?'); presses += 1) {
      assert.ok(presses < 60, 'Tab does not reach "Why this amount?"');
      await page.keyboard.press('Tab');
    }
    const before = await label();
    const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle);
    assert.notEqual(outline, 'none', 'the focus is not seen');
    await page.keyboard.press('Enter');
    await page.getByText('Step by step').waitFor();
    assert.ok(
      await page.evaluate(() => document.querySelector('dialog').contains(document.activeElement)),
      'the focus is not in the dialog',
    );
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    assert.equal(await label(), before);
  }));

test('times are in UTC, wherever the reader is', () =>
  withPage(async (page) => {
    await open(page, historyOf(ACCOUNT));
    const [stamp, shown] = await page
      .locator('.payouts tbody time')
      .first()
      .evaluate((node) => [node.getAttribute('datetime'), node.textContent]);
    assert.ok(shown.startsWith(`${Number(stamp.slice(8, 10))} `), `${stamp} is shown as ${shown}`);
    await page.getByText('All times are UTC.').waitFor();
  }));

test('a page sends a strict policy, and its files name no other host', async () => {
  for (const address of PAGES) {
    const response = await fetch(`${OPEN}${address}`);
    assert.equal(response.status, 200, address);
    const policy = response.headers.get('content-security-policy');
    assert.match(policy, /default-src 'none'/);
    assert.doesNotMatch(policy, /unsafe|https?:/);
    assert.match(response.headers.get('content-type'), /^text\/html/);
    const html = await response.text();
    assert.doesNotMatch(html, /<style|\sstyle=|\son\w+=|https?:/);
  }
});
