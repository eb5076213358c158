//! Numbers that identify: epochs, and an asset's epoch.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::core::fault::Fault;

/// The number of an epoch of one asset. The first one of a listing starts at its anchor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(u64);

impl Epoch {
    /// Epoch 0, the first of a listing that names no other.
    pub const FIRST: Self = Self(0);

    /// The epoch with this number.
    #[must_use]
    pub const fn new(number: u64) -> Self {
        Self(number)
    }

    /// Its number.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch after this one.
    ///
    /// # Errors
    /// [`Fault::Overflow`] after the last that 64 bits can number.
    pub fn next(self) -> Result<Self, Fault> {
        let next = self.0.checked_add(1);
        next.map(Self).ok_or(Fault::Overflow("an epoch number"))
    }

    /// The epoch so many after this one, or the last that 64 bits can number.
    #[must_use]
    pub const fn saturating_add(self, epochs: u64) -> Self {
        Self(self.0.saturating_add(epochs))
    }
}

impl Epoch {
    /// The epoch so many before this one, or the first.
    #[must_use]
    pub const fn saturating_sub(self, epochs: u64) -> Self {
        Self(self.0.saturating_sub(epochs))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is not the number of an epoch. The message is a predicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoEpoch {
    is_date: bool,
}

impl fmt::Display for NoEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_date {
            "is a date, but an epoch has a number: 0 begins at the asset's anchor; `softstake query epochs ASSET` lists the numbers with their ends"
        } else {
            "is not the number of an epoch: 0, 1, 2 and so on"
        })
    }
}

impl std::error::Error for NoEpoch {}

impl FromStr for Epoch {
    type Err = NoEpoch;

    fn from_str(text: &str) -> Result<Self, NoEpoch> {
        let is_date = |text: &str| text.len() >= 8 && text.contains(['-', '/', '.', ':']);
        text.parse().map(Self).map_err(|_| NoEpoch { is_date: is_date(text) })
    }
}

/// An asset and one of its epochs, by number. Epoch numbers here fit into 32 bits, as keys of the stores have four bytes for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct AssetEpoch {
    number: u16,
    epoch: u32,
}

impl AssetEpoch {
    /// An epoch of the asset with this number.
    ///
    /// # Errors
    /// [`Fault::Overflow`] for an epoch from 2^32 on.
    pub fn new(number: u16, epoch: Epoch) -> Result<Self, Fault> {
        let epoch = u32::try_from(epoch.get()).map_err(|_| Fault::Overflow("an epoch number"))?;
        Ok(Self { number, epoch })
    }

    /// The last epoch that a key can hold.
    #[must_use]
    pub const fn last_of(number: u16) -> Self {
        Self {
            number,
            epoch: u32::MAX,
        }
    }

    /// The asset's number.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.number
    }

    #[must_use]
    pub fn epoch(self) -> Epoch {
        Epoch(u64::from(self.epoch))
    }

    /// The epochs from this one up to, not including, `end` of the same asset.
    pub fn up_to(self, end: Self) -> impl Iterator<Item = Self> {
        let number = self.number;
        (self.epoch..end.epoch).map(move |epoch| Self { number, epoch })
    }

    /// The epochs from `first` up to and including this one.
    pub fn since(self, first: Epoch) -> impl Iterator<Item = Self> {
        let number = self.number;
        let first = u32::try_from(first.get()).unwrap_or(u32::MAX);
        (first..=self.epoch).map(move |epoch| Self { number, epoch })
    }

    /// Big-endian, the number first: sorts as the values do.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 6] {
        let [a, b] = self.number.to_be_bytes();
        let [c, d, e, f] = self.epoch.to_be_bytes();
        [a, b, c, d, e, f]
    }

    /// Reads [`AssetEpoch::to_be_bytes`].
    #[must_use]
    pub const fn from_be_bytes([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self {
            number: u16::from_be_bytes([a, b]),
            epoch: u32::from_be_bytes([c, d, e, f]),
        }
    }

    /// Little-endian, the number first.
    #[must_use]
    pub const fn to_le_bytes(self) -> [u8; 6] {
        let [a, b] = self.number.to_le_bytes();
        let [c, d, e, f] = self.epoch.to_le_bytes();
        [a, b, c, d, e, f]
    }

    /// Reads [`AssetEpoch::to_le_bytes`].
    #[must_use]
    pub const fn from_le_bytes([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self {
            number: u16::from_le_bytes([a, b]),
            epoch: u32::from_le_bytes([c, d, e, f]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_epoch_ends_where_its_type_does() {
        assert_eq!(Epoch::FIRST.next(), Ok(Epoch::new(1)));
        assert!(Epoch::new(u64::MAX).next().is_err());
        assert_eq!(Epoch::new(u64::MAX).saturating_add(7), Epoch::new(u64::MAX));
        assert!(AssetEpoch::new(0, Epoch::new(1 << 32)).is_err());
        assert_eq!(
            AssetEpoch::new(7, Epoch::new((1 << 32) - 1)),
            Ok(AssetEpoch::last_of(7))
        );
    }

    proptest! {
        #[test]
        fn an_asset_epoch_is_written_as_its_two_numbers(number: u16, epoch: u32, other_number: u16, other_epoch: u32) {
            let of = |number, epoch: u32| AssetEpoch::new(number, Epoch::new(epoch.into())).unwrap();
            let (one, other) = (of(number, epoch), of(other_number, other_epoch));
            prop_assert_eq!(AssetEpoch::from_le_bytes(one.to_le_bytes()), one);
            prop_assert_eq!(AssetEpoch::from_be_bytes(one.to_be_bytes()), one);
            prop_assert_eq!(one.to_be_bytes().cmp(&other.to_be_bytes()), one.cmp(&other));
            let stored = postcard::to_stdvec(&one).unwrap();
            prop_assert_eq!(stored, postcard::to_stdvec(&(number, epoch)).unwrap());
            prop_assert_eq!(postcard::to_stdvec(&one.epoch()).unwrap(), postcard::to_stdvec(&epoch).unwrap());
            prop_assert_eq!(serde_json::to_string(&one.epoch()).unwrap(), epoch.to_string());
        }
    }
}
