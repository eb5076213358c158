//! What was skipped of the source partitions, by the recorded decisions.

use std::collections::BTreeMap;

use crate::core::contract::decision::Decision;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// The offset ranges of each source partition that were skipped, in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SkippedRanges(BTreeMap<TopicPartition, Vec<(Offset, Offset)>>);

impl SkippedRanges {
    /// Those of all decisions.
    #[must_use]
    pub fn of<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Self {
        let mut skipped = Self::default();
        for decision in decisions {
            if let Decision::LossAccepted {
                loss,
                skipped_from,
                skipped_to,
                ..
            } = decision
                && skipped_from < skipped_to
            {
                let ranges = skipped.0.entry(loss.source()).or_default();
                ranges.push((*skipped_from, *skipped_to));
            }
        }
        skipped
    }

    /// The next offset at or after `offset` that was not skipped.
    #[must_use]
    pub fn after(&self, source: TopicPartition, offset: Offset) -> Offset {
        let mut next = offset;
        for (from, to) in self.0.get(&source).into_iter().flatten() {
            if *from <= next && next < *to {
                next = *to;
            }
        }
        next
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::contract::loss::RecordLoss;
    use crate::core::contract::topic::Topic;

    #[test]
    fn skipped_ranges_are_followed_one_after_the_other() {
        let decision = |from: u64, to: u64| Decision::LossAccepted {
            control_offset: Offset::START,
            loss: Box::new(RecordLoss {
                topic: Topic::Trades,
                partition: 3,
                from_offset: Offset::START,
                to_offset: Offset::new(99),
                by: "ops".into(),
                reason: "a disk".into(),
            }),
            skipped_from: Offset::new(from),
            skipped_to: Offset::new(to),
        };
        let skipped = SkippedRanges::of(&[decision(3, 5), decision(5, 5), decision(5, 9), decision(12, 13)]);
        let after = |offset| skipped.after(Topic::Trades.partition(3), Offset::new(offset)).get();
        assert_eq!([2, 3, 4, 5, 8, 9, 12, 13].map(after), [2, 9, 9, 9, 9, 9, 13, 13]);
        assert_eq!(skipped.after(Topic::Trades.partition(2), Offset::new(3)).get(), 3);
    }
}
