//! The messages between the tasks: the records of the inbox, and the notices on the ledger. Blocks are in
//! [`ledger`](crate::core::protocol::ledger).

use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::contract::control::CloseRates;
use crate::core::contract::decision::Offsets;
use crate::core::contract::listing::AssetTerms;
use crate::core::contract::programme::Programme;
use crate::core::contract::topic::TopicPartition;
use crate::core::protocol::totals::{Emitted, Subtotal};
use crate::core::values::ids::AssetEpoch;
use crate::core::values::offset::Offset;

/// A record of the inbox, the only input of the coordinator. So all its input has one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Inbox {
    /// The first record of a deployment.
    Begin {
        /// The version of the contract's rules that it begins with: the newest that the first program knew.
        rules: u64,
    },
    Sources(Vec<TopicPartition>),
    /// New records of the control topic.
    Control {
        /// Without blank lines.
        records: Vec<SequencedRecord>,
        /// The offset up to which control is read.
        read_to: Offset,
    },
    /// A source partition's answer to a proposed listing.
    ListingAnswer {
        source: TopicPartition,
        /// The offset of the listing on the control topic.
        control_offset: Offset,
        /// The position of the source partition. An accepted listing is in force from this offset on.
        from: Offset,
        /// What it has read of the asset that the listing covers.
        unlisted: UnlistedTimes,
    },
    /// A source partition's answer to a proposed withdrawal or version of the rules.
    PositionAnswer {
        source: TopicPartition,
        /// The offset of the event on the control topic.
        control_offset: Offset,
        /// The position of the source partition. What is accepted is in force from this offset on.
        from: Offset,
    },
    /// A source partition's answer to a close: its part of the cut.
    CutAnswer {
        source: TopicPartition,
        at: AssetEpoch,
        /// The offset below which its events count.
        cut: Offset,
    },
    /// A ledger partition's share of the sums of an epoch.
    Subtotal {
        partition: u32,
        at: AssetEpoch,
        sums: Subtotal,
    },
    /// What a ledger partition would publish of an epoch, for the gate.
    Preview {
        partition: u32,
        at: AssetEpoch,
        payouts: Emitted,
    },
    /// A ledger partition has published all its distributions of an epoch.
    Receipt {
        partition: u32,
        at: AssetEpoch,
        emitted: Emitted,
        /// The Merkle root over its buckets.
        root: [u8; 32],
    },
    /// As `Sources`, if records of at least one partition were deleted before: each with its first offset. The control topic is among them if it begins
    /// late itself.
    SourcesFrom(Vec<(TopicPartition, Offset)>),
    /// The answer of the source partition whose loss is to be accepted.
    LossAnswer {
        source: TopicPartition,
        /// The offset of the event on the control topic.
        control_offset: Offset,
        /// The position of the source partition.
        at: Offset,
        /// The offset of the first record that still exists.
        start: Offset,
    },
}

/// A record of the control topic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SequencedRecord {
    pub offset: Offset,
    pub bytes: Vec<u8>,
    /// The newest version of the contract's rules that the program knew which read the record. Whether a version is known is judged by it, so a newer
    /// program decides the same when it reads the inbox again.
    pub known_rules: u64,
}

/// What a source partition has read of an asset before a proposed listing. Times are in milliseconds since 1970.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlistedTimes {
    /// The newest time of a posting that the listing covers. It makes the listing too late.
    pub newest_counted_ms: Option<i64>,
    /// Whether an opening balance is among them.
    pub has_opening: bool,
    /// The newest time, at or after the anchor, of a posting that does not make it too late.
    pub newest_not_counted_ms: Option<i64>,
}

impl Inbox {
    /// Announces partitions, each with its first offset.
    #[must_use]
    pub fn sources(found: Vec<(TopicPartition, Offset)>) -> Self {
        if found.iter().all(|(_, first)| *first == Offset::START) {
            return Self::Sources(found.into_iter().map(|(source, _)| source).collect());
        }
        Self::SourcesFrom(found)
    }
}

/// A notice on a ledger partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Notice {
    /// All postings of this source partition into this epoch are before this barrier.
    Barrier { at: AssetEpoch, source: TopicPartition },
    /// The epoch can be settled as soon as the barriers of all partitions in its cut have arrived. A void epoch is settled again by another one.
    Settle(Box<Settlement>),
    /// The sums over all ledger partitions. Shares can now be worked out.
    Total {
        at: AssetEpoch,
        pot: Pot,
        /// Whether the gate wants to know first what would be published. Then [`Notice::Emit`] follows.
        is_preview: bool,
    },
    /// The gate lets the epoch pass.
    Emit { at: AssetEpoch },
}

/// What the accounts share in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pot {
    /// N of the contract: the amount to share, in units of the reward asset; 0 if there is none, and in an `apr` epoch.
    pub to_share: U512,
    /// The sum of all weights.
    pub weight: U512,
}

/// The input of a settlement, without the postings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settlement {
    pub at: AssetEpoch,
    /// The version of the contract's rules that was in force when the epoch was closed.
    pub rules: u64,
    pub terms: AssetTerms,
    pub programme: Programme,
    pub cut: Offsets,
    /// The rates that the close gives.
    pub rates: CloseRates,
    /// Whether it is the last epoch of a withdrawn asset: then `min_payout` counts as zero.
    pub is_last: bool,
}
