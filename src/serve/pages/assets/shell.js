// What all pages share: who is signed in, the links, the form for a token, and how a page waits or fails.

import { Problem, get, keepToken, token, watchBehind } from './api.js';
import { announce, button, el, freshId, name } from './dom.js';
import { counted, timeText, withCode, withoutMillis } from './format.js';

/** Which roles a page is for. Everybody may look at seals and check a proof. */
const PAGES = {
  history: ['customer', 'support', 'finance', 'auditor'],
  operations: ['operator', 'auditor', 'support'],
  treasury: ['treasury', 'finance', 'auditor'],
  finance: ['finance', 'auditor'],
  audit: null,
};

const content = () => document.getElementById('content');

/** Roles by their short names: `operator`, also if the token says `softstake.operator`. */
function rolesOf(session) {
  return (session.roles ?? []).map((role) => role.replace(/^softstake\./, ''));
}

function showLinks(roles) {
  for (const link of document.querySelectorAll('nav [data-page]')) {
    const wanted = PAGES[link.dataset.page];
    const isHere = link.getAttribute('aria-current') === 'page';
    link.parentElement.hidden = !isHere && wanted !== null && !wanted.some((role) => roles.includes(role));
  }
}

function showSession(session, roles) {
  const place = document.getElementById('session');
  place.replaceChildren();
  if (session.account) place.append(el('span', {}, 'Account ', name(session.account)));
  else if (token()) place.append(el('span', {}, counted(roles.length, 'role'), `: ${roles.join(', ')}`));
  if (token()) {
    place.append(
      button(
        'Sign out',
        () => {
          keepToken(null);
          location.reload();
        },
        { class: 'small' },
      ),
    );
  }
}

function showBehind(behind) {
  const place = document.getElementById('freshness');
  const isBehind = behind !== '0';
  place.textContent = isBehind
    ? `This view is ${counted(behind, 'record')} behind the log. Newer payouts follow.`
    : 'This view has all that is published.';
  place.classList.toggle('warn', isBehind);
}

/** The form for a token, in place of the page. */
function showSignIn(problem, start) {
  document.getElementById('session').replaceChildren();
  document.querySelectorAll('dialog').forEach((dialog) => dialog.close());
  const field = freshId('token');
  const fault = freshId('fault');
  const hadToken = Boolean(token());
  keepToken(null);
  const input = el('input', {
    id: field,
    name: 'token',
    type: 'password',
    autocomplete: 'off',
    spellcheck: 'false',
    autocapitalize: 'off',
    required: true,
    'aria-invalid': hadToken ? 'true' : null,
    'aria-describedby': hadToken ? fault : null,
  });
  const form = el(
    'form',
    {
      class: 'panel sign-in',
      onsubmit: (event) => {
        event.preventDefault();
        const text = input.value.trim().replace(/^Bearer\s+/i, '');
        if (!text) return;
        keepToken(text);
        start();
      },
    },
    el('h2', {}, 'Sign in'),
    el('p', {}, 'Paste the token that your exchange gave you. It stays in this tab, and goes to this server only.'),
    hadToken
      ? el(
          'p',
          { id: fault, class: 'notice bad', role: 'alert' },
          el('strong', {}, problem.title),
          problem.detail ? ` ${problem.detail}` : '',
        )
      : null,
    el('label', { for: field }, 'Token'),
    input,
    el('button', { type: 'submit', class: 'primary' }, 'Sign in'),
  );
  content().replaceChildren(form);
  input.focus();
}

/** What a problem looks like. `again` asks again, if that can help. */
export function problemNotice(problem, again) {
  const lines = [el('strong', {}, problem.title ?? 'Something went wrong'), ' ', withCode(problem.detail)];
  const seconds = Number(problem.retryAfter);
  if (problem.status === 429 || problem.status === 503) {
    lines.push(seconds > 0 ? ` Try again in ${counted(seconds, 'second')}.` : ' Wait a moment, and try again.');
  }
  const canHelp = again && ![400, 403, 404].includes(problem.status);
  return el(
    'div',
    { class: 'notice bad', role: 'alert' },
    el('p', {}, lines),
    canHelp ? button('Try again', again) : null,
  );
}

/** An error of the program itself also becomes a sentence, never an empty page. */
function asProblem(error) {
  if (error instanceof Problem) return error;
  console.error(error);
  return new Problem(
    -1,
    'This page has an error',
    `Reload it. If that does not help, report this: ${error?.message ?? error}`,
  );
}

export function loading(what) {
  return el('p', { class: 'loading' }, `Loading ${what} …`);
}

export function empty(title, ...more) {
  return el('div', { class: 'empty' }, el('p', {}, el('strong', {}, title)), more.length ? el('p', {}, ...more) : null);
}

let restart = () => {};

/**
 * Fills a part of the page with what `load` gives, and shows a problem in its place. A newer call wins over an older
 * one that is still waiting.
 */
export async function fillPart(part, what, load) {
  const turn = Symbol(what);
  part.turn = turn;
  part.setAttribute('aria-busy', 'true');
  if (!part.hasChildNodes()) part.append(loading(what));
  else part.classList.add('stale');
  let nodes;
  try {
    nodes = await load();
  } catch (error) {
    if (part.turn !== turn) return;
    const problem = asProblem(error);
    if (problem.status === 401) {
      restart(problem);
      return;
    }
    nodes = problemNotice(problem, () => fillPart(part, what, load));
  }
  if (part.turn !== turn) return;
  part.replaceChildren(...[nodes].flat(Infinity).filter(Boolean));
  part.classList.remove('stale');
  part.removeAttribute('aria-busy');
}

/** A part of the page with a heading. */
export function section(title, ...children) {
  const id = freshId('heading');
  return el('section', { 'aria-labelledby': id }, el('h2', { id }, title), ...children);
}

/** A figure with its name, and a sentence about it. */
export function card(title, big, note, tone) {
  return el(
    'li',
    { class: `card${tone ? ` ${tone}` : ''}` },
    el('h3', {}, title),
    el('p', { class: 'big' }, big),
    el('p', { class: 'note' }, note),
  );
}

/** Starts a page: asks who is signed in, then calls `build` with the session and the place for the page. */
export function startPage(build) {
  watchBehind(showBehind);
  const start = async () => {
    content().replaceChildren(loading('your session'));
    let session;
    try {
      session = await get(['session']);
    } catch (error) {
      const problem = asProblem(error);
      if (problem.status === 401) showSignIn(problem, start);
      else content().replaceChildren(problemNotice(problem, start));
      return;
    }
    const roles = rolesOf(session);
    showLinks(roles);
    showSession(session, roles);
    content().replaceChildren();
    try {
      await build({ ...session, roles }, content());
    } catch (error) {
      content().replaceChildren(problemNotice(asProblem(error), start));
    }
  };
  restart = (problem) => showSignIn(problem, start);
  window.addEventListener('online', () => {
    announce('The network is back.');
    if (document.querySelector('#content > .notice.bad')) start();
  });
  start();
}

/** `As of 14:05:09 UTC`. */
export function asOf() {
  return `As of ${timeText(withoutMillis(new Date().toISOString()))}`;
}

/** Parameters in the address, so that a view can be sent to somebody. */
export function parameter(key) {
  return new URLSearchParams(location.search).get(key) ?? '';
}

export function setParameters(changes, { push = false } = {}) {
  const query = new URLSearchParams(location.search);
  for (const [key, value] of Object.entries(changes)) {
    if (value) query.set(key, value);
    else query.delete(key);
  }
  const text = query.toString();
  history[push ? 'pushState' : 'replaceState'](null, '', text ? `?${text}` : location.pathname);
  shownQuery = location.search;
}

let shownQuery = location.search;

/** Back and forward show the view of that address. A jump within the page, to `#main`, is no other view. */
export function followHistory() {
  window.addEventListener('popstate', () => {
    if (location.search !== shownQuery) location.reload();
  });
}

const DATE = /^\d{4}-\d\d-\d\d$/;

/**
 * The period in the address, for the API. Here both days are included, there the end is not. A date that is none is
 * sent as it is, and the server says what is wrong.
 */
export function periodQuestion() {
  const [from, to] = [parameter('from'), parameter('to')];
  const after = DATE.test(to) ? Date.parse(to) + 86_400_000 : NaN;
  return { from, to: Number.isNaN(after) ? to : new Date(after).toISOString().slice(0, 10) };
}

/** The two fields of a period, and what clears or sets them. */
export function periodFields(onchange) {
  const inputs = ['from', 'to'].map((key) => {
    const input = el('input', {
      id: freshId(key),
      type: 'date',
      value: parameter(key).slice(0, 10),
      min: '2000-01-01',
      max: '2999-12-31',
      onchange: () => onchange({ [key]: input.value }),
    });
    return input;
  });
  const fields = inputs.map((input, at) =>
    el('div', { class: 'field' }, el('label', { for: input.id }, at === 0 ? 'From (UTC)' : 'To, included (UTC)'), input),
  );
  return { inputs, fields };
}

/** A choice of one, by name. */
export function choice(label, options, chosen, onchange) {
  const id = freshId('choice');
  const select = el(
    'select',
    { id, onchange: () => onchange(select.value) },
    options.map(([value, text]) => el('option', { value, selected: value === chosen }, text)),
  );
  return el('div', { class: 'field' }, el('label', { for: id }, label), select);
}
