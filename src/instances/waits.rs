//! Which partitions keep an event waiting: those that have not passed the cut, or whose part is missing, and how far each of them is.

use std::collections::BTreeMap;

use crate::instances::document::{EpochDocument, MissingDocument, PartitionDocument};
use crate::instances::followed::{FollowedPartition, followed, partition_name};
use crate::instances::sample::InstanceSample;

/// A partition that is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedPartition {
    /// `topic:partition`.
    pub name: String,
    /// The next offset that its task reads; `None` if no instance that answers tells it.
    pub offset: Option<u64>,
    /// The offset that it has to pass, if that is known.
    pub cut: Option<u64>,
    /// What its task does, and the instance that has it; `None` if no instance that answers has it.
    pub state: Option<String>,
    pub instance: Option<String>,
}

/// Where each partition is, and who has it.
#[derive(Debug)]
pub struct PartitionPlaces<'a> {
    places: BTreeMap<String, (String, FollowedPartition<'a>)>,
}

impl<'a> PartitionPlaces<'a> {
    #[must_use]
    pub fn new(samples: &'a [InstanceSample]) -> Self {
        let mut places = BTreeMap::new();
        for sample in samples {
            for one in sample.status().into_iter().flat_map(followed) {
                if let Some(name) = home(&one) {
                    places.insert(name, (sample.name(), one));
                }
            }
        }
        Self { places }
    }

    /// The partitions that a closed epoch waits for: source partitions that have not passed its cut, or else those whose part is missing.
    #[must_use]
    pub fn awaited_by(&self, epoch: &EpochDocument) -> Vec<AwaitedPartition> {
        let cut = epoch.cut.iter().flatten();
        let sources = cut.flat_map(|(topic, partitions)| {
            let each = partitions.iter();
            each.map(move |(partition, cut)| self.awaited(format!("{topic}:{partition}"), Some(*cut)))
        });
        // A partition that no instance tells may have passed it or not.
        let behind: Vec<AwaitedPartition> = sources
            .filter(|one| one.offset < one.cut && one.cut != Some(0))
            .collect();
        if behind.is_empty() {
            return self.missing(&epoch.missing_partitions);
        }
        behind
    }

    /// How far the partitions are whose part is missing.
    #[must_use]
    pub fn missing(&self, partitions: &[MissingDocument]) -> Vec<AwaitedPartition> {
        let names = partitions.iter().map(|one| {
            partition_name(&PartitionDocument {
                topic: one.topic.clone(),
                partition: one.partition,
                ..PartitionDocument::default()
            })
        });
        names.map(|name| self.awaited(name, None)).collect()
    }

    fn awaited(&self, name: String, cut: Option<u64>) -> AwaitedPartition {
        let found = self.places.get(&name);
        let (instance, one) = found.map(|(instance, one)| (instance.clone(), one)).unzip();
        AwaitedPartition {
            offset: one.and_then(|one| one.partition?.offset),
            cut,
            state: one.and_then(|one| one.state()).map(ToString::to_string),
            instance,
            name,
        }
    }
}

/// The name of the partition that a task follows. A task that restarts does not tell it, but its own name does.
fn home(one: &FollowedPartition<'_>) -> Option<String> {
    if let Some(partition) = one.partition {
        return Some(partition_name(partition));
    }
    let task = one.task?;
    let last = task.task.as_ref()?.as_str().rsplit(' ').next()?;
    match task.kind.as_ref()?.as_str() {
        "ingest" => Some(last.to_owned()),
        "accrue" => Some(format!("softstake.ledger:{last}")),
        _ => None,
    }
}

/// The first of some partitions in words, and the number of the others.
pub(super) fn in_words(partitions: &[AwaitedPartition]) -> String {
    /// How many partitions a sentence names.
    const NAMED: usize = 4;
    let one = |one: &AwaitedPartition| {
        let at = match (one.offset, one.cut) {
            (Some(offset), Some(cut)) => format!(" at offset {offset} of {cut}"),
            (None, Some(_)) if one.instance.is_none() => " at no instance that answers".into(),
            _ => String::new(),
        };
        format!("{}{at}", one.name)
    };
    let named: Vec<String> = partitions.iter().take(NAMED).map(one).collect();
    match partitions.len().saturating_sub(NAMED) {
        0 => named.join(", "),
        more => format!("{} and {more} more", named.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;
    use crate::instances::document::SafeText;
    use crate::instances::sample::InstanceAnswer;

    fn sample(address: &str, status: &Value) -> InstanceSample {
        InstanceSample {
            address: SafeText::new(address),
            answer: InstanceAnswer::Status(Arc::new(serde_json::from_value(status.clone()).unwrap())),
            last: None,
        }
    }

    fn samples() -> Vec<InstanceSample> {
        let task = |name: &str, kind: &str, state: &str, partition: u64| {
            let inputs = match state {
                "working" => json!([{"topic": "exchange.deposits", "partition": partition}]),
                _ => json!([]),
            };
            json!({"task": name, "type": kind, "state": state, "inputs": inputs})
        };
        let at = |partition: u64, offset: u64| json!({"topic": "exchange.deposits", "partition": partition, "offset": offset});
        let first = json!({
            "tasks": [task("ingest exchange.deposits:0", "ingest", "working", 0), task("ingest exchange.deposits:1", "ingest", "restarting", 1)],
            "partitions": [at(0, 7)],
        });
        let second = json!({
            "tasks": [task("ingest exchange.deposits:2", "ingest", "working", 2), task("accrue 1", "accrue", "stopped", 1)],
            "partitions": [at(2, 9)],
        });
        vec![sample("one", &first), sample("two", &second)]
    }

    #[test]
    fn an_epoch_waits_for_partitions_before_its_cut() {
        let samples = samples();
        let places = PartitionPlaces::new(&samples);
        let epoch = json!({
            "cut": {"exchange.deposits": {"0": 7, "1": 5, "2": 10, "3": 1, "4": 0}},
            "missing_partitions": [{"topic": "softstake.ledger", "partition": 1}],
        });
        let mut epoch: EpochDocument = serde_json::from_value(epoch).unwrap();
        let awaited = places.awaited_by(&epoch);
        let rows: Vec<_> = awaited
            .iter()
            .map(|one| {
                (
                    one.name.as_str(),
                    one.offset,
                    one.state.as_deref(),
                    one.instance.as_deref(),
                )
            })
            .collect();
        assert_eq!(
            rows,
            [
                ("exchange.deposits:1", None, Some("restarting"), Some("one")),
                ("exchange.deposits:2", Some(9), Some("working"), Some("two")),
                ("exchange.deposits:3", None, None, None),
            ]
        );
        assert_eq!(
            in_words(&awaited),
            "exchange.deposits:1, exchange.deposits:2 at offset 9 of 10, exchange.deposits:3 at no instance that answers"
        );
        // All have passed it, so it is the ledger.
        epoch.cut = None;
        let awaited = places.awaited_by(&epoch);
        assert_eq!(
            (awaited[0].name.as_str(), awaited[0].state.as_deref(), awaited.len()),
            ("softstake.ledger:1", Some("stopped"), 1)
        );
    }
}
