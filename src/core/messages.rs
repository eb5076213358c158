//! What the tasks tell one another, apart from ledger blocks: the records of the inbox, and notices on the ledger.

use ethnum::I256;
use ruint::aliases::U512;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::decision::Offsets;
use super::fault::Fault;
use super::programme::{AssetTerms, Programme};
use super::topic::TopicPartition;

/// Version of the inner records' encoding; the first byte of each.
const VERSION: u8 = 1;

/// An asset and one of its epochs, by number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AssetEpoch {
    /// The asset's number.
    pub number: u16,
    /// The epoch.
    pub epoch: u32,
}

/// A record of the inbox: all that the coordinator learns, in the one order in which it learns it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inbox {
    /// These source partitions exist.
    Sources(Vec<TopicPartition>),
    /// Records of the control topic, with their offsets, and the offset up to which it has been read.
    Control {
        /// Offset and bytes; blank ones left out.
        records: Vec<(u64, Vec<u8>)>,
        /// The next offset.
        read_to: u64,
    },
    /// A source partition's answer to a proposed listing.
    ListingAnswer {
        /// Who answers.
        source: TopicPartition,
        /// Which proposal: its place on the control topic.
        control_offset: u64,
        /// Where it stands: the listing is in force from this offset on, if it is accepted.
        from: u64,
        /// The newest time of a posting passed over, in milliseconds since 1970.
        newest_passed_ms: Option<i64>,
        /// Whether an opening balance was passed over, which counts as a posting at whatever anchor.
        opening_passed: bool,
    },
    /// A source partition's part of a cut.
    CutAnswer {
        /// Who answers.
        source: TopicPartition,
        /// What is cut.
        at: AssetEpoch,
        /// The offset below which its events count.
        cut: u64,
    },
    /// A ledger partition's share of the sums of an epoch.
    Subtotal {
        /// Which ledger partition.
        partition: u32,
        /// Of what.
        at: AssetEpoch,
        /// The sums.
        sums: Subtotal,
    },
    /// A ledger partition has emitted all its distributions of an epoch.
    Receipt {
        /// Which ledger partition.
        partition: u32,
        /// Of what.
        at: AssetEpoch,
        /// What it emitted.
        emitted: Emitted,
        /// The Merkle root over its buckets.
        root: [u8; 32],
    },
}

/// A notice on a ledger partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// Nothing more comes from this source partition into this epoch.
    Barrier {
        /// Which epoch.
        at: AssetEpoch,
        /// From which source partition.
        source: TopicPartition,
    },
    /// The epoch's cut is taken; once a barrier of each partition in it is in, it can be settled.
    Settle(Box<Settlement>),
    /// The sums over all ledger partitions: shares can be worked out.
    Total {
        /// Of what.
        at: AssetEpoch,
        /// What there is to share, in units: N of the contract; 0 in an `apr` epoch.
        to_share: U512,
        /// The sum of all weights.
        weight: U512,
    },
}

/// All that settling an epoch rests on but the postings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    /// Which epoch.
    pub at: AssetEpoch,
    /// The asset.
    pub terms: AssetTerms,
    /// The rules in force.
    pub programme: Programme,
    /// The cut.
    pub cut: Offsets,
}

/// Sums over the accounts of one ledger partition, or of several: subtotals add up in any order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subtotal {
    /// Sum of the weights, in multiplier units times unit-milliseconds.
    pub weight: U512,
    /// Sum of what counts of the eligible accounts' balances (C of the contract), in unit-milliseconds.
    pub counted: U512,
    /// Sum of the eligible accounts' balances at the end, in units.
    #[serde(with = "i256_bytes")]
    pub closing_balance: I256,
    /// Sum of what was withheld before, in units.
    pub withheld_before: U512,
    /// Accounts not eligible for their status.
    pub barred: u64,
    /// Accounts not eligible because S is negative.
    pub negative: u64,
    /// Accounts not eligible because S is below the minimum.
    pub below_minimum: u64,
}

impl Default for Subtotal {
    fn default() -> Self {
        Self {
            weight: U512::ZERO,
            counted: U512::ZERO,
            closing_balance: I256::ZERO,
            withheld_before: U512::ZERO,
            barred: 0,
            negative: 0,
            below_minimum: 0,
        }
    }
}

impl Subtotal {
    /// Both added up.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
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
            barred: count(self.barred, other.barred)?,
            negative: count(self.negative, other.negative)?,
            below_minimum: count(self.below_minimum, other.below_minimum)?,
        })
    }
}

/// What really went out, summed over accounts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Emitted {
    /// Sum of the weights shares were worked out from; must equal the subtotal's.
    pub weight: U512,
    /// Sum of the shares (R of the contract), in units.
    pub rewarded: U512,
    /// Sum of the amounts distributed, in units.
    pub distributed: U512,
    /// Sum of what is withheld after, in units.
    pub withheld_after: U512,
    /// How many distributions.
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
    /// Both added up.
    ///
    /// # Errors
    /// An overflow, which no accepted input comes near.
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

/// Encodes an inner record or a piece of state: a version byte, then postcard.
///
/// # Errors
/// None in practice.
pub fn encode<T: Serialize>(value: &T) -> Result<Vec<u8>, Fault> {
    postcard::to_extend(value, vec![VERSION]).map_err(|error| Fault::Undecodable {
        what: "an inner record",
        why: error.to_string(),
    })
}

/// Decodes what [`encode`] made; `what` names it in the error.
///
/// # Errors
/// If it is something else, or of another version.
pub fn decode<T: DeserializeOwned>(bytes: &[u8], what: &'static str) -> Result<T, Fault> {
    match bytes.split_first() {
        Some((&VERSION, rest)) => postcard::from_bytes(rest).map_err(|error| Fault::Undecodable {
            what,
            why: error.to_string(),
        }),
        Some((version, _)) => Err(Fault::Undecodable {
            what,
            why: format!("its format version is {version}, this softstake knows {VERSION}"),
        }),
        None => Err(Fault::Undecodable {
            what,
            why: "it is empty".into(),
        }),
    }
}
