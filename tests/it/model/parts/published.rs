//! The published records of the output topics.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::Outputs;
use super::bus;

/// The records on the output topics of a bus.
///
/// # Errors
/// If a record is torn or not JSON, or two records of one topic have the same id.
pub fn published(bus: &Path) -> Result<Outputs, String> {
    Ok(Outputs {
        distributions: read(bus, "softstake.distributions")?,
        seals: read(bus, "softstake.epochs")?,
        dead_letters: read(bus, "softstake.dead-letters")?,
        late_postings: read(bus, "softstake.late-postings")?,
    })
}

fn read(bus: &Path, topic: &str) -> Result<BTreeMap<String, Value>, String> {
    let mut records = BTreeMap::new();
    for (number, partition) in bus::read_topic(bus, topic)? {
        if !partition.unfinished.is_empty() {
            return Err(format!("{topic}/{number}.jsonl: the last line has no newline"));
        }
        for (offset, record) in partition.records.iter().enumerate() {
            let at = format!("{topic}:{number}:{offset}");
            let value: Value =
                serde_json::from_slice(record).map_err(|error| format!("{at}: not one JSON value: {error}"))?;
            let id = value["id"].as_str().ok_or_else(|| format!("{at}: no id"))?.to_owned();
            if records.contains_key(&id) {
                return Err(format!("{at}: the id {id} is there twice"));
            }
            records.insert(id, value);
        }
    }
    Ok(records)
}
