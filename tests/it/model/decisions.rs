//! The decisions that depend on the run, as they were recorded (contract, sections 4 and 6).
//!
//! A run decides only two things that do not follow from its input: the version of the rules that it begins with, and
//! the offsets of the source partitions when a control event was decided. For a listing, a withdrawal and new rules,
//! these are the offsets from which it is in force, or would have been. For a close they are its cut. The model
//! concludes everything else, and its own decisions can be compared with those on record.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};

use super::bus::{Offsets, Place};
use crate::model::parts::bus::{CONTROL_TOPIC, read_topic};

#[derive(Debug, Clone)]
pub struct Recorded {
    /// The version of the rules in the first decision.
    pub rules: u64,
    /// By the offset of the control event.
    pub offsets: BTreeMap<u64, Offsets>,
    /// Where partitions begin whose first records were deleted before the deployment saw them.
    pub starts: Offsets,
    /// What was skipped as lost, whether an archive has it or not: a partition, and offsets from the first one up to,
    /// not including, the second.
    pub skipped: Vec<(Place, u64, u64)>,
}

impl Default for Recorded {
    fn default() -> Recorded {
        Recorded {
            rules: 2,
            offsets: BTreeMap::new(),
            starts: Offsets::default(),
            skipped: Vec::new(),
        }
    }
}

impl Recorded {
    /// Reads the data of the records of `softstake.decisions`, in their order. Where nothing was published, nothing was decided.
    ///
    /// # Errors
    /// If the first one is not `rules`, or if offsets cannot be read.
    pub fn read(decisions: &[Value]) -> Result<Recorded, String> {
        if decisions.is_empty() {
            return Ok(Recorded::default());
        }
        let rules = decisions
            .first()
            .filter(|first| first["decision"] == "rules")
            .and_then(|first| first["version"].as_u64())
            .ok_or("the first decision does not name the version of the rules")?;
        let mut recorded = Recorded {
            rules,
            ..Recorded::default()
        };
        let mut last_close = BTreeMap::new();
        for decision in decisions {
            if let Some(starts) = decision["starts"].as_object() {
                let mut of_sources = starts.clone();
                of_sources.remove(CONTROL_TOPIC);
                let starts = Offsets::from_json(&of_sources.into()).ok_or_else(|| format!("no offsets: {decision}"))?;
                recorded.starts.0.extend(starts.0);
            }
            if let Some(to) = decision["skipped_to"].as_u64() {
                let skipped = skipped(decision, to).ok_or_else(|| format!("no offsets: {decision}"))?;
                recorded.skipped.push(skipped);
            }
            let key = (decision["asset"].to_string(), decision["epoch"].as_u64());
            let control_offset = decision["control_offset"].as_u64();
            if decision["decision"] == "close_accepted" {
                last_close.insert(key.clone(), control_offset);
            }
            let found = ["in_force_from", "answered_at", "cut"]
                .into_iter()
                .find_map(|name| decision.get(name).filter(|offsets| offsets.is_object()));
            let Some(found) = found else { continue };
            let offsets = Offsets::from_json(found).ok_or_else(|| format!("no offsets: {decision}"))?;
            let control_offset = control_offset
                .or_else(|| last_close.get(&key).copied().flatten())
                .ok_or_else(|| format!("offsets without a control event: {decision}"))?;
            recorded.offsets.insert(control_offset, offsets);
        }
        Ok(recorded)
    }

    /// The offsets recorded for a control event.
    pub fn at(&self, control_offset: u64) -> Result<&Offsets, String> {
        self.offsets
            .get(&control_offset)
            .ok_or_else(|| format!("softstake.control:0:{control_offset}: no offsets are recorded for this event"))
    }
}

fn skipped(decision: &Value, to: u64) -> Option<(Place, u64, u64)> {
    let loss = decision.get("loss").unwrap_or(decision);
    let partition = u32::try_from(loss["partition"].as_u64()?).ok()?;
    let place = Place::of(loss["topic"].as_str()?, partition)?;
    Some((place, decision["skipped_from"].as_u64()?, to))
}

/// The data of the records of `softstake.decisions` of a directory bus.
///
/// # Errors
/// If a record is not JSON.
pub fn on_record(bus: &Path) -> Result<Vec<Value>, String> {
    let topic = read_topic(bus, "softstake.decisions")?.remove(&0).unwrap_or_default();
    let read = |record: &Vec<u8>| serde_json::from_slice::<Value>(record).map(|mut record| record["data"].take());
    let decisions: Result<Vec<Value>, _> = topic.records.iter().map(read).collect();
    decisions.map_err(|error| format!("softstake.decisions: {error}"))
}

/// Differences between the decisions that the model takes and those on record, as text. Their order may differ where
/// nothing depends on it.
pub fn decision_differences(expected: &[Value], on_record: &[Value]) -> Vec<String> {
    let lines = |decisions: &[Value]| {
        let mut lines: Vec<String> = decisions.iter().filter_map(comparable).collect();
        lines.sort();
        lines
    };
    let (expected, mut there) = (lines(expected), lines(on_record));
    let mut found = Vec::new();
    for line in expected {
        match there.binary_search(&line) {
            Ok(at) => drop(there.remove(at)),
            Err(_) => found.push(format!("softstake.decisions: missing; expected {line}")),
        }
    }
    found.extend(
        there
            .iter()
            .map(|line| format!("softstake.decisions: not expected; published {line}")),
    );
    found
}

/// What the contract says of a decision. None if it says nothing of this kind.
fn comparable(decision: &Value) -> Option<String> {
    const KINDS: [&str; 14] = [
        "rules",
        "listing_accepted",
        "listing_refused",
        "programme_changed",
        "withdrawal_accepted",
        "reward_added",
        "pool_adjusted",
        "close_accepted",
        "cut",
        "epoch_held",
        "epoch_released",
        "epoch_void",
        "loss_accepted",
        "refused",
    ];
    const FIELDS: [&str; 14] = [
        "control_offset",
        "asset",
        "epoch",
        "version",
        "in_force_from",
        "answered_at",
        "newest_not_counted",
        "code",
        "dropped",
        "amount",
        "cut",
        "limit",
        "largest",
        "total",
    ];
    let kind = decision["decision"].as_str().filter(|kind| KINDS.contains(kind))?;
    let mut fields = Map::new();
    let mut add = |name: &str, value: Option<&Value>| {
        if let Some(value) = value {
            fields.insert(name.to_owned(), value.clone());
        }
    };
    FIELDS.iter().for_each(|name| add(name, decision.get(*name)));
    if kind == "epoch_held" {
        add("change", decision.get("change").or(Some(&Value::Null)));
    }
    if let Some(listing) = decision.get("listing") {
        add("asset", listing.get("asset"));
    }
    if kind == "programme_changed" {
        let in_listing = decision.pointer("/listing/programme/from_epoch");
        add("from_epoch", decision.get("from_epoch").or(in_listing));
    }
    if kind == "loss_accepted" {
        let loss = decision.get("loss").unwrap_or(decision);
        ["topic", "partition", "from_offset", "to_offset"]
            .iter()
            .for_each(|name| add(name, loss.get(*name)));
    }
    Some(format!("{kind} {}", Value::Object(fields)))
}
