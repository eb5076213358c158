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
    /// For each operation: its verb, the lengths of key and value, the key, the value. For each deleted range: its two bounds.
    bytes: Vec<u8>,
    operations: Vec<Operation>,
    ranges: Vec<DeletedRange>,
}

/// What sorting needs of an operation. Operations with short keys are compared without reading the buffer, where each is somewhere else.
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

/// Offsets of the parts of an operation, from its start.
const KEY_LEN: usize = 1;
const VALUE_LEN: usize = KEY_LEN + size_of::<u32>();
const KEY: usize = VALUE_LEN + size_of::<u32>();

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
        self.push(PUT, key, |bytes| bytes.extend_from_slice(value));
    }

    /// Sets `key` to a row.
    pub fn put_row(&mut self, key: &[u8], row: Row) {
        self.push(PUT, key, |bytes| row::encode(&row, bytes));
    }

    /// Removes `key`.
    pub fn delete(&mut self, key: &[u8]) {
        self.push(DELETE, key, |_| ());
    }

    /// Adds `row` to the row at `key`. A missing key counts as zero.
    pub fn add(&mut self, key: &[u8], row: Row) {
        self.push(ADD, key, |bytes| row::encode(&row, bytes));
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

    /// Bytes of the buffer in use.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Drops all operations and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.operations.clear();
        self.ranges.clear();
    }

    fn push(&mut self, verb: u8, key: &[u8], write_value: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(&[verb; KEY]);
        self.bytes.extend_from_slice(key);
        let value = self.bytes.len();
        write_value(&mut self.bytes);
        // RocksDB takes no value of 4 GiB.
        let lengths = [key.len(), self.bytes.len() - value].map(|length| (length as u32).to_ne_bytes());
        self.bytes[start + KEY_LEN..start + KEY].copy_from_slice(lengths.as_flattened());
        self.operations.push(Operation::new(key, start));
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
        let least = self.operations.first().map(|operation| operation.key(bytes));
        for key in least.into_iter().chain(self.deletions().map(|(from, _)| from)) {
            if matches!(key.first(), None | Some(0)) {
                return Err(StoreError::reserved(path, key));
            }
        }
        let mut scratch = Vec::with_capacity(row::MAX_LEN);
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
            let key = group[0].key(bytes);
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
                alike.sort_unstable_by(|a, b| a.key(bytes).cmp(b.key(bytes)).then(a.start().cmp(&b.start())));
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

/// Combines operations on one key; `None` if a sum overflows, or a value is no row.
fn combine<'a>(operations: &[Operation], bytes: &'a [u8], scratch: &'a mut Vec<u8>) -> Option<KeyChange<'a>> {
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
    scratch.clear();
    sum.encode(scratch);
    Some(match base {
        None => KeyChange::Add(scratch),
        Some(_) => KeyChange::Put(scratch),
    })
}

impl Operation {
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

    /// Whether the two keys have the same start, and the same length if they are short.
    fn starts_as(&self, other: &Self) -> bool {
        self.order.0 == other.order.0 && self.order.1 >> LENGTH_SHIFT == other.order.1 >> LENGTH_SHIFT
    }

    const fn is_long(&self) -> bool {
        (self.order.1 >> LENGTH_SHIFT) as u8 == LONG as u8
    }

    fn has_key_of(&self, other: &Self, bytes: &[u8]) -> bool {
        self.starts_as(other) && (!self.is_long() || self.key(bytes) == other.key(bytes))
    }

    fn len(&self, at: usize, bytes: &[u8]) -> usize {
        let mut len = [0; size_of::<u32>()];
        let from = self.start() + at;
        len.copy_from_slice(&bytes[from..from + size_of::<u32>()]);
        u32::from_ne_bytes(len) as usize
    }

    fn key<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        let from = self.start() + KEY;
        &bytes[from..from + self.len(KEY_LEN, bytes)]
    }

    fn change<'a>(&self, bytes: &'a [u8]) -> KeyChange<'a> {
        let from = self.start() + KEY + self.len(KEY_LEN, bytes);
        let value = &bytes[from..from + self.len(VALUE_LEN, bytes)];
        match bytes[self.start()] {
            PUT => KeyChange::Put(value),
            ADD => KeyChange::Add(value),
            // The only other verb is DELETE.
            _ => KeyChange::Delete,
        }
    }
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
                let mut encoded = Vec::new();
                row::encode(&one(value.parse().unwrap()), &mut encoded);
                changes.put(key.as_bytes(), &encoded);
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
