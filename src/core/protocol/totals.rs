//! Sums over accounts. With them, the coordinator splits a pool and checks that money is conserved.

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::fault::Fault;

/// Sums over the accounts of one or more ledger partitions, before rewards are shared. They add up in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtotal {
    /// Sum of the weights, in unit-milliseconds times parts of a multiplier or of a rate.
    pub weight: U512,
    /// Sum of C of the contract, in unit-milliseconds.
    pub counted: U512,
    /// Sum of the eligible accounts' balances at the end of the epoch, in units.
    #[serde(with = "i256_bytes")]
    pub closing_balance: I256,
    /// Sum of the amounts withheld before the epoch, in units of the reward asset. Debts count negative.
    #[serde(with = "i256_bytes")]
    pub withheld_before: I256,
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
            withheld_before: I256::ZERO,
            excluded: 0,
            negative: 0,
            below_minimum: 0,
        }
    }
}

fn wide(a: U512, b: U512) -> Result<U512, Fault> {
    a.checked_add(b).ok_or(Fault::Overflow("a sum over accounts"))
}

/// The sum of two signed amounts.
///
/// # Errors
/// [`Fault::Overflow`], which needs far more than any accepted input.
pub fn signed_sum(a: I256, b: I256) -> Result<I256, Fault> {
    a.checked_add(b).ok_or(Fault::Overflow("a sum of amounts"))
}

fn count(a: u64, b: u64) -> Result<u64, Fault> {
    a.checked_add(b).ok_or(Fault::Overflow("a count of accounts"))
}

impl Subtotal {
    /// The sum of both.
    ///
    /// # Errors
    /// [`Fault::Overflow`], which needs far more than any accepted input.
    pub fn plus(&self, other: &Self) -> Result<Self, Fault> {
        let mut sum = *self;
        sum.add(other)?;
        Ok(sum)
    }

    /// Adds other sums to these. After an error these must not be used.
    ///
    /// # Errors
    /// [`Fault::Overflow`], which needs far more than any accepted input.
    pub fn add(&mut self, other: &Self) -> Result<(), Fault> {
        self.weight = wide(self.weight, other.weight)?;
        self.counted = wide(self.counted, other.counted)?;
        self.closing_balance = signed_sum(self.closing_balance, other.closing_balance)?;
        self.withheld_before = signed_sum(self.withheld_before, other.withheld_before)?;
        self.excluded = count(self.excluded, other.excluded)?;
        self.negative = count(self.negative, other.negative)?;
        self.below_minimum = count(self.below_minimum, other.below_minimum)?;
        Ok(())
    }
}

/// Sums over the accounts of one or more ledger partitions, of what is published or would be. They add up in any order. Amounts are in units of the
/// reward asset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// Sum of the weights that shares were worked out with. It must equal that of the subtotal.
    pub weight: U512,
    /// Sum of R of the contract.
    pub rewarded: U512,
    /// Sum of what is made good.
    #[serde(with = "i256_bytes")]
    pub made_good: I256,
    /// Sum of the reward adjustments.
    #[serde(with = "i256_bytes")]
    pub adjusted: I256,
    /// Sum of the amounts distributed.
    #[serde(with = "i256_bytes")]
    pub distributed: I256,
    /// Sum of the amounts withheld after the epoch. Debts count negative.
    #[serde(with = "i256_bytes")]
    pub withheld_after: I256,
    /// The largest amount distributed.
    #[serde(with = "i256_bytes")]
    pub largest: I256,
    pub distributions: u64,
}

impl Default for Emitted {
    fn default() -> Self {
        Self {
            weight: U512::ZERO,
            rewarded: U512::ZERO,
            made_good: I256::ZERO,
            adjusted: I256::ZERO,
            distributed: I256::ZERO,
            withheld_after: I256::ZERO,
            largest: I256::ZERO,
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
        let mut sum = *self;
        sum.add(other)?;
        Ok(sum)
    }

    /// Adds other sums to these. After an error these must not be used.
    ///
    /// # Errors
    /// [`Fault::Overflow`], which needs far more than any accepted input.
    pub fn add(&mut self, other: &Self) -> Result<(), Fault> {
        self.weight = wide(self.weight, other.weight)?;
        self.rewarded = wide(self.rewarded, other.rewarded)?;
        self.made_good = signed_sum(self.made_good, other.made_good)?;
        self.adjusted = signed_sum(self.adjusted, other.adjusted)?;
        self.distributed = signed_sum(self.distributed, other.distributed)?;
        self.withheld_after = signed_sum(self.withheld_after, other.withheld_after)?;
        self.largest = self.largest.max(other.largest);
        self.distributions = count(self.distributions, other.distributions)?;
        Ok(())
    }
}

/// `I256` as 32 little-endian bytes.
pub mod i256_bytes {
    use ethnum::I256;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub fn serialize<S: Serializer>(value: &I256, serializer: S) -> Result<S::Ok, S::Error> {
        value.to_le_bytes().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<I256, D::Error> {
        <[u8; 32]>::deserialize(deserializer).map(I256::from_le_bytes)
    }
}
