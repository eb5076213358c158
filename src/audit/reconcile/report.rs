//! What a comparison comes to.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::bus::Topic;

/// What is different about a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// It was not published.
    Missing,
    /// It was published, and does not follow from the log.
    Extra,
    /// It was published with other values.
    Different,
    /// It was published more than once.
    Doubled,
}

impl DifferenceKind {
    /// Its name, as reports write it.
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

/// A field that has another value than it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldDifference {
    /// Its path in the record: `data.amount`.
    pub field: String,
    /// What was published; `None` if the field is not there.
    pub published: Option<String>,
    /// What the replay comes to.
    pub replayed: Option<String>,
}

/// A record that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What is wrong with it.
    pub kind: DifferenceKind,
    /// On which topic.
    pub topic: &'static str,
    /// The record's id; if it has none that can be read, where it stands.
    pub id: String,
    /// Its fields, as far as that helps: those that differ, or of a record that is only on one side, all.
    pub fields: Vec<FieldDifference>,
}

/// The records of one topic that belong together.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct GroupCounts {
    /// How many were published.
    pub published: u64,
    /// How many the replay comes to.
    pub replayed: u64,
    /// How many are equal.
    pub equal: u64,
    /// How many were not published.
    pub missing: u64,
    /// How many do not follow from the log.
    pub extra: u64,
    /// How many have other values.
    pub different: u64,
    /// How many were published more than once.
    pub doubled: u64,
    /// How many the deployment had not come to publishing yet.
    pub under_way: u64,
}

impl GroupCounts {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_clean(&self) -> bool {
        self.missing == 0 && self.extra == 0 && self.different == 0 && self.doubled == 0
    }

    /// Counts a difference.
    pub const fn count(&mut self, kind: DifferenceKind) {
        match kind {
            DifferenceKind::Missing => self.missing += 1,
            DifferenceKind::Extra => self.extra += 1,
            DifferenceKind::Different => self.different += 1,
            DifferenceKind::Doubled => self.doubled += 1,
        }
    }

    /// Both added up.
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

/// Which records belong together: of an asset's epoch, or, on the dead letters, of the topic that the refused record stands on.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Group {
    /// The topic.
    pub topic: Topic,
    /// `ATOM:3`, or `exchange.trades`.
    pub of: String,
}

impl Group {
    /// The asset and the epoch, where there are any.
    #[must_use]
    pub fn epoch(&self) -> Option<(&str, u64)> {
        let (asset, epoch) = self.of.split_once(':')?;
        Some((asset, epoch.parse().ok()?))
    }
}

/// A seal as published and as it should be, for whoever wants the sums.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Sealed {
    /// The asset.
    pub asset: String,
    /// The epoch.
    pub epoch: u64,
    /// When it ended.
    pub epoch_end: String,
    /// How much was distributed, as published; `None` without a seal.
    pub published: Option<String>,
    /// How much the replay distributes.
    pub replayed: Option<String>,
    /// How many distributions the replay comes to.
    pub distributions: u64,
}

/// A comparison of what was published with what follows from the log.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// By group.
    pub groups: BTreeMap<Group, GroupCounts>,
    /// The differences, as many as are kept.
    pub differences: Vec<Difference>,
    /// How many more there are.
    pub more_differences: u64,
    /// Epochs, as sealed.
    pub seals: Vec<Sealed>,
    /// Published records about what lies behind the end of the replay.
    pub later: u64,
}

impl Report {
    /// How many differences are kept to be shown one by one.
    pub const KEPT: usize = 100_000;

    /// All counts added up.
    #[must_use]
    pub fn total(&self) -> GroupCounts {
        self.groups
            .values()
            .fold(GroupCounts::default(), |sum, one| sum.plus(one))
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.differences.is_empty() && self.groups.values().all(GroupCounts::is_clean)
    }

    /// Takes a difference down.
    pub fn differ(&mut self, group: Group, difference: Difference) {
        self.groups.entry(group).or_default().count(difference.kind);
        if self.differences.len() < Self::KEPT {
            self.differences.push(difference);
        } else {
            self.more_differences += 1;
        }
    }
}
