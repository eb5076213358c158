//! Whether an account earns: its statuses (contract, section 4) and the outcome of its assessment.

use ruint::aliases::U512;

use crate::core::contract::decision::Offsets;
use crate::core::contract::event::Status;
use crate::core::contract::listing::Enrolment;
use crate::core::contract::topic::TopicPartition;
use crate::core::values::offset::Offset;

/// Whether an account earns. If it does not, the first reason that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Eligibility {
    Eligible {
        /// C of the contract: the part of the balance that counts, in unit-milliseconds.
        counted: U512,
        /// W of the contract, in unit-milliseconds times parts of a multiplier.
        weight: U512,
    },
    /// S is zero.
    Empty,
    /// Its status excludes it.
    Excluded,
    /// S is negative.
    Negative,
    /// S is below the minimum.
    BelowMinimum,
}

/// A status as accrual stores it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptStatus {
    /// The time from which it applies, in milliseconds since 1970.
    pub time_ms: i64,
    /// The event's id.
    pub id: String,
    pub status: Status,
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

/// Whether these statuses exclude an account from an epoch from `start_ms` to `end_ms` with the cut `cut`.
#[must_use]
pub fn is_excluded(statuses: &[KeptStatus], enrolment: Enrolment, cut: &Offsets, start_ms: i128, end_ms: i128) -> bool {
    let counts = |kept: &&KeptStatus| kept.counts(cut);
    let at_start = statuses
        .iter()
        .filter(counts)
        .filter(|kept| i128::from(kept.time_ms) <= start_ms)
        .max_by(|a, b| a.rank().cmp(&b.rank()));
    let earns = match at_start {
        Some(kept) => kept.status == Status::Enrolled,
        None => enrolment == Enrolment::Automatic,
    };
    let excluded_within = statuses
        .iter()
        .filter(counts)
        .any(|kept| kept.status == Status::Excluded && (start_ms + 1..end_ms).contains(&i128::from(kept.time_ms)));
    !earns || excluded_within
}
