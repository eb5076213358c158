//! Why a record was not applied.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::fault::Fault;

/// The codes of dead letters (contract, sections 3 to 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The bytes are not one JSON value in UTF-8.
    InvalidJson,
    /// A field is missing or malformed.
    InvalidEvent,
    /// No such event type, or not in this version.
    UnsupportedType,
    /// A control event on a source topic, or the reverse.
    WrongTopic,
    /// An amount is there but wrong.
    InvalidAmount,
    /// A time is there but wrong.
    InvalidTime,
    /// A second copy of an applied event, with another type, time or data.
    ConflictingDuplicate,
    /// A posting more than 400 epochs ahead of the oldest open one.
    TooFarAhead,
    /// A posting more than `dedup_epochs` behind the oldest open epoch.
    TooOld,
    /// A listing or a change of programme that may not be.
    InvalidProgramme,
    /// A first listing whose postings were passed over already.
    ListingTooLate,
    /// A close or a reward of an asset that is not listed.
    UnknownAsset,
    /// A close of an epoch that is closed.
    EpochAlreadyClosed,
    /// A close of an epoch before which another is open.
    EpochOutOfOrder,
    /// A close dated before the end of its epoch.
    EpochNotOver,
}

impl Code {
    /// The code as it stands in a dead letter.
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

    /// A refusal with this code.
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

/// A named refusal: the record goes to the dead letters, and nothing of it was applied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The code.
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
