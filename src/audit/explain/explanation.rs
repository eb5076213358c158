//! What an explanation consists of, as it is shown and as `--json` has it.

use serde::Serialize;

use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// An amount, in the asset and in its smallest units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedAmount {
    /// As a decimal number of the asset.
    pub amount: String,
    /// The same in units.
    pub units: String,
}

/// A change of the balance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedChange {
    /// The event's id.
    pub event_id: String,
    /// Its source.
    pub event_source: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it stands: `exchange.trades:3`.
    pub partition: String,
    /// At which offset.
    pub offset: u64,
    /// When it happened.
    pub time: String,
    /// By how much, signed.
    pub delta: ExplainedAmount,
    /// For how long it counts: from then, or from when it is taken to have happened, to the epoch's end.
    pub counts_for_ms: u64,
    /// The product of the two.
    pub unit_milliseconds: String,
    /// The closed epoch it belongs to by its time, if it came late.
    pub missed_epoch: Option<Epoch>,
}

/// A record that names the account and changed nothing of this asset in this epoch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OtherRecord {
    /// The event's id; empty if there is none that can be read.
    pub event_id: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Where it stands.
    pub partition: String,
    /// At which offset.
    pub offset: u64,
    /// When it happened, as it says.
    pub time: String,
    /// What became of it.
    pub outcome: &'static str,
    /// The code, if it was refused.
    pub code: Option<String>,
    /// Why.
    pub reason: Option<String>,
}

/// A status of the account.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedStatus {
    /// The status.
    pub status: &'static str,
    /// From when on.
    pub time: String,
    /// The event's id.
    pub event_id: String,
    /// Where it stands.
    pub partition: String,
    /// At which offset.
    pub offset: u64,
    /// Whether it was published before the epoch's cut.
    pub counts: bool,
}

/// The rules in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedProgramme {
    /// Since which epoch.
    pub from_epoch: Epoch,
    /// `pool` or `apr`.
    pub mode: &'static str,
    /// The yearly rate, scaled by 10^18.
    pub apr_scaled: Option<String>,
    /// The exchange's share of the pool.
    pub commission_rate: String,
    /// The least average balance that earns.
    pub min_balance: ExplainedAmount,
    /// The average balance above which nothing more is earned.
    pub max_balance: Option<ExplainedAmount>,
    /// The least that is paid out.
    pub min_payout: ExplainedAmount,
    /// Shares are cut to multiples of this.
    pub grain: ExplainedAmount,
    /// Whether an account without a status earns.
    pub enrolment: &'static str,
}

/// The part of what counts that falls into a tier.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedTier {
    /// The tier's multiplier, scaled by 10^6.
    pub multiplier_scaled: String,
    /// The part, in unit-milliseconds.
    pub unit_milliseconds: String,
}

/// What there was to share, in `pool` mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedPool {
    /// The pool given, with validators' rewards.
    pub reward_pool: ExplainedAmount,
    /// The exchange's share.
    pub commission: ExplainedAmount,
    /// Dust of the epoch before.
    pub carried_in: ExplainedAmount,
    /// What is shared: pool less commission, and the dust.
    pub to_share: ExplainedAmount,
    /// The weights of all accounts together.
    pub total_weight: String,
}

/// From the weight to the payout.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedPayout {
    /// What there was to share; not in `apr` mode.
    pub pool: Option<ExplainedPool>,
    /// The account's share, cut to a multiple of the grain.
    pub reward: ExplainedAmount,
    /// Shares of earlier epochs that were too small to be paid: epoch and share. They add up to the next.
    pub withheld_from: Vec<(Epoch, ExplainedAmount)>,
    /// What was withheld before.
    pub withheld_before: ExplainedAmount,
    /// Both together.
    pub due: ExplainedAmount,
    /// What is paid; 0 if it is less than the least that is.
    pub paid: ExplainedAmount,
    /// What stays withheld.
    pub withheld_after: ExplainedAmount,
}

/// How far an epoch is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// It is not closed: more may come.
    Open,
    /// It is closed, and being settled.
    Closed,
    /// It is settled.
    Sealed,
}

/// The whole story.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The asset.
    pub asset: Asset,
    /// Its decimals: a unit is `10^-decimals`.
    pub decimals: u8,
    /// The epoch.
    pub epoch: Epoch,
    /// The account.
    pub account: String,
    /// When the epoch starts.
    pub epoch_start: String,
    /// When it ends.
    pub epoch_end: String,
    /// Its length.
    pub epoch_ms: u64,
    /// How far it is.
    pub stage: Stage,
    /// The rules in force.
    pub programme: ExplainedProgramme,
    /// The balance at the epoch's start: all that was applied in earlier epochs.
    pub opening_balance: ExplainedAmount,
    /// What changed it.
    pub changes: Vec<ExplainedChange>,
    /// The balance at the epoch's end.
    pub closing_balance: ExplainedAmount,
    /// S: the opening balance times the epoch's length, and what each change counts.
    pub unit_milliseconds: String,
    /// S in asset times seconds.
    pub balance_seconds: String,
    /// S by the epoch's length.
    pub average_balance: String,
    /// The account's statuses.
    pub statuses: Vec<ExplainedStatus>,
    /// Whether the account earns.
    pub eligible: bool,
    /// Why not.
    pub ineligible_because: Option<&'static str>,
    /// C: S, or the cap.
    pub counted_unit_milliseconds: String,
    /// C by tiers.
    pub tiers: Vec<ExplainedTier>,
    /// W: the sum of the parts times their multipliers.
    pub weight: String,
    /// From the weight to the payout; `None` if the epoch is not sealed.
    pub payout: Option<ExplainedPayout>,
    /// The amount of the distribution that was published; `None` if there is none.
    pub published: Option<String>,
    /// Whether that is what it should be; `None` if the epoch is not sealed.
    pub agrees: Option<bool>,
    /// Other records that name the account: refused, copies, ignored, or applied without a change here.
    pub others: Vec<OtherRecord>,
}
