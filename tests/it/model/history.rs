//! A bus as it grows, with the decisions that a run would take at each point of it.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::bus::{Bus, Offsets, Place};
use super::decisions::Recorded;
use super::parts::bus::CONTROL_TOPIC;
use super::{Expected, Settings, expected};

/// What happens to a bus.
#[derive(Debug, Clone)]
pub enum Step {
    /// A record is published on a partition of a topic.
    Append(String, u32, Vec<u8>),
    /// All records below an offset of a source partition are lost for good. Those that were not read yet are missing.
    Lose(String, u32, u64),
    /// Everything published so far is read until nothing is left.
    Run,
}

/// Records in the order in which they were published, interrupted by runs.
///
/// A close cuts each partition at its end at that moment. A listing, a withdrawal and new rules are in force from where
/// the run before stopped: control is read ahead of the sources. But a release and a void wait until the epochs that were
/// closed before them are read.
#[derive(Debug, Default)]
pub struct History {
    pub bus: Bus,
    pub settings: Settings,
    steps: Vec<Step>,
    recorded: Recorded,
    /// Up to where the runs so far have read.
    read: Offsets,
    control_read: u64,
}

impl History {
    /// Publishes a record on a topic.
    pub fn append(&mut self, topic: &str, partition: u32, record: &str) {
        self.append_bytes(topic, partition, record.as_bytes());
    }

    /// The same for a record that need not be UTF-8.
    pub fn append_bytes(&mut self, topic: &str, partition: u32, record: &[u8]) {
        self.steps
            .push(Step::Append(topic.to_owned(), partition, record.to_owned()));
        if topic == CONTROL_TOPIC {
            self.bus.control.append(record);
        } else {
            let place = Place::of(topic, partition).unwrap_or_else(|| panic!("{topic} is no source topic"));
            self.bus.sources.entry(place).or_default().append(record);
        }
    }

    /// Loses the records of a partition below an offset, as far as they were not read yet. The model needs the others.
    pub fn lose(&mut self, topic: &str, partition: u32, before: u64) {
        self.steps.push(Step::Lose(topic.to_owned(), partition, before));
        let place = Place::of(topic, partition).expect("a source topic");
        let log = self.bus.sources.get_mut(&place).expect("a partition with records");
        for offset in self.read.of(place)..before {
            log.records.remove(&offset).expect("a record to lose");
        }
    }

    pub fn run(&mut self) {
        self.steps.push(Step::Run);
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

    /// All that happened, in order. Another bus on which the same happens has the same records.
    pub fn steps(&self) -> &[Step] {
        &self.steps
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
