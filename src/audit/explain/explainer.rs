//! The story of one payout, or of its absence: every number in it can be worked out from the ones before it.

use std::collections::{BTreeMap, HashSet};

use ethnum::I256;
use ruint::aliases::U512;
use serde::Deserialize;

use crate::bus::{Log, Mark, Topic};
use crate::core::accrue::assess::{Account, Assessor};
use crate::core::contract::event::Status;
use crate::core::protocol::codec;
use crate::core::protocol::messages::{Inbox, Settlement};
use crate::core::protocol::totals::Subtotal;
use crate::core::values::amount::{format_signed_units, format_units, format_units_wide};
use crate::core::values::bucket::bucket;
use crate::core::values::ids::{AssetEpoch, Epoch};

use crate::audit::error::AuditError;
use crate::audit::history::History;
use crate::audit::point_in_time::PointInTime;
use crate::audit::published;
use crate::audit::trace;
use crate::audit::trace::{TracedEvent, TracedOutcome};
use crate::bus::scan::scan_range;
use crate::core::accrue::eligibility::{Eligibility, KeptStatus};
use crate::core::accrue::row::Row;

use crate::core::contract::listing::{Enrolment, MULTIPLIER_ONE, Mode, RATE_ONE};
use crate::core::contract::records::timestamp;
use crate::core::values::asset::Asset;

use crate::audit::explain::explanation::{
    ExplainedAmount, ExplainedChange, ExplainedPayout, ExplainedPool, ExplainedProgramme, ExplainedStatus,
    ExplainedTier, Explanation, OtherRecord, Stage,
};

/// Why there is nothing to explain.
#[derive(Debug, thiserror::Error)]
pub enum ExplainError {
    /// No such asset.
    #[error("{0} is not listed; `softstake query epochs` shows what is")]
    NotListed(Asset),
    /// The epoch lies ahead of what can be counted.
    #[error("epoch {0} is beyond what can be counted")]
    NoEpoch(Epoch),
    /// What the shares were worked out from is gone.
    #[error(
        "the sums of {asset} epoch {epoch} are not on softstake.inbox any more: explain it from an archive, or from the folder of a reconciliation (--work)"
    )]
    NoSums {
        /// The asset.
        asset: Asset,
        /// The epoch.
        epoch: Epoch,
    },
    /// A seal that cannot be read.
    #[error("the seal of {asset} epoch {epoch} cannot be read: {why}")]
    BadSeal {
        /// The asset.
        asset: Asset,
        /// The epoch.
        epoch: Epoch,
        /// What is wrong.
        why: String,
    },
    /// The replay.
    #[error(transparent)]
    Replay(#[from] AuditError),
}

impl From<crate::core::fault::Fault> for ExplainError {
    fn from(fault: crate::core::fault::Fault) -> Self {
        Self::Replay(fault.into())
    }
}

impl From<crate::bus::BusError> for ExplainError {
    fn from(error: crate::bus::BusError) -> Self {
        Self::Replay(error.into())
    }
}

/// What stands on the bus that many explanations rest on.
pub struct Explainer<'a> {
    bus: &'a dyn Log,
    point: PointInTime,
    history: History,
}

#[derive(Deserialize)]
struct SealRecord {
    data: Seal,
}

#[derive(Deserialize)]
struct Seal {
    asset: String,
    epoch: Epoch,
    reward_pool: String,
    commission: String,
    carried_in: String,
}

#[derive(Deserialize)]
struct Paid {
    id: String,
    data: PaidData,
}

#[derive(Deserialize)]
struct PaidData {
    amount: String,
}

impl<'a> Explainer<'a> {
    /// Looks at a bus.
    ///
    /// # Errors
    /// What the bus says; records of ours that cannot be read.
    pub fn new(bus: &'a dyn Log) -> Result<Self, AuditError> {
        let point = PointInTime::read(bus)?;
        let history = History::of(&point.decisions)?;
        Ok(Self { bus, point, history })
    }

    /// Explains what `account` was paid of `asset` for `epoch`, or why nothing.
    ///
    /// # Errors
    /// If the asset is not listed, or what it takes is not on the bus.
    pub fn explain(&self, asset: Asset, epoch: Epoch, account: &str) -> Result<Explanation, ExplainError> {
        let (number, listed) = self.history.asset(asset).ok_or(ExplainError::NotListed(asset))?;
        AssetEpoch::new(number, epoch).map_err(|_| ExplainError::NoEpoch(epoch))?;
        let terms = &listed.terms;
        let accounts = HashSet::from([account.to_owned()]);
        let trace = trace::read(self.bus, &self.point, &self.history, &accounts)?;
        let sums = self.sums(number)?;
        let seals = self.seals(asset)?;
        let statuses = statuses(&trace);
        let mut held = Account {
            bucket: bucket(account),
            name: account.to_owned(),
            statuses,
            ..Account::default()
        };
        let mut withheld_from: Vec<(Epoch, U512)> = Vec::new();
        for past in Epoch::FIRST.through(epoch) {
            let at = AssetEpoch::new(number, past)?;
            let settlement = self.history.settlement(at).ok_or(ExplainError::NoEpoch(past))?;
            let assessor = Assessor::new(&settlement)?;
            let rules = assessor.rules();
            held.row = row(&trace, at)?;
            let measure = assessor.measure(&held)?;
            let (counted, weight) = match measure.eligibility {
                Eligibility::Eligible { counted, weight } => (counted, weight),
                _ => (U512::ZERO, U512::ZERO),
            };
            let pool = match seals.get(&past) {
                Some(seal) => Some(seal.pool(asset, past, terms.decimals)?),
                None => None,
            };
            let payout = match &pool {
                Some(pool) => {
                    let total = match settlement.programme.mode {
                        Mode::Apr { .. } => U512::ZERO,
                        Mode::Pool => {
                            sums.get(&past)
                                .ok_or(ExplainError::NoSums { asset, epoch: past })?
                                .weight
                        }
                    };
                    let share = rules.share(weight, pool.to_share, total)?;
                    let (paid, withheld) = rules.pay(share, held.withheld)?;
                    Some((share, paid, withheld, total))
                }
                None => None,
            };
            if past == epoch {
                let amount = |units: U512| ExplainedAmount {
                    amount: rules.amount(units),
                    units: units.to_string(),
                };
                let published = self.published(asset, epoch, account)?;
                let counts = |kept: &KeptStatus| {
                    let cut = settlement.cut.0.get(&kept.source);
                    cut.is_some_and(|cut| kept.offset < *cut)
                };
                let calendar = &terms.calendar;
                let stage = match (self.history.is_cut(at), &pool) {
                    (false, _) => Stage::Open,
                    (true, None) => Stage::Closed,
                    (true, Some(_)) => Stage::Sealed,
                };
                let payout = payout.map(|(share, paid, withheld, total)| ExplainedPayout {
                    pool: pool
                        .filter(|_| settlement.programme.mode == Mode::Pool)
                        .map(|pool| pool.shown(amount, total)),
                    reward: amount(share),
                    withheld_from: withheld_from
                        .iter()
                        .map(|(epoch, share)| (*epoch, amount(*share)))
                        .collect(),
                    withheld_before: amount(held.withheld),
                    due: amount(share.saturating_add(held.withheld)),
                    paid: amount(paid),
                    withheld_after: amount(withheld),
                });
                let agrees = payout.as_ref().map(|payout| match &published {
                    Some(published) => *published == payout.paid.amount,
                    None => payout.paid.units == "0",
                });
                return Ok(Explanation {
                    asset,
                    decimals: terms.decimals,
                    epoch,
                    account: account.to_owned(),
                    epoch_start: timestamp(calendar.start_ms(epoch)),
                    epoch_end: timestamp(calendar.end_ms(epoch)),
                    epoch_ms: calendar.length_ms(),
                    stage,
                    programme: programme(&settlement, amount),
                    opening_balance: signed(held.opening, terms.decimals),
                    changes: changes(&trace, at, terms.decimals)?,
                    closing_balance: signed(measure.closing, terms.decimals),
                    unit_milliseconds: measure.held.to_string(),
                    balance_seconds: rules.balance_seconds(measure.held),
                    average_balance: rules.average(measure.held),
                    statuses: held
                        .statuses
                        .iter()
                        .map(|kept| status_entry(kept, counts(kept)))
                        .collect(),
                    eligible: matches!(measure.eligibility, Eligibility::Eligible { .. }),
                    ineligible_because: why_not(measure.eligibility),
                    counted_unit_milliseconds: counted.to_string(),
                    tiers: rules
                        .parts(counted)
                        .map(|(part, multiplier)| ExplainedTier {
                            multiplier_scaled: multiplier.to_string(),
                            unit_milliseconds: part.to_string(),
                        })
                        .collect(),
                    weight: weight.to_string(),
                    payout,
                    published,
                    agrees,
                    others: others(&trace, at),
                });
            }
            held.opening = measure.closing;
            if let Some((share, paid, withheld, _)) = payout {
                if !paid.is_zero() {
                    withheld_from.clear();
                } else if !share.is_zero() {
                    withheld_from.push((past, share));
                }
                held.withheld = withheld;
            }
        }
        Err(ExplainError::NoEpoch(epoch))
    }

    /// The sums of an asset's epochs, from what the ledger partitions told the coordinator.
    fn sums(&self, number: u16) -> Result<BTreeMap<Epoch, Subtotal>, ExplainError> {
        let inbox = Topic::Inbox.partition(0);
        let start = Mark {
            offset: self.bus.start(inbox)?,
            evidence: Vec::new(),
        };
        let mut all: BTreeMap<Epoch, Subtotal> = BTreeMap::new();
        scan_range(self.bus, inbox, &start, self.bus.readable_end(inbox)?, |record| {
            if let Inbox::Subtotal { at, sums, .. } = codec::decode(record.value, "a record of the inbox")?
                && at.number() == number
            {
                let sum = all.entry(at.epoch()).or_default();
                *sum = sum.plus(&sums)?;
            }
            Ok::<_, ExplainError>(())
        })?;
        Ok(all)
    }

    fn seals(&self, asset: Asset) -> Result<BTreeMap<Epoch, Seal>, ExplainError> {
        let mut seals = BTreeMap::new();
        for (partition, end) in &self.point.output_ends {
            if partition.topic != Topic::Epochs {
                continue;
            }
            scan_range(self.bus, *partition, &Mark::default(), *end, |record| {
                if let Ok(SealRecord { data }) = serde_json::from_slice(record.value)
                    && data.asset == asset.as_str()
                {
                    seals.insert(data.epoch, data);
                }
                Ok::<_, ExplainError>(())
            })?;
        }
        Ok(seals)
    }

    /// The amount of a distribution, as published.
    fn published(&self, asset: Asset, epoch: Epoch, account: &str) -> Result<Option<String>, ExplainError> {
        let id = format!("{asset}:{epoch}:{account}");
        // Our own records are by one writer, so an id stands there as this writer spells it.
        let word = serde_json::to_string(&id).unwrap_or_default();
        let finder = memchr::memmem::Finder::new(&word);
        let mut found = None;
        for (partition, end) in &self.point.output_ends {
            if partition.topic != Topic::Distributions {
                continue;
            }
            scan_range(self.bus, *partition, &Mark::default(), *end, |record| {
                if finder.find(record.value).is_some()
                    && let Ok(paid) = serde_json::from_slice::<Paid>(record.value)
                    && paid.id == id
                {
                    found = Some(paid.data.amount);
                }
                Ok::<_, ExplainError>(())
            })?;
        }
        Ok(found)
    }
}

/// The pool of a sealed epoch, in units.
struct Sealed {
    reward_pool: U512,
    commission: U512,
    carried_in: U512,
    to_share: U512,
}

impl Seal {
    fn pool(&self, asset: Asset, epoch: Epoch, decimals: u8) -> Result<Sealed, ExplainError> {
        let bad = |why: String| ExplainError::BadSeal { asset, epoch, why };
        let units = |field: &str, text: &str| {
            published::units(text, decimals)
                .ok_or_else(|| bad(format!("{field} is {text}, which is no amount of {asset}")))
        };
        let reward_pool = units("reward_pool", &self.reward_pool)?;
        let commission = units("commission", &self.commission)?;
        let carried_in = units("carried_in", &self.carried_in)?;
        let to_share = reward_pool
            .checked_sub(commission)
            .and_then(|rest| rest.checked_add(carried_in))
            .ok_or_else(|| bad("its commission is more than its pool".into()))?;
        Ok(Sealed {
            reward_pool,
            commission,
            carried_in,
            to_share,
        })
    }
}

impl Sealed {
    fn shown(self, amount: impl Fn(U512) -> ExplainedAmount, total: U512) -> ExplainedPool {
        ExplainedPool {
            reward_pool: amount(self.reward_pool),
            commission: amount(self.commission),
            carried_in: amount(self.carried_in),
            to_share: amount(self.to_share),
            total_weight: total.to_string(),
        }
    }
}

/// What the account's postings of an epoch add up to.
fn row(trace: &[TracedEvent], at: AssetEpoch) -> Result<Row, ExplainError> {
    let overflow = || crate::core::fault::Fault::Overflow("a posting");
    let mut sum = Row::default();
    for (_, posting) in postings(trace, at) {
        let row = Row::of_posting(posting.delta, posting.before_end_ms).ok_or_else(overflow)?;
        sum = sum.checked_add(row).ok_or_else(overflow)?;
    }
    Ok(sum)
}

fn postings(trace: &[TracedEvent], at: AssetEpoch) -> impl Iterator<Item = (&TracedEvent, &trace::TracedPosting)> {
    let of = move |event: &'_ TracedEvent| match &event.outcome {
        TracedOutcome::Applied { postings, .. } => postings.iter().filter(|posting| posting.at == at).count(),
        _ => 0,
    };
    trace.iter().filter(move |event| of(event) > 0).flat_map(move |event| {
        let postings = match &event.outcome {
            TracedOutcome::Applied { postings, .. } => postings.as_slice(),
            _ => &[],
        };
        postings
            .iter()
            .filter(move |posting| posting.at == at)
            .map(move |posting| (event, posting))
    })
}

fn changes(trace: &[TracedEvent], at: AssetEpoch, decimals: u8) -> Result<Vec<ExplainedChange>, ExplainError> {
    let mut changes = Vec::new();
    for (event, posting) in postings(trace, at) {
        let row = Row::of_posting(posting.delta, posting.before_end_ms)
            .ok_or(crate::core::fault::Fault::Overflow("a posting"))?;
        changes.push((
            std::cmp::Reverse(posting.before_end_ms),
            ExplainedChange {
                event_id: event.id.clone(),
                event_source: event.event_source.clone(),
                kind: event.event_type.clone(),
                partition: event.source.to_string(),
                offset: event.offset,
                time: event.time.clone(),
                delta: ExplainedAmount {
                    amount: format_signed_units(posting.delta, decimals),
                    units: posting.delta.to_string(),
                },
                counts_for_ms: posting.before_end_ms,
                unit_milliseconds: row.weighted.to_string(),
                missed_epoch: posting.missed_epoch,
            },
        ));
    }
    // In the order in which they count.
    changes.sort_by_key(|(order, _)| *order);
    Ok(changes.into_iter().map(|(_, change)| change).collect())
}

fn statuses(trace: &[TracedEvent]) -> Vec<KeptStatus> {
    let statuses = trace.iter().filter_map(|event| match &event.outcome {
        TracedOutcome::Applied {
            status: Some((status, time_ms)),
            ..
        } => Some(KeptStatus {
            time_ms: *time_ms,
            id: event.id.clone(),
            status: *status,
            source: event.source,
            offset: event.offset,
        }),
        _ => None,
    });
    statuses.collect()
}

fn status_entry(kept: &KeptStatus, counts: bool) -> ExplainedStatus {
    ExplainedStatus {
        status: match kept.status {
            Status::Enrolled => "enrolled",
            Status::OptedOut => "opted_out",
            Status::Excluded => "excluded",
        },
        time: timestamp(i128::from(kept.time_ms)),
        event_id: kept.id.clone(),
        partition: kept.source.to_string(),
        offset: kept.offset,
        counts,
    }
}

fn others(trace: &[TracedEvent], at: AssetEpoch) -> Vec<OtherRecord> {
    let others = trace.iter().filter_map(|event| {
        let (outcome, code, reason) = match &event.outcome {
            TracedOutcome::Duplicate => ("duplicate", None, None),
            TracedOutcome::Ignored => ("ignored", None, None),
            TracedOutcome::Rejected { code, reason } => ("refused", Some(code.clone()), Some(reason.clone())),
            // What was applied late to a later epoch is missing in this one.
            TracedOutcome::Applied { postings, .. } => {
                let late = postings
                    .iter()
                    .find(|posting| posting.at.number() == at.number() && posting.missed_epoch == Some(at.epoch()))?;
                let reason = format!("it came after the cut, and counts in epoch {}", late.at.epoch());
                ("late", None, Some(reason))
            }
        };
        Some(OtherRecord {
            event_id: event.id.clone(),
            kind: event.event_type.clone(),
            partition: event.source.to_string(),
            offset: event.offset,
            time: event.time.clone(),
            outcome,
            code,
            reason,
        })
    });
    others.collect()
}

const fn why_not(eligibility: Eligibility) -> Option<&'static str> {
    match eligibility {
        Eligibility::Eligible { .. } => None,
        Eligibility::Empty => Some("nothing was held"),
        Eligibility::Excluded => Some("status"),
        Eligibility::Negative => Some("negative"),
        Eligibility::BelowMinimum => Some("below_minimum"),
    }
}

fn programme(settlement: &Settlement, amount: impl Fn(U512) -> ExplainedAmount) -> ExplainedProgramme {
    let rules = &settlement.programme;
    let units = |units: u128| amount(U512::from(units));
    ExplainedProgramme {
        from_epoch: rules.from_epoch,
        mode: rules.mode.name(),
        apr_scaled: match rules.mode {
            Mode::Apr { rate } => Some(rate.to_string()),
            Mode::Pool => None,
        },
        commission_rate: format_units(rules.commission_rate, RATE_ONE.ilog10() as u8),
        min_balance: units(rules.min_balance),
        max_balance: rules.max_balance.map(units),
        min_payout: units(rules.min_payout),
        grain: units(rules.grain(settlement.terms.decimals)),
        enrolment: match rules.enrolment {
            Enrolment::Automatic => "automatic",
            Enrolment::OptIn => "opt_in",
        },
    }
}

fn signed(units: I256, decimals: u8) -> ExplainedAmount {
    let magnitude = U512::from_le_slice(&units.unsigned_abs().to_le_bytes());
    ExplainedAmount {
        amount: format_units_wide(units < I256::ZERO, magnitude, u32::from(decimals)),
        units: units.to_string(),
    }
}

/// Multipliers are scaled by 10 to this power.
pub const MULTIPLIER_SCALE: u32 = MULTIPLIER_ONE.ilog10();
/// Rates are scaled by 10 to this power.
pub const RATE_SCALE: u32 = RATE_ONE.ilog10();
