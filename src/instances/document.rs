//! What an instance answers to `/status`, as far as it is shown.
//!
//! Unknown fields are ignored, and any field may be absent or `null`: instances may be of a later or an earlier version.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Deserializer};

use crate::core::values::credentials::without_credentials;
use crate::core::values::printable::escape_for_terminal;

/// A text from the network is cut after so many characters. Sentences of an instance are far shorter.
const MOST_CHARACTERS: usize = 600;

/// A text that a terminal can show: it has no credentials, and no character that a terminal might execute or hide.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct SafeText(String);

impl SafeText {
    #[must_use]
    pub fn new(text: &str) -> Self {
        let text = match text.char_indices().nth(MOST_CHARACTERS) {
            Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
            None => text.to_owned(),
        };
        Self(escape_for_terminal(&without_credentials(&text)).into_owned())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for SafeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl<'de> Deserialize<'de> for SafeText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self::new(&String::deserialize(deserializer)?))
    }
}

/// A list that may be absent or `null`.
fn list<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StatusDocument {
    pub version: Option<SafeText>,
    pub rules: Option<u64>,
    pub bus: Option<SafeText>,
    pub deployment: Option<SafeText>,
    pub instance: Option<SafeText>,
    pub uptime_seconds: Option<f64>,
    pub ready: Option<bool>,
    #[serde(deserialize_with = "list")]
    pub not_ready_because: Vec<SafeText>,
    #[serde(deserialize_with = "list")]
    pub troubles: Vec<SafeText>,
    #[serde(deserialize_with = "list")]
    pub tasks: Vec<TaskDocument>,
    #[serde(deserialize_with = "list")]
    pub partitions: Vec<PartitionDocument>,
    /// `None` if another instance has the coordinator.
    pub coordinator: Option<CoordinatorDocument>,
    #[serde(deserialize_with = "list")]
    pub settlements: Vec<SettlementDocument>,
    #[serde(deserialize_with = "list")]
    pub stores: Vec<StoreDocument>,
    pub disk_free_bytes: Option<u64>,
    pub snapshots: Option<SnapshotDocument>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct TaskDocument {
    pub task: Option<SafeText>,
    #[serde(rename = "type")]
    pub kind: Option<SafeText>,
    pub state: Option<SafeText>,
    pub records_per_second: Option<f64>,
    #[serde(deserialize_with = "list")]
    pub inputs: Vec<InputDocument>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct InputDocument {
    pub topic: Option<SafeText>,
    pub partition: Option<u64>,
    pub recovery_remaining_offsets: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct PartitionDocument {
    pub topic: Option<SafeText>,
    pub partition: Option<u64>,
    /// The next offset that its task reads.
    pub offset: Option<u64>,
    pub lag_records: Option<u64>,
    pub lag_offsets: Option<u64>,
    pub event_time_delay_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct CoordinatorDocument {
    #[serde(deserialize_with = "list")]
    pub epochs: Vec<EpochDocument>,
    #[serde(deserialize_with = "list")]
    pub control_events: Vec<ControlDocument>,
    #[serde(deserialize_with = "list")]
    pub held: Vec<StoppedDocument>,
    #[serde(deserialize_with = "list")]
    pub halted: Vec<StoppedDocument>,
    #[serde(deserialize_with = "list")]
    pub seals: Vec<SealDocument>,
}

/// A closed epoch on its way to the seal.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct EpochDocument {
    pub asset: Option<SafeText>,
    pub epoch: Option<u64>,
    pub waits_for: Option<SafeText>,
    pub missing: Option<SafeText>,
    #[serde(deserialize_with = "list")]
    pub missing_partitions: Vec<MissingDocument>,
    /// While subtotals are missing: the offset that each source partition has to pass, by topic.
    pub cut: Option<BTreeMap<SafeText, BTreeMap<u64, u64>>>,
    pub waits_seconds: Option<f64>,
}

/// A partition whose part is missing.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct MissingDocument {
    pub topic: Option<SafeText>,
    pub partition: Option<u64>,
}

/// Another control event that waits.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct ControlDocument {
    pub event: Option<SafeText>,
    pub what: Option<SafeText>,
    pub missing: Option<SafeText>,
    #[serde(deserialize_with = "list")]
    pub missing_partitions: Vec<MissingDocument>,
    pub waits_seconds: Option<f64>,
}

/// An epoch that is held, void or halted.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StoppedDocument {
    pub asset: Option<SafeText>,
    pub epoch: Option<u64>,
    pub state: Option<SafeText>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SealDocument {
    pub asset: Option<SafeText>,
    /// The newest sealed epoch.
    pub epoch: Option<u64>,
    pub age_seconds: Option<f64>,
    pub epoch_seconds: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SettlementDocument {
    pub asset: Option<SafeText>,
    pub epoch: Option<u64>,
    pub done_ratio: Option<f64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct StoreDocument {
    #[serde(rename = "type")]
    pub kind: Option<SafeText>,
    pub stores: Option<u64>,
    pub size_bytes: Option<u64>,
    pub compaction_debt_bytes: Option<u64>,
    pub level0_files: Option<u64>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct SnapshotDocument {
    pub taken: Option<u64>,
    pub failed: Option<u64>,
    pub oldest_seconds: Option<f64>,
    pub refused: Option<bool>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_and_unknown_fields_are_no_error() {
        let text = r#"{"later": {"a": [1]}, "tasks": null, "coordinator": {"seals": [{"asset": "ATOM", "more": 1}]}}"#;
        let status: StatusDocument = serde_json::from_str(text).unwrap();
        assert!(status.version.is_none() && status.tasks.is_empty() && status.ready.is_none());
        let seals = status.coordinator.unwrap().seals;
        assert_eq!(
            (seals[0].asset.as_ref().unwrap().as_str(), seals[0].epoch),
            ("ATOM", None)
        );
        let epoch = r#"{"cut": {"exchange.deposits": {"3": 9}}, "missing_partitions": [{"topic": "softstake.ledger", "partition": 0}]}"#;
        let epoch: EpochDocument = serde_json::from_str(epoch).unwrap();
        assert_eq!(epoch.cut.unwrap()[&SafeText::new("exchange.deposits")][&3], 9);
        assert_eq!(epoch.missing_partitions[0].partition, Some(0));
        let empty: StatusDocument = serde_json::from_str("{}").unwrap();
        assert!(empty.coordinator.is_none() && empty.snapshots.is_none());
        assert!(serde_json::from_str::<StatusDocument>("[]1").is_err());
    }

    #[test]
    fn a_text_is_escaped_and_cut() {
        let status = format!(r#"{{"instance": "a\u001b[2J\n\u202e{}"}}"#, "x".repeat(5_000));
        let status: StatusDocument = serde_json::from_str(&status).unwrap();
        let shown = status.instance.unwrap();
        assert!(shown.as_str().starts_with(r"a\u{1b}[2J\u{a}\u{202e}xxx"), "{shown}");
        assert!(shown.as_str().ends_with("x…") && shown.as_str().len() < 700);
        assert_eq!(SafeText::new("http://u:p@host/").as_str(), "http://…@host/");
    }
}
