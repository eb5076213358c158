// Takes pictures of the pages for the documentation: SCREENSHOTS=FOLDER tests/browser.sh …

import fs from 'node:fs';
import { ACCOUNT, DESKTOP, PHONE, api, historyOf, open, startBrowser, stopBrowser, withPage } from './setup.js';

const folder = process.env.SCREENSHOTS;
fs.mkdirSync(folder, { recursive: true });
await startBrowser();
const take = (name, address, options, ready) =>
  withPage(
    async (page) => {
      await open(page, address);
      await ready?.(page);
      await page.screenshot({ path: `${folder}/${name}.png` });
    },
    { options },
  );

const [paid] = (await api(`accounts/${encodeURIComponent(ACCOUNT)}/distributions?limit=1`)).items;
const chosen = historyOf(ACCOUNT, { asset: paid.asset });
const why = historyOf(ACCOUNT, { why: `${paid.asset}:${paid.epoch}` });
const explained = (page) => page.getByText('Step by step').waitFor();
try {
  await take('history', chosen, DESKTOP);
  await take('history-dark', chosen, { ...DESKTOP, colorScheme: 'dark' });
  await take('history-phone', chosen, PHONE);
  await take('why', why, DESKTOP, explained);
  for (const page of ['operations', 'finance', 'audit']) await take(page, `/${page}`, DESKTOP);
  await take('operations-phone', '/operations', PHONE);
  await take('treasury', `/treasury?${new URLSearchParams({ asset: paid.asset })}`, DESKTOP);
} finally {
  await stopBrowser();
}
