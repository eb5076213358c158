//! Reading back what stands on the output topics.

use memchr::memmem::Finder;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Topic, TopicPartition};
use crate::cli::outcome::{Failure, Outcome};
use crate::core::values::ids::Epoch;

/// The data of a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Distribution {
    pub(super) account: String,
    pub(super) asset: String,
    pub(super) epoch: Epoch,
    pub(super) epoch_start: String,
    pub(super) epoch_end: String,
    pub(super) amount: String,
    pub(super) balance_seconds: String,
    pub(super) average_balance: String,
    pub(super) programme_from_epoch: Epoch,
}

/// The data of a seal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Seal {
    pub(super) asset: String,
    pub(super) epoch: Epoch,
    pub(super) epoch_start: String,
    pub(super) epoch_end: String,
    pub(super) mode: String,
    pub(super) reward_pool: String,
    pub(super) commission: String,
    pub(super) carried_in: String,
    pub(super) carried_out: String,
    pub(super) rewarded: String,
    pub(super) distributed: String,
    pub(super) withheld_before: String,
    pub(super) withheld_after: String,
    pub(super) distributions: u64,
    pub(super) ineligible: Ineligible,
    pub(super) eligible_balance_seconds: String,
    pub(super) closing_balance: String,
    pub(super) programme_from_epoch: Epoch,
    pub(super) cut: Value,
    pub(super) root: String,
}

/// How many accounts did not earn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ineligible {
    pub(super) status: u64,
    pub(super) negative: u64,
    pub(super) below_minimum: u64,
}

/// What is shown of a dead letter.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct DeadLetter {
    pub(super) code: String,
    pub(super) reason: String,
    pub(super) topic: String,
    pub(super) partition: u32,
    pub(super) offset: u64,
}

/// The data of a late posting.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct LatePosting {
    pub(super) event_id: String,
    pub(super) account: String,
    pub(super) asset: String,
    pub(super) delta: String,
    pub(super) event_time: String,
    pub(super) missed_epoch: Epoch,
    pub(super) applied_epoch: Epoch,
    pub(super) policy: String,
}

#[derive(Deserialize)]
struct Record<D> {
    data: D,
}

/// Calls `take` with every record of a partition: offset and bytes, none for a blank line.
pub(super) fn each_raw(
    bus: &dyn Log,
    partition: TopicPartition,
    mut take: impl FnMut(u64, &[u8]) -> Outcome,
) -> Outcome {
    scan_range(
        bus,
        partition,
        &Mark::default(),
        bus.readable_end(partition)?,
        |record| take(record.offset, record.value),
    )
}

/// Calls `take` with the data of every record of an output topic; with `word`, only of those that hold this JSON string somewhere.
pub(super) fn each<D: DeserializeOwned>(
    bus: &dyn Log,
    topic: Topic,
    word: Option<&str>,
    mut take: impl FnMut(D) -> Outcome,
) -> Outcome {
    // Our own records are compact JSON by one writer, so a string stands there as this writer spells it: looking for it is far quicker than
    // decoding what has nothing to do with it.
    let word = word.map(serde_json::to_string).transpose()?;
    let finder = word.as_ref().map(|word| Finder::new(word.as_bytes()));
    for number in bus.partitions(topic)? {
        let partition = topic.partition(number);
        each_raw(bus, partition, |offset, value| {
            if value.is_empty() || finder.as_ref().is_some_and(|finder| finder.find(value).is_none()) {
                return Ok(());
            }
            let record: Record<D> = serde_json::from_slice(value).map_err(|error| {
                Failure::Failed(format!(
                    "{partition}, offset {offset}: not a record that softstake writes there ({error})"
                ))
            })?;
            take(record.data)
        })?;
    }
    Ok(())
}

/// All data of an output topic that `keep` wants.
pub(super) fn all<D: DeserializeOwned>(
    bus: &dyn Log,
    topic: Topic,
    word: Option<&str>,
    keep: impl Fn(&D) -> bool,
) -> Result<Vec<D>, Failure> {
    let mut kept = Vec::new();
    each(bus, topic, word, |data| {
        if keep(&data) {
            kept.push(data);
        }
        Ok(())
    })?;
    Ok(kept)
}
