//! Records as the tasks read them, and the evidence that a record is unchanged.

use rdkafka::Message;
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use serde::{Deserialize, Serialize};

use crate::bus::kafka::cloud_events::append_structured;
use crate::bus::position::Mark;
use crate::core::contract::topic::{TopicKind, TopicPartition};
use crate::core::values::offset::Offset;

/// What a mark keeps about the last record before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Evidence {
    pub offset: Offset,
    /// The xxh3 hash of the record, as the tasks read it.
    hash: u64,
}

impl Evidence {
    pub(super) fn of(offset: Offset, record: &[u8]) -> Self {
        Self {
            offset,
            hash: xxhash_rust::xxh3::xxh3_64(record),
        }
    }

    /// The evidence of a mark after this record. An older record is kept with it, which was compared before.
    pub(super) fn write(self, checked: Self) -> Vec<u8> {
        // Encoding numbers cannot fail.
        postcard::to_stdvec(&(self, checked)).unwrap_or_default()
    }

    /// The last record before a mark.
    pub(super) fn read(mark: &Mark) -> Option<Self> {
        // The checked record follows, if there is one.
        postcard::take_from_bytes(&mark.evidence).ok().map(|(last, _)| last)
    }

    /// The older record that a mark keeps.
    pub(super) fn read_checked(mark: &Mark) -> Option<Self> {
        let both: Option<(Self, Self)> = postcard::from_bytes(&mark.evidence).ok();
        both.map(|(_, checked)| checked)
    }
}

/// What a search finds at a place of a partition.
#[derive(Debug)]
pub(super) enum Finding {
    /// No record is between the place and this end, which was looked up before the search.
    End(Offset),
    /// The first record at or after the place.
    Record(Evidence),
    /// The partition cannot be read.
    Failed(KafkaError),
    /// No broker answered in time.
    Unknown,
}

/// Appends a record as the tasks read it: in structured mode, and empty if it is a line of white space alone, as on every bus.
pub(super) fn append(partition: TopicPartition, message: &BorrowedMessage<'_>, bytes: &mut Vec<u8>) {
    let from = bytes.len();
    let value = message.payload().unwrap_or_default();
    let kind = partition.topic.kind();
    match kind {
        TopicKind::Input => append_structured(message.headers(), value, bytes),
        TopicKind::Output | TopicKind::Inner => bytes.extend_from_slice(value),
    }
    let is_white = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r');
    if kind != TopicKind::Inner && bytes.get(from..).is_some_and(|record| record.iter().all(is_white)) {
        bytes.truncate(from);
    }
}
