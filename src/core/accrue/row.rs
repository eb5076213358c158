//! What accrual adds up for one account, asset and epoch.

use ethnum::I256;

/// The sum of an account's postings into one epoch of one asset. Rows add up in any order (contract, section 2).
///
/// Both sums are 256 bits wide: a posting is below 2^100 units and lies less than 2^44 ms before its epoch's end, so
/// 2^100 postings would fit; an overflow is an error all the same, never a wrap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// Sum of the deltas, in asset units.
    pub delta: I256,
    /// Sum of `delta * (end - t)`, in unit-milliseconds.
    pub weighted: I256,
}

/// `units * ms`. In nearly all cases 128 bits do, which is a great deal faster.
#[must_use]
pub fn scaled(units: I256, ms: u64) -> Option<I256> {
    let narrow = i128::try_from(units)
        .ok()
        .and_then(|units| units.checked_mul(i128::from(ms)));
    match narrow {
        Some(product) => Some(I256::new(product)),
        None => units.checked_mul(I256::from(ms)),
    }
}

impl Row {
    /// The row of one posting: `delta` units, `before_end_ms` milliseconds before the end of the epoch it goes into.
    #[must_use]
    pub fn posting(delta: i128, before_end_ms: u64) -> Option<Self> {
        let delta = I256::new(delta);
        Some(Self {
            delta,
            weighted: scaled(delta, before_end_ms)?,
        })
    }

    /// Both sums added; `None` if one does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            delta: self.delta.checked_add(other.delta)?,
            weighted: self.weighted.checked_add(other.weighted)?,
        })
    }
}
