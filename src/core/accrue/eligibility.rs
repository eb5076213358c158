//! Whether an account earns and is paid: its statuses (contract, section 4) and the outcome of its assessment.

use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::contract::decision::Offsets;
use crate::core::contract::event::Status;
use crate::core::contract::programme::Enrolment;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::asset::Asset;
use crate::core::values::offset::Offset;

/// Whether an account earns. If it does not, the first reason that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    Eligible {
        /// C of the contract: the part of the balance that counts, in unit-milliseconds.
        counted: U512,
        /// W of the contract, in unit-milliseconds times parts of a multiplier or of a rate.
        weight: U512,
    },
    /// S is zero.
    Empty,
    /// Its status does not let it earn.
    Excluded,
    /// S is negative.
    Negative,
    /// S is below the minimum.
    BelowMinimum,
}

/// A status as accrual stores it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptStatus {
    /// The time from which it applies, in milliseconds since 1970.
    pub time_ms: i64,
    /// The event's id.
    pub id: String,
    pub status: Status,
    /// The asset that it is for; `None` for all.
    pub asset: Option<Asset>,
    /// The event's source partition.
    pub source: TopicPartition,
    pub offset: Offset,
}

impl KeptStatus {
    /// Among statuses that apply, the one with the greatest rank decides.
    #[must_use]
    pub fn rank(&self) -> (i64, &str, Status) {
        (self.time_ms, &self.id, self.status)
    }

    /// Whether its offset is below the cut.
    #[must_use]
    pub fn counts(&self, cut: &Offsets) -> bool {
        cut.0.get(&self.source).is_some_and(|cut| self.offset < *cut)
    }
}

/// The epoch of an asset for which statuses are judged.
#[derive(Debug, Clone, Copy)]
pub struct StatusScope<'a> {
    pub asset: Asset,
    pub cut: &'a Offsets,
    /// The start of the epoch, in milliseconds since 1970.
    pub start_ms: i128,
    /// The first millisecond after it.
    pub end_ms: i128,
}

/// What an account's statuses mean for it in an epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusVerdict {
    /// Whether it earns.
    pub earns: bool,
    /// Whether an `excluded` bars it: then it is paid nothing either.
    pub is_excluded: bool,
}

impl StatusVerdict {
    /// That of an account whose statuses do not matter.
    pub const EARNS: Self = Self {
        earns: true,
        is_excluded: false,
    };
}

impl StatusScope<'_> {
    /// What the statuses of an account mean, with those of its owner's own account; none if it is its own owner.
    #[must_use]
    pub fn verdict(&self, own: &[KeptStatus], of_owner: &[KeptStatus], enrolment: Enrolment) -> StatusVerdict {
        if own.is_empty() && of_owner.is_empty() {
            return StatusVerdict {
                earns: enrolment == Enrolment::Automatic,
                is_excluded: false,
            };
        }
        let is_excluded = self.excludes(own) || self.excludes(of_owner);
        let [for_asset, for_all] = self.deciding(own);
        let earns = match (for_asset, for_all) {
            (None, None) => enrolment == Enrolment::Automatic,
            (one, other) => [one, other]
                .into_iter()
                .flatten()
                .all(|kept| kept.status == Status::Enrolled),
        };
        StatusVerdict {
            earns: earns && !is_excluded,
            is_excluded,
        }
    }

    fn counted<'s>(&self, statuses: &'s [KeptStatus]) -> impl Iterator<Item = &'s KeptStatus> {
        let is_meant = |kept: &&KeptStatus| kept.asset.is_none_or(|asset| asset == self.asset) && kept.counts(self.cut);
        statuses.iter().filter(is_meant)
    }

    /// The statuses that decide at the start of the epoch: the latest for this asset, and the latest for all assets.
    #[must_use]
    pub fn deciding<'s>(&self, statuses: &'s [KeptStatus]) -> [Option<&'s KeptStatus>; 2] {
        [true, false].map(|is_for_asset| {
            self.counted(statuses)
                .filter(|kept| kept.asset.is_some() == is_for_asset && i128::from(kept.time_ms) <= self.start_ms)
                .max_by(|a, b| a.rank().cmp(&b.rank()))
        })
    }

    /// Whether an `excluded` among them decides at the start of the epoch, or is dated inside it.
    #[must_use]
    pub fn excludes(&self, statuses: &[KeptStatus]) -> bool {
        let is_exclusion = |kept: &KeptStatus| kept.status == Status::Excluded;
        self.deciding(statuses).into_iter().flatten().any(is_exclusion)
            || self
                .counted(statuses)
                .any(|kept| is_exclusion(kept) && (self.start_ms + 1..self.end_ms).contains(&i128::from(kept.time_ms)))
    }
}
