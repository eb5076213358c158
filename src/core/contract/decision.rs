//! The decisions of the coordinator (contract, section 4): the records of `softstake.decisions`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::contract::gate::GateLimit;
use crate::core::contract::listing::Listing;
use crate::core::contract::loss::RecordLoss;
use crate::core::contract::rejection::Code;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// Offsets by partition. Their JSON is `{topic: {partition: offset}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(pub BTreeMap<TopicPartition, Offset>);

impl Offsets {
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

// Keys of JSON objects are strings, and serde does not turn them into numbers inside a tagged enum.
impl Serialize for Offsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut topics: BTreeMap<&str, BTreeMap<String, Offset>> = BTreeMap::new();
        for (source, offset) in &self.0 {
            topics
                .entry(source.topic.name())
                .or_default()
                .insert(source.partition.to_string(), *offset);
        }
        topics.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Offsets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let unknown = |what: &str| serde::de::Error::custom(format!("{what} is no topic or partition"));
        let mut offsets = BTreeMap::new();
        for (name, partitions) in BTreeMap::<String, BTreeMap<String, Offset>>::deserialize(deserializer)? {
            let topic = Topic::from_name(&name).ok_or_else(|| unknown(&name))?;
            for (partition, offset) in partitions {
                let number = partition.parse().map_err(|_| unknown(&partition))?;
                offsets.insert(topic.partition(number), offset);
            }
        }
        Ok(Self(offsets))
    }
}

/// The first offset of each partition that began late, from all decisions. Every other partition is read from its start.
#[must_use]
pub fn first_offsets<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> BTreeMap<TopicPartition, Offset> {
    let starts = decisions.into_iter().filter_map(|decision| match decision {
        Decision::SourcesAdded { starts, .. } => Some(&starts.0),
        _ => None,
    });
    starts
        .flatten()
        .map(|(partition, first)| (*partition, *first))
        .collect()
}

/// One decision of the coordinator. `control_offset` is the offset on `softstake.control` of the record that is decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// These source partitions are new. They are in no earlier cut, so all their events for closed epochs are late.
    SourcesAdded {
        sources: Vec<TopicPartition>,
        /// The first offset of each partition whose first records were deleted before the deployment saw it. They are no part of any result. The
        /// control topic can be among them.
        #[serde(default, skip_serializing_if = "Offsets::is_empty")]
        starts: Offsets,
    },
    /// A version of the rules is in force: in each source partition from an offset, for settlements from the next close on. The first decision of a
    /// deployment names the version that it begins with, and nothing else.
    Rules {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        control_offset: Option<Offset>,
        version: u64,
        #[serde(default, skip_serializing_if = "Offsets::is_empty")]
        in_force_from: Offsets,
    },
    /// A later version of the rules is proposed. Every source partition answers with its position.
    RulesProposed { control_offset: Offset, version: u64 },
    /// A listing of an asset that has none is proposed. Every source partition answers whether it ignored postings of the asset.
    ListingProposed {
        control_offset: Offset,
        listing: Box<Listing>,
    },
    /// The asset is listed. Assets are numbered in the order of these decisions.
    ListingAccepted {
        control_offset: Offset,
        number: u16,
        listing: Box<Listing>,
        /// The first offset of each source partition at which the asset is listed.
        in_force_from: Offsets,
        /// The newest time of an ignored posting that did not make the listing too late.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newest_not_counted: Option<String>,
    },
    /// The asset is not listed, because postings that the listing covers were ignored.
    ListingRefused {
        control_offset: Offset,
        listing: Box<Listing>,
        code: Code,
        /// The position of each source partition when it answered.
        answered_at: Offsets,
    },
    /// The asset has another programme from a later epoch on.
    ProgrammeChanged {
        control_offset: Offset,
        number: u16,
        listing: Box<Listing>,
    },
    /// The end of a listing is proposed. Every source partition answers with its position.
    WithdrawalProposed {
        control_offset: Offset,
        asset: Asset,
        number: u16,
        /// The first epoch that there is not.
        epoch: Epoch,
    },
    /// The listing has no epoch from `epoch` on.
    WithdrawalAccepted {
        control_offset: Offset,
        asset: Asset,
        number: u16,
        epoch: Epoch,
        /// The first offset of each source partition at which the withdrawal is in force.
        in_force_from: Offsets,
        /// The sum of the rewards and pool adjustments of such epochs.
        dropped: String,
    },
    /// A pool was adjusted.
    PoolAdjusted {
        control_offset: Offset,
        asset: Asset,
        /// The epoch whose pool it is.
        epoch: Epoch,
        /// With a sign if it takes.
        amount: String,
    },
    /// A reward was added to the pool of an epoch.
    RewardAdded {
        control_offset: Offset,
        asset: Asset,
        /// The epoch whose pool it is added to.
        epoch: Epoch,
        amount: String,
    },
    /// The epoch closes. Every source partition answers with its part of the cut.
    CloseAccepted {
        control_offset: Offset,
        asset: Asset,
        number: u16,
        epoch: Epoch,
        /// The pool that the close gives.
        reward_pool: String,
        /// The rate that takes the place of the programme's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        apr: Option<String>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reward_rate: Option<String>,
        /// Whether it is the last epoch of a withdrawn asset, in which `min_payout` counts as zero.
        #[serde(default, skip_serializing_if = "is_false")]
        is_last: bool,
        /// Whether the epoch was void. It keeps its cut, so nobody is asked.
        #[serde(default, skip_serializing_if = "is_false")]
        again: bool,
    },
    /// The gate holds an epoch: nothing of it is published until it is released. Amounts are in the reward asset.
    EpochHeld {
        asset: Asset,
        number: u16,
        epoch: Epoch,
        /// The limit that it is beyond.
        limit: GateLimit,
        /// The largest distribution.
        largest: String,
        /// The sum of the distributions.
        total: String,
        /// The change of the rewards against the epoch before, cut to 18 decimals; null if there is nothing to compare with.
        change: Option<String>,
    },
    /// A release or void waits until the epochs of its asset that were closed before it are sealed or held. Meanwhile source records below the recorded
    /// cuts are read, although later control records are not decided.
    VerdictWaits { control_offset: Offset, asset: Asset },
    /// A held epoch is paid.
    EpochReleased {
        control_offset: Offset,
        asset: Asset,
        number: u16,
        epoch: Epoch,
        by: String,
        reason: String,
    },
    /// A held epoch publishes nothing. It can be closed again, on the same cut.
    EpochVoid {
        control_offset: Offset,
        asset: Asset,
        number: u16,
        epoch: Epoch,
        by: String,
        reason: String,
    },
    /// The cut of an epoch: all answers to its close.
    Cut {
        asset: Asset,
        number: u16,
        epoch: Epoch,
        /// For each source partition, the offset below which an event counts for the epoch.
        cut: Offsets,
    },
    /// The loss of records is to be accepted. The source partition answers where it is, and which record of it is the first that exists.
    LossProposed {
        control_offset: Offset,
        loss: Box<RecordLoss>,
    },
    /// The source partition skips the offsets from `skipped_from` up to, not including, `skipped_to`. Both are its position if there is nothing
    /// to skip.
    LossAccepted {
        control_offset: Offset,
        loss: Box<RecordLoss>,
        skipped_from: Offset,
        skipped_to: Offset,
    },
    /// A control record was rejected. It is on the dead letters too.
    Refused { control_offset: Offset, code: Code },
    /// All control records below this offset are decided.
    ControlRead { to: Offset },
}

/// Whether a field is left out.
#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde hands over a reference")]
const fn is_false(value: &bool) -> bool {
    !*value
}

#[derive(Serialize, Deserialize)]
struct DecisionEnvelope<D> {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    data: D,
}

pub const DECISION_TYPE: &str = "softstake.decision.v1";

impl Decision {
    /// Encodes the record of decision `number`, counted from 0.
    ///
    /// # Errors
    /// None in practice.
    pub fn write(&self, number: u64) -> Result<Vec<u8>, Fault> {
        let envelope = DecisionEnvelope {
            specversion: "1.0".into(),
            id: number.to_string(),
            source: "/softstake".into(),
            event_type: DECISION_TYPE.into(),
            data: self,
        };
        serde_json::to_vec(&envelope).map_err(|error| Fault::Undecodable {
            what: "a decision",
            why: error.to_string(),
        })
    }

    /// Reads a decision from its record.
    ///
    /// # Errors
    /// If the record is no decision: another program or a newer version wrote it.
    pub fn read(record: &[u8]) -> Result<Self, Fault> {
        let undecodable = |why: String| Fault::Undecodable {
            what: "a record of softstake.decisions",
            why,
        };
        let envelope: DecisionEnvelope<Self> =
            serde_json::from_slice(record).map_err(|error| undecodable(error.to_string()))?;
        if envelope.event_type != DECISION_TYPE {
            return Err(undecodable(format!("its type is {}", envelope.event_type)));
        }
        Ok(envelope.data)
    }
}
