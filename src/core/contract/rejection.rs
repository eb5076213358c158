//! Why a record was not applied.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::fault::Fault;

/// The codes of dead letters (contract, sections 3 to 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The record is not JSON in UTF-8.
    InvalidJson,
    /// A field is missing or malformed.
    InvalidEvent,
    /// This version knows no such event type.
    UnsupportedType,
    /// A control event on a source topic, or a source event on the control topic.
    WrongTopic,
    /// An amount is malformed or out of range.
    InvalidAmount,
    /// A time is malformed or out of range.
    InvalidTime,
    /// An event with the `id` and `source` of an applied event, but another type, time or data.
    ConflictingDuplicate,
    /// A posting or a reward more than 400 days ahead of the oldest open epoch.
    TooFarAhead,
    /// A posting more than `dedup_days` behind the oldest open epoch.
    TooOld,
    /// The rules do not allow this listing or change of programme.
    InvalidProgramme,
    /// Postings that the first listing covers were ignored already.
    ListingTooLate,
    /// A close or a reward for an asset that is not listed.
    UnknownAsset,
    /// A close of a closed epoch.
    EpochAlreadyClosed,
    /// A close of an epoch while an earlier one is open.
    EpochOutOfOrder,
    /// A close with a time before the end of its epoch.
    EpochNotOver,
    /// A release or void of an epoch that the gate does not hold.
    EpochNotHeld,
}

impl Code {
    /// Every code, in the order of the variants.
    pub const ALL: [Self; 16] = [
        Self::InvalidJson,
        Self::InvalidEvent,
        Self::UnsupportedType,
        Self::WrongTopic,
        Self::InvalidAmount,
        Self::InvalidTime,
        Self::ConflictingDuplicate,
        Self::TooFarAhead,
        Self::TooOld,
        Self::InvalidProgramme,
        Self::ListingTooLate,
        Self::UnknownAsset,
        Self::EpochAlreadyClosed,
        Self::EpochOutOfOrder,
        Self::EpochNotOver,
        Self::EpochNotHeld,
    ];

    /// The code as dead letters have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::InvalidJson => "invalid_json",
            Self::InvalidEvent => "invalid_event",
            Self::UnsupportedType => "unsupported_type",
            Self::WrongTopic => "wrong_topic",
            Self::InvalidAmount => "invalid_amount",
            Self::InvalidTime => "invalid_time",
            Self::ConflictingDuplicate => "conflicting_duplicate",
            Self::TooFarAhead => "too_far_ahead",
            Self::TooOld => "too_old",
            Self::InvalidProgramme => "invalid_programme",
            Self::ListingTooLate => "listing_too_late",
            Self::UnknownAsset => "unknown_asset",
            Self::EpochAlreadyClosed => "epoch_already_closed",
            Self::EpochOutOfOrder => "epoch_out_of_order",
            Self::EpochNotOver => "epoch_not_over",
            Self::EpochNotHeld => "epoch_not_held",
        }
    }

    /// What the sender can do, for the log; `None` if the reason says it.
    #[must_use]
    pub const fn remedy(self) -> Option<&'static str> {
        match self {
            Self::InvalidJson => Some("send it again as one JSON object in UTF-8"),
            Self::InvalidEvent | Self::InvalidAmount | Self::InvalidTime => {
                Some("correct the field, and send the event again")
            }
            Self::UnsupportedType => Some("correct `type`, or upgrade Softstake and send the event again"),
            Self::WrongTopic => Some("send the event to its own topic"),
            Self::ConflictingDuplicate => {
                Some("the first event counts; send the other under an `id` of its own if it is meant as well")
            }
            Self::TooFarAhead => Some("correct `time`, or send the event again after more epochs are closed"),
            Self::InvalidProgramme => {
                Some("correct the listing, try it with `softstake check --programme`, and send it again")
            }
            Self::EpochAlreadyClosed => {
                Some("correct `epoch`; nothing needs to be done if the epoch was closed on purpose")
            }
            Self::EpochNotOver => Some("send the close again, with a `time` at the end of the epoch or after it"),
            Self::TooOld | Self::ListingTooLate | Self::UnknownAsset | Self::EpochOutOfOrder | Self::EpochNotHeld => {
                None
            }
        }
    }

    /// A rejection with this code.
    pub fn because(self, reason: impl Into<String>) -> Rejection {
        Rejection {
            code: self,
            reason: reason.into(),
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Counts of rejected records, by code. The order of the codes is part of stored formats.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RejectionCounts([u64; Code::ALL.len()]);

impl RejectionCounts {
    pub const NONE: Self = Self([0; Code::ALL.len()]);

    pub fn add(&mut self, code: Code) {
        for (count, counted) in self.0.iter_mut().zip(Code::ALL) {
            if counted == code {
                *count = count.saturating_add(1);
            }
        }
    }

    /// Each code with its count, also if that is 0.
    pub fn iter(&self) -> impl Iterator<Item = (Code, u64)> {
        Code::ALL.into_iter().zip(self.0)
    }

    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().fold(0, |sum, count| sum.saturating_add(*count))
    }

    /// Adds both.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
        self
    }

    /// The records that were rejected since the counts were `earlier`.
    #[must_use]
    pub fn since(mut self, earlier: Self) -> Self {
        for (count, before) in self.0.iter_mut().zip(earlier.0) {
            *count = count.saturating_sub(before);
        }
        self
    }
}

/// Why a record is rejected. It becomes a dead letter, and nothing of it is applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    pub code: Code,
    /// A sentence that names the field, what was wrong and what to do.
    pub reason: String,
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

/// Why a record was not applied: the record is at fault, or Softstake is.
#[derive(Debug)]
pub enum NotApplied {
    /// The record goes to the dead letters, and nothing of it was applied.
    Rejected(Rejection),
    /// The task stops.
    Fault(Fault),
}

impl From<Rejection> for NotApplied {
    fn from(rejection: Rejection) -> Self {
        Self::Rejected(rejection)
    }
}

impl From<Fault> for NotApplied {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_is_counted_under_its_name() {
        let mut counts = RejectionCounts::default();
        for (number, code) in Code::ALL.into_iter().enumerate() {
            assert_eq!(code as usize, number, "{code}");
            for _ in 0..=number {
                counts.add(code);
            }
        }
        for (number, (code, count)) in (1..).zip(counts.iter()) {
            assert_eq!((code as u64, count), (number - 1, number));
        }
        assert_eq!(counts.total(), 136);
        let mut more = counts;
        more.add(Code::TooOld);
        assert_eq!(more.since(counts).total(), 1);
        assert_eq!(more.since(counts).plus(counts), more);
    }
}
