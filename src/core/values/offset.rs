//! Offsets of records in a partition of a topic.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::fault::Fault;

/// The offset of a record in its partition, or the end of a partition: one past its last record.
///
/// Offsets grow with every record. On a topic of lines they count the lines, blank ones too. On Kafka and on inner topics they have gaps, and only
/// the bus knows how far the next record is. So the distance of two offsets is a number of records on a topic of lines only.
///
/// Other numbers stay `u64`: a position in a file, a number of records or bytes, a version.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Offset(u64);

impl Offset {
    /// The start of a partition from which nothing was deleted.
    pub const START: Self = Self(0);
    /// As a bound: no bound. No record has it.
    pub const NO_LIMIT: Self = Self(u64::MAX);

    /// The offset that a bus or a file gives as this number.
    #[inline]
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number, for a file, a broker or a calculation that is not about offsets.
    #[inline]
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The first offset after this one.
    ///
    /// # Errors
    /// [`Fault::Overflow`] after the last that 64 bits can number.
    #[inline]
    pub fn next(self) -> Result<Self, Fault> {
        let next = self.0.checked_add(1);
        next.map(Self).ok_or(Fault::Overflow("an offset"))
    }

    /// The offset so far after this one, or [`Offset::NO_LIMIT`].
    #[inline]
    #[must_use]
    pub const fn saturating_add(self, distance: u64) -> Self {
        Self(self.0.saturating_add(distance))
    }

    /// How far this offset is after `earlier`; 0 if it is not after it.
    #[inline]
    #[must_use]
    pub const fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }

    /// The number of the line at this offset of a topic of lines, as editors count: from 1.
    #[must_use]
    pub const fn line(self) -> u64 {
        self.0.saturating_add(1)
    }
}

impl fmt::Display for Offset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for Offset {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_offset_ends_where_its_type_does() {
        assert_eq!(Offset::START.next(), Ok(Offset::new(1)));
        assert_eq!(Offset::NO_LIMIT.next(), Err(Fault::Overflow("an offset")));
        assert_eq!(Offset::new(u64::MAX - 1).saturating_add(7), Offset::NO_LIMIT);
        assert_eq!(Offset::new(7).since(Offset::new(3)), 4);
        assert_eq!(Offset::new(3).since(Offset::new(7)), 0);
        assert_eq!((Offset::START.line(), Offset::NO_LIMIT.line()), (1, u64::MAX));
    }

    proptest! {
        #[test]
        fn an_offset_is_written_and_sorted_as_its_number(number: u64, other: u64) {
            let offset = Offset::new(number);
            prop_assert_eq!(postcard::to_stdvec(&offset).unwrap(), postcard::to_stdvec(&number).unwrap());
            prop_assert_eq!(serde_json::to_string(&offset).unwrap(), number.to_string());
            prop_assert_eq!(offset.to_string().parse(), Ok(offset));
            prop_assert_eq!(offset.cmp(&Offset::new(other)), number.cmp(&other));
        }
    }
}
