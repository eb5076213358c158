// Each page shows what the API says, to the last digit.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { after, before, test } from 'node:test';
import { ACCOUNT, api, historyOf, open, settled, startBrowser, stopBrowser, withPage } from './setup.js';

before(startBrowser);
after(stopBrowser);

const account = encodeURIComponent(ACCOUNT);
const newestFirst = (periods) =>
  [...periods]
    .sort((left, right) => (left.period < right.period ? 1 : -1))
    .map((one) => `${one.amount} ${one.reward_asset}`);
const texts = (locator) => locator.allTextContents();

test('history: payouts, totals and the account are those of the API', () =>
  withPage(async (page) => {
    const paid = await api(`accounts/${account}/distributions?limit=30`);
    assert.ok(paid.items.length >= 3, 'the account needs three payouts');
    await open(page, historyOf(ACCOUNT));
    assert.deepEqual(
      await texts(page.locator('.payouts tbody tr td:nth-child(3)')),
      paid.items.map((one) => `${one.amount} ${one.reward_asset}`),
    );
    assert.deepEqual(
      await texts(page.locator('.payouts tbody tr td:nth-child(4)')),
      paid.items.map((one) => `${one.average_balance} ${one.asset}`),
    );
    assert.deepEqual(
      await texts(page.locator('.payouts tbody tr td:nth-child(2)')),
      paid.items.map((one) => one.asset),
    );
    const summary = await api(`accounts/${account}/summary?by=month`);
    assert.deepEqual(
      (await texts(page.locator('.card.choose .big'))).sort(),
      summary.totals.map((one) => `${one.amount} ${one.reward_asset}`).sort(),
    );
    assert.equal(await page.getByLabel('Account', { exact: true }).inputValue(), ACCOUNT);
  }));

test('history: what is accrued so far is the estimate of the API, and says that it is one', () =>
  withPage(async (page) => {
    const { items } = await api(`accounts/${account}/accrued`);
    const worth = items.filter(
      (item) => item.epochs.length && !(item.balance === '0' && item.epochs.every((one) => one.eligibility === 'empty')),
    );
    assert.ok(worth.length, 'the account has accrued something');
    await open(page, historyOf(ACCOUNT));
    const part = page.locator('.accrued');
    await part.getByRole('heading', { name: 'Accrued so far' }).waitFor();
    await part.getByText('Estimate', { exact: true }).waitFor();
    await part.getByText('Not paid and not final').waitFor();
    assert.deepEqual(
      await texts(part.locator('.card h3')),
      worth.map((item) => item.asset),
    );
    for (const [at, item] of worth.entries()) {
      const card = part.locator('.card').nth(at);
      if (item.epochs.length === 1 && item.epochs[0].reward !== null) {
        assert.equal(await card.locator('.big').textContent(), `${item.epochs[0].reward_so_far} ${item.reward_asset}`);
      }
      await card.getByText('The rules behind it').click();
      const balance = card.locator('dl').first().locator('dd').first();
      assert.equal(await balance.textContent(), `${item.balance} ${item.asset}`);
      assert.equal(await card.locator('h4').count(), Math.min(4, item.epochs.length));
      const [newest] = item.epochs.slice(-1);
      const average = card.locator('dl').nth(1).locator('div', { hasText: 'Average balance' }).locator('dd');
      assert.equal(await average.textContent(), `${newest.average_balance} ${item.asset}`);
    }
  }));

test('history: the choice of a token is in the address, and a chart has the exact figures', () =>
  withPage(async (page) => {
    const summary = await api(`accounts/${account}/summary?by=day`);
    const { asset } = summary.totals.at(-1);
    await open(page, historyOf(ACCOUNT));
    await page.getByLabel('Token').selectOption(asset);
    await page.locator('figure.chart').waitFor();
    await settled(page);
    assert.equal(new URL(page.url()).searchParams.get('asset'), asset);
    assert.ok((await texts(page.locator('.payouts tbody tr td:nth-child(2)'))).every((one) => one === asset));
    await page.getByText('All figures as a table').click();
    await page.locator('.figures table').waitFor();
    const { periods } = await api(`accounts/${account}/summary?${new URLSearchParams({ asset, by: 'day' })}`);
    const rewards = await texts(page.locator('.figures tbody tr td:nth-child(2)'));
    if (rewards.length === periods.length) {
      assert.deepEqual(rewards, newestFirst(periods));
    } else {
      const months = (await api(`accounts/${account}/summary?${new URLSearchParams({ asset, by: 'month' })}`)).periods;
      assert.deepEqual(rewards, newestFirst(months));
    }
    const slider = page.getByRole('slider');
    const before = await page.locator('.readout').textContent();
    await slider.focus();
    await page.keyboard.press('Home');
    assert.notEqual(await page.locator('.readout').textContent(), before);
    assert.match(await slider.getAttribute('aria-valuetext'), /Reward .* Average balance /);
    await page.reload();
    await settled(page);
    assert.equal(await page.getByLabel('Token').inputValue(), asset);
    await page.goBack();
    await settled(page);
    assert.equal(await page.getByLabel('Token').inputValue(), '');
  }));

test('history: pages follow the cursor of the server', () =>
  withPage(async (page) => {
    const all = (await api(`accounts/${account}/distributions?limit=500`)).items.map(
      (one) => `${one.asset} ${one.amount} ${one.reward_asset}`,
    );
    // The real server answers, in smaller pages.
    await page.route(/\/distributions\?/, (route) =>
      route.continue({ url: route.request().url().replace('limit=30', 'limit=2') }),
    );
    await open(page, historyOf(ACCOUNT));
    const rows = async () =>
      (await page.locator('.payouts tbody tr').all()).length &&
      page
        .locator('.payouts tbody tr')
        .evaluateAll((nodes) => nodes.map((row) => `${row.cells[1].textContent} ${row.cells[2].textContent}`));
    assert.deepEqual(await rows(), all.slice(0, 2));
    await page.getByRole('button', { name: 'Older' }).click();
    await page.getByText('Page 2', { exact: true }).waitFor();
    await settled(page);
    assert.deepEqual(await rows(), all.slice(2, 4));
    await page.getByRole('button', { name: 'Newer' }).click();
    await page.getByText('Page 1', { exact: true }).waitFor();
    await settled(page);
    assert.deepEqual(await rows(), all.slice(0, 2));
  }));

test('history: one token has its total over the whole width, and a way back to all', () =>
  withPage(async (page) => {
    const { totals } = await api(`accounts/${account}/summary?by=month`);
    const [{ asset, amount, reward_asset: unit }] = totals;
    await open(page, historyOf(ACCOUNT, { asset }));
    const total = page.locator('.card.only');
    assert.equal(await total.locator('.big').textContent(), `${amount} ${unit}`);
    assert.equal(await page.locator('.card.choose').count(), 0);
    const width = (locator) => locator.evaluate((node) => node.getBoundingClientRect().width);
    assert.equal(await width(total), await width(page.locator('figure.chart')));
    await total.getByText('Show all tokens').click();
    await page.locator('.card.choose').first().waitFor();
    await settled(page);
    assert.equal(await page.locator('.card.choose').count(), totals.length);
    assert.equal(new URL(page.url()).searchParams.get('asset'), null);
  }));

test('history: months are chosen one after the other, with the keyboard alone', () =>
  withPage(async (page) => {
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url())));
    await open(page, historyOf(ACCOUNT, { from: '2026-01-15', to: '2026-03-20' }));
    const shown = async () => {
      await settled(page);
      const { searchParams } = new URL(page.url());
      const fields = [page.getByLabel('From (UTC)'), page.getByLabel('To, included (UTC)')];
      const period = [searchParams.get('from'), searchParams.get('to')];
      assert.deepEqual(await Promise.all(fields.map((field) => field.inputValue())), period);
      return period;
    };
    const press = async (label) => {
      await page.getByRole('group', { name: 'Month' }).getByRole('button', { name: label }).focus();
      await page.keyboard.press('Enter');
    };
    await press('Previous month, Dec 2025');
    assert.deepEqual(await shown(), ['2025-12-01', '2025-12-31']);
    await press('Next month, Jan 2026');
    await press('Next month, Feb 2026');
    assert.deepEqual(await shown(), ['2026-02-01', '2026-02-28']);
    const last = asked.filter((url) => url.pathname.endsWith('/distributions')).at(-1).searchParams;
    assert.deepEqual([last.get('from'), last.get('to')], ['2026-02-01', '2026-03-01']);
    const isPressed = () => page.getByRole('button', { name: /^This month/ }).getAttribute('aria-pressed');
    assert.equal(await isPressed(), 'false');
    await press(/^This month/);
    assert.equal((await shown())[0].slice(0, 7), new Date().toISOString().slice(0, 7));
    assert.equal(await isPressed(), 'true');
  }));

test('history: a period without payouts says so', () =>
  withPage(async (page) => {
    await open(page, historyOf(ACCOUNT, { from: '2001-01-01', to: '2001-02-01' }));
    await page.getByText('No payout in this period.').waitFor();
    await page.getByRole('button', { name: 'All', exact: true }).click();
    await settled(page);
    assert.ok((await page.locator('.payouts tbody tr').count()) > 0);
  }));

test('history: a day has the payouts of the epochs that are over in it, also at its midnight', () =>
  withPage(async (page) => {
    const all = (await api(`accounts/${account}/distributions?limit=500`)).items;
    const lastDay = (one) => new Date(Date.parse(one.epoch_end) - 1).toISOString().slice(0, 10);
    const day = lastDay(all[0]);
    const wanted = all.filter((one) => lastDay(one) === day).slice(0, 30);
    const dayAfter = new Date(Date.parse(day) + 86_400_000).toISOString().slice(0, 10);
    const asked = [];
    page.on('request', (request) => asked.push(new URL(request.url())));
    await open(page, historyOf(ACCOUNT, { from: day, to: day }));
    assert.deepEqual(
      await texts(page.locator('.payouts tbody tr td:nth-child(3)')),
      wanted.map((one) => `${one.amount} ${one.reward_asset}`),
    );
    assert.equal(await page.getByLabel('To, included (UTC)').inputValue(), day);
    // Statements and treasury have the same rule, so each page asks for whole days.
    await open(page, `/finance?${new URLSearchParams({ from: day, to: day })}`);
    await open(page, `/treasury?${new URLSearchParams({ asset: all[0].asset, from: day, to: day })}`);
    const bounded = asked.filter((url) => url.pathname.startsWith('/v1/') && url.searchParams.has('to'));
    assert.ok(
      ['/v1/finance', `/v1/treasury/${encodeURIComponent(all[0].asset)}`].every((path) =>
        bounded.some((url) => url.pathname === path),
      ),
    );
    for (const url of bounded) {
      assert.deepEqual([url.searchParams.get('from'), url.searchParams.get('to')], [day, dayAfter], url.pathname);
    }
    const { items } = await api(`finance?${new URLSearchParams({ from: day, to: dayAfter })}`);
    assert.ok(items.length && items.every((line) => lastDay({ epoch_end: line.end }) === day));
  }));

test('history: "Why this amount?" has the steps, and checks the proof', () =>
  withPage(async (page) => {
    const [paid] = (await api(`accounts/${account}/distributions?limit=1`)).items;
    const explanation = await api(
      `accounts/${account}/distributions/${encodeURIComponent(paid.asset)}/${paid.epoch}/explanation`,
    );
    await open(page, historyOf(ACCOUNT));
    const why = page.getByRole('button', { name: 'Why this amount?' }).first();
    await why.click();
    const dialog = page.getByRole('dialog');
    await dialog.getByText('Step by step').waitFor();
    assert.equal(await dialog.locator('.paid').textContent(), `${paid.amount} ${paid.reward_asset}`);
    assert.deepEqual(await texts(dialog.locator('.sentences li')), explanation.sentences);
    const numbers = await texts(dialog.locator('.sentences .amount'));
    assert.ok(numbers.includes(paid.amount), `${paid.amount} is not among ${numbers}`);
    assert.ok(!numbers.some((number) => /^20\d\d$/.test(number)), `a year is among ${numbers}`);
    const gaps = numbers.filter((number) => /^\d{4}/.test(number)).length;
    assert.ok((await dialog.locator('.sentences .amount .group').count()) >= gaps);
    assert.equal(await dialog.locator('.steps li').count(), explanation.steps.length);
    await dialog.getByRole('button', { name: 'Check the proof here' }).click();
    await dialog.getByText('Proven.').waitFor();
    const address = new URL(page.url());
    assert.equal(address.searchParams.get('why'), `${paid.asset}:${paid.epoch}`);
    await page.keyboard.press('Escape');
    await dialog.waitFor({ state: 'detached' });
    await page.waitForURL((url) => !url.searchParams.has('why'));
    // The address of an explanation can be sent to somebody.
    await open(page, address.href);
    await page.getByRole('dialog').getByText('Step by step').waitFor();
  }));

test('history: the CSV file has each payout, and the proof file is proven on the audit page', () =>
  withPage(async (page) => {
    const all = (await api(`accounts/${account}/distributions?limit=500`)).items;
    await open(page, historyOf(ACCOUNT));
    const [csv] = await Promise.all([
      page.waitForEvent('download'),
      page.getByRole('button', { name: 'Download CSV' }).click(),
    ]);
    const lines = fs
      .readFileSync(await csv.path(), 'utf8')
      .trim()
      .split(/\r?\n/);
    assert.equal(lines.length, all.length + 1);
    const [file] = await Promise.all([
      page.waitForEvent('download'),
      page
        .getByRole('button', { name: /^Proof|Download the proof of/ })
        .first()
        .click(),
    ]);
    const proof = fs.readFileSync(await file.path(), 'utf8');
    await open(page, '/audit');
    const upload = (text) =>
      page
        .getByLabel('Proof file')
        .setInputFiles({ name: 'proof.json', mimeType: 'application/json', buffer: Buffer.from(text) });
    const check = () => page.getByRole('button', { name: 'Check the proof' }).click();
    await upload(proof);
    await check();
    await page.getByText('Proven.').waitFor();
    // Of a changed amount, a wrong root and a file that is no proof.
    const { amount, root } = JSON.parse(proof);
    await upload(proof.replaceAll(amount, `${amount}1`));
    await check();
    await page.getByText('It proves nothing.').waitFor();
    await upload(proof);
    await page.getByLabel('Root of the seal').fill(`${root[0] === '0' ? '1' : '0'}${root.slice(1)}`);
    await check();
    await page.getByText('It is a proof for root').waitFor();
    await page.getByLabel('Root of the seal').fill(root.toUpperCase());
    await check();
    await page.getByText('Proven.').waitFor();
    await upload('{"a":');
    await check();
    await page.getByText('The file is no JSON').waitFor();
  }));

test('operations: counts, epochs, held epochs and dead letters', () =>
  withPage(async (page) => {
    const [letters, late, held, sync] = await Promise.all(
      ['dead-letters/counts', 'late-postings/counts', 'held', 'sync'].map((path) => api(path)),
    );
    const sum = (items) => items.reduce((total, item) => total + BigInt(item.count), 0n);
    await open(page, '/operations');
    const big = async (title) =>
      (
        await page
          .locator('.card', { has: page.getByRole('heading', { name: title, exact: true }) })
          .locator('.big')
          .textContent()
      ).replace(/\s/g, '');
    assert.equal(await big('Dead letters'), String(sum(letters.items)));
    assert.equal(await big('Late postings'), String(sum(late.items)));
    assert.equal(await big('Held epochs'), String(held.items.length));
    assert.equal(await big('This view'), sync.caught_up ? 'Uptodate' : `${sync.behind_records}behind`);
    const { items: assets } = await api('assets?limit=500');
    const names = new Set(await texts(page.locator('.table-place[aria-label="Epochs under way"] tbody th')));
    assert.deepEqual(
      assets.filter((one) => one.state === 'listed' && !names.has(one.asset)),
      [],
    );
    for (const one of held.items) {
      const card = page.locator('.card.alarm', { hasText: `${one.asset}, epoch ${one.epoch}` });
      assert.match(await card.locator('dd').first().textContent(), new RegExp(`^${one.total.replace('.', '\\.')} `));
      assert.match(await card.locator('pre').first().textContent(), /^softstake control release .* \d+$/);
    }
    if (letters.items.length) {
      const { code } = letters.items[0];
      await page.getByLabel('Code').selectOption(code);
      await settled(page);
      assert.equal(new URL(page.url()).searchParams.get('code'), code);
      const { items } = await api(`dead-letters?${new URLSearchParams({ code, limit: 20 })}`);
      const place = page.locator('.table-place[aria-label="Dead letters, newest first"]');
      assert.deepEqual(
        await texts(place.locator('.reason')),
        items.map((one) => one.reason.replace(/`([^`]+)`/g, '$1')),
      );
      for (const [at, { reason }] of items.entries()) {
        assert.deepEqual(
          await texts(place.locator('.reason').nth(at).locator('code')),
          [...reason.matchAll(/`([^`]+)`/g)].map(([, code]) => code),
        );
      }
      await place.getByText('Record', { exact: true }).first().click();
      assert.equal(await place.locator('pre').first().textContent(), items[0].payload ?? items[0].payload_base64);
    }
  }));

test('operations: what a record has between backticks is text, whatever it is', () =>
  withPage(async (page) => {
    const hostile = '<img src=x onerror="document.title=1"><svg onload="document.title=2"></svg>';
    await page.route('**/v1/dead-letters?*', async (route) => {
      const answer = await (await route.fetch()).json();
      answer.items[0].reason = `\`${hostile}\` must not be ${hostile}`;
      await route.fulfill({ json: answer });
    });
    await open(page, '/operations');
    const reason = page.locator('.reason').first();
    assert.equal(await reason.textContent(), `${hostile} must not be ${hostile}`);
    assert.equal(await reason.locator('code').textContent(), hostile);
    assert.equal(await reason.locator('img, svg').count(), 0);
    assert.match(await page.title(), /Softstake/);
  }));

test('operations: instances, lags and tasks are those that the processor tells', () =>
  withPage(async (page) => {
    const answer = await api('processor');
    await open(page, '/operations');
    const part = page.locator('.processor');
    const big = (title) =>
      part.locator('.card', { has: page.getByRole('heading', { name: title, exact: true }) }).locator('.big');
    assert.equal(await big('Instances ready').textContent(), '1 of 2');
    const working = answer.tasks.find((one) => one.state === 'working').count;
    assert.equal(await big('Tasks working').textContent(), String(working));
    assert.equal(await big('Lag').textContent(), '0');
    const sentences = part.locator('.problems li > span:last-child');
    assert.ok((await texts(sentences)).some((text) => text.startsWith('127.0.0.1:1 does not answer')));
    const rows = (label) => part.locator(`.table-place[aria-label="${label}"] tbody tr`);
    assert.equal(await rows('Instances').count(), 2);
    await rows('Instances').filter({ hasText: 'Connection refused' }).getByText('unreachable').waitFor();
    assert.deepEqual(
      await texts(rows('Lag by topic').locator('th')),
      answer.topics.map((one) => one.topic),
    );
    await part.getByText('No closed epoch waits.').waitFor();
    await part.locator('summary', { hasText: 'with their partitions' }).click();
    assert.equal(await rows('Tasks, each with the partition that it follows').count(), answer.partitions.length);
  }));

test('treasury: positions and figures are exact, and the choice is in the address', () =>
  withPage(async (page) => {
    const { items } = await api('positions');
    const wanted = items.find((one) => one.closing_balance);
    assert.ok(wanted, 'an asset needs a sealed epoch');
    await open(page, `/treasury?${new URLSearchParams({ asset: wanted.asset })}`);
    const figures = await api(`treasury/${encodeURIComponent(wanted.asset)}`);
    assert.equal(
      await page
        .locator('.card', { has: page.getByRole('heading', { name: 'Eligible at the end' }) })
        .locator('.big')
        .textContent(),
      `${figures.epochs.at(-1).closing_balance} ${wanted.asset}`,
    );
    await page.getByText('All figures as a table').click();
    await page.locator('.figures table').waitFor();
    assert.deepEqual(
      await texts(page.locator('.figures tbody tr td:nth-child(2)')),
      figures.epochs.map((one) => `${one.closing_balance} ${wanted.asset}`).reverse(),
    );
    const rows = page.locator('.table-place[aria-label^="Positions"] tbody tr');
    assert.equal(await rows.count(), items.length);
    // The card names the day of the same epoch, and an epoch that ends at midnight is of the day before.
    const newest = figures.epochs.at(-1);
    const card = page.locator('.card', { has: page.getByRole('heading', { name: 'Eligible at the end' }) });
    assert.equal(newest.epoch, wanted.epoch);
    const day = (await card.locator('time').textContent()).split(' to ').at(-1);
    const shown = await rows.filter({ hasText: wanted.asset }).locator('td').first().textContent();
    assert.equal(shown.replace(/\s/g, ' '), `epoch ${wanted.epoch}, up to ${day}`);
    await page.getByText('whatever period is chosen above').waitFor();
  }));

test('finance: each statement of the API has its card', () =>
  withPage(async (page) => {
    const { items } = await api('finance?by=month');
    assert.ok(items.length, 'an epoch needs to be sealed');
    await open(page, '/finance');
    const cards = await page
      .locator('article.card')
      .evaluateAll((nodes) =>
        nodes.map(
          (card) =>
            `${card.querySelector('h3 bdi').textContent} ${card.querySelector('.big').textContent} ${card.querySelector('.badge').textContent}`,
        ),
      );
    const wanted = items.map(
      (one) => `${one.asset} ${one.distributed} ${one.reward_asset} ${one.conserved ? 'conserved' : 'not conserved'}`,
    );
    assert.deepEqual([...cards].sort(), wanted.sort());
    const { asset } = items[0];
    await page.getByLabel('Asset').selectOption(asset);
    await settled(page);
    assert.equal(await page.locator('article.card').count(), items.filter((one) => one.asset === asset).length);
  }));

test('finance: what is credited of each statement, and what is not credited yet', () =>
  withPage(async (page) => {
    const { items } = await api('finance');
    assert.ok(items.every((one) => one.executed !== null));
    assert.ok(items.some((one) => one.over_credited_epochs.length));
    await open(page, '/finance');
    const cards = await page
      .locator('article.card')
      .evaluateAll((nodes) =>
        nodes.map((card) => [
          card.querySelector('.big').textContent,
          ...[...card.querySelectorAll('.credits dd .amount')].map((node) => node.textContent),
          card.querySelector('.notice')?.textContent.match(/in epochs? (.*)\. softstake/)?.[1] ?? '',
        ]),
      );
    const wanted = items.map((one) => [
      `${one.distributed} ${one.reward_asset}`,
      one.executed,
      one.not_credited,
      one.over_credited_epochs.join(', '),
    ]);
    assert.deepEqual(cards.sort(), wanted.sort());
  }));

test('finance: what is accrued and not sealed, now and at the end of a day', () =>
  withPage(async (page) => {
    const shown = async () => {
      await settled(page);
      const place = page.locator('.table-place[aria-label="Accrued, not yet sealed"]');
      return place
        .locator('tbody tr')
        .evaluateAll((rows) => rows.map((row) => [...row.cells].map((cell) => cell.textContent)));
    };
    const wanted = ({ items }) =>
      items.map((one) => [one.asset, one.amount === null ? '–' : `${one.amount} ${one.reward_asset}`]);
    const day = new Date(Date.now() - 86_400_000).toISOString().slice(0, 10);
    const next = new Date(Date.parse(day) + 86_400_000).toISOString();
    const past = await api(`finance/accrued?${new URLSearchParams({ at: next })}`);
    await open(page, `/finance?${new URLSearchParams({ at: day })}`);
    assert.deepEqual(
      (await shown()).map((cells) => [cells[0], cells[4]]),
      wanted(past),
    );
    const section = page.locator('section', { has: page.getByRole('heading', { name: 'Accrued, not yet sealed' }) });
    assert.deepEqual(
      await texts(section.locator('.card .big')),
      past.totals.map((one) => `${one.amount} ${one.reward_asset}`),
    );
    // Without a day, it is as of now: between two answers of the API.
    const before = await api('finance/accrued');
    await page.getByLabel('As of the end of (UTC)').fill('');
    await settled(page);
    assert.equal(new URL(page.url()).searchParams.get('at'), null);
    const now = await shown();
    assert.deepEqual(
      now.map((cells) => cells[0]),
      before.items.map((one) => one.asset),
    );
  }));

test('audit: results of reconciliations, with their first differences', () =>
  withPage(async (page) => {
    const { items, unreadable } = await api('reconciliations');
    assert.deepEqual(items.map((one) => one.kind).sort(), ['payouts', 'records']);
    await open(page, '/audit');
    const place = page.locator('.table-place[aria-label^="Results of reconciliations"]');
    const badges = await texts(place.locator('tbody .badge'));
    const differ = (one) => `${one.disagreements} differences`;
    assert.deepEqual(
      badges.map((text) => text.replace(/\s/g, ' ')),
      items.map((one) => (one.agrees ? 'agrees' : differ(one))),
    );
    await place.getByText('First differences').first().click();
    const wrong = items.find((one) => !one.agrees);
    assert.deepEqual(
      await texts(place.locator('details[open] li bdi')),
      wrong.first_disagreements.map((one) => one.of),
    );
    await page.getByText(unreadable[0].reason).waitFor();
  }));

test('audit: without a folder, one sentence says what to set', () =>
  withPage(async (page) => {
    await page.route('**/v1/reconciliations', (route) =>
      route.fulfill({ json: { is_set: false, items: [], unreadable: [], left_out: 0 } }),
    );
    await open(page, '/audit');
    await page.getByText('set serve.reconcile_results to the folder').waitFor();
  }));

test('audit: seals have the roots of the API, and a root goes into the form', () =>
  withPage(async (page) => {
    const { items: assets } = await api('assets?limit=500');
    let asset;
    let sealed = [];
    for (const one of assets) {
      const { items } = await api(`assets/${encodeURIComponent(one.asset)}/epochs?limit=25`);
      sealed = items.filter((epoch) => epoch.seal);
      asset = one.asset;
      if (sealed.length) break;
    }
    await open(page, `/audit?${new URLSearchParams({ asset })}`);
    assert.deepEqual(
      await texts(page.locator('tbody code.hash')),
      sealed.map((epoch) => epoch.seal.root),
    );
    await page
      .getByRole('button', { name: /^Use root of epoch/ })
      .first()
      .click();
    assert.equal(await page.getByLabel('Root of the seal').inputValue(), sealed[0].seal.root);
    await page.getByText('Seal', { exact: true }).first().click();
    assert.match(await page.locator('tbody dl').first().textContent(), /Commission/);
  }));
