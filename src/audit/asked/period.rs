//! A question about the epochs of a period of time.

use std::collections::BTreeSet;
use std::fmt;

use crate::core::values::asset::Asset;
use crate::core::values::period::TimePeriod;

/// Some assets, or all if none is named, and a period that has the last moments of epochs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AskedPeriod {
    pub assets: BTreeSet<Asset>,
    pub period: TimePeriod,
}

impl AskedPeriod {
    #[must_use]
    pub fn has_asset(&self, asset: Asset) -> bool {
        self.assets.is_empty() || self.assets.contains(&asset)
    }
}

impl fmt::Display for AskedPeriod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let assets: Vec<&str> = self.assets.iter().map(Asset::as_str).collect();
        match assets.is_empty() {
            true => f.write_str("any asset")?,
            false => f.write_str(&assets.join(", "))?,
        }
        match self.period.is_everything() {
            true => f.write_str(" ends"),
            false => write!(f, " has its last moment {}", self.period),
        }
    }
}
