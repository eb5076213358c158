//! Why there is no explanation.

use crate::audit::asked::AskedError;
use crate::audit::error::AuditError;
use crate::bus::ReadError;
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    #[error(transparent)]
    Asked(#[from] AskedError),
    /// No posting can lie in the epoch yet.
    #[error(
        "epoch {epoch} of {asset} is too far ahead: the oldest open epoch is {open}, and events are accepted up to epoch {last}"
    )]
    NoEpoch {
        asset: Asset,
        epoch: Epoch,
        open: Epoch,
        /// The last epoch in which an event is accepted.
        last: Epoch,
    },
    /// It is before the first epoch of the listing.
    #[error("epoch {epoch} of {asset} does not exist: its first epoch is {first}")]
    BeforeFirst { asset: Asset, epoch: Epoch, first: Epoch },
    /// The asset was withdrawn before it.
    #[error(
        "epoch {epoch} of {asset} does not exist: the asset was withdrawn, and epoch {withdrawn} is the first that there is not"
    )]
    Withdrawn {
        asset: Asset,
        epoch: Epoch,
        withdrawn: Epoch,
    },
    #[error("no record names this account: {account}{}", waiting(*not_taken_in))]
    NoRecord {
        account: String,
        /// How many source records are not ingested yet.
        not_taken_in: u64,
    },
    /// Retention deleted the subtotals that the shares follow from.
    #[error(
        "the sums of {asset} epoch {epoch} are no longer on softstake.inbox: explain it from an archive, or from the folder of a \
         reconciliation (--work)"
    )]
    NoSums { asset: Asset, epoch: Epoch },
    #[error("the seal of {asset} epoch {epoch} cannot be read: {why}")]
    BadSeal { asset: Asset, epoch: Epoch, why: String },
    #[error(transparent)]
    Audit(#[from] AuditError),
}

fn waiting(not_taken_in: u64) -> String {
    match not_taken_in {
        0 => String::new(),
        number => format!("; {number} source records are not taken in yet, and were not searched"),
    }
}

impl From<Fault> for ExplainError {
    fn from(fault: Fault) -> Self {
        Self::Audit(fault.into())
    }
}

impl From<ReadError> for ExplainError {
    fn from(error: ReadError) -> Self {
        Self::Audit(error.into())
    }
}
