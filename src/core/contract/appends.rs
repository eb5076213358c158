//! The records that a state machine appends to topics, as data.

use std::ops::Range;

use crate::core::contract::topic::TopicPartition;

/// Records to append. They share one buffer.
#[derive(Debug, Clone, Default)]
pub struct Outputs {
    bytes: Vec<u8>,
    items: Vec<(TopicPartition, Range<usize>, Range<usize>)>,
}

impl Outputs {
    /// Adds a record. On a topic of lines, the value must hold no line feed.
    pub fn push(&mut self, to: TopicPartition, key: &[u8], value: &[u8]) {
        self.push_with(to, key, |buffer| buffer.extend_from_slice(value));
    }

    /// Adds a record. `write` appends its value to a buffer.
    pub fn push_with(&mut self, to: TopicPartition, key: &[u8], write: impl FnOnce(&mut Vec<u8>)) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(key);
        let middle = self.bytes.len();
        write(&mut self.bytes);
        self.items.push((to, start..middle, middle..self.bytes.len()));
    }

    /// The partition, key and value of each record, in the order in which they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (TopicPartition, &[u8], &[u8])> {
        self.items
            .iter()
            .map(|(to, key, value)| (*to, &self.bytes[key.clone()], &self.bytes[value.clone()]))
    }

    /// A copy without the records to partitions that are not `wanted`.
    #[must_use]
    pub fn only(&self, wanted: impl Fn(TopicPartition) -> bool) -> Self {
        let mut kept = Self::default();
        for (to, key, value) in self.iter().filter(|(to, ..)| wanted(*to)) {
            kept.push(to, key, value);
        }
        kept
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Total bytes of keys and values.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// Removes all records, and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.items.clear();
    }
}
