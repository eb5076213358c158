// What the tests share: the browser, the two servers, and the judge of accessibility.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';

function setting(name) {
  const value = process.env[name];
  if (!value) throw new Error(`${name} is not set; tests/browser.sh sets it`);
  return value;
}

/** The folder that the packages are installed in. */
const packages = createRequire(`${setting('BROWSER_PACKAGES')}/`);
const { chromium } = packages('playwright-core');
const axe = fs.readFileSync(packages.resolve('axe-core/axe.min.js'), 'utf8');

/** A server on loopback, without keys. */
export const OPEN = setting('URL_OPEN').replace(/\/$/, '');
/** A server that asks for a token. */
export const GUARDED = setting('URL_WITH_AUTH').replace(/\/$/, '');
export const CUSTOMER = setting('TOKEN_CUSTOMER');
export const OPERATOR = setting('TOKEN_OPERATOR');
/** The customer's account. It was paid in several epochs. */
export const ACCOUNT = setting('ACCOUNT');

export const PAGES = ['/history', '/operations', '/treasury', '/finance', '/audit'];
export const DESKTOP = { viewport: { width: 1280, height: 900 } };
export const PHONE = { viewport: { width: 360, height: 740 }, isMobile: true, hasTouch: true };

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

let browser;
export async function startBrowser() {
  browser = await chromium.launch({ executablePath: setting('CHROMIUM'), args: FLAGS });
}
export async function stopBrowser() {
  await browser?.close();
}

/** The address of an account's history. */
export const historyOf = (account, more = {}) => `/history?${new URLSearchParams({ account, ...more })}`;

/** Asks the API itself, to compare a page with it. */
export async function api(path, { base = OPEN, token } = {}) {
  const response = await fetch(`${base}/v1/${path}`, { headers: token ? { authorization: `Bearer ${token}` } : {} });
  assert.equal(response.status, 200, `${path}: ${await response.clone().text()}`);
  return response.json();
}

/**
 * Runs `work` with a page of its own. Fails if the page has an error, breaks its content security policy, or asks any
 * other server. `expected` are messages of the browser that the test means to cause.
 */
export async function withPage(work, { options = DESKTOP, token, base = OPEN, expected = /^$/ } = {}) {
  const context = await browser.newContext({ baseURL: base, timezoneId: 'Pacific/Auckland', ...options });
  const faults = [];
  const page = await context.newPage();
  page.setDefaultTimeout(15_000);
  page.on('pageerror', (error) => faults.push(`error: ${error.message}`));
  page.on('console', (message) => {
    const text = `${message.type()}: ${message.text()}`;
    if (['error', 'warning'].includes(message.type()) && !expected.test(text)) faults.push(text);
  });
  page.on('request', (request) => {
    const address = new URL(request.url());
    if (address.protocol !== 'blob:' && address.origin !== new URL(base).origin) faults.push(`asks ${address.origin}`);
  });
  try {
    if (token) {
      // Any file of the server has the place where its pages keep a token.
      await page.goto('/assets/favicon.svg');
      await page.evaluate((text) => sessionStorage.setItem('softstake.token', text), token);
    }
    await work(page, context);
    assert.deepEqual(faults, []);
  } finally {
    await context.close();
  }
}

/** Waits until no part of the page is loading. */
export async function settled(page) {
  await page.locator('#content > *').first().waitFor({ state: 'attached' });
  await page.waitForFunction(() => !document.querySelector('[aria-busy], .loading'));
}

export async function open(page, address) {
  await page.goto(address);
  await settled(page);
}

/** The rules of WCAG 2.2 AA and the best practices, on all that is seen now. */
export async function assertAccessible(page, what) {
  await page.evaluate(axe);
  const violations = await page.evaluate(async () => {
    const result = await globalThis.axe.run(document, {
      runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'],
    });
    return result.violations.map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)}`);
  });
  assert.deepEqual(violations, [], what);
}

/** Whether something is wider than the screen. */
export async function assertFits(page, what) {
  const wide = await page.evaluate(() => {
    const width = document.documentElement.clientWidth;
    if (document.documentElement.scrollWidth <= width && width <= screen.width) return [];
    return [...document.querySelectorAll('body *')]
      .filter((node) => node.getBoundingClientRect().right > screen.width + 1)
      .slice(0, 3)
      .map((node) => node.outerHTML.slice(0, 120));
  });
  assert.deepEqual(wide, [], what);
}
