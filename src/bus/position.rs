//! Tasks as the bus knows them, and their positions.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::bus::running_digest::RunningDigest;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::values::offset::Offset;

/// A task, named by the partition that it follows. It moves between processes together with that partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(TopicPartition);

impl TaskId {
    /// The sequencer, which follows the control topic.
    pub const SEQUENCE: Self = Self(Topic::Control.partition(0));
    /// The coordinator, which follows the inbox.
    pub const COORDINATE: Self = Self(Topic::Inbox.partition(0));
    /// No task: under this name the bus keeps the deployment record, beside the decisions.
    pub const DEPLOYMENT: Self = Self(Topic::Decisions.partition(0));

    /// The accrue task of ledger partition `partition`.
    #[must_use]
    pub const fn accrue(partition: u16) -> Self {
        Self(Topic::Ledger.partition(partition as u32))
    }

    /// The ingest task of source partition `source`.
    #[must_use]
    pub const fn ingest(source: TopicPartition) -> Self {
        Self(source)
    }

    /// The task that follows `home`.
    #[must_use]
    pub const fn following(home: TopicPartition) -> Self {
        Self(home)
    }

    /// The partition it follows.
    #[must_use]
    pub const fn home(self) -> TopicPartition {
        self.0
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.topic {
            Topic::Control => f.write_str("sequence"),
            Topic::Inbox => f.write_str("coordinate"),
            Topic::Decisions => f.write_str("deployment"),
            Topic::Ledger => write!(f, "accrue {}", self.0.partition),
            _ => write!(f, "ingest {}", self.0),
        }
    }
}

/// A reader's position in one partition: the next offset to read, and evidence of the records before it.
///
/// Two marks at one offset with the same digest were made on the same log. When a task continues from a mark, the bus checks that the records read
/// before are unchanged, as far as it can without reading all of them again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The offset of the next record to read.
    pub offset: Offset,
    /// The digest of all records read before it. `None` if they are unknown, because the mark was made from an offset alone.
    pub digest: Option<RunningDigest>,
    /// Only the bus that made it can interpret it. Empty at the start of a partition.
    pub evidence: Vec<u8>,
}

impl Default for Mark {
    fn default() -> Self {
        Self::at(Offset::START)
    }
}

impl Mark {
    /// A mark at an offset of which nothing else is known.
    #[must_use]
    pub fn at(offset: Offset) -> Self {
        Self {
            offset,
            digest: (offset == Offset::START).then_some(RunningDigest::EMPTY),
            evidence: Vec::new(),
        }
    }

    /// The mark of a task that has read nothing and begins at `offset`, because the records before it were deleted before the deployment saw them.
    #[must_use]
    pub fn beginning(offset: Offset) -> Self {
        Self {
            offset,
            ..Self::default()
        }
    }

    /// Adds a record to the digest.
    pub fn add(&mut self, record: &[u8]) {
        if let Some(digest) = &mut self.digest {
            digest.add(record);
        }
    }
}

/// A task's position: a mark for each partition it reads, and a cursor within work that takes many transactions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Position {
    /// A partition without a mark is at its start.
    pub inputs: BTreeMap<TopicPartition, Mark>,
    pub cursor: Cursor,
}

/// Progress within the work that follows one record: which job is next, and how far that job is.
///
/// Cursors with the same input marks are ordered by `(job, reached)`.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cursor {
    /// The number of jobs finished since the last record was read.
    pub job: u32,
    /// The last key that the current job has processed; empty before the first.
    // Archives and snapshots keep it under its first name.
    #[serde(rename = "place")]
    pub reached: Vec<u8>,
}

impl Position {
    /// The next offset to read of `partition`.
    #[must_use]
    pub fn offset(&self, partition: TopicPartition) -> Offset {
        self.inputs.get(&partition).map_or(Offset::START, |mark| mark.offset)
    }

    /// Whether a task reaches this position before `later`. Of two positions of one task on one log, one is at or past the other in every input.
    #[must_use]
    pub fn is_before(&self, later: &Self) -> bool {
        if self.has_same_offsets(later) {
            return self.cursor < later.cursor;
        }
        later
            .inputs
            .iter()
            .any(|(partition, mark)| self.offset(*partition) < mark.offset)
    }

    /// Whether this position has read an input further than `other`, or is further within the same job. Two positions on different logs may each be past
    /// the other.
    #[must_use]
    pub fn is_past(&self, other: &Self) -> bool {
        if self.has_same_offsets(other) {
            return self.cursor > other.cursor;
        }
        self.inputs
            .iter()
            .any(|(partition, mark)| mark.offset > other.offset(*partition))
    }

    /// In words, how this position is past `other`; `None` if it is not.
    #[must_use]
    pub fn difference_past(&self, other: &Self) -> Option<String> {
        if !self.is_past(other) {
            return None;
        }
        let further = self
            .inputs
            .iter()
            .find(|(partition, mark)| mark.offset > other.offset(**partition));
        Some(match further {
            Some((partition, mark)) => format!(
                "it has read {partition} to offset {}, and the committed position is at offset {}",
                mark.offset,
                other.offset(*partition)
            ),
            None => "it is further within a settlement".into(),
        })
    }

    /// Whether both have read each input to the same offset.
    #[must_use]
    pub fn has_same_offsets(&self, other: &Self) -> bool {
        let all = self.inputs.keys().chain(other.inputs.keys());
        all.copied()
            .all(|partition| self.offset(partition) == other.offset(partition))
    }

    /// An input that both have read to the same offset, but with other records: so they are positions on two logs.
    #[must_use]
    pub fn contradicts(&self, other: &Self) -> Option<TopicPartition> {
        let differs = |mark: &Mark, other: &Mark| {
            mark.offset == other.offset
                && mark.digest.is_some()
                && other.digest.is_some()
                && mark.digest != other.digest
        };
        let mut common = self
            .inputs
            .iter()
            .filter_map(|(partition, mark)| Some((*partition, mark, other.inputs.get(partition)?)));
        common
            .find(|(_, mark, other)| differs(mark, other))
            .map(|(partition, ..)| partition)
    }

    /// Whether a task is in the same state at both: it has read the same records of each input, and its cursor is the same.
    #[must_use]
    pub fn is_same_state(&self, other: &Self) -> bool {
        let is_known = |position: &Self| position.inputs.values().all(|mark| mark.digest.is_some());
        is_known(self)
            && is_known(other)
            && self.cursor == other.cursor
            && self.has_same_offsets(other)
            && self.contradicts(other).is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A position that has read `decisions` and `trades` of two inputs.
    fn position(decisions: &[&str], trades: &[&str], job: u32) -> Position {
        let mark = |records: &[&str]| {
            let mut mark = Mark::default();
            records.iter().for_each(|record| mark.add(record.as_bytes()));
            mark.offset = Offset::new(records.len() as u64);
            mark
        };
        Position {
            inputs: [
                (Topic::Decisions.partition(0), mark(decisions)),
                (Topic::Trades.partition(3), mark(trades)),
            ]
            .into(),
            cursor: Cursor {
                job,
                reached: Vec::new(),
            },
        }
    }

    #[test]
    fn positions_of_one_log_are_ordered() {
        let ordered = [
            Position::default(),
            position(&[], &["a"], 0),
            position(&["d"], &["a"], 0),
            position(&["d"], &["a"], 1),
            position(&["d", "e"], &["a"], 0),
            position(&["d", "e"], &["a", "b"], 0),
        ];
        for (a, earlier) in ordered.iter().enumerate() {
            for (b, later) in ordered.iter().enumerate() {
                assert_eq!(earlier.is_before(later), a < b, "{a} {b}");
                assert_eq!(later.is_past(earlier), a < b, "{a} {b}");
                assert_eq!(earlier.is_same_state(later), a == b, "{a} {b}");
                assert_eq!(earlier.contradicts(later), None, "{a} {b}");
            }
        }
        // No mark and a mark at the start are the same.
        assert!(Position::default().is_same_state(&position(&[], &[], 0)));
    }

    #[test]
    fn positions_of_two_logs_contradict_each_other_where_they_meet() {
        let (decisions, trades) = (Topic::Decisions.partition(0), Topic::Trades.partition(3));
        let ours = position(&["d"], &["a", "b"], 0);
        for (theirs, input) in [
            (position(&["x"], &["a", "b"], 0), Some(decisions)),
            (position(&["d"], &["a", "x"], 0), Some(trades)),
            // The same last record, and another before it.
            (position(&["d"], &["x", "b"], 0), Some(trades)),
            // Elsewhere they are at different offsets.
            (position(&["x"], &["a", "b", "c"], 0), Some(decisions)),
            (position(&["d"], &["x"], 0), None),
        ] {
            assert_eq!(ours.contradicts(&theirs), input, "{theirs:?}");
            assert_eq!(theirs.contradicts(&ours), input, "{theirs:?}");
            assert!(!ours.is_same_state(&theirs), "{theirs:?}");
        }
        // Each may be past the other.
        let theirs = position(&["d", "e"], &["a"], 0);
        assert!(ours.is_past(&theirs) && theirs.is_past(&ours));
        // A mark whose records are unknown shows nothing.
        let mut unknown = ours.clone();
        unknown.inputs.insert(trades, Mark::at(Offset::new(2)));
        assert_eq!(ours.contradicts(&unknown), None);
        assert!(!ours.is_same_state(&unknown) && !unknown.is_same_state(&unknown));
    }

    #[test]
    fn the_names_of_fields_in_manifests_do_not_change() {
        let mark = Mark {
            offset: Offset::new(7),
            digest: Some(RunningDigest::from_bytes([0xab; RunningDigest::LEN])),
            evidence: vec![1],
        };
        let position = Position {
            inputs: [(Topic::Trades.partition(3), mark)].into(),
            cursor: Cursor {
                job: 2,
                reached: vec![9],
            },
        };
        let json = concat!(
            r#"{"inputs":{"exchange.trades:3":{"offset":7,"digest":"abababababababababababababababab","evidence":[1]}},"#,
            r#""cursor":{"job":2,"place":[9]}}"#
        );
        assert_eq!(serde_json::to_string(&position).unwrap(), json);
        assert_eq!(serde_json::from_str::<Position>(json).unwrap(), position);
    }
}
