//! The changes of one commit, collected in memory.

use std::hint::black_box;
use std::path::Path;

use crate::core::accrue::row::Row;
use crate::store::error::StoreError;
use crate::store::row;
use crate::store::row::RowSum;

/// Operations to commit in one step, in the order they were made.
///
/// A `put` or `delete` replaces earlier operations on its key. An `add` adds to the value that the key has at that point. A `delete_range`
/// removes keys of the store and earlier operations here. Keys begin with a byte other than zero.
///
/// All operations are in one buffer, so that none needs an allocation of its own.
#[derive(Debug, Default)]
pub struct Changes {
    /// For each operation: its head, the key if it is long, the value. For each deleted range: its two bounds.
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    ranges: Vec<DeletedRange>,
}

/// What sorting needs of an operation. A short key is all here, and is not in the buffer.
#[derive(Debug, Clone, Copy)]
struct Operation {
    /// Two numbers that are ordered as the operations are, but for long keys with the same start. The first has the first 16 bytes of the key. The second
    /// has the next 8; then, in one byte, the length of the key, or [`LONG`]; then, in seven, the offset in the buffer, which grows with every operation.
    order: (u128, u128),
}

/// The longest key that is all in [`Operation::order`].
const SHORT: usize = 24;
/// The length that is noted for longer ones.
const LONG: usize = SHORT + 1;
const LENGTH_SHIFT: u32 = 56;

/// Offsets in the buffer: the lower bound from `start`, the upper bound from `to`, up to `end`.
#[derive(Debug, Clone, Copy)]
struct DeletedRange {
    start: usize,
    to: usize,
    end: usize,
}

const PUT: u8 = 0;
const DELETE: u8 = 1;
const ADD: u8 = 2;

/// The head of an operation is its verb and the length of its value, in one byte if that is below [`FAR`]. Otherwise the length follows, in four. Before a
/// long key there are four more, for its own length.
const VERB_BITS: u32 = 2;
const FAR: usize = u8::MAX as usize >> VERB_BITS;

/// So many operations are looked at before they are needed.
const LOOKED_AHEAD: usize = 64;

/// The change of one key: all its operations combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyChange<'a> {
    Put(&'a [u8]),
    Delete,
    /// An encoded row, to add to the row in the store.
    Add(&'a [u8]),
}

impl Changes {
    /// Sets `key` to `value`.
    pub fn put(&mut self, key: &[u8], value: &[u8]) {
        self.push(PUT, key, value);
    }

    /// Sets `key` to a row.
    pub fn put_row(&mut self, key: &[u8], row: Row) {
        self.push(PUT, key, &row::encoded(&row));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.push(DELETE, key, &[]);
    }

    /// Adds `row` to the row at `key`. A missing key counts as zero.
    #[inline]
    pub fn add(&mut self, key: &[u8], row: Row) {
        self.push(ADD, key, &row::encoded(&row));
    }

    /// Removes all keys from `from` (included) to `to` (excluded).
    pub fn delete_range(&mut self, from: &[u8], to: &[u8]) {
        if from >= to {
            return;
        }
        let start = self.bytes.len();
        self.bytes.extend_from_slice(from);
        let middle = self.bytes.len();
        self.bytes.extend_from_slice(to);
        self.ranges.push(DeletedRange {
            start,
            to: middle,
            end: self.bytes.len(),
        });
    }

    /// The number of operations.
    #[must_use]
    pub fn len(&self) -> usize {
        self.operations.len() + self.ranges.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of memory that the operations take.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len() + size_of_val(self.operations.as_slice())
    }

    /// Drops all operations and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.operations.clear();
        self.ranges.clear();
    }

    #[inline]
    fn push(&mut self, verb: u8, key: &[u8], value: &[u8]) {
        let operation = Operation::new(key, self.bytes.len());
        if value.len() < FAR {
            self.bytes.push(verb | (value.len() as u8) << VERB_BITS);
        } else {
            self.bytes.push(verb | (FAR as u8) << VERB_BITS);
            self.push_length(value.len());
        }
        if operation.is_long() {
            self.push_length(key.len());
            self.bytes.extend_from_slice(key);
        }
        self.bytes.extend_from_slice(value);
        self.operations.push(operation);
    }

    fn push_length(&mut self, length: usize) {
        // RocksDB takes no key and no value of 4 GiB.
        self.bytes.extend_from_slice(&(length as u32).to_ne_bytes());
    }

    /// The ranges to delete from the store before the other changes are applied.
    pub(super) fn deletions(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.ranges.iter().map(|range| range.bounds(&self.bytes))
    }

    /// Calls `each` once with every key that changes, ascending. `path` is for errors.
    pub(super) fn combined(
        &mut self,
        path: &Path,
        mut each: impl FnMut(&[u8], KeyChange<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        self.sort();
        let bytes = &self.bytes;
        let mut short = [0; SHORT];
        if let Some(first) = self.operations.first() {
            refuse_reserved(first.key(bytes, &mut short), path)?;
        }
        for (from, _) in self.deletions() {
            refuse_reserved(from, path)?;
        }
        let mut scratch = row::EncodedRow::new();
        let mut ahead = self.operations.chunks(LOOKED_AHEAD);
        let (mut done, mut looked_at) = (0, 0);
        for group in self.operations.chunk_by(|a, b| a.has_key_of(b, bytes)) {
            // In this order, they are all over the buffer. A look at many at once need not wait for one to ask for the next.
            while done >= looked_at
                && let Some(next) = ahead.next()
            {
                black_box(next.iter().fold(0, |sum, operation| sum ^ bytes[operation.start()]));
                looked_at += next.len();
            }
            done += group.len();
            let key = group[0].key(bytes, &mut short);
            let effective = self.after_deletions(key, group);
            let change = match effective {
                [] => continue,
                [only] => only.change(bytes),
                several => combine(several, bytes, &mut scratch).ok_or_else(|| StoreError::sum(path, key))?,
            };
            each(key, change)?;
        }
        Ok(())
    }

    /// Sorts by key, then by order of arrival.
    fn sort(&mut self) {
        let bytes = &self.bytes;
        self.operations.sort_unstable_by_key(|operation| operation.order);
        for alike in self.operations.chunk_by_mut(|a, b| a.is_long() && a.starts_as(b)) {
            if alike.len() > 1 {
                alike.sort_unstable_by(|a, b| {
                    let by_key = a.long_key(bytes).cmp(b.long_key(bytes));
                    by_key.then(a.start().cmp(&b.start()))
                });
            }
        }
    }

    /// The operations of `group`, all on `key`, that come after the last deletion of a range with this key.
    fn after_deletions<'a>(&self, key: &[u8], group: &'a [Operation]) -> &'a [Operation] {
        let last = self
            .ranges
            .iter()
            .filter(|range| {
                let (from, to) = range.bounds(&self.bytes);
                from <= key && key < to
            })
            .map(|range| range.start)
            .next_back();
        match last {
            None => group,
            Some(deleted) => &group[group.partition_point(|operation| operation.start() < deleted)..],
        }
    }
}

fn refuse_reserved(key: &[u8], path: &Path) -> Result<(), StoreError> {
    match key.first() {
        None | Some(0) => Err(StoreError::reserved(path, key)),
        Some(_) => Ok(()),
    }
}

/// Combines operations on one key; `None` if a sum overflows, or a value is no row.
fn combine<'a>(operations: &[Operation], bytes: &'a [u8], scratch: &'a mut row::EncodedRow) -> Option<KeyChange<'a>> {
    let mut base = None;
    let mut sum: Option<RowSum> = None;
    for operation in operations {
        match operation.change(bytes) {
            KeyChange::Add(row) => {
                let sum = match (&mut sum, base) {
                    (Some(sum), _) => sum,
                    (none, Some(KeyChange::Put(value))) => none.insert(RowSum::decode(value)?),
                    (none, _) => none.insert(RowSum::default()),
                };
                sum.add(row)?;
            }
            change => {
                base = Some(change);
                sum = None;
            }
        }
    }
    let Some(sum) = sum else {
        return base;
    };
    *scratch = sum.encoded();
    Some(match base {
        None => KeyChange::Add(scratch),
        Some(_) => KeyChange::Put(scratch),
    })
}

impl Operation {
    #[inline]
    fn new(key: &[u8], start: usize) -> Self {
        let mut head = [0; SHORT];
        let known = key.len().min(SHORT);
        head[..known].copy_from_slice(&key[..known]);
        let [first @ .., _, _, _, _, _, _, _, _] = head;
        let [_, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, next @ ..] = head;
        let length = (key.len().min(LONG) as u128) << LENGTH_SHIFT;
        let next = u128::from(u64::from_be_bytes(next)) << 64;
        Self {
            // No buffer has 2^56 bytes.
            order: (u128::from_be_bytes(first), next | length | start as u128),
        }
    }

    const fn start(&self) -> usize {
        (self.order.1 & ((1 << LENGTH_SHIFT) - 1)) as usize
    }

    /// The length of its key, or [`LONG`].
    const fn known_length(&self) -> usize {
        (self.order.1 >> LENGTH_SHIFT) as u8 as usize
    }

    /// Whether the two keys have the same start, and the same length if they are short.
    fn starts_as(&self, other: &Self) -> bool {
        self.order.0 == other.order.0 && self.order.1 >> LENGTH_SHIFT == other.order.1 >> LENGTH_SHIFT
    }

    const fn is_long(&self) -> bool {
        self.known_length() == LONG
    }

    fn has_key_of(&self, other: &Self, bytes: &[u8]) -> bool {
        self.starts_as(other) && (!self.is_long() || self.long_key(bytes) == other.long_key(bytes))
    }

    /// The key. A short one is written to `short`.
    #[inline]
    fn key<'a>(&self, bytes: &'a [u8], short: &'a mut [u8; SHORT]) -> &'a [u8] {
        if self.is_long() {
            return self.long_key(bytes);
        }
        let (first, next) = short.split_at_mut(size_of::<u128>());
        first.copy_from_slice(&self.order.0.to_be_bytes());
        next.copy_from_slice(&((self.order.1 >> 64) as u64).to_be_bytes());
        &short[..self.known_length()]
    }

    fn long_key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let (_, _, rest) = self.parts(bytes);
        let (length, rest) = split_length(rest);
        &rest[..length]
    }

    /// Its verb, the length of its value, and what follows in the buffer.
    #[inline]
    fn parts<'a>(&self, bytes: &'a [u8]) -> (u8, usize, &'a [u8]) {
        let (head, rest) = (bytes[self.start()], &bytes[self.start() + 1..]);
        let verb = head & ((1 << VERB_BITS) - 1);
        match usize::from(head >> VERB_BITS) {
            FAR => {
                let (length, rest) = split_length(rest);
                (verb, length, rest)
            }
            length => (verb, length, rest),
        }
    }

    #[inline]
    fn change<'a>(&self, bytes: &'a [u8]) -> KeyChange<'a> {
        let (verb, length, mut rest) = self.parts(bytes);
        if self.is_long() {
            let (length, behind) = split_length(rest);
            rest = &behind[length..];
        }
        let value = &rest[..length];
        match verb {
            PUT => KeyChange::Put(value),
            ADD => KeyChange::Add(value),
            // The only other verb is DELETE.
            _ => KeyChange::Delete,
        }
    }
}

/// The length at the start of `bytes`, and the bytes after it.
fn split_length(bytes: &[u8]) -> (usize, &[u8]) {
    let (length, rest) = bytes.split_at(size_of::<u32>());
    let mut number = [0; size_of::<u32>()];
    number.copy_from_slice(length);
    (u32::from_ne_bytes(number) as usize, rest)
}

impl DeletedRange {
    fn bounds<'a>(&self, bytes: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        (&bytes[self.start..self.to], &bytes[self.to..self.end])
    }
}

#[cfg(test)]
mod tests {
    use ethnum::I256;

    use super::*;

    fn one(delta: i128) -> Row {
        Row {
            delta: I256::new(delta),
            weighted: I256::ZERO,
        }
    }

    /// `"k=v"` puts, `"k-"` deletes, `"k+1"` adds, `"a..b"` deletes a range. The result is written in the same way, with `"k:=1"` for a put row.
    fn check(operations: &str, expected: &str) {
        let mut changes = Changes::default();
        for operation in operations.split_whitespace() {
            if let Some((from, to)) = operation.split_once("..") {
                changes.delete_range(from.as_bytes(), to.as_bytes());
            } else if let Some((key, value)) = operation.split_once(":=") {
                changes.put_row(key.as_bytes(), one(value.parse().unwrap()));
            } else if let Some((key, value)) = operation.split_once('=') {
                changes.put(key.as_bytes(), value.as_bytes());
            } else if let Some((key, value)) = operation.split_once('+') {
                changes.add(key.as_bytes(), one(value.parse().unwrap()));
            } else {
                changes.delete(operation.trim_end_matches('-').as_bytes());
            }
        }
        let mut found = Vec::new();
        let outcome = changes.combined(Path::new("test"), |key, change| {
            let key = str::from_utf8(key).unwrap();
            found.push(match change {
                KeyChange::Delete => format!("{key}-"),
                KeyChange::Add(sum) => format!("{key}+{}", row::decode(sum).unwrap().delta),
                KeyChange::Put(value) => match row::decode(value) {
                    Some(sum) => format!("{key}:={}", sum.delta),
                    None => format!("{key}={}", str::from_utf8(value).unwrap()),
                },
            });
            Ok(())
        });
        let found = match outcome {
            Ok(()) => found.join(" "),
            Err(error) => error.to_string(),
        };
        assert_eq!(found, expected, "{operations}");
    }

    #[test]
    fn operations_on_one_key_combine() {
        check("", "");
        check("b=x a=y c-", "a=y b=x c-");
        check("a=x a=y", "a=y");
        check("a=x a-", "a-");
        check("a- a=x", "a=x");
        check("a+1 b+5 a+2 a+-7", "a+-4 b+5");
        check("a:=10 a+1 a+2", "a:=13");
        check("a+1 a:=10 a+2", "a:=12");
        check("a- a+1", "a:=1");
        check("a+1 a-", "a-");
        check("a+1 a- a+2 a+3", "a:=5");
    }

    #[test]
    fn a_range_deletes_earlier_operations() {
        check("a=1 b=2 c=3 a..c", "c=3");
        check("a=1 a..c a+2 b+3", "a+2 b+3");
        check("a+1 a..b a+2 a..b a+4 a+8", "a+12");
        check("c..a a=1", "a=1");
        check("a+1 a..a", "a+1");
    }

    #[test]
    fn long_keys_sort_by_all_their_bytes() {
        check(
            "0123456789abcdefz=1 0123456789abcdef=2 0123456789abcdefa=3 0123456789abcde=4",
            "0123456789abcde=4 0123456789abcdef=2 0123456789abcdefa=3 0123456789abcdefz=1",
        );
        check("ab\0=1 ab=2 ab\0\0=3", "ab=2 ab\0=1 ab\0\0=3");
        let start = "0123456789abcdefghijklm";
        check(
            &format!("{start}no+1 {start}n+2 {start}+4 {start}np+8 {start}no+16 {start}n\0+32 {start}n+64"),
            &format!("{start}+4 {start}n+66 {start}n\0+32 {start}no+17 {start}np+8"),
        );
    }

    #[test]
    fn keys_of_the_store_itself_are_rejected() {
        let rejection = |key: &str| {
            format!(
                "key {key} is reserved for the store at test itself: keys begin with a byte other than zero; nothing was committed"
            )
        };
        check("a=1 \0p=1", &rejection("0070"));
        check("a=1 =1", &rejection(""));
        check("a=1 \0..b", &rejection("00"));
    }

    #[test]
    fn adding_to_a_value_that_is_no_row_is_rejected() {
        check(
            "a=x a+1",
            "cannot add to key 61 of the store at test: the value there is no row, or the sum overflows; nothing was committed",
        );
    }
}
