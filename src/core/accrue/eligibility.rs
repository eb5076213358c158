//! Whether an account's statuses let it earn (contract, section 4).

use crate::core::contract::decision::Offsets;
use crate::core::contract::event::Status;
use crate::core::contract::listing::Enrolment;
use crate::core::contract::topic::TopicPartition;

/// A status as accrual keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptStatus {
    /// From when on, in milliseconds since 1970.
    pub time_ms: i64,
    /// The event's id.
    pub id: String,
    /// The status.
    pub status: Status,
    /// Where the event stood.
    pub source: TopicPartition,
    /// At which offset.
    pub offset: u64,
}

/// Whether an account with these statuses is barred from an epoch from `start_ms` to `end_ms` whose cut is `cut`.
#[must_use]
pub fn excluded(statuses: &[KeptStatus], enrolment: Enrolment, cut: &Offsets, start_ms: i128, end_ms: i128) -> bool {
    let counts = |kept: &&KeptStatus| cut.0.get(&kept.source).is_some_and(|cut| kept.offset < *cut);
    let at_start = statuses
        .iter()
        .filter(counts)
        .filter(|kept| i128::from(kept.time_ms) <= start_ms)
        .max_by(|a, b| (a.time_ms, &a.id, a.status).cmp(&(b.time_ms, &b.id, b.status)));
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
