//! A closed epoch that is settled again, as `--json` writes it.

use serde::Serialize;

use crate::audit::explain::parts::{ExplainedAmount, ExplainedEvent, ExplainedRate};
use crate::core::values::ids::Epoch;

/// A closed epoch that was settled again for the account. Amounts are in the reward asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedCorrection {
    pub epoch: Epoch,
    pub epoch_start: String,
    pub epoch_end: String,
    /// All postings that were late for it, up to now. Those of this account add up to `corrected.unit_milliseconds - as_sealed.unit_milliseconds`.
    pub late: Vec<ExplainedLatePosting>,
    pub as_sealed: CorrectedFigures,
    pub corrected: CorrectedFigures,
    /// N and the sum of W, in `pool` mode.
    pub pool: Option<CorrectedPool>,
    /// In `apr` mode.
    pub rate: Option<ExplainedRate>,
    /// What this epoch was worth before: R as sealed, or R' of the last time that it was settled again.
    pub before: ExplainedAmount,
    /// Whether it was settled again before.
    pub is_corrected_before: bool,
    /// R' less `before`.
    pub made_good: ExplainedAmount,
}

/// A posting that was late for a closed epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedLatePosting {
    #[serde(flatten)]
    pub event: ExplainedEvent,
    /// This account, or with the scope `owner` another of its owner.
    pub account: String,
    /// Signed.
    pub delta: ExplainedAmount,
    /// How long it counts in the closed epoch: from its time, or from the start.
    pub counts_for_ms: u64,
    pub unit_milliseconds: String,
    /// The epoch with which it was made good.
    pub applied_epoch: Epoch,
}

/// S, W and R of an account in a closed epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CorrectedFigures {
    /// S.
    pub unit_milliseconds: String,
    pub eligible: bool,
    pub ineligible_because: Option<&'static str>,
    /// With the scope `owner`: S and W of the owner.
    pub owner: Option<OwnerFigures>,
    /// W.
    pub weight: String,
    /// R.
    pub rewarded: ExplainedAmount,
}

/// With the scope `owner`: the figures of the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnerFigures {
    pub unit_milliseconds: String,
    pub weight: String,
}

/// What the accounts shared in a closed epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CorrectedPool {
    /// N as sealed; 0 if there was nothing to share.
    pub to_share: ExplainedAmount,
    /// The sum of W as sealed.
    pub total_weight: String,
    /// The sum of W with the new weights in place of the old ones.
    pub corrected_total_weight: String,
}
