//! Numbers that identify.

use serde::{Deserialize, Serialize};

/// An asset and one of its epochs, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AssetEpoch {
    /// The asset's number.
    pub number: u16,
    /// The epoch.
    pub epoch: u32,
}
