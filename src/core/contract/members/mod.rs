//! Reads a record of the common shape in one pass: where the members of all its objects are.
//!
//! # The common shape
//!
//! - An object in valid JSON by RFC 8259 and UTF-8, shorter than 64 KiB. The only white space is blanks.
//! - No backslash, and so no escapes: a string is what is between its quotes, and names are equal if their bytes are.
//! - At most [`MOST_MEMBERS`] members in all, and [`MOST_DEPTH`] objects and arrays inside each other.
//!
//! Nearly all producers write nothing else. A record with other white space or escapes is [spelled anew](respell) first. Only escapes that it needs
//! stay; no name of a field needs one. Any other record is read by `serde_json`, which decides what is valid, and says what is wrong. So this reader never rejects a record. It must not
//! take what `serde_json` would not, and must find the same members. A test compares the two on damaged records.
//!
//! Names may be given twice here, as they may for `serde_json`. Who reads the fields looks at that.

mod respell;
#[cfg(test)]
mod tests;

use arrayvec::ArrayVec;
use bumpalo::Bump;

use crate::core::contract::members::respell::respelled;

/// A trade with all its fields and two fees has 21. The rest is for fields that are not known.
const MOST_MEMBERS: usize = 40;

/// The record, its data, a side of a trade, that side's fee; and one more for fields that are not known.
const MOST_DEPTH: usize = 5;

/// Where a member is in its record.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// The opening quote of its name.
    start: u16,
    /// Behind the closing quote of its name.
    name_end: u16,
    value: u16,
    /// Behind its value.
    end: u16,
    /// How many of the members behind this one are inside its value.
    inside: u16,
    /// Whether there is an escape in its name or value.
    has_escape: bool,
}

/// The members of a record. Those inside a member's value come directly behind that member.
#[derive(Debug, Default)]
pub struct Members<'a> {
    record: &'a str,
    /// Whether a string may have an escape.
    has_escapes: bool,
    places: ArrayVec<Place, MOST_MEMBERS>,
}

/// The members of one object of a record.
#[derive(Debug, Clone, Copy)]
pub struct ObjectMembers<'m, 'a> {
    record: &'a str,
    /// With the members inside their values.
    places: &'m [Place],
}

/// A member of an object.
#[derive(Debug, Clone, Copy)]
pub struct JsonMember<'m, 'a> {
    record: &'a str,
    place: Place,
    inside: &'m [Place],
}

impl<'a> Members<'a> {
    /// Reads a record. Returns whether it has the common shape as it is; if not, there are no members to rely on.
    #[must_use]
    pub fn read(&mut self, record: &'a [u8]) -> bool {
        if record.len() > usize::from(u16::MAX) || has_special(record) {
            return false;
        }
        self.has_escapes = false;
        simdutf8::basic::from_utf8(record).is_ok_and(|record| self.read_text(record))
    }

    /// Reads a record, and spells it anew in `memory` if it needs that. Returns whether it has the common shape then.
    #[must_use]
    pub fn read_any_spelling(&mut self, record: &'a [u8], memory: &'a Bump) -> bool {
        if record.len() > usize::from(u16::MAX) {
            return false;
        }
        let Ok(text) = simdutf8::basic::from_utf8(record) else {
            return false;
        };
        if !has_special(record) {
            self.has_escapes = false;
            return self.read_text(text);
        }
        respelled(text, memory).is_some_and(|text| {
            self.has_escapes = memchr::memchr(b'\\', text.as_bytes()).is_some();
            self.read_text(text)
        })
    }

    fn read_text(&mut self, record: &'a str) -> bool {
        let bytes = record.as_bytes();
        let start = skip_blanks(bytes, 0);
        if bytes.get(start) != Some(&b'{') {
            return false;
        }
        self.record = record;
        self.places.clear();
        let end = if self.has_escapes {
            self.value::<true>(start, MOST_DEPTH)
        } else {
            self.value::<false>(start, MOST_DEPTH)
        };
        end.is_some_and(|end| skip_blanks(bytes, end) == bytes.len())
    }

    /// Whether a string of the record may have an escape.
    #[must_use]
    pub const fn may_have_escapes(&self) -> bool {
        self.has_escapes
    }

    /// The members of the record itself.
    #[must_use]
    pub fn all(&self) -> ObjectMembers<'_, 'a> {
        ObjectMembers {
            record: self.record,
            places: &self.places,
        }
    }

    /// Reads a value, and returns where it ends. `depth` is how many objects and arrays may still be inside each other. `ESCAPES` tells, here and below,
    /// whether strings may have escapes.
    #[inline]
    fn value<const ESCAPES: bool>(&mut self, start: usize, depth: usize) -> Option<usize> {
        let bytes = self.record.as_bytes();
        match *bytes.get(start)? {
            b'"' => self.string_end::<ESCAPES>(start + 1),
            _ => self.other_value::<ESCAPES>(start, depth),
        }
    }

    /// Where a string ends: behind its closing quote. It begins at `start`, behind its opening quote.
    #[inline]
    fn string_end<const ESCAPES: bool>(&self, start: usize) -> Option<usize> {
        let bytes = self.record.as_bytes();
        let mut end = quote_end(bytes, start)?;
        if ESCAPES {
            // Before a quote that is not escaped, backslashes are in pairs.
            let is_escaped = |end: usize| {
                let before = bytes.get(start..end.saturating_sub(1)).unwrap_or_default();
                before.iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
            };
            while is_escaped(end) {
                end = quote_end(bytes, end)?;
            }
        }
        Some(end)
    }

    /// A value that is no string.
    fn other_value<const ESCAPES: bool>(&mut self, start: usize, depth: usize) -> Option<usize> {
        let bytes = self.record.as_bytes();
        match *bytes.get(start)? {
            b'{' => self.object::<ESCAPES>(start + 1, depth.checked_sub(1)?),
            b'[' => self.array::<ESCAPES>(start + 1, depth.checked_sub(1)?),
            b'-' | b'0'..=b'9' => number_end(bytes, start),
            _ => word_end(bytes, start),
        }
    }

    /// The rest of an object, from behind its brace on.
    fn object<const ESCAPES: bool>(&mut self, start: usize, depth: usize) -> Option<usize> {
        let bytes = self.record.as_bytes();
        let mut at = skip_blanks(bytes, start);
        if *bytes.get(at)? == b'}' {
            return Some(at + 1);
        }
        loop {
            if *bytes.get(at)? != b'"' {
                return None;
            }
            let name_end = self.string_end::<ESCAPES>(at + 1)?;
            let colon = skip_blanks(bytes, name_end);
            if *bytes.get(colon)? != b':' {
                return None;
            }
            let value = skip_blanks(bytes, colon + 1);
            let index = self.places.len();
            self.places
                .try_push(Place {
                    // The record is shorter than 2^16.
                    start: at as u16,
                    name_end: name_end as u16,
                    value: value as u16,
                    end: 0,
                    inside: 0,
                    has_escape: false,
                })
                .ok()?;
            let end = self.value::<ESCAPES>(value, depth)?;
            let inside = self.places.len() - index - 1;
            let place = self.places.get_mut(index)?;
            (place.end, place.inside) = (end as u16, inside as u16);
            place.has_escape = ESCAPES && memchr::memchr(b'\\', bytes.get(usize::from(place.start)..end)?).is_some();
            at = skip_blanks(bytes, end);
            match *bytes.get(at)? {
                b',' => at = skip_blanks(bytes, at + 1),
                b'}' => return Some(at + 1),
                _ => return None,
            }
        }
    }

    /// The rest of an array, from behind its bracket on.
    fn array<const ESCAPES: bool>(&mut self, start: usize, depth: usize) -> Option<usize> {
        let bytes = self.record.as_bytes();
        let mut at = skip_blanks(bytes, start);
        if *bytes.get(at)? == b']' {
            return Some(at + 1);
        }
        loop {
            at = self.value::<ESCAPES>(at, depth)?;
            at = skip_blanks(bytes, at);
            match *bytes.get(at)? {
                b',' => at = skip_blanks(bytes, at + 1),
                b']' => return Some(at + 1),
                _ => return None,
            }
        }
    }
}

impl<'m, 'a> ObjectMembers<'m, 'a> {
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = JsonMember<'m, 'a>> {
        let mut rest = self.places;
        std::iter::from_fn(move || {
            let (place, behind) = rest.split_first()?;
            let (inside, next) = behind.split_at_checked(usize::from(place.inside))?;
            rest = next;
            Some(JsonMember {
                record: self.record,
                place: *place,
                inside,
            })
        })
    }

    /// The members of the object that is the value of one of these. `value` is that value itself, and no copy of it.
    #[must_use]
    pub fn of_value(self, value: &'a str) -> Option<Self> {
        let member = self.iter().find(|member| std::ptr::eq(member.value(), value))?;
        value.starts_with('{').then(|| member.inside())
    }
}

impl<'m, 'a> JsonMember<'m, 'a> {
    #[inline]
    fn bytes(&self, from: u16, to: u16) -> &'a [u8] {
        let range = usize::from(from)..usize::from(to);
        self.record.as_bytes().get(range).unwrap_or_default()
    }

    /// The name without its quotes.
    #[inline]
    #[must_use]
    pub fn name(&self) -> &'a [u8] {
        match self.quoted_name() {
            [b'"', name @ .., b'"'] => name,
            other => other,
        }
    }

    #[inline]
    #[must_use]
    pub fn quoted_name(&self) -> &'a [u8] {
        self.bytes(self.place.start, self.place.name_end)
    }

    /// The JSON text of the value.
    #[inline]
    #[must_use]
    pub fn value(&self) -> &'a str {
        let range = usize::from(self.place.value)..usize::from(self.place.end);
        self.record.get(range).unwrap_or_default()
    }

    #[inline]
    #[must_use]
    pub fn is_string(&self) -> bool {
        self.bytes(self.place.value, self.place.end).first() == Some(&b'"')
    }

    /// Whether there is an escape in its name or value.
    #[inline]
    #[must_use]
    pub const fn has_escape(&self) -> bool {
        self.place.has_escape
    }

    #[inline]
    #[must_use]
    pub fn is_object(&self) -> bool {
        self.bytes(self.place.value, self.place.end).first() == Some(&b'{')
    }

    /// Name and value, as they are in the record.
    #[inline]
    #[must_use]
    pub fn text(&self) -> &'a [u8] {
        self.bytes(self.place.start, self.place.end)
    }

    /// Whether there is only the colon between name and value.
    #[inline]
    #[must_use]
    pub const fn is_compact(&self) -> bool {
        self.place.value - self.place.name_end == 1
    }

    /// The members of its value, if that is an object.
    #[inline]
    #[must_use]
    pub const fn inside(&self) -> ObjectMembers<'m, 'a> {
        ObjectMembers {
            record: self.record,
            places: self.inside,
        }
    }
}

/// Whether a record has a control character or a backslash anywhere.
#[inline]
fn has_special(record: &[u8]) -> bool {
    // No early exit, so that the loop is vectorized.
    record
        .iter()
        .fold(false, |special, byte| special | (*byte < b' ') | (*byte == b'\\'))
}

#[inline]
fn skip_blanks(bytes: &[u8], mut at: usize) -> usize {
    while bytes.get(at) == Some(&b' ') {
        at += 1;
    }
    at
}

/// Behind the next quote, from `at` on.
#[inline]
fn quote_end(bytes: &[u8], mut at: usize) -> Option<usize> {
    const ONES: u128 = u128::from_le_bytes([1; 16]);
    const HIGH_BITS: u128 = u128::from_le_bytes([0x80; 16]);
    const QUOTES: u128 = u128::from_le_bytes([b'"'; 16]);
    // Sixteen bytes at once: most strings are shorter, so the processor guesses right how often this loops.
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>) {
        let zero_at_quotes = u128::from_le_bytes(*word) ^ QUOTES;
        // The lowest bit set marks the lowest byte that is zero; bits above it may be false.
        let quotes = zero_at_quotes.wrapping_sub(ONES) & !zero_at_quotes & HIGH_BITS;
        if quotes != 0 {
            return Some(at + quotes.trailing_zeros() as usize / 8 + 1);
        }
        at += 16;
    }
    let rest = bytes.get(at..)?;
    rest.iter().position(|byte| *byte == b'"').map(|length| at + length + 1)
}

/// Where a number ends: `-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?`. The caller looks at what follows.
fn number_end(bytes: &[u8], start: usize) -> Option<usize> {
    let digits = |from: usize| {
        let mut at = from;
        while let Some(b'0'..=b'9') = bytes.get(at) {
            at += 1;
        }
        (at > from).then_some(at)
    };
    let first = start + usize::from(bytes.get(start) == Some(&b'-'));
    let mut at = match bytes.get(first)? {
        b'0' => first + 1,
        _ => digits(first)?,
    };
    if bytes.get(at) == Some(&b'.') {
        at = digits(at + 1)?;
    }
    if let Some(b'e' | b'E') = bytes.get(at) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        at = digits(at + 1 + sign)?;
    }
    Some(at)
}

/// Where `true`, `false` or `null` ends. The caller looks at what follows.
fn word_end(bytes: &[u8], start: usize) -> Option<usize> {
    let rest = bytes.get(start..)?;
    let words: [&[u8]; 3] = [b"true", b"false", b"null"];
    let word = words.into_iter().find(|word| rest.starts_with(word))?;
    Some(start + word.len())
}
