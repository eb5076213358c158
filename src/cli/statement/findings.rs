//! The result of a statement.

use serde::Serialize;

use crate::audit::asked::HeldEpoch;
use crate::audit::statement::Seals;
use crate::audit::statement::totals::PeriodTotal;
use crate::cli::statement::scope::StatementCoverage;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// The decisions about an epoch without a seal.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct UnsealedEpoch {
    pub(super) asset: Asset,
    pub(super) epoch: Epoch,
    /// When it starts and ends.
    pub(super) dates: Option<(String, String)>,
    /// Whether its close was accepted.
    pub(super) closed: bool,
    /// If it is closed, and the gate is why it has no seal: the epoch that it holds.
    pub(super) gate: Option<HeldEpoch>,
    /// Validators' rewards and adjustments of the pool that count for the epoch.
    pub(super) rewards: String,
}

/// Everything that a statement shows.
pub(super) struct StatementFindings {
    pub(super) seals: Seals,
    pub(super) totals: Vec<PeriodTotal>,
    pub(super) unsealed: Vec<UnsealedEpoch>,
    pub(super) coverage: StatementCoverage,
    /// A sentence for each check that failed.
    pub(super) wrong: Vec<String>,
}
