//! The parts of an explanation, as `--json` writes them.

use serde::Serialize;

use crate::audit::explain::correction::ExplainedCorrection;
use crate::audit::explain::parts::{ExplainedAmount, ExplainedEvent, ExplainedRate};
use crate::audit::record_fields::FieldDifference;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;

/// A change of the balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedChange {
    #[serde(flatten)]
    pub event: ExplainedEvent,
    /// Signed.
    pub delta: ExplainedAmount,
    /// How long the change counts: until the end of the epoch, from its time, or from the start of the epoch if it came late.
    pub counts_for_ms: u64,
    /// `delta` in units times `counts_for_ms`.
    pub unit_milliseconds: String,
    /// If the event came late: the closed epoch that its time belongs to.
    pub missed_epoch: Option<Epoch>,
    /// Whether the closed epochs that it missed are settled again.
    pub is_made_good: bool,
}

/// A change of the reward that is due.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedAdjustment {
    #[serde(flatten)]
    pub event: ExplainedEvent,
    /// Signed.
    pub delta: ExplainedAmount,
    /// If the event came late: the closed epoch that its time belongs to.
    pub missed_epoch: Option<Epoch>,
}

/// A record that is about the account, but changed nothing of this asset in this epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherRecord {
    #[serde(flatten)]
    pub event: ExplainedEvent,
    /// `duplicate`, `ignored`, `skipped`, `refused` or `late`.
    pub outcome: &'static str,
    /// If it was rejected.
    pub code: Option<String>,
    pub reason: Option<String>,
}

/// A status that is for this asset or for all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedStatus {
    pub status: &'static str,
    /// The asset that it is for; `None` for all.
    pub asset: Option<Asset>,
    /// The account that has it: this one, or its owner's own.
    pub account: String,
    /// When the status begins.
    pub time: String,
    pub event_id: String,
    pub partition: String,
    pub offset: Offset,
    /// Whether the event is before the cut of the epoch.
    pub counts: bool,
    /// `decides` if it is the latest at the start of the epoch, `bars` if it excludes the account from the epoch.
    pub effect: Option<&'static str>,
}

/// The programme of the epoch, with the rates of its close.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedProgramme {
    pub from_epoch: Epoch,
    /// `pool` or `apr`.
    pub mode: &'static str,
    /// The yearly rate that is paid, scaled by 10^18; `None` in `pool` mode and with rates per tier.
    pub apr_scaled: Option<String>,
    /// Whether the close gave that rate, in place of the programme's.
    pub is_apr_of_close: bool,
    /// Reward asset per asset, scaled by 10^18; `None` without a reward asset and in `pool` mode.
    pub reward_rate_scaled: Option<String>,
    /// The exchange's part of the pool.
    pub commission_rate: String,
    /// `account`, or `owner` if minimum, cap and tiers apply to all accounts of an owner together.
    pub scope: &'static str,
    /// The least average balance that earns.
    pub min_balance: ExplainedAmount,
    /// The average balance above which nothing more is earned.
    pub max_balance: Option<ExplainedAmount>,
    /// 0 in the last epoch of a withdrawn asset.
    pub min_payout: ExplainedAmount,
    /// Whether it is the last epoch of a withdrawn asset.
    pub is_last_epoch: bool,
    /// Payouts are rounded down to multiples of this.
    pub grain: ExplainedAmount,
    /// `automatic` or `opt_in`.
    pub enrolment: &'static str,
    /// `resettle`, `carry` or `forfeit`: how late postings count that are applied to this epoch.
    pub late_policy: &'static str,
}

/// The part of the counted balance in one tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedTier {
    /// Scaled by 10^6; `None` with rates per tier.
    pub multiplier_scaled: Option<String>,
    /// The yearly rate of the tier, scaled by 10^18.
    pub apr_scaled: Option<String>,
    pub unit_milliseconds: String,
    /// `unit_milliseconds` divided by the length of the epoch, cut to the asset's decimals.
    pub average_balance: String,
}

/// With the scope `owner`: the accounts of the owner together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedOwner {
    pub owner: String,
    /// Those with balance-seconds.
    pub accounts: Vec<OwnedAccount>,
    /// S of the owner: the sum of the positive S of the accounts that may earn.
    pub unit_milliseconds: String,
    /// S divided by the length of the epoch.
    pub average_balance: String,
    /// C of the owner. An account's part of it is `floor(C * S of the account / S of the owner)`.
    pub counted_unit_milliseconds: String,
    /// W of the owner. An account's part of it is `floor(W * S of the account / S of the owner)`.
    pub weight: String,
}

/// An account of the owner.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OwnedAccount {
    pub account: String,
    pub unit_milliseconds: String,
    /// Whether it counts in the owner's sum: S is positive, and its status lets it earn.
    pub counts: bool,
}

/// The pool of the epoch, in `pool` mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedPool {
    /// The pool of the close, the validators' rewards, and the pool's adjustments.
    pub reward_pool: ExplainedAmount,
    pub commission: ExplainedAmount,
    /// Left by the epoch before: dust, or a deficit, which is negative.
    pub carried_in: ExplainedAmount,
    /// N: `reward_pool - commission + carried_in`. If it is not positive, nothing is shared.
    pub to_share: ExplainedAmount,
    /// The weights of all accounts.
    pub total_weight: String,
    /// N that nobody had weight to share. It went back to the treasury.
    pub returned: ExplainedAmount,
}

/// From the weight to the payout, in the reward asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedPayout {
    /// `None` in `apr` mode.
    pub pool: Option<ExplainedPool>,
    /// `None` in `pool` mode.
    pub rate: Option<ExplainedRate>,
    /// The account's part of the weights of all accounts, in per cent, cut after four digits. `None` in `apr` mode, or without any weight.
    pub share_per_cent: Option<String>,
    /// R: `floor(to_share * weight / total_weight)`, or `floor(weight * numerator / denominator)`.
    pub rewarded: ExplainedAmount,
    /// The sum of the corrections.
    pub made_good: ExplainedAmount,
    /// The sum of the adjustments.
    pub adjusted: ExplainedAmount,
    /// The epochs that left something of their due unpaid, or a debt, with what each added. Their sum is `withheld_before`.
    pub withheld_from: Vec<(Epoch, ExplainedAmount)>,
    pub withheld_before: ExplainedAmount,
    /// `rewarded + made_good + adjusted + withheld_before`. A debt is negative.
    pub due: ExplainedAmount,
    /// `max(due, 0)`, rounded down to a multiple of the grain.
    pub payable: ExplainedAmount,
    /// `payable`, or 0 for the reason in `withheld_because`.
    pub paid: ExplainedAmount,
    /// `due - paid`.
    pub withheld_after: ExplainedAmount,
    /// Why something is left: `debt`, `excluded`, `below_min_payout`, or `below_grain`.
    pub withheld_because: Option<&'static str>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochStage {
    /// No cut is recorded.
    Open,
    /// The cut is recorded; the settlement is not finished.
    Closed,
    /// The gate holds it.
    Held,
    /// It publishes nothing until it is closed again.
    Void,
    /// It waits for an earlier epoch that is held or void.
    Waiting,
    Sealed,
}

/// A decision about an epoch that the gate held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "decision", rename_all = "snake_case")]
pub enum GateDecision {
    EpochHeld {
        epoch: Epoch,
        /// The limit that it is beyond, or `always`.
        limit: &'static str,
        largest: String,
        total: String,
        change: Option<String>,
    },
    EpochReleased {
        epoch: Epoch,
        by: String,
        reason: String,
    },
    EpochVoid {
        epoch: Epoch,
        by: String,
        reason: String,
    },
    /// A void epoch was closed again.
    ClosedAgain {
        epoch: Epoch,
    },
}

/// How a payout follows from the log. The letters S, C, W, N and R are those of the contract.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    pub asset: Asset,
    /// A unit of the asset is `10^-decimals`.
    pub decimals: u8,
    /// The asset that rewards are paid in.
    pub reward_asset: Asset,
    /// A unit of the reward asset is `10^-reward_decimals`.
    pub reward_decimals: u8,
    pub epoch: Epoch,
    pub account: String,
    pub epoch_start: String,
    pub epoch_end: String,
    pub epoch_ms: u64,
    pub stage: EpochStage,
    /// What was decided about this epoch, or about the one that it waits for, in order.
    pub gate: Vec<GateDecision>,
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
    /// Whether an `excluded` bars the account from its payout too.
    pub is_excluded: bool,
    /// With the scope `owner`.
    pub owner: Option<ExplainedOwner>,
    /// C: the part of S that counts, at most the maximum.
    pub counted_unit_milliseconds: String,
    /// C, split by tier; with the scope `owner` that of the owner.
    pub tiers: Vec<ExplainedTier>,
    /// W: the sum of all tiers, each times its multiplier or rate; with the scope `owner` the account's part of it.
    pub weight: String,
    /// The closed epochs that were settled again with this one, because of late postings.
    pub corrections: Vec<ExplainedCorrection>,
    /// The account's reward adjustments.
    pub adjustments: Vec<ExplainedAdjustment>,
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
