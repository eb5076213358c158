// Checks a proof of a payout, by the rules of `softstake verify`: RFC 6962 hashing with SHA-256, and section 8 of the
// contract. Only the root must be trusted. Nothing is sent.

const BUCKETS = 4096;
const FIELDS = [
  'format',
  'id',
  'asset',
  'epoch',
  'account',
  'amount',
  'bucket',
  'in_bucket',
  'bucket_root',
  'in_epoch',
  'root',
];
const PATH_FIELDS = ['index', 'size', 'hashes'];

/** Category Cf of Unicode 16, as the program has it, with Cc, Zl and Zp. */
const UNPRINTABLE = new RegExp(
  '[\\p{Cc}\\u2028\\u2029\\u00ad\\u0600-\\u0605\\u061c\\u06dd\\u070f\\u0890\\u0891\\u08e2\\u180e' +
    '\\u200b-\\u200f\\u202a-\\u202e\\u2060-\\u2064\\u2066-\\u206f\\ufeff\\ufff9-\\ufffb\\u{110bd}\\u{110cd}' +
    '\\u{13430}-\\u{1343f}\\u{1bca0}-\\u{1bca3}\\u{1d173}-\\u{1d17a}\\u{e0001}\\u{e0020}-\\u{e007f}]',
  'u',
);
const LONE_SURROGATE = /\p{Cs}/u;

class Fault extends Error {}

function need(holds, sentence) {
  if (!holds) throw new Fault(sentence);
}

const bytesOf = (text) => new TextEncoder().encode(text);

async function sha256(...parts) {
  const whole = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return new Uint8Array(await crypto.subtle.digest('SHA-256', whole));
}

function digest(field, text) {
  need(typeof text === 'string' && /^[0-9a-f]{64}$/.test(text), `${field} is not a SHA-256 in lower-case hexadecimal.`);
  return Uint8Array.from(text.match(/../g), (pair) => parseInt(pair, 16));
}

const equal = (left, right) => left.every((byte, at) => byte === right[at]);

/**
 * A whole number below 2^64, exact. `JSON.parse` would round one above 2^53, so the file is read by `parseProof`, which
 * gives whole numbers as BigInt.
 */
function whole(field, value) {
  need(typeof value === 'bigint' && value >= 0n && value < 2n ** 64n, `${field} is no whole number.`);
  return value;
}

function fieldsAre(what, value, wanted) {
  need(value !== null && typeof value === 'object' && !Array.isArray(value), `${what} is no object.`);
  const found = Object.keys(value);
  const missing = wanted.find((key) => !found.includes(key));
  const unknown = found.find((key) => !wanted.includes(key));
  need(missing === undefined, `${what} has no field ${missing}.`);
  need(unknown === undefined, `${what} has the unknown field ${unknown}.`);
}

function checkName(field, text, most, noBlank) {
  need(typeof text === 'string' && text.length > 0, `${field} is empty or no text.`);
  need(!LONE_SURROGATE.test(text), `${field} is no valid text.`);
  need(bytesOf(text).length <= most, `${field} has more than ${most} bytes.`);
  need(!UNPRINTABLE.test(text), `${field} has an unprintable character.`);
  if (noBlank) need(!/[\s:\u0085\u180e]/u.test(text), `${field} has a blank or a colon.`);
}

/** The root that an audit path leads to (RFC 9162, section 2.1.3.2). */
async function rootOf(field, leaf, path) {
  fieldsAre(field, path, PATH_FIELDS);
  const size = whole(`${field}.size`, path.size);
  let here = whole(`${field}.index`, path.index);
  need(here < size, `${field}: the leaf is outside of its tree.`);
  need(Array.isArray(path.hashes) && path.hashes.length <= 64, `${field}.hashes is no list of at most 64 hashes.`);
  let last = size - 1n;
  let node = await sha256([0], leaf);
  for (const text of path.hashes) {
    const other = digest(`${field}.hashes`, text);
    need(last > 0n, `${field} is too long.`);
    if ((here & 1n) === 1n || here === last) {
      node = await sha256([1], other, node);
      while ((here & 1n) === 0n && here !== 0n) {
        here >>= 1n;
        last >>= 1n;
      }
    } else {
      node = await sha256([1], node, other);
    }
    here >>= 1n;
    last >>= 1n;
  }
  need(last === 0n, `${field} is too short.`);
  return node;
}

async function bucketOf(account) {
  // An account that begins with a slash is its own owner.
  const slash = account.indexOf('/');
  const owner = slash > 0 ? account.slice(0, slash) : account;
  const hash = await sha256(bytesOf(owner));
  return (hash[0] << 4) | (hash[1] >> 4);
}

async function check(proof, rootText) {
  fieldsAre('The file', proof, FIELDS);
  need(whole('format', proof.format) === 1n, `Its format is ${proof.format}. This page knows format 1.`);
  checkName('asset', proof.asset, 32, true);
  checkName('account', proof.account, 128, false);
  need(
    typeof proof.amount === 'string' && /^(0|[1-9]\d*)(\.\d*[1-9])?$/.test(proof.amount),
    'amount is not a plain decimal number, or it has needless zeros.',
  );
  const id = `${proof.asset}:${whole('epoch', proof.epoch)}:${proof.account}`;
  need(proof.id === id, `id is ${proof.id}; it must be ${id}.`);
  const bucket = BigInt(await bucketOf(proof.account));
  need(
    whole('bucket', proof.bucket) === bucket && proof.in_epoch?.index === bucket,
    `The bucket of ${proof.account} must be ${bucket}.`,
  );
  need(proof.in_epoch.size === BigInt(BUCKETS), `in_epoch.size must be ${BUCKETS}.`);
  const root = digest('root', proof.root);
  need(proof.root === rootText, `It is a proof for root ${proof.root}, not for ${rootText}.`);
  const bucketRoot = digest('bucket_root', proof.bucket_root);
  const reached = await rootOf('in_bucket', bytesOf(`${id}|${proof.amount}`), proof.in_bucket);
  need(equal(reached, bucketRoot), 'The payout does not lead to the root of its bucket. The file was changed.');
  need(
    equal(await rootOf('in_epoch', bucketRoot, proof.in_epoch), root),
    'The bucket does not lead to the root of the epoch. The file was changed.',
  );
}

/**
 * Reads JSON, with whole numbers as BigInt. A field that is there twice is a fault: two programs could read two
 * different things.
 */
export function parseProof(text) {
  let at = 0;
  const fault = () => new Fault(`The file is no JSON: it is wrong at character ${at + 1}.`);
  const blank = () => {
    while (' \t\r\n'.includes(text[at]) && at < text.length) at += 1;
  };
  const take = (pattern) => {
    pattern.lastIndex = at;
    const found = pattern.exec(text);
    if (!found) throw fault();
    at += found[0].length;
    return found[0];
  };
  const string = () => JSON.parse(take(/"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y));
  const list = (close, item) => {
    at += 1;
    blank();
    if (text[at] === close) {
      at += 1;
      return;
    }
    for (;;) {
      item();
      blank();
      if (text[at] === close) break;
      take(/,/y);
      blank();
    }
    at += 1;
  };
  const value = (depth) => {
    if (depth > 8) throw new Fault('The file is nested too deeply to be a proof.');
    blank();
    if (text[at] === '"') return string();
    if (text[at] === '[') {
      const items = [];
      list(']', () => items.push(value(depth + 1)));
      return items;
    }
    if (text[at] === '{') {
      const object = Object.create(null);
      list('}', () => {
        const key = string();
        blank();
        take(/:/y);
        need(!(key in object), `The file has the field ${key} twice.`);
        object[key] = value(depth + 1);
      });
      return object;
    }
    if (/[-\d]/.test(text[at] ?? '')) {
      const digits = take(/-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?/y);
      return /^\d+$/.test(digits) ? BigInt(digits) : Number(digits);
    }
    const word = take(/true|false|null/y);
    return word === 'null' ? null : word === 'true';
  };
  const proof = value(0);
  blank();
  if (at !== text.length) throw fault();
  return proof;
}

/** The outcome of checking a proof file against a root: `{ holds: true, proof }` or `{ holds: false, reason }`. */
export async function verifyProof(fileText, rootText) {
  try {
    const root = rootText.trim().toLowerCase();
    need(/^[0-9a-f]{64}$/.test(root), 'The root must be 64 hexadecimal digits, as the seal has it.');
    const proof = parseProof(fileText);
    await check(proof, root);
    return { holds: true, proof };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { holds: false, reason: error.message };
  }
}
