//! The bus as the model reads it: all records of the source topics and of the control topic (contract, sections 3, 7).

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};

use crate::model::parts::bus::{CONTROL_TOPIC, Position, SOURCE_TOPICS, read_topic};

/// A source partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub topic: &'static str,
    pub partition: u32,
}

impl Place {
    /// The partition of a topic with this name.
    pub fn of(topic: &str, partition: u32) -> Option<Place> {
        let topic = SOURCE_TOPICS.into_iter().find(|name| *name == topic)?;
        Some(Place { topic, partition })
    }

    pub fn at(self, offset: u64) -> Position {
        Position {
            topic: self.topic,
            partition: self.partition,
            offset,
        }
    }
}

/// One offset for each of some source partitions. For every other partition it is 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offsets(pub BTreeMap<Place, u64>);

impl Offsets {
    pub fn of(&self, place: Place) -> u64 {
        self.0.get(&place).copied().unwrap_or(0)
    }

    /// `{topic: {partition: offset}}`
    pub fn to_json(&self) -> Value {
        let mut topics = json!({});
        for (place, offset) in &self.0 {
            topics[place.topic][place.partition.to_string()] = json!(offset);
        }
        topics
    }

    pub fn from_json(value: &Value) -> Option<Offsets> {
        let mut offsets = Offsets::default();
        for (topic, partitions) in value.as_object()? {
            for (partition, offset) in partitions.as_object()? {
                let place = Place::of(topic, partition.parse().ok()?)?;
                offsets.0.insert(place, offset.as_u64()?);
            }
        }
        Some(offsets)
    }
}

/// One partition. An offset below its end without a record was there once, and its record is gone.
#[derive(Debug, Clone, Default)]
pub struct Log {
    pub records: BTreeMap<u64, Vec<u8>>,
    pub end: u64,
}

impl Log {
    pub fn append(&mut self, record: &[u8]) {
        self.records.insert(self.end, record.to_vec());
        self.end += 1;
    }
}

#[derive(Debug, Clone, Default)]
pub struct Bus {
    pub sources: BTreeMap<Place, Log>,
    pub control: Log,
}

impl Bus {
    /// The input topics of a directory bus.
    ///
    /// # Errors
    /// If they cannot be read.
    pub fn read(folder: &Path) -> Result<Bus, String> {
        let mut bus = Bus::default();
        for topic in SOURCE_TOPICS {
            for (partition, lines) in read_topic(folder, topic)? {
                let log = bus.sources.entry(Place { topic, partition }).or_default();
                lines.records.iter().for_each(|record| log.append(record));
            }
        }
        let control = read_topic(folder, CONTROL_TOPIC)?.remove(&0).unwrap_or_default();
        control.records.iter().for_each(|record| bus.control.append(record));
        Ok(bus)
    }

    /// Whether it has no partition of a source topic, and no control record.
    pub fn is_empty(&self) -> bool {
        self.sources.is_empty() && self.control.end == 0
    }

    /// The end of every source partition.
    pub fn ends(&self) -> Offsets {
        Offsets(self.sources.iter().map(|(place, log)| (*place, log.end)).collect())
    }
}
