//! Turns the figures of an epoch into an explanation.

use ethnum::I256;
use ruint::aliases::U512;

use crate::audit::explain::error::ExplainError;
use crate::audit::explain::explanation::{
    ExplainedOwner, ExplainedPayout, ExplainedPool, ExplainedProgramme, ExplainedStatus, ExplainedTier, Explanation,
    OwnedAccount,
};
use crate::audit::explain::figures::{EpochFigures, EpochPayouts, ExplainInputs, WithheldFrom};
use crate::audit::explain::gate::GateCourse;
use crate::audit::explain::parts::{
    ExplainedAmount, may_earn, owner_sums, show_rate, signed, unsigned, why_ineligible,
};
use crate::audit::explain::published::Published;
use crate::audit::explain::show_correction;
use crate::core::accrue::assess::{Account, Assessor};
use crate::core::accrue::eligibility::{Eligibility, KeptStatus};
use crate::core::accrue::settle::{Measure, Payout, Rules};
use crate::core::contract::event::Status;
use crate::core::contract::programme::Mode;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::Settlement;
use crate::core::values::account::AccountName;
use crate::core::values::amount::{format_units, format_units_wide};
use crate::core::values::ids::Epoch;
use crate::core::values::rate::{Multiplier, Rate};
use crate::core::values::time::timestamp;

/// Multipliers are scaled by 10 to this power.
pub const MULTIPLIER_SCALE: u32 = Multiplier::PARTS.ilog10();
/// Rates are scaled by 10 to this power.
pub const RATE_SCALE: u32 = Rate::PARTS.ilog10();

/// What an explanation shows.
pub(crate) struct Shown<'a> {
    pub inputs: &'a ExplainInputs<'a>,
    pub figures: &'a EpochFigures,
    /// The index of the account.
    pub index: usize,
    pub gate: GateCourse,
    pub withheld_from: &'a WithheldFrom,
}

impl Shown<'_> {
    pub(crate) fn explanation(self, published: Published) -> Result<Explanation, ExplainError> {
        let Self { inputs, figures, .. } = self;
        let (settlement, rules) = (&figures.settlement, figures.assessor.rules());
        let no_account = || impossible("an account without figures");
        let account = figures.accounts.get(self.index).ok_or_else(no_account)?;
        let measure = figures.measures.get(self.index).ok_or_else(no_account)?;
        let (at, terms, name) = (settlement.at, &settlement.terms, account.name.as_str());
        let payout = match &figures.payouts {
            Some(payouts) => Some(self.payout(payouts, account, measure)?),
            None => None,
        };
        let is_sealed = payout.is_some();
        let owner = figures.assessor.is_by_owner().then(|| owner(figures, &account.name));
        let counted = counted(measure.eligibility);
        let tiers = match &owner {
            Some(owner) => show_tiers(owner.together.1, rules, settlement),
            None => show_tiers(counted, rules, settlement),
        };
        Ok(Explanation {
            asset: inputs.asset,
            decimals: inputs.decimals,
            reward_asset: terms.reward_asset(),
            reward_decimals: inputs.reward_decimals,
            epoch: at.epoch(),
            account: name.to_owned(),
            epoch_start: timestamp(terms.calendar.start_ms(at.epoch())),
            epoch_end: timestamp(terms.calendar.end_ms(at.epoch())),
            epoch_ms: terms.calendar.length_ms(),
            stage: self.gate.stage,
            programme: show_programme(settlement, rules),
            opening_balance: signed(account.opening, inputs.decimals),
            changes: inputs.trace.changes(at, name, inputs.decimals)?,
            closing_balance: signed(measure.closing, inputs.decimals),
            unit_milliseconds: measure.held.to_string(),
            balance_seconds: rules.balance_seconds(measure.held).into(),
            average_balance: rules.average(measure.held).into(),
            statuses: show_statuses(account, &figures.assessor),
            eligible: matches!(measure.eligibility, Eligibility::Eligible { .. }),
            ineligible_because: why_ineligible(measure.eligibility),
            is_excluded: measure.is_excluded,
            owner: owner.map(|owner| owner.shown),
            counted_unit_milliseconds: counted.to_string(),
            tiers,
            weight: measure.weight().to_string(),
            corrections: show_correction::corrections(inputs, figures, self.index)?,
            adjustments: inputs.trace.adjustments(at, name, inputs.reward_decimals),
            payout,
            published: published.amount,
            agrees: is_sealed.then_some(published.differences.is_empty()),
            differences: if is_sealed { published.differences } else { Vec::new() },
            others: inputs.trace.others(at, name),
            gate: self.gate.decisions,
        })
    }

    fn payout(&self, payouts: &EpochPayouts, account: &Account, measure: &Measure) -> Result<ExplainedPayout, Fault> {
        let rules = self.figures.assessor.rules();
        let reward = |units| signed(units, self.inputs.reward_decimals);
        let payout = payouts.payouts.get(self.index);
        let payout = payout.ok_or_else(|| impossible("an account without a payout"))?;
        let Payout {
            rewarded,
            due,
            paid,
            withheld,
        } = *payout;
        let (total, pool) = (payouts.pot.weight, &payouts.pool);
        let is_pooled = rules.rate().is_none();
        let positive = due.max(I256::ZERO);
        let payable = positive.saturating_sub(positive.checked_rem(rules.grain()).unwrap_or_default());
        Ok(ExplainedPayout {
            pool: is_pooled.then(|| ExplainedPool {
                reward_pool: reward(pool.reward_pool),
                commission: reward(pool.commission),
                carried_in: reward(pool.carried_in),
                to_share: reward(pool.net),
                total_weight: total.to_string(),
                returned: reward(pool.returned),
            }),
            rate: show_rate(rules),
            share_per_cent: is_pooled.then(|| per_cent(measure.weight(), total)).flatten(),
            rewarded: unsigned(rewarded, self.inputs.reward_decimals),
            made_good: reward(account.made_good),
            adjusted: reward(account.adjusted),
            withheld_from: self
                .withheld_from
                .iter()
                .map(|(epoch, added): &(Epoch, I256)| (*epoch, reward(*added)))
                .collect(),
            withheld_before: reward(account.withheld),
            due: reward(due),
            payable: reward(payable),
            paid: reward(paid),
            withheld_after: reward(withheld),
            withheld_because: if withheld == I256::ZERO {
                None
            } else if withheld < I256::ZERO {
                Some("debt")
            } else if measure.is_excluded {
                Some("excluded")
            } else if paid == I256::ZERO && payable > I256::ZERO {
                Some("below_min_payout")
            } else {
                Some("below_grain")
            },
        })
    }
}

/// The accounts of an owner together.
struct Together {
    shown: ExplainedOwner,
    /// S and C of the owner.
    together: (U512, U512),
}

fn owner(figures: &EpochFigures, account: &AccountName<'_>) -> Together {
    let accounts = figures.accounts.iter().zip(&figures.measures);
    let held = accounts.filter(|(_, measure)| measure.held != I256::ZERO);
    let rules = figures.assessor.rules();
    let (sum, counted, weight) = owner_sums(rules, &figures.measures);
    Together {
        shown: ExplainedOwner {
            owner: account.owner().to_owned(),
            accounts: held
                .map(|(account, measure)| OwnedAccount {
                    account: account.name.to_string(),
                    unit_milliseconds: measure.held.to_string(),
                    counts: may_earn(measure),
                })
                .collect(),
            unit_milliseconds: sum.to_string(),
            average_balance: average(sum, &figures.settlement),
            counted_unit_milliseconds: counted.to_string(),
            weight: weight.to_string(),
        },
        together: (sum, counted),
    }
}

const fn counted(eligibility: Eligibility) -> U512 {
    match eligibility {
        Eligibility::Eligible { counted, .. } => counted,
        _ => U512::ZERO,
    }
}

fn show_tiers(counted: U512, rules: &Rules, settlement: &Settlement) -> Vec<ExplainedTier> {
    let is_rate = settlement.programme.mode == Mode::AprPerTier;
    let tier = |(part, factor): (U512, U512)| ExplainedTier {
        multiplier_scaled: (!is_rate).then(|| factor.to_string()),
        apr_scaled: is_rate.then(|| factor.to_string()),
        unit_milliseconds: part.to_string(),
        average_balance: average(part, settlement),
    };
    rules.parts(counted).map(tier).collect()
}

/// Unit-milliseconds divided by the length of the epoch, cut to the asset's decimals.
fn average(held: U512, settlement: &Settlement) -> String {
    let length = U512::from(settlement.terms.calendar.length_ms());
    let average = held.checked_div(length).unwrap_or_default();
    format_units_wide(false, average, u32::from(settlement.terms.decimals))
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

/// The statuses for this asset and for all, of the account and of its owner's own account.
fn show_statuses(account: &Account, assessor: &Assessor) -> Vec<ExplainedStatus> {
    let scope = assessor.status_scope();
    let is_same = |a: &KeptStatus, b: &KeptStatus| (a.source, a.offset) == (b.source, b.offset);
    let owner = account.name.owner();
    let of = [
        (account.name.as_str(), &account.statuses),
        (owner, &account.owner_statuses),
    ];
    let mut shown = Vec::new();
    for (is_of_owner, (name, statuses)) in [false, true].into_iter().zip(of) {
        let deciding = scope.deciding(statuses);
        for kept in statuses {
            if kept.asset.is_some_and(|asset| asset != scope.asset) {
                continue;
            }
            let counts = kept.counts(scope.cut);
            let decides = deciding.iter().flatten().any(|deciding| is_same(deciding, kept));
            // Alone, it excludes if it is the latest, or dated inside the epoch.
            let time_ms = i128::from(kept.time_ms);
            let is_inside = scope.start_ms < time_ms && time_ms < scope.end_ms;
            let bars = kept.status == Status::Excluded && counts && (decides || is_inside);
            shown.push(ExplainedStatus {
                status: match kept.status {
                    Status::Enrolled => "enrolled",
                    Status::OptedOut => "opted_out",
                    Status::Excluded => "excluded",
                },
                asset: kept.asset,
                account: name.to_owned(),
                time: timestamp(time_ms),
                event_id: kept.id.clone(),
                partition: kept.source.to_string(),
                offset: kept.offset,
                counts,
                effect: if bars {
                    Some("bars")
                } else {
                    (decides && !is_of_owner).then_some("decides")
                },
            });
        }
    }
    shown
}

fn show_programme(settlement: &Settlement, rules: &Rules) -> ExplainedProgramme {
    let (programme, rates) = (&settlement.programme, &settlement.rates);
    let decimals = settlement.terms.programme_decimals();
    let balance = |units: u128| of_units(units, decimals.asset);
    let apr = match programme.mode {
        Mode::Apr { rate } => Some(rates.apr.unwrap_or(rate)),
        Mode::Pool | Mode::AprPerTier => None,
    };
    ExplainedProgramme {
        from_epoch: programme.from_epoch,
        mode: programme.mode.name(),
        apr_scaled: apr.map(|rate| rate.parts().to_string()),
        is_apr_of_close: apr.is_some() && rates.apr.is_some(),
        reward_rate_scaled: rates.reward_rate.map(|rate| rate.parts().to_string()),
        commission_rate: programme.commission_rate.to_string(),
        scope: programme.scope.name(),
        min_balance: balance(programme.min_balance),
        max_balance: programme.max_balance.map(balance),
        min_payout: match settlement.is_last {
            true => of_units(0, decimals.reward),
            false => of_units(programme.min_payout, decimals.reward),
        },
        is_last_epoch: settlement.is_last,
        grain: signed(rules.grain(), decimals.reward),
        enrolment: programme.enrolment.name(),
        late_policy: programme.late_policy.name(),
    }
}

fn of_units(units: u128, decimals: u8) -> ExplainedAmount {
    ExplainedAmount {
        amount: format_units(units, decimals),
        units: units.to_string(),
    }
}
