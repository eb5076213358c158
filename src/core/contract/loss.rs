//! Records of a source partition that are gone for good, and whose loss a control event accepts (contract, section 3).

use serde::{Deserialize, Serialize};

use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// The data of an event that accepts a loss. It changes nothing about records that still exist.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordLoss {
    /// A source topic.
    pub topic: Topic,
    pub partition: u32,
    /// The first offset that may be skipped.
    pub from_offset: Offset,
    /// The offset after the last one that may be skipped. It is greater than `from_offset`.
    pub to_offset: Offset,
    /// Who accepts the loss.
    pub by: String,
    /// Why the records are gone.
    pub reason: String,
}

impl RecordLoss {
    #[must_use]
    pub const fn source(&self) -> TopicPartition {
        self.topic.partition(self.partition)
    }

    /// The end of what a task at offset `at` skips, if the first record that exists in its source partition is at `start`. It is `at` if there is
    /// nothing to skip: the record at `at` exists, or the event does not name it.
    #[must_use]
    pub fn skipped_to(&self, at: Offset, start: Offset) -> Offset {
        if self.from_offset <= at {
            start.min(self.to_offset).max(at)
        } else {
            at
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loss(from: u64, to: u64) -> RecordLoss {
        RecordLoss {
            topic: Topic::Trades,
            partition: 3,
            from_offset: Offset::new(from),
            to_offset: Offset::new(to),
            by: "ops".into(),
            reason: "a disk".into(),
        }
    }

    #[test]
    fn only_records_that_are_named_and_gone_are_skipped() {
        let skipped_to = |loss: &RecordLoss, at, start| loss.skipped_to(Offset::new(at), Offset::new(start)).get();
        let named = loss(10, 20);
        // All named, and gone.
        assert_eq!(skipped_to(&named, 10, 20), 20);
        assert_eq!(skipped_to(&named, 12, 15), 15);
        // More is gone than is named.
        assert_eq!(skipped_to(&named, 10, 30), 20);
        // Nothing is gone.
        assert_eq!(skipped_to(&named, 10, 10), 10);
        assert_eq!(skipped_to(&named, 12, 3), 12);
        // What comes before `from_offset` is gone, too, and nobody has accepted that.
        assert_eq!(skipped_to(&named, 9, 20), 9);
        // It is all read.
        assert_eq!(skipped_to(&named, 20, 30), 20);
        assert_eq!(skipped_to(&named, 25, 30), 25);
    }
}
