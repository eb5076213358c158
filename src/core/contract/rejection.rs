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
    /// A posting more than 400 epochs ahead of the oldest open one.
    TooFarAhead,
    /// A posting more than `dedup_epochs` behind the oldest open epoch.
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
}

impl Code {
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
