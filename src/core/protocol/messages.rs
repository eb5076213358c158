//! What the tasks tell one another, apart from ledger blocks: the records of the inbox, and notices on the ledger.

use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::contract::decision::Offsets;
use crate::core::contract::listing::{AssetTerms, Programme};
use crate::core::contract::topic::TopicPartition;
use crate::core::protocol::totals::{Emitted, Subtotal};
use crate::core::values::ids::AssetEpoch;

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
        newest_unlisted_ms: Option<i64>,
        /// Whether an opening balance was passed over, which counts as a posting at whatever anchor.
        opening_unlisted: bool,
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
