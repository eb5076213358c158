//! What the payout service says it credited.

use serde::{Deserialize, Serialize};

use crate::core::values::time::TimeMs;
use crate::serve::view::error::ViewError;

/// What the payout service credited for a distribution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credit {
    pub amount: String,
    pub at: TimeMs,
}

/// Takes the bytes of an acknowledgement.
pub type TakeCredit<'a> = dyn FnMut(&[u8]) -> Result<(), ViewError> + 'a;

/// The acknowledgements of a payout service, in pieces: each read goes on where the one before ended.
pub trait CreditSource: Send {
    /// Reads what came after `position`, which an earlier call returned, or nothing. Returns where it ended.
    ///
    /// # Errors
    /// If they cannot be read, or the error that `take` returns.
    fn read_on(&mut self, position: Option<&[u8]>, take: &mut TakeCredit<'_>) -> Result<Vec<u8>, ViewError>;
}
