//! The parts of an explanation, as `--json` writes them.

use serde::Serialize;

use crate::audit::record_fields::FieldDifference;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedAmount {
    /// A decimal number of the asset.
    pub amount: String,
    /// The same amount in units.
    pub units: String,
}

/// A change of the balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedChange {
    pub event_id: String,
    pub event_source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    /// Such as `exchange.trades:3`.
    pub partition: String,
    pub offset: Offset,
    pub time: String,
    /// Signed.
    pub delta: ExplainedAmount,
    /// How long the change counts: until the end of the epoch, from its time, or from the start of the epoch if it came late.
    pub counts_for_ms: u64,
    /// `delta` in units times `counts_for_ms`.
    pub unit_milliseconds: String,
    /// If the event came late: the closed epoch that its time belongs to.
    pub missed_epoch: Option<Epoch>,
}

/// A record that is about the account, but changed nothing of this asset in this epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherRecord {
    /// Empty if it cannot be read.
    pub event_id: String,
    #[serde(rename = "type")]
    pub event_type: String,
    pub partition: String,
    pub offset: Offset,
    /// As the record has it.
    pub time: String,
    /// `duplicate`, `ignored`, `refused` or `late`.
    pub outcome: &'static str,
    /// If it was rejected.
    pub code: Option<String>,
    pub reason: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedStatus {
    pub status: &'static str,
    /// When the status begins.
    pub time: String,
    pub event_id: String,
    pub partition: String,
    pub offset: Offset,
    /// Whether the event is before the cut of the epoch.
    pub counts: bool,
}

/// The programme of the epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedProgramme {
    pub from_epoch: Epoch,
    /// `pool` or `apr`.
    pub mode: &'static str,
    /// The yearly rate, scaled by 10^18.
    pub apr_scaled: Option<String>,
    /// The exchange's part of the pool.
    pub commission_rate: String,
    /// The least average balance that earns.
    pub min_balance: ExplainedAmount,
    /// The average balance above which nothing more is earned.
    pub max_balance: Option<ExplainedAmount>,
    pub min_payout: ExplainedAmount,
    /// Shares are rounded down to multiples of this.
    pub grain: ExplainedAmount,
    /// `automatic` or `opt_in`.
    pub enrolment: &'static str,
}

/// The part of the counted balance in one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedTier {
    /// Scaled by 10^6.
    pub multiplier_scaled: String,
    pub unit_milliseconds: String,
    /// `unit_milliseconds` divided by the length of the epoch, cut to the asset's decimals.
    pub average_balance: String,
}

/// The pool of the epoch, in `pool` mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedPool {
    /// With the validators' rewards.
    pub reward_pool: ExplainedAmount,
    pub commission: ExplainedAmount,
    /// The dust of the epoch before.
    pub carried_in: ExplainedAmount,
    /// `reward_pool - commission + carried_in`.
    pub to_share: ExplainedAmount,
    /// The weights of all accounts.
    pub total_weight: String,
}

/// From the weight to the payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedPayout {
    /// `None` in `apr` mode.
    pub pool: Option<ExplainedPool>,
    /// The account's part of the weights of all accounts, in per cent, cut after four digits. `None` in `apr` mode, or without any weight.
    pub share_per_cent: Option<String>,
    /// The account's share, rounded down to a multiple of the grain.
    pub reward: ExplainedAmount,
    /// The earlier epochs whose shares were withheld, with these shares. Their sum is `withheld_before`.
    pub withheld_from: Vec<(Epoch, ExplainedAmount)>,
    pub withheld_before: ExplainedAmount,
    /// `reward + withheld_before`.
    pub due: ExplainedAmount,
    /// 0 if `due` is less than the least payout.
    pub paid: ExplainedAmount,
    pub withheld_after: ExplainedAmount,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochStage {
    /// No cut is recorded.
    Open,
    /// The cut is recorded; the settlement is not finished.
    Closed,
    Sealed,
}

/// How a payout follows from the log. The letters S, C and W are those of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub asset: Asset,
    /// A unit is `10^-decimals`.
    pub decimals: u8,
    pub epoch: Epoch,
    pub account: String,
    pub epoch_start: String,
    pub epoch_end: String,
    pub epoch_ms: u64,
    pub stage: EpochStage,
    pub programme: ExplainedProgramme,
    /// The balance at the start of the epoch.
    pub opening_balance: ExplainedAmount,
    pub changes: Vec<ExplainedChange>,
    /// The balance at the end of the epoch.
    pub closing_balance: ExplainedAmount,
    /// S: the opening balance times `epoch_ms`, plus the unit-milliseconds of all changes.
    pub unit_milliseconds: String,
    /// S in asset times seconds.
    pub balance_seconds: String,
    /// S divided by the length of the epoch.
    pub average_balance: String,
    pub statuses: Vec<ExplainedStatus>,
    pub eligible: bool,
    pub ineligible_because: Option<&'static str>,
    /// C: the part of S that counts, at most the maximum.
    pub counted_unit_milliseconds: String,
    /// C, split by tier.
    pub tiers: Vec<ExplainedTier>,
    /// W: the sum of all tiers, each times its multiplier.
    pub weight: String,
    /// `None` if the epoch is not sealed.
    pub payout: Option<ExplainedPayout>,
    /// The amount of the published distribution.
    pub published: Option<String>,
    /// Whether the published record is right, with every field; `None` if the epoch is not sealed.
    pub agrees: Option<bool>,
    /// The published fields that are wrong; all fields of a record that is missing or should not be there.
    pub differences: Vec<FieldDifference>,
    /// Other records that are about the account.
    pub others: Vec<OtherRecord>,
}
