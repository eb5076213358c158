//! Reads what an explanation needs, works out the figures up to the epoch, and shows them.

use std::collections::HashSet;

use ethnum::I256;
use ruint::aliases::U512;

use crate::audit::asked::{AskedError, check_listed};
use crate::audit::error::AuditError;
use crate::audit::explain::account_trace::AccountTrace;
use crate::audit::explain::error::ExplainError;
use crate::audit::explain::explanation::{
    EpochStage, ExplainedAmount, ExplainedPayout, ExplainedPool, ExplainedProgramme, ExplainedStatus, ExplainedTier,
    Explanation,
};
use crate::audit::explain::figures::{EpochFigures, ExplainInputs, PayoutFigures};
use crate::audit::explain::published::{Published, expected_record};
use crate::audit::explain::read::{EpochPool, distributions, epoch_sums, seals};
use crate::audit::history::History;
use crate::audit::point_in_time::PointInTime;
use crate::audit::trace;
use crate::bus::Log;
use crate::core::accrue::assess::Account;
use crate::core::accrue::eligibility::{Eligibility, KeptStatus};
use crate::core::accrue::settle::{Payout, Rules};
use crate::core::contract::event::Status;
use crate::core::contract::programme::Mode;
use crate::core::protocol::messages::{Pot, Settlement};
use crate::core::values::account::AccountName;
use crate::core::values::amount::{format_units, format_units_wide};
use crate::core::values::asset::Asset;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::rate::{Multiplier, Rate};
use crate::core::values::time::timestamp;

/// Multipliers are scaled by 10 to this power.
pub const MULTIPLIER_SCALE: u32 = Multiplier::PARTS.ilog10();
/// Rates are scaled by 10 to this power.
pub const RATE_SCALE: u32 = Rate::PARTS.ilog10();

/// Explains payouts on one bus, all at the same point in time.
pub struct Explainer<'a> {
    bus: &'a dyn Log,
    point: PointInTime,
    history: History,
}

impl<'a> Explainer<'a> {
    /// # Errors
    /// A failure of the bus, or a record that cannot be decoded.
    pub fn new(bus: &'a dyn Log) -> Result<Self, AuditError> {
        let point = PointInTime::read(bus)?;
        let history = History::of(&point.decisions)?;
        Ok(Self { bus, point, history })
    }

    /// Explains what `account` was paid of `asset` for `epoch`, or why it was paid nothing.
    ///
    /// # Errors
    /// If the asset is not listed, no record is about the account, or the bus no longer has the needed records.
    pub fn explain(&self, asset: Asset, epoch: Epoch, account: &AccountName<'_>) -> Result<Explanation, ExplainError> {
        check_listed(asset, self.history.listed())?;
        let (number, listed) = self.history.asset(asset).ok_or(AskedError::NoAssets)?;
        let open = self.history.oldest_uncut(number);
        let last = self.history.last_accepted(number);
        let at = match AssetEpoch::new(number, epoch) {
            Ok(at) if epoch <= last => at,
            _ => {
                return Err(ExplainError::NoEpoch {
                    asset,
                    epoch,
                    open,
                    last,
                });
            }
        };
        let accounts = HashSet::from([account.as_str().to_owned()]);
        let trace = trace::read(self.bus, &self.point, &self.history, &accounts)?;
        let published = distributions(self.bus, &self.point, (asset, epoch, account.as_str()))?;
        if trace.is_empty() && published.is_empty() {
            return Err(ExplainError::NoRecord {
                account: account.to_string(),
                not_taken_in: self.point.not_ingested(),
            });
        }
        let inputs = ExplainInputs {
            asset,
            decimals: listed.terms.decimals,
            reward_decimals: listed.terms.reward_decimals(),
            history: &self.history,
            trace: AccountTrace(trace),
            sums: epoch_sums(self.bus, number)?,
            seals: seals(self.bus, &self.point, asset)?,
        };
        let mut held = Account::new(bucket(account.as_str()), account.clone().into_owned());
        held.statuses = inputs.trace.statuses();
        let mut withheld_from: Vec<(Epoch, I256)> = Vec::new();
        for past in at.since(listed.terms.calendar.first()).take_while(|past| *past < at) {
            let figures = inputs.figures(past, &mut held)?;
            held.opening = figures.measure.closing;
            if let Some(payout) = figures.payout {
                let Payout { paid, withheld, .. } = payout.payout;
                let added = withheld.saturating_sub(held.withheld);
                if paid > I256::ZERO {
                    withheld_from.clear();
                    withheld_from.extend((withheld != I256::ZERO).then_some((past.epoch(), withheld)));
                } else if added != I256::ZERO {
                    withheld_from.push((past.epoch(), added));
                }
                held.withheld = withheld;
            }
        }
        let figures = inputs.figures(at, &mut held)?;
        let published = Published::compare(&published, expected_record(&figures, &held)?.as_deref());
        self.show(&inputs, &held, &withheld_from, &figures, published)
    }

    fn show(
        &self,
        inputs: &ExplainInputs<'_>,
        account: &Account,
        withheld_from: &[(Epoch, I256)],
        figures: &EpochFigures,
        published: Published,
    ) -> Result<Explanation, ExplainError> {
        let EpochFigures {
            settlement, measure, ..
        } = figures;
        let (asset, decimals, at) = (inputs.asset, inputs.decimals, settlement.at);
        let rules = figures.assessor.rules();
        let calendar = &settlement.terms.calendar;
        let payout = figures
            .payout
            .map(|payout| show_payout(&payout, figures, withheld_from));
        let is_sealed = payout.is_some();
        Ok(Explanation {
            asset,
            decimals,
            epoch: at.epoch(),
            account: account.name.to_string(),
            epoch_start: timestamp(calendar.start_ms(at.epoch())),
            epoch_end: timestamp(calendar.end_ms(at.epoch())),
            epoch_ms: calendar.length_ms(),
            stage: match (self.history.is_cut(at), &figures.pool) {
                (false, _) => EpochStage::Open,
                (true, None) => EpochStage::Closed,
                (true, Some(_)) => EpochStage::Sealed,
            },
            programme: show_programme(settlement, rules),
            opening_balance: signed(figures.opening, decimals),
            changes: inputs.trace.changes(at, decimals)?,
            closing_balance: signed(measure.closing, decimals),
            unit_milliseconds: measure.held.to_string(),
            balance_seconds: rules.balance_seconds(measure.held),
            average_balance: rules.average(measure.held),
            statuses: account
                .statuses
                .iter()
                .map(|status| show_status(status, settlement))
                .collect(),
            eligible: matches!(measure.eligibility, Eligibility::Eligible { .. }),
            ineligible_because: why_ineligible(measure.eligibility),
            counted_unit_milliseconds: figures.counted.to_string(),
            tiers: rules
                .parts(figures.counted)
                .map(|(part, multiplier)| ExplainedTier {
                    multiplier_scaled: multiplier.to_string(),
                    unit_milliseconds: part.to_string(),
                    average_balance: average(part, settlement),
                })
                .collect(),
            weight: figures.weight.to_string(),
            payout,
            published: published.amount,
            agrees: is_sealed.then_some(published.differences.is_empty()),
            differences: if is_sealed { published.differences } else { Vec::new() },
            others: inputs.trace.others(at),
        })
    }
}

fn reward(figures: &EpochFigures, units: I256) -> ExplainedAmount {
    ExplainedAmount {
        amount: figures.assessor.rules().signed_reward(units),
        units: units.to_string(),
    }
}

/// Unit-milliseconds divided by the length of the epoch, cut to the asset's decimals.
fn average(part: U512, settlement: &Settlement) -> String {
    let length = U512::from(settlement.terms.calendar.length_ms());
    let average = part.checked_div(length).unwrap_or_default();
    format_units_wide(false, average, u32::from(settlement.terms.decimals))
}

fn show_payout(payout: &PayoutFigures, figures: &EpochFigures, withheld_from: &[(Epoch, I256)]) -> ExplainedPayout {
    let amount = |units| reward(figures, units);
    let Payout {
        rewarded,
        due,
        paid,
        withheld,
    } = payout.payout;
    let pool = figures.pool.filter(|_| figures.settlement.programme.mode == Mode::Pool);
    ExplainedPayout {
        pool: pool.map(|pool| show_pool(&pool, payout.pot, amount)),
        share_per_cent: pool.and_then(|_| per_cent(figures.weight, payout.pot.weight)),
        reward: ExplainedAmount {
            amount: figures.assessor.rules().reward(rewarded),
            units: rewarded.to_string(),
        },
        withheld_from: withheld_from
            .iter()
            .map(|(epoch, added)| (*epoch, amount(*added)))
            .collect(),
        withheld_before: amount(payout.withheld_before),
        due: amount(due),
        paid: amount(paid),
        withheld_after: amount(withheld),
    }
}

/// `part` of `whole` in per cent, cut after its first four digits that count; `None` if `whole` is zero.
fn per_cent(part: U512, whole: U512) -> Option<String> {
    /// Beyond so many decimals, nobody reads a share.
    const MOST: u32 = 24;
    let scaled = |decimals: u32| {
        let hundredfold = part.checked_mul(U512::from(10).checked_pow(U512::from(decimals + 2))?)?;
        hundredfold.checked_div(whole)
    };
    let enough = |decimals: &u32| scaled(*decimals).is_some_and(|digits| digits >= U512::from(1_000));
    let decimals = (0..MOST).find(enough).unwrap_or(MOST);
    let digits = scaled(decimals).or_else(|| scaled(0))?;
    Some(format_units_wide(false, digits, decimals))
}

fn show_pool(pool: &EpochPool, pot: Pot, amount: impl Fn(I256) -> ExplainedAmount) -> ExplainedPool {
    ExplainedPool {
        reward_pool: amount(pool.reward_pool),
        commission: amount(pool.commission),
        carried_in: amount(pool.carried_in),
        to_share: amount(pool.net),
        total_weight: pot.weight.to_string(),
    }
}

fn show_status(kept: &KeptStatus, settlement: &Settlement) -> ExplainedStatus {
    let cut = settlement.cut.0.get(&kept.source);
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
        counts: cut.is_some_and(|cut| kept.offset < *cut),
    }
}

const fn why_ineligible(eligibility: Eligibility) -> Option<&'static str> {
    match eligibility {
        Eligibility::Eligible { .. } => None,
        Eligibility::Empty => Some("nothing was held"),
        Eligibility::Excluded => Some("status"),
        Eligibility::Negative => Some("negative"),
        Eligibility::BelowMinimum => Some("below_minimum"),
    }
}

fn show_programme(settlement: &Settlement, rules: &Rules) -> ExplainedProgramme {
    let programme = &settlement.programme;
    let decimals = settlement.terms.programme_decimals();
    let balance = |units: u128| unsigned(units, decimals.asset);
    ExplainedProgramme {
        from_epoch: programme.from_epoch,
        mode: programme.mode.name(),
        apr_scaled: match programme.mode {
            Mode::Apr { rate } => Some(rate.parts().to_string()),
            Mode::Pool | Mode::AprPerTier => None,
        },
        commission_rate: programme.commission_rate.to_string(),
        min_balance: balance(programme.min_balance),
        max_balance: programme.max_balance.map(balance),
        min_payout: unsigned(programme.min_payout, decimals.reward),
        grain: signed(rules.grain(), decimals.reward),
        enrolment: programme.enrolment.name(),
    }
}

fn unsigned(units: u128, decimals: u8) -> ExplainedAmount {
    ExplainedAmount {
        amount: format_units(units, decimals),
        units: units.to_string(),
    }
}

fn signed(units: I256, decimals: u8) -> ExplainedAmount {
    let magnitude = U512::from_le_slice(&units.unsigned_abs().to_le_bytes());
    ExplainedAmount {
        amount: format_units_wide(units < I256::ZERO, magnitude, u32::from(decimals)),
        units: units.to_string(),
    }
}
