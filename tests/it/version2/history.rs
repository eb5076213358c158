//! A bus as it grows, with the decisions that a run would take at each point of it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::model::bus::{Bus, Offsets, Place};
use super::model::decisions::Recorded;
use super::model::{Expected, Settings, expected};
use crate::model_parts::bus::CONTROL_TOPIC;

/// Records in the order in which they were published, interrupted by runs. In a run, everything published so far is
/// read until nothing is left.
///
/// A close cuts each partition at its end at that moment. A listing, a withdrawal and new rules are in force from where
/// the run before stopped: control is read ahead of the sources. But a release and a void wait until the epochs that were
/// closed before them are read.
#[derive(Debug, Default)]
pub struct History {
    pub bus: Bus,
    pub settings: Settings,
    recorded: Recorded,
    /// Up to where the runs so far have read.
    read: Offsets,
    control_read: u64,
}

impl History {
    /// Publishes a record on a topic.
    pub fn append(&mut self, topic: &str, partition: u32, record: &str) {
        if topic == CONTROL_TOPIC {
            self.bus.control.append(record.as_bytes());
        } else {
            let place = Place::of(topic, partition).unwrap_or_else(|| panic!("{topic} is no source topic"));
            self.bus.sources.entry(place).or_default().append(record.as_bytes());
        }
    }

    /// Loses a record for good.
    pub fn lose(&mut self, topic: &str, partition: u32, offset: u64) {
        let place = Place::of(topic, partition).expect("a source topic");
        let log = self.bus.sources.get_mut(&place).expect("a partition with records");
        log.records.remove(&offset).expect("a record to lose");
    }

    pub fn run(&mut self) {
        let ends = self.bus.ends();
        let mut is_cut = false;
        for (offset, record) in self.bus.control.records.range(self.control_read..) {
            let event: Value = serde_json::from_slice(record).unwrap_or_default();
            match event["type"].as_str().unwrap_or_default() {
                "softstake.epoch_close.v1" => {
                    is_cut = true;
                    self.recorded.offsets.insert(*offset, ends.clone());
                    continue;
                }
                "softstake.epoch_release.v1" | "softstake.epoch_void.v1" if is_cut => self.read = ends.clone(),
                _ => {}
            }
            self.recorded.offsets.insert(*offset, self.read.clone());
        }
        self.control_read = self.bus.control.end;
        self.read = ends;
    }

    /// Writes the records as a directory bus. Offsets whose records are gone cannot be written.
    pub fn save(&self, root: &Path) {
        let places = self
            .bus
            .sources
            .iter()
            .map(|(place, log)| (place.topic, place.partition, log));
        for (topic, partition, log) in places.chain([(CONTROL_TOPIC, 0, &self.bus.control)]) {
            assert_eq!(
                log.end,
                log.records.len() as u64,
                "{topic}:{partition}: records are gone"
            );
            fs::create_dir_all(root.join(topic)).expect("a topic's folder");
            let lines: Vec<u8> = log
                .records
                .values()
                .flat_map(|line| [line, &b"\n"[..]].concat())
                .collect();
            fs::write(root.join(topic).join(format!("{partition}.jsonl")), lines).expect("a partition's file");
        }
    }

    /// What must come of it.
    ///
    /// # Errors
    /// If the model finds the history impossible.
    pub fn try_expected(&mut self) -> Result<Expected, String> {
        self.run();
        expected(&self.bus, &self.recorded, &self.settings)
    }

    pub fn expected(&mut self) -> Expected {
        self.try_expected().expect("the model's outcome")
    }
}
