//! What was decided while running (contract, section 4), as it stands on `softstake.decisions`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::contract::listing::Listing;
use crate::core::contract::rejection::Code;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// An offset for each of some partitions; written `{topic: {partition: offset}}`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(pub BTreeMap<TopicPartition, u64>);

// Partitions are strings in between: keys of JSON objects are, and serde keeps them so inside a tagged enum.
impl Serialize for Offsets {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut topics: BTreeMap<&str, BTreeMap<String, u64>> = BTreeMap::new();
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
        for (name, partitions) in BTreeMap::<String, BTreeMap<String, u64>>::deserialize(deserializer)? {
            let topic = Topic::from_name(&name).ok_or_else(|| unknown(&name))?;
            for (partition, offset) in partitions {
                let number = partition.parse().map_err(|_| unknown(&partition))?;
                offsets.insert(topic.partition(number), offset);
            }
        }
        Ok(Self(offsets))
    }
}

/// One decision of the coordinator. Offsets of `softstake.control` say which record led to it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum Decision {
    /// These source partitions are read from here on; the cuts taken earlier are 0 for them.
    SourcesAdded {
        /// The new ones.
        sources: Vec<TopicPartition>,
    },
    /// An asset is to be listed; every source partition answers whether it has passed over postings of it.
    ListingProposed {
        /// The listing's place on the control topic.
        control_offset: u64,
        /// The listing's data.
        listing: Box<Listing>,
    },
    /// The asset is listed.
    ListingAccepted {
        /// The listing's place on the control topic.
        control_offset: u64,
        /// The asset's number: assets are numbered in the order they are listed.
        number: u16,
        /// The listing's data.
        listing: Box<Listing>,
        /// From which offset on each source partition knows the asset.
        in_force_from: Offsets,
    },
    /// The asset is not listed: postings that the listing covers were passed over.
    ListingRefused {
        /// The listing's place on the control topic.
        control_offset: u64,
        /// The listing's data.
        listing: Box<Listing>,
        /// Why.
        code: Code,
        /// Where each source partition stood when it answered.
        answered_at: Offsets,
    },
    /// The asset's programme changes from a later epoch on.
    ProgrammeChanged {
        /// The listing's place on the control topic.
        control_offset: u64,
        /// The asset's number.
        number: u16,
        /// The listing's data.
        listing: Box<Listing>,
    },
    /// A reward was added to the pool of an epoch.
    RewardAdded {
        /// The reward's place on the control topic.
        control_offset: u64,
        /// The asset.
        asset: Asset,
        /// The epoch whose pool it went into.
        epoch: Epoch,
        /// How much.
        amount: String,
    },
    /// The epoch closes; every source partition fixes its part of the cut.
    CloseAccepted {
        /// The close's place on the control topic.
        control_offset: u64,
        /// The asset.
        asset: Asset,
        /// Its number.
        number: u16,
        /// The epoch.
        epoch: Epoch,
    },
    /// The cut is taken.
    Cut {
        /// The asset.
        asset: Asset,
        /// Its number.
        number: u16,
        /// The epoch.
        epoch: Epoch,
        /// The offset below which an event counts, for each source partition.
        cut: Offsets,
    },
    /// A control record was refused; it is on the dead letters too.
    Refused {
        /// The record's place on the control topic.
        control_offset: u64,
        /// Why.
        code: Code,
    },
    /// All control records below an offset are decided.
    ControlRead {
        /// That offset.
        to: u64,
    },
}

/// The envelope of a decision.
#[derive(Serialize, Deserialize)]
struct DecisionEnvelope<D> {
    specversion: String,
    id: String,
    source: String,
    #[serde(rename = "type")]
    kind: String,
    data: D,
}

/// The type of a decision's record.
pub const DECISION_TYPE: &str = "softstake.decision.v1";

impl Decision {
    /// The record of the `number`-th decision.
    ///
    /// # Errors
    /// None in practice: all of it is plain JSON.
    pub fn write(&self, number: u64) -> Result<Vec<u8>, Fault> {
        let envelope = DecisionEnvelope {
            specversion: "1.0".into(),
            id: number.to_string(),
            source: "/softstake".into(),
            kind: DECISION_TYPE.into(),
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
    /// If it is none: somebody else wrote to the topic, or a newer version did.
    pub fn read(record: &[u8]) -> Result<Self, Fault> {
        let undecodable = |why: String| Fault::Undecodable {
            what: "a record of softstake.decisions",
            why,
        };
        let envelope: DecisionEnvelope<Self> =
            serde_json::from_slice(record).map_err(|error| undecodable(error.to_string()))?;
        if envelope.kind != DECISION_TYPE {
            return Err(undecodable(format!("its type is {}", envelope.kind)));
        }
        Ok(envelope.data)
    }
}
