//! The fingerprint tells an identical copy of an event from a conflicting one. The identity tells one event from another.
//!
//! # The scheme
//!
//! Fingerprints are stored, so another scheme needs another format version of the stores. `H` is XXH3 of 64 bits, with seed 0
//! unless one is named. Each JSON value has one *text*, however it is spelled:
//!
//! | JSON value | text |
//! |---|---|
//! | `null`, `true`, `false` | the word |
//! | string | `"`, its characters in UTF-8 once unescaped, with `\` before each `"` and `\`, then `"`; a lone surrogate as the three bytes UTF-8 would give it |
//! | number | `-` if below zero, the digits from the first to the last that is not zero, `e`, and the exponent of the last digit in decimal; `0e0` for zero |
//! | array | `[`, the texts of its elements with `,` between them, `]` |
//! | object | `{`, its digest in 8 bytes, `}` |
//!
//! The digest of an object is the wrapping sum of one hash per member. So the order of members does not matter, and members
//! of equal names are a multiset. The hash of a member is `H(text of the name, ":", text of the value)`. If the value is an
//! object, it is `H(text of the name)`, with the digest of that object as the seed.
//!
//! The fingerprint of an event is `H` of 24 bytes: `H(characters of the type)`, `H(text of the time)`, digest of the data. All
//! numbers are little-endian.
//!
//! The text of a string without escapes is the string as it is written. So `"account":"u-42"` is hashed in its place.
//!
//! # Why 64 bits
//!
//! Fingerprints are compared only if the identities are equal. Two different events of one identity look like copies in one
//! case of 2^64. It is no defence against a search for such a case, but nobody gains by one: the second event is not applied
//! either way. It counts as a copy, and makes no dead letter.

#[cfg(test)]
mod tests;

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::core::contract::escapes::{character, code_unit};
use crate::core::contract::members::ObjectMembers;
use crate::core::values::sha256::sha256;

/// The fingerprint of an event's type, time and data, which all copies must have in common (contract, section 3). Events
/// with the same JSON values have the same fingerprint. Other events differ, except by a collision. `time` and `data` are
/// JSON text, known to be valid.
///
/// Time and memory are linear in the length of the text. Text that is not valid JSON has a fingerprint too.
#[must_use]
pub fn fingerprint(event_type: &str, time: &str, data: &str) -> u64 {
    combine(event_type, value_hash(time), object_digest(data))
}

/// The same fingerprint, if the members of `data` are known already, and the record has no escape.
#[must_use]
pub fn fingerprint_of_members(event_type: &str, time: &str, data: ObjectMembers<'_, '_>) -> u64 {
    let time = if time.starts_with('"') {
        xxh3_64(time.as_bytes())
    } else {
        value_hash(time)
    };
    combine(event_type, time, members_digest(data))
}

fn combine(event_type: &str, time: u64, data: u64) -> u64 {
    let mut bytes = [0; 24];
    let hashes = [xxh3_64(event_type.as_bytes()), time, data];
    for (slot, hash) in bytes.chunks_exact_mut(8).zip(hashes) {
        slot.copy_from_slice(&hash.to_le_bytes());
    }
    xxh3_64(&bytes)
}

/// The identity of an event within its topic partition: the first 16 bytes of the SHA-256 of the length of `id` in
/// bytes (32 bits, little-endian), `id` and `source`.
pub fn identity(id: &str, source: &str) -> [u8; 16] {
    // No record has 4 GiB.
    let length = u32::try_from(id.len()).unwrap_or(u32::MAX).to_le_bytes();
    let hash = sha256([&length, id.as_bytes(), source.as_bytes()]);
    let [identity @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] = hash;
    identity
}

/// The digest of an object whose members are known. Their nesting is bounded, and no string has an escape.
fn members_digest(members: ObjectMembers<'_, '_>) -> u64 {
    members.iter().fold(0, |sum: u64, member| {
        sum.wrapping_add(if member.is_string() && member.is_compact() {
            xxh3_64(member.text())
        } else if member.is_object() {
            xxh3_64_with_seed(member.quoted_name(), members_digest(member.inside()))
        } else {
            let mut text = Vec::with_capacity(member.text().len().saturating_add(40));
            text.extend_from_slice(member.quoted_name());
            text.push(b':');
            push_value(member.value().as_bytes(), &mut text);
            xxh3_64(&text)
        })
    })
}

/// The digest of an object, from its JSON text.
fn object_digest(object: &str) -> u64 {
    let mut text = Vec::with_capacity(object.len());
    push_value(object.as_bytes(), &mut text);
    match text.split_last_chunk::<9>() {
        Some((b"{", [digest @ .., b'}'])) => u64::from_le_bytes(*digest),
        // Not an object.
        _ => xxh3_64(&text),
    }
}

/// The hash of the text of a JSON value.
fn value_hash(value: &str) -> u64 {
    let mut text = Vec::new();
    push_value(value.as_bytes(), &mut text);
    xxh3_64(&text)
}

/// An array or object that is not closed yet.
struct Open {
    is_object: bool,
    /// The sum of the object's members so far.
    sum: u64,
    /// Where the text of the object's current member begins.
    start: usize,
}

impl Open {
    /// Adds the current member to the sum, and removes its text.
    fn end_member(&mut self, text: &mut Vec<u8>) {
        let member = text.get(self.start..).unwrap_or_default();
        if member.is_empty() {
            return;
        }
        let hash = match member.split_last_chunk::<11>() {
            // Only a member whose value is an object ends with a brace.
            Some((name, [b':', b'{', digest @ .., b'}'])) => xxh3_64_with_seed(name, u64::from_le_bytes(*digest)),
            _ => xxh3_64(member),
        };
        self.sum = self.sum.wrapping_add(hash);
        text.truncate(self.start);
    }
}

/// Appends the text of the first value of a JSON text. The stack is on the heap, because the sender decides the nesting.
fn push_value(json: &[u8], text: &mut Vec<u8>) {
    let mut open: Vec<Open> = Vec::new();
    let mut rest = json;
    while let [byte, tail @ ..] = rest {
        let (is_value, after) = match byte {
            b' ' | b'\t' | b'\n' | b'\r' => (false, tail),
            b':' => {
                text.push(b':');
                (false, tail)
            }
            b',' => {
                match open.last_mut() {
                    Some(object) if object.is_object => object.end_member(text),
                    _ => text.push(b','),
                }
                (false, tail)
            }
            b'{' | b'[' => {
                let is_object = *byte == b'{';
                if !is_object {
                    text.push(b'[');
                }
                open.push(Open {
                    is_object,
                    sum: 0,
                    start: text.len(),
                });
                (false, tail)
            }
            b'}' => {
                if let Some(mut object) = open.pop() {
                    object.end_member(text);
                    text.push(b'{');
                    text.extend_from_slice(&object.sum.to_le_bytes());
                    text.push(b'}');
                }
                (true, tail)
            }
            b']' => {
                open.pop();
                text.push(b']');
                (true, tail)
            }
            b'"' => (true, push_string(tail, text)),
            _ => {
                let (token, after) = split_token(rest);
                match byte {
                    b'-' | b'0'..=b'9' => push_number(token, text),
                    _ => text.extend_from_slice(token),
                }
                (true, after)
            }
        };
        // A name is in an object, which is open.
        if is_value && open.is_empty() {
            return;
        }
        rest = after;
    }
}

/// Splits off a number or a word. It is never empty.
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

/// Appends the text of a string, and returns what follows its closing quote. `json` begins after the opening quote. Escapes that JSON does
/// not know stay unchanged.
fn push_string<'a>(mut json: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
    text.push(b'"');
    loop {
        let special = memchr::memchr2(b'"', b'\\', json).unwrap_or(json.len());
        let (plain, rest) = json.split_at_checked(special).unwrap_or((json, &[]));
        text.extend_from_slice(plain);
        json = match rest {
            [b'\\', b'u', rest @ ..] => match code_unit(rest) {
                Some((unit, rest)) => push_code_unit(unit, rest, text),
                None => {
                    text.extend_from_slice(b"\\u");
                    rest
                }
            },
            [b'\\', escape, rest @ ..] => {
                match escape {
                    b'/' => text.push(b'/'),
                    b'b' => text.push(0x08),
                    b'f' => text.push(0x0c),
                    b'n' => text.push(b'\n'),
                    b'r' => text.push(b'\r'),
                    b't' => text.push(b'\t'),
                    // Quote and backslash keep theirs.
                    other => text.extend_from_slice(&[b'\\', *other]),
                }
                rest
            }
            [_, rest @ ..] => {
                text.push(b'"');
                return rest;
            }
            // A valid JSON text does not end within a string.
            [] => return &[],
        };
    }
}

/// Appends the character of an escaped UTF-16 code unit; if the next escape completes a surrogate pair, the character
/// of both. Returns what follows.
fn push_code_unit<'a>(unit: u32, rest: &'a [u8], text: &mut Vec<u8>) -> &'a [u8] {
    let (character, rest) = character(unit, rest);
    match character {
        Some(special @ ('"' | '\\')) => text.extend([b'\\', special as u8]),
        Some(character) => text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes()),
        // A lone surrogate: 1110xxxx 10xxxxxx 10xxxxxx, as for any other unit of 16 bits.
        None => text.extend([0xe0 | unit >> 12, 0x80 | unit >> 6 & 0x3f, 0x80 | unit & 0x3f].map(|byte| byte as u8)),
    }
    rest
}

/// Appends the text of a number, `-?digits(.digits)?([eE][+-]?digits)?`.
fn push_number(token: &[u8], text: &mut Vec<u8>) {
    let (negative, unsigned) = strip_sign(token);
    let (mantissa, exponent) = split_around(unsigned, |byte| matches!(byte, b'e' | b'E'));
    let (whole, fraction) = split_around(mantissa, |byte| byte == b'.');

    let start = text.len();
    if negative {
        text.push(b'-');
    }
    let first_digit = text.len();
    let whole = trim_start_zeros(whole);
    text.extend_from_slice(whole);
    text.extend_from_slice(if whole.is_empty() {
        trim_start_zeros(fraction)
    } else {
        fraction
    });
    let untrimmed = text.len();
    while text.len() > first_digit && text.last() == Some(&b'0') {
        text.pop();
    }
    if text.len() == first_digit {
        text.truncate(start);
        text.extend_from_slice(b"0e0");
        return;
    }
    // Texts are shorter than 2^63, so these fit, and so does their difference.
    let shift = (untrimmed - text.len()) as i128 - fraction.len() as i128;
    text.push(b'e');
    push_exponent(exponent, shift, text);
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
