//! What the JSON of every reconciliation begins with: when it was made, what was compared, and whether it agrees. So a program that files or shows results
//! needs to know no kind of them.

use serde::{Deserialize, Serialize};

use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// What is compared with the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReconciliationKind {
    /// The published records.
    Records,
    /// What the payout service credited.
    Payouts,
    /// The balances of another ledger.
    Balances,
}

/// What was asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReconciledScope {
    /// The address of the bus.
    pub bus: String,
    /// The topic or file that the log is compared with; `None` for the published records.
    pub with: Option<String>,
    /// `None` for all.
    pub asset: Option<Asset>,
    pub epoch: Option<Epoch>,
}

/// The beginning of a result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReconciliationHead {
    pub kind: ReconciliationKind,
    pub made_at: String,
    pub compared: ReconciledScope,
    /// Whether the command ends with status 0: all that was asked for was compared, and agrees.
    pub agrees: bool,
    /// How many things do not agree.
    pub disagreements: u64,
    /// The result in a sentence.
    pub verdict: String,
}
