//! What the payout service says it credited.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bus::{BrokerError, FileError, OpenError, Reaction};
use crate::core::values::time::TimeMs;
use crate::serve::view::error::ViewError;

/// What the payout service credited for a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    pub amount: String,
    pub at: TimeMs,
}

/// Why acknowledgements cannot be read. The variant says what follows from it.
#[derive(Debug, thiserror::Error)]
pub enum CreditsError {
    /// They cannot be reached now. Those that are known stay, and it is tried again.
    #[error("{0}")]
    Away(String),
    /// What was read is not there any more, or cannot be read at all. An operator has to act.
    #[error("{0}")]
    Wrong(String),
    /// The view, and not the acknowledgements.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl From<FileError> for CreditsError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::Io { .. } | FileError::NotAFile { .. } => Self::Away(error.to_string()),
            FileError::Damaged { .. } | FileError::Version { .. } => Self::Wrong(error.to_string()),
        }
    }
}

impl From<BrokerError> for CreditsError {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Unavailable { .. }
            | BrokerError::Unauthorised { .. }
            | BrokerError::Unauthenticated { .. }
            | BrokerError::GaveUp { .. } => Self::Away(error.to_string()),
            BrokerError::Refused { .. } | BrokerError::Misconfigured { .. } | BrokerError::Rejected { .. } => {
                Self::Wrong(error.to_string())
            }
        }
    }
}

impl From<OpenError> for CreditsError {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Broker(error) => error.into(),
            OpenError::File(error) => error.into(),
            other if other.reaction() == Reaction::TryAgain => Self::Away(other.to_string()),
            other => Self::Wrong(other.to_string()),
        }
    }
}

/// Takes the bytes of an acknowledgement.
pub type TakeCredit<'a> = dyn FnMut(&[u8]) -> Result<(), ViewError> + 'a;

/// The acknowledgements of a payout service, in pieces: each read goes on where the one before ended.
pub trait CreditSource: Send {
    /// Reads what came after `position`, which an earlier call returned, or a part of it. Returns where it ended.
    ///
    /// # Errors
    /// If they cannot be read, or the error that `take` returns.
    fn read_on(&mut self, position: Option<&[u8]>, take: &mut TakeCredit<'_>) -> Result<Vec<u8>, CreditsError>;

    /// The pause until the next read.
    fn pause(&self) -> Duration {
        Duration::ZERO
    }
}
