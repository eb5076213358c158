//! Why there is no preview.

use crate::core::contract::rejection::Rejection;
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::task::TaskError;
use crate::task::fold::FoldError;

/// Faults name this place.
const FAULTS_AT: &str = "preview";

/// Why there is no preview.
#[derive(Debug, thiserror::Error)]
pub enum PreviewError {
    #[error(transparent)]
    Task(#[from] TaskError),
    #[error("the asset is not listed")]
    NotListed { listed: Vec<Asset> },
    #[error("{asset} was withdrawn from epoch {end} on, and its last epoch is closed: it has no open epoch")]
    NoOpenEpoch { asset: Asset, end: Epoch },
    /// Nobody knows yet what is withheld and carried into the open epoch.
    #[error(
        "epoch {epoch} of {asset} is closed and {state}; what it leaves withheld and carried is not known before, so there is no preview of epoch {open}"
    )]
    Unsettled {
        asset: Asset,
        epoch: Epoch,
        open: Epoch,
        state: &'static str,
    },
    /// The close would be rejected.
    #[error("{0}")]
    Rejected(Rejection),
    /// A store was persisted earlier or later than the others.
    #[error(
        "the store of ledger partition {partition} is at epoch {found} of {asset}, but the coordinator's is at epoch {expected}: a settlement is under way; \
         try again in a moment"
    )]
    Apart {
        asset: Asset,
        partition: u16,
        found: Epoch,
        expected: Epoch,
    },
}

impl From<FoldError> for PreviewError {
    fn from(error: FoldError) -> Self {
        Self::Task(error.at(FAULTS_AT))
    }
}

impl From<Fault> for PreviewError {
    fn from(fault: Fault) -> Self {
        FoldError::from(fault).into()
    }
}
