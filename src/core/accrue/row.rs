//! The two sums that accrual keeps for one account in one epoch of one asset.

use ethnum::I256;

/// The sums over an account's postings into one epoch of one asset. Rows add up in any order (contract, section 2).
///
/// Both sums are 256 bits wide. A posting is below 2^100 units and lies less than 2^44 ms before the end of its epoch,
/// so 2^100 postings would fit. An overflow is still an error, never a wrap.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// Sum of the deltas, in asset units.
    pub delta: I256,
    /// Sum of `delta * (end - t)`, in unit-milliseconds.
    pub weighted: I256,
}

/// `units * ms`, in unit-milliseconds. Nearly all products fit into 128 bits, where the multiplication is much faster.
#[must_use]
pub fn unit_ms(units: I256, ms: u64) -> Option<I256> {
    let narrow = i128::try_from(units)
        .ok()
        .and_then(|units| units.checked_mul(i128::from(ms)));
    match narrow {
        Some(product) => Some(I256::new(product)),
        None => units.checked_mul(I256::from(ms)),
    }
}

impl Row {
    pub const ZERO: Self = Self {
        delta: I256::ZERO,
        weighted: I256::ZERO,
    };

    /// The row of one posting: `delta` units, `before_end_ms` milliseconds before the end of its epoch.
    #[must_use]
    pub fn of_posting(delta: i128, before_end_ms: u64) -> Option<Self> {
        let delta = I256::new(delta);
        Some(Self {
            delta,
            weighted: unit_ms(delta, before_end_ms)?,
        })
    }

    /// Adds both sums; `None` if one does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        Some(Self {
            delta: self.delta.checked_add(other.delta)?,
            weighted: self.weighted.checked_add(other.weighted)?,
        })
    }
}
