//! The fingerprint tells an identical copy of an event from a conflicting one. The identity tells one event from another.
//!
//! # The scheme
//!
//! Fingerprints are stored, so the scheme never changes. `H(seed, bytes)` is XXH3-128 with that seed; `a ‖ b` puts
//! 128-bit hashes side by side, little-endian.
//!
//! | JSON value | hash |
//! |---|---|
//! | `null`, `true`, `false` | `H(1, the word)` |
//! | string | `H(2, its characters in UTF-8)`, once unescaped; a lone surrogate as the three bytes UTF-8 would give it |
//! | number | `H(3, canonical text)`: `-` if below zero, the digits from the first to the last that is not zero, `e`, and the exponent of the last digit in decimal; `0e0` for zero |
//! | array | fold from 0: `acc = H(4, acc ‖ element)`; then `H(5, acc ‖ number of elements)` |
//! | object | wrapping sum of `H(6, name as a string ‖ value)`; then `H(7, sum ‖ number of members)` |
//!
//! The sum makes the order of members irrelevant, and members of equal names a multiset. The fingerprint is
//! `H(8, type as a string ‖ time ‖ data ‖ presence)`, where an absent part is 0 and `presence` is 1 for a time plus 2
//! for data.
//!
//! It serves against copies of a producer that retries. It is no defence against a search for collisions.

#[cfg(test)]
mod tests;

use sha2::{Digest, Sha256};
use xxhash_rust::xxh3::xxh3_128_with_seed;

const WORD: u64 = 1;
const STRING: u64 = 2;
const NUMBER: u64 = 3;
const ELEMENT: u64 = 4;
const ARRAY: u64 = 5;
const MEMBER: u64 = 6;
const OBJECT: u64 = 7;
const EVENT: u64 = 8;

/// A JSON value of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// JSON text, known to be valid.
    Json(&'a str),
    /// The characters of a string, such as a `ce_time` header: equal to the JSON string of those characters.
    Text(&'a str),
}

/// The fingerprint of an event's type, time and data, which all copies must have in common (contract, section 3). Events
/// with the same JSON values have the same fingerprint. Other events differ, except by a collision of 128-bit hashes.
///
/// The time is linear in the length of the text, and the memory in its nesting. Text that is not valid JSON has a
/// fingerprint too.
pub fn fingerprint(event_type: &str, time: Option<Part<'_>>, data: Option<Part<'_>>) -> u128 {
    let mut scratch = Vec::new();
    let mut hash = |part: Option<Part<'_>>| match part {
        None => 0,
        Some(Part::Text(text)) => hash_bytes(STRING, text.as_bytes()),
        Some(Part::Json(text)) => hash_json(text.as_bytes(), &mut scratch),
    };
    let presence = u128::from(time.is_some()) | u128::from(data.is_some()) << 1;
    let hashes = [hash(Some(Part::Text(event_type))), hash(time), hash(data), presence];
    let mut bytes = [0; 64];
    for (slot, hash) in bytes.chunks_exact_mut(16).zip(hashes) {
        slot.copy_from_slice(&hash.to_le_bytes());
    }
    xxh3_128_with_seed(&bytes, EVENT)
}

/// The identity of an event within its topic partition: the first 16 bytes of the SHA-256 of the length of `id` in
/// bytes (32 bits, little-endian), `id` and `source`.
pub fn identity(id: &str, source: &str) -> [u8; 16] {
    // No record has 4 GiB.
    let length = u32::try_from(id.len()).unwrap_or(u32::MAX);
    let hash = Sha256::new()
        .chain_update(length.to_le_bytes())
        .chain_update(id)
        .chain_update(source)
        .finalize();
    let [identity @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = <[u8; 32]>::from(hash);
    identity
}

/// An array or object that is not closed yet.
struct Open {
    is_object: bool,
    /// How many values it has so far.
    count: u64,
    /// The array's fold or the object's sum so far.
    hash: u128,
    /// In an object, whether a name was read whose value comes next, and the name's hash.
    is_named: bool,
    name: u128,
}

impl Open {
    const fn new(is_object: bool) -> Open {
        Open {
            is_object,
            count: 0,
            hash: 0,
            is_named: false,
            name: 0,
        }
    }

    #[inline]
    fn add(&mut self, value: u128) {
        self.count = self.count.wrapping_add(1);
        if self.is_object {
            self.is_named = false;
            self.hash = self.hash.wrapping_add(hash_pair(MEMBER, self.name, value));
        } else {
            self.hash = hash_pair(ELEMENT, self.hash, value);
        }
    }

    #[inline]
    fn close(&self) -> u128 {
        hash_pair(
            if self.is_object { OBJECT } else { ARRAY },
            self.hash,
            u128::from(self.count),
        )
    }
}

/// The hash of the first JSON value of a text. The stack is on the heap, because the sender decides the nesting.
fn hash_json(text: &[u8], scratch: &mut Vec<u8>) -> u128 {
    let mut outer: Vec<Open> = Vec::new();
    let mut current: Option<Open> = None;
    let mut rest = text;
    while let [byte, tail @ ..] = rest {
        let value = match byte {
            // In valid JSON, separators carry no information.
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' => {
                rest = tail;
                continue;
            }
            b'{' | b'[' => {
                rest = tail;
                outer.extend(current.replace(Open::new(*byte == b'{')));
                continue;
            }
            b'}' | b']' => {
                rest = tail;
                let closed = current.take().map_or(0, |open| open.close());
                current = outer.pop();
                closed
            }
            b'"' => {
                let (string, after) = hash_string(tail, scratch);
                rest = after;
                match &mut current {
                    Some(open) if open.is_object && !open.is_named => {
                        (open.is_named, open.name) = (true, string);
                        continue;
                    }
                    _ => string,
                }
            }
            _ => {
                let (token, after) = split_token(rest);
                rest = after;
                match byte {
                    b'-' | b'0'..=b'9' => hash_number(token, scratch),
                    _ => hash_bytes(WORD, token),
                }
            }
        };
        match &mut current {
            Some(open) => open.add(value),
            None => return value,
        }
    }
    // A valid JSON text does not end within a value.
    0
}

#[inline]
fn hash_bytes(seed: u64, bytes: &[u8]) -> u128 {
    xxh3_128_with_seed(bytes, seed)
}

#[inline]
fn hash_pair(seed: u64, left: u128, right: u128) -> u128 {
    let mut bytes = [0; 32];
    for (slot, hash) in bytes.chunks_exact_mut(16).zip([left, right]) {
        slot.copy_from_slice(&hash.to_le_bytes());
    }
    xxh3_128_with_seed(&bytes, seed)
}

/// Splits off a number or a word. It is never empty.
#[inline]
fn split_token(text: &[u8]) -> (&[u8], &[u8]) {
    let ends = |byte: &u8| {
        matches!(
            byte,
            b' ' | b'\t' | b'\n' | b'\r' | b',' | b':' | b']' | b'}' | b'[' | b'{' | b'"'
        )
    };
    let length = text.iter().position(ends).unwrap_or(text.len());
    text.split_at_checked(length).unwrap_or((text, &[]))
}

/// The hash of a string, and the text after its closing quote. `text` begins after the opening quote.
#[inline]
fn hash_string<'a>(text: &'a [u8], scratch: &mut Vec<u8>) -> (u128, &'a [u8]) {
    let special = find_quote_or_backslash(text);
    match text.split_at_checked(special) {
        Some((string, [b'"', rest @ ..])) => (hash_bytes(STRING, string), rest),
        Some((start, escaped)) => {
            scratch.clear();
            scratch.extend_from_slice(start);
            let rest = unescape(escaped, scratch);
            (hash_bytes(STRING, scratch), rest)
        }
        None => (0, &[]),
    }
}

/// The index of the first quote or backslash; the length if there is none.
#[inline]
fn find_quote_or_backslash(text: &[u8]) -> usize {
    const ONES: u64 = u64::from_le_bytes([1; 8]);
    // The lowest bit set marks the lowest byte that is zero; bits above it may be false.
    let zeros = |word: u64| word.wrapping_sub(ONES) & !word & ONES << 7;
    let (words, tail) = text.as_chunks::<8>();
    for (i, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let found = zeros(word ^ u64::from_le_bytes([b'"'; 8])) | zeros(word ^ u64::from_le_bytes([b'\\'; 8]));
        if found != 0 {
            return i * 8 + found.trailing_zeros() as usize / 8;
        }
    }
    let in_tail = tail.iter().position(|byte| matches!(byte, b'"' | b'\\'));
    words.len() * 8 + in_tail.unwrap_or(tail.len())
}

/// Appends the characters of a string up to its closing quote. Returns the text after it. Escapes that JSON does not
/// know stay unchanged.
#[cold]
fn unescape<'a>(mut text: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    loop {
        let (plain, special) = text
            .split_at_checked(find_quote_or_backslash(text))
            .unwrap_or((text, &[]));
        out.extend_from_slice(plain);
        text = match special {
            [b'"', rest @ ..] => return rest,
            [b'\\', b'u', rest @ ..] => match code_unit(rest) {
                Some((unit, rest)) => push_code_unit(unit, rest, out),
                None => {
                    out.extend_from_slice(b"\\u");
                    rest
                }
            },
            [b'\\', escape, rest @ ..] => {
                match escape {
                    b'"' | b'\\' | b'/' => out.push(*escape),
                    b'b' => out.push(0x08),
                    b'f' => out.push(0x0c),
                    b'n' => out.push(b'\n'),
                    b'r' => out.push(b'\r'),
                    b't' => out.push(b'\t'),
                    other => out.extend_from_slice(&[b'\\', *other]),
                }
                rest
            }
            _ => return &[],
        };
    }
}

/// Four hexadecimal digits.
fn code_unit(text: &[u8]) -> Option<(u32, &[u8])> {
    let (digits, rest) = text.split_at_checked(4)?;
    let mut unit = 0;
    for digit in digits {
        unit = unit << 4 | char::from(*digit).to_digit(16)?;
    }
    Some((unit, rest))
}

/// Appends the character of an escaped UTF-16 code unit; if the next escape completes a surrogate pair, the character
/// of both. Returns the text after it.
fn push_code_unit<'a>(unit: u32, rest: &'a [u8], out: &mut Vec<u8>) -> &'a [u8] {
    if let 0xd800..=0xdbff = unit
        && let [b'\\', b'u', next @ ..] = rest
        && let Some((low @ 0xdc00..=0xdfff, after)) = code_unit(next)
        && let Some(character) = char::from_u32(0x1_0000 + ((unit - 0xd800) << 10) + (low - 0xdc00))
    {
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
        return after;
    }
    match char::from_u32(unit) {
        Some(character) => out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        // A lone surrogate: 1110xxxx 10xxxxxx 10xxxxxx, as for any other unit of 16 bits.
        None => out.extend([0xe0 | unit >> 12, 0x80 | unit >> 6 & 0x3f, 0x80 | unit & 0x3f].map(|byte| byte as u8)),
    }
    rest
}

/// The hash of a number, `-?digits(.digits)?([eE][+-]?digits)?`.
fn hash_number(token: &[u8], scratch: &mut Vec<u8>) -> u128 {
    let (negative, unsigned) = strip_sign(token);
    let (mantissa, exponent) = split_around(unsigned, |byte| matches!(byte, b'e' | b'E'));
    let (whole, fraction) = split_around(mantissa, |byte| byte == b'.');

    scratch.clear();
    // Room for the exponent's digits in nearly every case.
    scratch.reserve(token.len().saturating_add(40));
    if negative {
        scratch.push(b'-');
    }
    let first_digit = scratch.len();
    let whole = trim_start_zeros(whole);
    scratch.extend_from_slice(whole);
    scratch.extend_from_slice(if whole.is_empty() {
        trim_start_zeros(fraction)
    } else {
        fraction
    });
    let untrimmed = scratch.len();
    while scratch.len() > first_digit && scratch.last() == Some(&b'0') {
        scratch.pop();
    }
    if scratch.len() == first_digit {
        return hash_bytes(NUMBER, b"0e0");
    }
    // Texts are shorter than 2^63, so these fit, and so does their difference.
    let shift = (untrimmed - scratch.len()) as i128 - fraction.len() as i128;
    scratch.push(b'e');
    push_exponent(exponent, shift, scratch);
    hash_bytes(NUMBER, scratch)
}

/// Appends `exponent + shift` in decimal. The exponent is any number of digits with an optional sign, or nothing.
fn push_exponent(exponent: &[u8], shift: i128, out: &mut Vec<u8>) {
    // 10^36 and a shift below 2^64 are far from the bounds of an i128.
    const EXACT_DIGITS: usize = 36;
    let (negative, digits) = strip_sign(exponent);
    let digits = trim_start_zeros(digits);
    if digits.len() <= EXACT_DIGITS {
        let magnitude = digits
            .iter()
            .fold(0i128, |value, digit| value * 10 + i128::from(digit & 0x0f));
        let sum = if negative { shift - magnitude } else { shift + magnitude };
        if sum < 0 {
            out.push(b'-');
        }
        push_decimal(sum.unsigned_abs(), out);
        return;
    }
    // The exponent is far greater than the shift, so the sign stays. The shift is added digit by digit, from the right.
    let mut carry = if negative { -shift } else { shift };
    let mut sum: Vec<u8> = Vec::with_capacity(digits.len().saturating_add(1));
    for digit in digits.iter().rev() {
        carry += i128::from(digit & 0x0f);
        sum.push(b'0' + carry.rem_euclid(10) as u8);
        carry = carry.div_euclid(10);
    }
    // What is left is 0 or 1.
    if carry > 0 {
        sum.push(b'1');
    }
    while sum.last() == Some(&b'0') {
        sum.pop();
    }
    if negative {
        out.push(b'-');
    }
    out.extend(sum.iter().rev());
}

fn push_decimal(mut number: u128, out: &mut Vec<u8>) {
    let mut digits = [0; 39];
    let mut used = 0usize;
    for slot in digits.iter_mut().rev() {
        *slot = b'0' + (number % 10) as u8;
        number /= 10;
        used += 1;
        if number == 0 {
            break;
        }
    }
    out.extend(digits.iter().skip(digits.len() - used));
}

/// Whether there is a leading `-`, and the text without its sign.
fn strip_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// The text before and after the first such byte; all of it and nothing if there is none.
fn split_around(text: &[u8], separator: impl Fn(u8) -> bool) -> (&[u8], &[u8]) {
    let at = text.iter().position(|byte| separator(*byte)).unwrap_or(text.len());
    (
        text.get(..at).unwrap_or(text),
        text.get(at.saturating_add(1)..).unwrap_or_default(),
    )
}

fn trim_start_zeros(mut digits: &[u8]) -> &[u8] {
    while let [b'0', rest @ ..] = digits {
        digits = rest;
    }
    digits
}
