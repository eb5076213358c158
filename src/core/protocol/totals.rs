//! Sums over accounts. With them, the coordinator splits a pool and checks that money is conserved.

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::fault::Fault;

/// Sums over the accounts of one or more ledger partitions, before rewards are shared. They add up in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtotal {
    /// Sum of the weights, in unit-milliseconds times parts of a multiplier.
    pub weight: U512,
    /// Sum of C of the contract, in unit-milliseconds.
    pub counted: U512,
    /// Sum of the eligible accounts' balances at the end of the epoch, in units.
    #[serde(with = "i256_bytes")]
    pub closing_balance: I256,
    /// Sum of the amounts withheld before the epoch, in units.
    pub withheld_before: U512,
    /// Accounts that are not eligible because of their status.
    pub excluded: u64,
    /// Accounts that are not eligible because S is negative.
    pub negative: u64,
    /// Accounts that are not eligible because S is below the minimum.
    pub below_minimum: u64,
}

impl Default for Subtotal {
    fn default() -> Self {
        Self {
            weight: U512::ZERO,
            counted: U512::ZERO,
            closing_balance: I256::ZERO,
            withheld_before: U512::ZERO,
            excluded: 0,
            negative: 0,
            below_minimum: 0,
        }
    }
}

impl Subtotal {
    /// The sum of both.
    ///
    /// # Errors
    /// [`Fault::Overflow`], which needs far more than any accepted input.
    pub fn plus(&self, other: &Self) -> Result<Self, Fault> {
        let wide = |a: U512, b: U512| a.checked_add(b).ok_or(Fault::Overflow("a subtotal"));
        let count = |a: u64, b: u64| a.checked_add(b).ok_or(Fault::Overflow("a count of accounts"));
        Ok(Self {
            weight: wide(self.weight, other.weight)?,
            counted: wide(self.counted, other.counted)?,
            closing_balance: self
                .closing_balance
                .checked_add(other.closing_balance)
                .ok_or(Fault::Overflow("a closing balance"))?,
            withheld_before: wide(self.withheld_before, other.withheld_before)?,
            excluded: count(self.excluded, other.excluded)?,
            negative: count(self.negative, other.negative)?,
            below_minimum: count(self.below_minimum, other.below_minimum)?,
        })
    }
}

/// Sums over the accounts of one or more ledger partitions, of what was really published. They add up in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// Sum of the weights that shares were worked out with. It must equal that of the subtotal.
    pub weight: U512,
    /// Sum of the shares (R of the contract), in units.
    pub rewarded: U512,
    /// Sum of the amounts distributed, in units.
    pub distributed: U512,
    /// Sum of the amounts withheld after the epoch, in units.
    pub withheld_after: U512,
    pub distributions: u64,
}

impl Default for Emitted {
    fn default() -> Self {
        Self {
            weight: U512::ZERO,
            rewarded: U512::ZERO,
            distributed: U512::ZERO,
            withheld_after: U512::ZERO,
            distributions: 0,
        }
    }
}

impl Emitted {
    /// The sum of both.
    ///
    /// # Errors
    /// [`Fault::Overflow`], which needs far more than any accepted input.
    pub fn plus(&self, other: &Self) -> Result<Self, Fault> {
        let wide = |a: U512, b: U512| a.checked_add(b).ok_or(Fault::Overflow("a sum of payouts"));
        Ok(Self {
            weight: wide(self.weight, other.weight)?,
            rewarded: wide(self.rewarded, other.rewarded)?,
            distributed: wide(self.distributed, other.distributed)?,
            withheld_after: wide(self.withheld_after, other.withheld_after)?,
            distributions: self
                .distributions
                .checked_add(other.distributions)
                .ok_or(Fault::Overflow("a count of distributions"))?,
        })
    }
}

/// `I256` as 32 little-endian bytes.
mod i256_bytes {
    use ethnum::I256;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &I256, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_le_bytes().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<I256, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(I256::from_le_bytes)
    }
}
