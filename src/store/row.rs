//! The stored form of a [`Row`], and the arithmetic on stored rows.
//!
//! A row is two numbers, the delta and the weighted sum. Each is a length byte, and that many bytes of little-endian two's complement: as few as
//! the number needs, none for zero, at most 32. Every row has one encoding, and other bytes are rejected.

use arrayvec::ArrayVec;
use ethnum::I256;

use crate::core::accrue::row::Row;

/// The length of the longest encoded row.
pub const MAX_LEN: usize = 2 * (1 + 32);

/// The encoding of a row of two zeros.
const ZERO: [u8; 2] = [0, 0];

/// An encoded row.
pub type EncodedRow = ArrayVec<u8, MAX_LEN>;

/// The encoding of `row`.
#[inline]
#[must_use]
pub fn encoded(row: &Row) -> EncodedRow {
    encoded_numbers(RowNumber::from(row.delta), RowNumber::from(row.weighted))
}

#[inline]
fn encoded_numbers(delta: RowNumber, weighted: RowNumber) -> EncodedRow {
    let mut out = EncodedRow::new();
    delta.write(&mut out);
    weighted.write(&mut out);
    out
}

/// Decodes a row; `None` if `bytes` are not the encoding of one.
#[must_use]
pub fn decode(bytes: &[u8]) -> Option<Row> {
    let sum = RowSum::decode(bytes)?;
    Some(Row {
        delta: sum.delta.wide(),
        weighted: sum.weighted.wide(),
    })
}

/// Appends the encoding of one number to `out`, as in a row.
pub fn encode_number(value: I256, out: &mut Vec<u8>) {
    let mut number = EncodedRow::new();
    RowNumber::from(value).write(&mut number);
    out.extend_from_slice(&number);
}

/// Decodes the number at the start of `bytes`, and returns it with the bytes after it; `None` if they begin with no encoding of one.
#[must_use]
pub fn decode_number(bytes: &[u8]) -> Option<(I256, &[u8])> {
    let (number, end) = RowNumber::read(bytes, 0)?;
    Some((number.wide(), bytes.get(end..)?))
}

/// Adds two encoded rows; `None` if one is not a row or the sum overflows.
#[must_use]
pub fn add_encoded(a: &[u8], b: &[u8]) -> Option<Vec<u8>> {
    sum_encoded([a, b])
}

/// Adds encoded rows, as `add_encoded`.
pub(super) fn sum_encoded<'a>(rows: impl IntoIterator<Item = &'a [u8]>) -> Option<Vec<u8>> {
    let mut rows = rows.into_iter();
    let first = rows.next().unwrap_or(&ZERO);
    let mut sum = RowSum::decode(first)?;
    let Some(second) = rows.next() else {
        // It is the encoding of its sum.
        return Some(first.to_vec());
    };
    for row in std::iter::once(second).chain(rows) {
        sum.add(row)?;
    }
    Some(sum.encoded().to_vec())
}

/// A running sum of encoded rows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct RowSum {
    delta: RowNumber,
    weighted: RowNumber,
}

impl RowSum {
    #[inline]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (delta, middle) = RowNumber::read(bytes, 0)?;
        let (weighted, end) = RowNumber::read(bytes, middle)?;
        (end == bytes.len()).then_some(Self { delta, weighted })
    }

    /// Adds an encoded row; after `None` the sum must not be used.
    #[inline]
    pub(super) fn add(&mut self, bytes: &[u8]) -> Option<()> {
        let other = Self::decode(bytes)?;
        self.delta = self.delta.add(other.delta)?;
        self.weighted = self.weighted.add(other.weighted)?;
        Some(())
    }

    #[inline]
    pub(super) fn encoded(self) -> EncodedRow {
        encoded_numbers(self.delta, self.weighted)
    }
}

/// A number, in 128 bits where it fits. Nearly all do, and these add and decode several times as fast.
#[derive(Debug, Clone, Copy)]
enum RowNumber {
    Narrow(i128),
    Wide(I256),
}

impl Default for RowNumber {
    fn default() -> Self {
        Self::Narrow(0)
    }
}

impl From<I256> for RowNumber {
    fn from(value: I256) -> Self {
        i128::try_from(value).map_or(Self::Wide(value), Self::Narrow)
    }
}

impl RowNumber {
    fn wide(self) -> I256 {
        match self {
            Self::Narrow(value) => I256::new(value),
            Self::Wide(value) => value,
        }
    }

    fn add(self, other: Self) -> Option<Self> {
        if let (Self::Narrow(a), Self::Narrow(b)) = (self, other)
            && let Some(sum) = a.checked_add(b)
        {
            return Some(Self::Narrow(sum));
        }
        self.wide().checked_add(other.wide()).map(Self::Wide)
    }

    /// The number at `at` in `bytes`, and where it ends.
    #[inline]
    fn read(bytes: &[u8], at: usize) -> Option<(Self, usize)> {
        let len = usize::from(*bytes.get(at)?);
        let (start, end) = (at + 1, at + 1 + len);
        let digits = bytes.get(start..end)?;
        let number = match len {
            0 => Self::Narrow(0),
            1..=16 => {
                let unused = 128 - 8 * len as u32;
                // A whole word with the digits in its high bytes: the bytes from them on, or up to them, or else a copy.
                let high = if let Some(word) = bytes.get(start..).and_then(<[u8]>::first_chunk) {
                    i128::from_le_bytes(*word) << unused
                } else if let Some(word) = bytes.get(..end).and_then(<[u8]>::last_chunk) {
                    i128::from_le_bytes(*word)
                } else {
                    let mut word = [0; 16];
                    word[16 - len..].copy_from_slice(digits);
                    i128::from_le_bytes(word)
                };
                Self::Narrow(high >> unused)
            }
            _ => {
                let sign = if digits.last()? & 0x80 == 0 { 0x00 } else { 0xff };
                let mut buffer = [sign; 32];
                buffer.get_mut(..len)?.copy_from_slice(digits);
                Self::Wide(I256::from_le_bytes(buffer))
            }
        };
        // Each number has one encoding.
        (number.digits() == len).then_some((number, end))
    }

    /// How many bytes it needs, with a bit for its sign: at most 32.
    #[inline]
    fn digits(self) -> usize {
        let (is_zero, magnitude_bits) = match self {
            Self::Narrow(value) => (value == 0, 128 - (value ^ (value >> 127)).leading_zeros()),
            Self::Wide(value) => {
                let folded: I256 = value ^ (value >> 255_u32);
                (value == I256::ZERO, 256 - folded.leading_zeros())
            }
        };
        if is_zero { 0 } else { magnitude_bits as usize / 8 + 1 }
    }

    /// Appends its encoding. A row has room for two.
    #[inline]
    fn write(self, out: &mut EncodedRow) {
        let len = self.digits();
        out.push(len as u8);
        // Copying all bytes and removing some is faster than copying a variable number.
        let end = out.len() + len;
        let _ = match self {
            Self::Narrow(value) => out.try_extend_from_slice(&value.to_le_bytes()),
            Self::Wide(value) => out.try_extend_from_slice(&value.to_le_bytes()),
        };
        out.truncate(end);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(delta: I256, weighted: I256) -> Row {
        Row { delta, weighted }
    }

    fn number() -> impl Strategy<Value = I256> {
        (any::<i128>(), any::<i128>(), 0_u32..256).prop_map(|(high, low, shift)| I256::from_words(high, low) >> shift)
    }

    #[test]
    fn encodings_of_note() {
        let check = |number: i128, digits: &[u8]| {
            let mut expected = vec![digits.len() as u8];
            expected.extend_from_slice(digits);
            expected.push(0);
            assert_eq!(
                encoded(&row(I256::new(number), I256::ZERO)).as_slice(),
                expected,
                "{number}"
            );
        };
        check(0, &[]);
        check(1, &[1]);
        check(-1, &[0xff]);
        check(127, &[0x7f]);
        check(128, &[0x80, 0]);
        check(-128, &[0x80]);
        check(-129, &[0x7f, 0xff]);
        check(i128::MAX, &i128::MAX.to_le_bytes());
        check(i128::MIN, &i128::MIN.to_le_bytes());
        assert_eq!(encoded(&row(I256::MIN, I256::MAX)).len(), MAX_LEN);
    }

    #[test]
    fn bytes_that_are_no_encoding_are_rejected() {
        for bytes in [
            &[][..],
            &[0],
            &[1, 1],
            &[0, 0, 0],
            &[1, 0, 0],
            &[2, 1, 0, 0],
            &[2, 0xff, 0xff, 0],
            &[33; 67],
            &[2, 1],
        ] {
            assert_eq!(decode(bytes), None, "{bytes:?}");
            assert_eq!(add_encoded(bytes, &[0, 0]), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_sum_that_overflows_is_rejected() {
        let most = encoded(&row(I256::ZERO, I256::MAX));
        let one = encoded(&row(I256::ZERO, I256::ONE));
        assert_eq!(add_encoded(&most, &one), None);
        assert_eq!(add_encoded(&most, &[0, 0]), Some(most.to_vec()));
    }

    #[test]
    fn a_number_is_read_from_whatever_is_around_it() {
        let numbers = [0, 1, -1, 200, -70_000, 1 << 62, -(1 << 70), i128::MAX, i128::MIN];
        for (a, b) in numbers.iter().flat_map(|a| numbers.map(|b| (*a, b))) {
            let both = row(I256::new(a), I256::new(b));
            assert_eq!(decode(&encoded(&both)), Some(both));
        }
    }

    proptest! {
        #[test]
        fn round_trip_and_sum(a in number(), b in number(), c in number(), d in number()) {
            let (x, y) = (row(a, b), row(c, d));
            prop_assert_eq!(decode(&encoded(&x)), Some(x));
            prop_assert_eq!(
                add_encoded(&encoded(&x), &encoded(&y)),
                x.checked_add(y).map(|sum| encoded(&sum).to_vec())
            );
        }

        #[test]
        fn numbers_follow_one_another(a in number(), b in number()) {
            let mut out = Vec::new();
            encode_number(a, &mut out);
            encode_number(b, &mut out);
            prop_assert_eq!(&out, &encoded(&row(a, b)).to_vec());
            let (first, rest) = decode_number(&out).unwrap();
            prop_assert_eq!((first, decode_number(rest)), (a, Some((b, &[][..]))));
        }

        #[test]
        fn whatever_decodes_is_canonical(bytes in proptest::collection::vec(any::<u8>(), 0..12)) {
            if let Some(row) = decode(&bytes) {
                prop_assert_eq!(encoded(&row).to_vec(), bytes);
            }
        }
    }
}
