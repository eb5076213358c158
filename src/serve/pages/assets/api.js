// Asks the API. The token is kept in this tab only, and sent to this server only.

const TOKEN = 'softstake.token';

export function token() {
  return sessionStorage.getItem(TOKEN);
}

export function keepToken(text) {
  if (text) sessionStorage.setItem(TOKEN, text);
  else sessionStorage.removeItem(TOKEN);
}

/** What went wrong, as RFC 9457 says it, or in the same words if there was no answer. */
export class Problem extends Error {
  constructor(status, title, detail, field, retryAfter) {
    super(detail || title);
    Object.assign(this, { status, title, detail, field, retryAfter });
  }
}

const TITLES = {
  400: 'The question is not understood',
  401: 'A token is needed',
  403: 'Your token does not allow this',
  404: 'Not found',
  429: 'Too many questions in a short time',
  503: 'The server is not ready yet',
};

async function problemOf(response) {
  let said = {};
  try {
    said = JSON.parse(await response.text());
  } catch {
    // A proxy may answer with a page of its own. Only the status counts then.
  }
  const text = (value) => (typeof value === 'string' ? value : undefined);
  const title = text(said?.title) ?? TITLES[response.status] ?? `The server answered with status ${response.status}`;
  return new Problem(
    response.status,
    title,
    text(said?.detail),
    text(said?.field),
    response.headers.get('retry-after'),
  );
}

/** Calls `take` with how many records the server is behind, after each answer that says it. */
let onBehind = () => {};
export function watchBehind(take) {
  onBehind = take;
}

async function ask(path, { signal, accept = 'application/json' } = {}) {
  const headers = { accept };
  const kept = token();
  if (kept) headers.authorization = `Bearer ${kept}`;
  let response;
  try {
    response = await fetch(path, { headers, signal, credentials: 'same-origin' });
  } catch (error) {
    if (error?.name === 'AbortError') throw error;
    // A token with a character that no header may have never leaves the browser.
    if (kept && /[^\x21-\x7e]/.test(kept)) {
      throw new Problem(401, 'This is no token', 'A token is letters, digits, dots, hyphens and underscores.');
    }
    throw new Problem(
      0,
      'The server cannot be reached',
      'Check the network, and that `softstake serve` is running. Then try again.',
    );
  }
  const behind = response.headers.get('softstake-behind-records');
  if (behind !== null) onBehind(behind);
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** Joins a path with its parts, and parameters that have a value. */
export function path(parts, parameters = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(parameters)) {
    if (value !== undefined && value !== null && value !== '') query.set(key, String(value));
  }
  const text = query.toString();
  return `/v1/${parts.map((part) => encodeURIComponent(String(part).toWellFormed?.() ?? part)).join('/')}${text ? `?${text}` : ''}`;
}

export async function get(parts, parameters, options) {
  const response = await ask(path(parts, parameters), options);
  try {
    return await response.json();
  } catch (error) {
    if (error?.name === 'AbortError') throw error;
    throw new Problem(
      response.status,
      'The answer cannot be read',
      'It is no JSON. A proxy may have changed it. Try again.',
    );
  }
}

export async function getText(parts, parameters, accept) {
  return (await ask(path(parts, parameters), { accept })).text();
}

/** All items of a list that is short by nature, such as the listed assets. */
export async function getAll(parts, parameters, most = 5_000) {
  const items = [];
  let cursor;
  do {
    const page = await get(parts, { ...parameters, limit: 500, cursor });
    items.push(...page.items);
    cursor = page.next;
  } while (cursor && items.length < most);
  return items;
}
