//! The shapes of answers. A field is documented once, here: the description of the API takes it from here.

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::core::values::time::timestamp;
use crate::serve::view::PaidDistribution;

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListAnswer<T> {
    pub items: Vec<T>,
    /// The cursor of the next part; null at the end.
    pub next: Option<String>,
}

/// A whole list, which is short.
#[derive(Debug, Serialize, ToSchema)]
pub struct ItemsAnswer<T> {
    pub items: Vec<T>,
}

/// Who asks.
#[derive(Debug, Serialize, ToSchema)]
pub struct SessionAnswer {
    pub subject: String,
    /// The account of a customer's token.
    pub account: Option<String>,
    pub roles: Vec<&'static str>,
    /// When the token ends.
    pub expires_at: Option<String>,
    /// Whether this server asks the processor: then there are estimates and `/v1/processor`.
    pub has_processor: bool,
}

/// How far the bus is read.
#[derive(Debug, Serialize, ToSchema)]
pub struct SyncAnswer {
    pub caught_up: bool,
    pub behind_records: u64,
    /// Records of the published topics that no Softstake wrote. They are left out.
    pub unreadable_records: u64,
    pub partitions: Vec<PartitionAnswer>,
}

/// How far a partition is read.
#[derive(Debug, Serialize, ToSchema)]
pub struct PartitionAnswer {
    pub topic: String,
    pub partition: u32,
    /// The next offset to read.
    pub offset: u64,
    /// Its end at the last look.
    pub end: u64,
}

/// What an account is paid for an epoch.
#[derive(Debug, Serialize, ToSchema)]
pub struct DistributionAnswer {
    /// `asset:epoch:account`.
    pub id: String,
    pub account: String,
    pub asset: String,
    /// The asset that it is paid in.
    pub reward_asset: String,
    pub epoch: u64,
    pub epoch_start: String,
    pub epoch_end: String,
    /// What is paid. This and the next four are in the reward asset.
    pub amount: String,
    /// What this epoch adds to the account's due.
    pub rewarded: String,
    /// What closed epochs pay more, or less, because of late postings.
    pub made_good: String,
    /// The sum of the account's reward adjustments.
    pub adjusted: String,
    /// The part of the due that was not paid before; negative for a debt.
    pub withheld_before: String,
    /// The balance times the time that it was held, in asset times seconds.
    pub balance_seconds: String,
    pub average_balance: String,
    /// The first epoch of the programme in force.
    pub programme_from_epoch: u64,
    /// Whether the epoch is sealed. Before that, nothing is final and nothing is paid.
    pub sealed: bool,
    /// When the payout service credited it, as far as it says so.
    pub credited_at: Option<String>,
    pub credited_amount: Option<String>,
}

impl From<PaidDistribution> for DistributionAnswer {
    fn from(paid: PaidDistribution) -> Self {
        let PaidDistribution {
            distribution,
            sealed,
            credit,
        } = paid;
        let (credited_amount, credited_at) = credit
            .map(|credit| (credit.amount, timestamp(i128::from(credit.at.get()))))
            .unzip();
        Self {
            id: distribution.id(),
            account: distribution.account.into_owned(),
            asset: distribution.asset.to_string(),
            reward_asset: distribution.reward_asset.to_string(),
            epoch: distribution.epoch.get(),
            epoch_start: distribution.epoch_start.into_owned(),
            epoch_end: distribution.epoch_end.into_owned(),
            amount: distribution.amount.into_owned(),
            rewarded: distribution.rewarded.into_owned(),
            made_good: distribution.made_good.into_owned(),
            adjusted: distribution.adjusted.into_owned(),
            withheld_before: distribution.withheld_before.into_owned(),
            balance_seconds: distribution.balance_seconds.into_owned(),
            average_balance: distribution.average_balance.into_owned(),
            programme_from_epoch: distribution.programme_from_epoch.get(),
            sealed,
            credited_at,
            credited_amount,
        }
    }
}

/// A distribution, with the seal of its epoch.
#[derive(Debug, Serialize, ToSchema)]
pub struct SealedDistributionAnswer {
    #[serde(flatten)]
    pub distribution: DistributionAnswer,
    /// The data of the published seal (contract, section 6); null before the epoch is sealed.
    #[schema(value_type = Option<Object>)]
    pub seal: Option<Value>,
}

/// What an account was paid in a while. Only sealed epochs count.
#[derive(Debug, Serialize, ToSchema)]
pub struct SummaryAnswer {
    pub totals: Vec<TotalAnswer>,
    /// The newest first. Without `by`, there are none.
    pub periods: Vec<PeriodAnswer>,
}

/// The sum for an asset.
#[derive(Debug, Serialize, ToSchema)]
pub struct TotalAnswer {
    pub asset: String,
    pub reward_asset: String,
    pub payouts: u64,
    pub amount: String,
}

/// The sum for an asset in a day or a month.
#[derive(Debug, Serialize, ToSchema)]
pub struct PeriodAnswer {
    /// `2026-10-01` or `2026-10`. An epoch is in the period that its last moment is in.
    pub period: String,
    pub asset: String,
    pub reward_asset: String,
    pub payouts: u64,
    pub amount: String,
    /// The mean of the epochs' averages, weighted by their lengths, cut to 18 decimals. Epochs without a payout are not in it.
    pub average_balance: String,
}

/// How a payout follows.
#[derive(Debug, Serialize, ToSchema)]
pub struct ExplanationAnswer {
    /// For the customer, in order.
    pub sentences: Vec<String>,
    /// Each number, in the order in which it follows from the ones before. The last is what was paid.
    pub steps: Vec<StepAnswer>,
}

/// One number of an explanation.
#[derive(Debug, Serialize, ToSchema)]
pub struct StepAnswer {
    pub name: &'static str,
    pub value: String,
    /// An asset, `%`, or an asset with `·s` for balance times seconds.
    pub unit: String,
    pub why: String,
}

/// An asset, as its newest listing has it.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetAnswer {
    pub asset: String,
    pub reward_asset: String,
    pub decimals: u8,
    pub reward_decimals: u8,
    /// `listed` or `withdrawn`.
    pub state: &'static str,
    pub epoch_seconds: u64,
    /// The programme in force in the open epoch (contract, section 3.2), with every default.
    #[schema(value_type = Object)]
    pub programme: Value,
    /// The open epoch: the next one to be closed. Null if there is none any more.
    pub next_epoch: Option<u64>,
}

/// An asset, with all programmes of its newest listing.
#[derive(Debug, Serialize, ToSchema)]
pub struct AssetWithProgrammesAnswer {
    #[serde(flatten)]
    pub asset: AssetAnswer,
    pub programmes: Vec<ProgrammeAnswer>,
}

/// A programme of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub struct ProgrammeAnswer {
    pub from_epoch: u64,
    /// The start of that epoch.
    pub starts: String,
    /// `past`, `in_force` or `scheduled`.
    pub state: &'static str,
    #[schema(value_type = Object)]
    pub programme: Value,
}

/// An epoch of an asset.
#[derive(Debug, Serialize, ToSchema)]
pub struct EpochAnswer {
    pub asset: String,
    pub epoch: u64,
    pub start: String,
    pub end: String,
    /// `open`, `closing`, `held`, `void` or `sealed`.
    pub state: &'static str,
    /// What it waits for, if an older epoch holds it up.
    pub waits_for: Option<String>,
    /// P so far: the pool of the close, validators' rewards and adjustments. Null if nothing was put in.
    pub pool: Option<String>,
    /// The data of the published seal (contract, section 6).
    #[schema(value_type = Option<Object>)]
    pub seal: Option<Value>,
    /// The figures of a held epoch, for those who may see them.
    pub held: Option<HeldFiguresAnswer>,
}

/// The figures of a held epoch, in the reward asset.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldFiguresAnswer {
    /// The limit that it is beyond: `always`, `max_payout`, `max_total` or `max_change`.
    pub limit: &'static str,
    /// The largest distribution.
    pub largest: String,
    /// The sum of the distributions.
    pub total: String,
    /// The change of the rewards against the epoch before; null if there is nothing to compare with.
    pub change: Option<String>,
}

/// A held epoch.
#[derive(Debug, Serialize, ToSchema)]
pub struct HeldAnswer {
    pub asset: String,
    pub reward_asset: String,
    pub epoch: u64,
    pub start: String,
    pub end: String,
    #[serde(flatten)]
    pub figures: HeldFiguresAnswer,
}

/// An asset's newest sealed epoch, and the open one.
#[derive(Debug, Serialize, ToSchema)]
pub struct PositionAnswer {
    pub asset: String,
    pub reward_asset: String,
    /// The newest sealed epoch.
    pub epoch: u64,
    pub epoch_end: String,
    /// What counted on average, cut to the decimals of the asset.
    pub eligible_average: String,
    /// The eligible accounts' balances at the end: the amount to stake.
    pub closing_balance: String,
    pub open_epoch: Option<u64>,
    /// Not paid of the dues after this epoch, in the reward asset. Debts count negative.
    pub withheld: String,
}

/// A rejected record.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterAnswer {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    pub code: &'static str,
    pub reason: String,
    /// The record's own time, if it could be read.
    pub time: Option<String>,
    /// The record as text, at most 4 KiB; null if it is no text.
    pub payload: Option<String>,
    /// The record in base64, at most 4 KiB of it, if it is no text.
    pub payload_base64: Option<String>,
    /// Whether the record is longer.
    pub payload_cut: bool,
}

/// How many dead letters of a topic have a code.
#[derive(Debug, Serialize, ToSchema)]
pub struct DeadLetterCountAnswer {
    pub topic: String,
    pub code: &'static str,
    pub count: u64,
}

/// A posting that came after the cut of its epoch.
#[derive(Debug, Serialize, ToSchema)]
pub struct LatePostingAnswer {
    pub event_id: String,
    pub event_source: String,
    pub account: String,
    pub asset: String,
    /// The signed amount.
    pub delta: String,
    pub event_time: String,
    /// The closed epoch that its time lies in.
    pub missed_epoch: u64,
    /// The epoch that it is applied to.
    pub applied_epoch: u64,
    /// `resettle`, `carry` or `forfeit`.
    pub policy: String,
    /// Where the report is.
    pub partition: u32,
    pub offset: u64,
}

/// How many late postings missed an epoch.
#[derive(Debug, Serialize, ToSchema)]
pub struct LateCountAnswer {
    pub asset: String,
    pub missed_epoch: u64,
    pub count: u64,
}
