//! The result of a comparison.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::audit::record_fields::FieldDifference;
use crate::bus::Topic;
use crate::core::values::ids::Epoch;

/// What is different about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It was not published.
    Missing,
    /// It was published, but does not follow from the log.
    Extra,
    /// It was published with other values.
    Different,
    /// It was published more than once.
    Doubled,
}

impl DifferenceKind {
    /// The name in reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Extra => "extra",
            Self::Different => "different",
            Self::Doubled => "doubled",
        }
    }
}

/// A published record that is wrong, or a missing one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RecordDifference {
    pub kind: DifferenceKind,
    pub topic: &'static str,
    /// The id of the record; without a readable id, its partition and offset.
    pub id: String,
    /// The fields that differ; all fields of a record that only one side has.
    pub fields: Vec<FieldDifference>,
}

/// The numbers of records of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GroupCounts {
    pub published: u64,
    pub replayed: u64,
    pub equal: u64,
    pub missing: u64,
    pub extra: u64,
    pub different: u64,
    pub doubled: u64,
    /// Of the replay, and not due yet at the point in time.
    pub under_way: u64,
}

impl GroupCounts {
    /// Whether the group has no differences.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.different == 0 && self.doubled == 0
    }

    pub const fn count(&mut self, kind: DifferenceKind) {
        match kind {
            DifferenceKind::Missing => self.missing += 1,
            DifferenceKind::Extra => self.extra += 1,
            DifferenceKind::Different => self.different += 1,
            DifferenceKind::Doubled => self.doubled += 1,
        }
    }

    /// The sum of both.
    #[must_use]
    pub const fn plus(&self, other: &Self) -> Self {
        Self {
            published: self.published + other.published,
            replayed: self.replayed + other.replayed,
            equal: self.equal + other.equal,
            missing: self.missing + other.missing,
            extra: self.extra + other.extra,
            different: self.different + other.different,
            doubled: self.doubled + other.doubled,
            under_way: self.under_way + other.under_way,
        }
    }
}

/// Records that are compared together: of one epoch of an asset, or the dead letters from one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordGroup {
    pub topic: Topic,
    /// `ATOM:3`, or for dead letters `exchange.trades`.
    pub of: String,
}

impl RecordGroup {
    /// The asset and the epoch; `None` for dead letters.
    #[must_use]
    pub fn epoch(&self) -> Option<(&str, Epoch)> {
        let (asset, epoch) = self.of.split_once(':')?;
        Some((asset, epoch.parse().ok()?))
    }
}

/// The published seal of an epoch beside the one of the replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SealComparison {
    pub asset: String,
    /// The asset that is distributed. An asset that is listed again can have another one.
    pub reward_asset: String,
    pub epoch: Epoch,
    pub epoch_end: String,
    /// The amount distributed; `None` without a published seal.
    pub published: Option<String>,
    /// The amount that the replay distributes; `None` without a seal of the replay.
    pub replayed: Option<String>,
    /// The number of distributions of the replay.
    pub distributions: u64,
    /// The Merkle root of the published seal; without one, of the replay's.
    pub root: Option<String>,
}

/// The result of a comparison of the published records with a replay.
#[derive(Debug, Clone, Default)]
pub struct ReconcileReport {
    pub groups: BTreeMap<RecordGroup, GroupCounts>,
    /// At most [`Self::KEPT`].
    pub differences: Vec<RecordDifference>,
    /// How many differences were dropped.
    pub more_differences: u64,
    pub seals: Vec<SealComparison>,
    /// How many published records follow from input after the end of the replay. They are not compared.
    pub later: u64,
}

impl ReconcileReport {
    /// How many differences a report keeps.
    pub const KEPT: usize = 100_000;

    /// The sum of all groups.
    #[must_use]
    pub fn total(&self) -> GroupCounts {
        self.groups
            .values()
            .fold(GroupCounts::default(), |sum, one| sum.plus(one))
    }

    /// Whether there are no differences.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty() && self.groups.values().all(GroupCounts::is_clean)
    }

    /// Counts a difference, and keeps it if there is room.
    pub fn add_difference(&mut self, group: RecordGroup, difference: RecordDifference) {
        self.groups.entry(group).or_default().count(difference.kind);
        if self.differences.len() < Self::KEPT {
            self.differences.push(difference);
        } else {
            self.more_differences += 1;
        }
    }
}
