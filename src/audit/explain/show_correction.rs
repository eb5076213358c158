//! Shows the closed epochs that were settled again.

use ruint::aliases::U512;

use crate::audit::explain::correction::{
    CorrectedFigures, CorrectedPool, ExplainedCorrection, ExplainedLatePosting, OwnerFigures,
};
use crate::audit::explain::figures::{EpochCorrections, EpochFigures, ExplainInputs};
use crate::audit::explain::parts::{amount, owner_sums, show_rate, shown, signed, unsigned, why_ineligible};
use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::resettle::Correction;
use crate::core::accrue::row::unit_ms;
use crate::core::accrue::settle::{Measure, Rules};
use crate::core::fault::Fault;
use crate::core::values::ids::AssetEpoch;
use crate::core::values::time::timestamp;

/// The corrections of the account with this index. One that changed nothing, and rests on late postings of other accounts alone, is not among them.
pub(super) fn corrections(
    inputs: &ExplainInputs<'_>,
    figures: &EpochFigures,
    index: usize,
) -> Result<Vec<ExplainedCorrection>, Fault> {
    let mut all = Vec::new();
    for of_epoch in &figures.corrections {
        all.extend(correction(inputs, figures, of_epoch, index)?);
    }
    Ok(all)
}

fn correction(
    inputs: &ExplainInputs<'_>,
    figures: &EpochFigures,
    of_epoch: &EpochCorrections,
    index: usize,
) -> Result<Option<ExplainedCorrection>, Fault> {
    let Some(own) = of_epoch.accounts.iter().find(|one| one.index == index) else {
        return Ok(None);
    };
    let (assessor, correction) = (of_epoch.resettlement.assessor(), &own.correction);
    let (rules, calendar) = (assessor.rules(), &assessor.settlement().terms.calendar);
    let decimals = inputs.reward_decimals;
    let before = own.sealed.rewarded_again.unwrap_or(correction.rewarded);
    let late = late_postings(inputs, figures, of_epoch, index)?;
    let is_of_others = late.is_empty()
        || !late
            .iter()
            .any(|late| *late.account == *own.sealed.account.name.as_str());
    if is_of_others && correction.resettled.rewarded == before && correction.as_sealed == correction.corrected {
        return Ok(None);
    }
    let measures = |take: fn(&Correction) -> Measure| -> Vec<Measure> {
        of_epoch.accounts.iter().map(|one| take(&one.correction)).collect()
    };
    let (as_sealed, corrected) = (measures(|one| one.as_sealed), measures(|one| one.corrected));
    let of_owner = |measures: &[Measure]| assessor.is_by_owner().then(|| owner_figures(rules, measures));
    // Without the scope `owner`, each account is settled again alone.
    let group = |measures: &[Measure], own: Measure| match assessor.is_by_owner() {
        true => weight(measures),
        false => own.weight(),
    };
    let pot = of_epoch.resettlement.pot();
    let others = pot.weight.saturating_sub(group(&as_sealed, correction.as_sealed));
    let corrected_total = match pot.weight.is_zero() {
        true => U512::ZERO,
        false => others.saturating_add(group(&corrected, correction.corrected)),
    };
    Ok(Some(ExplainedCorrection {
        epoch: of_epoch.at.epoch(),
        epoch_start: timestamp(calendar.start_ms(of_epoch.at.epoch())),
        epoch_end: timestamp(calendar.end_ms(of_epoch.at.epoch())),
        late,
        as_sealed: corrected_figures(
            &correction.as_sealed,
            of_owner(&as_sealed),
            correction.rewarded,
            decimals,
        ),
        corrected: corrected_figures(
            &correction.corrected,
            of_owner(&corrected),
            correction.resettled.rewarded,
            decimals,
        ),
        pool: rules.rate().is_none().then(|| CorrectedPool {
            to_share: unsigned(pot.to_share, decimals),
            total_weight: pot.weight.to_string(),
            corrected_total_weight: corrected_total.to_string(),
        }),
        rate: show_rate(rules),
        before: unsigned(before, decimals),
        is_corrected_before: own.sealed.rewarded_again.is_some(),
        made_good: signed(correction.resettled.made_good, decimals),
    }))
}

/// S and W of an owner.
fn owner_figures(rules: &Rules, measures: &[Measure]) -> OwnerFigures {
    let (sum, _, weight) = owner_sums(rules, measures);
    OwnerFigures {
        unit_milliseconds: sum.to_string(),
        weight: weight.to_string(),
    }
}

fn weight(measures: &[Measure]) -> U512 {
    measures
        .iter()
        .fold(U512::ZERO, |sum, measure| sum.saturating_add(measure.weight()))
}

fn corrected_figures(measure: &Measure, owner: Option<OwnerFigures>, rewarded: U512, decimals: u8) -> CorrectedFigures {
    CorrectedFigures {
        unit_milliseconds: measure.held.to_string(),
        eligible: matches!(measure.eligibility, Eligibility::Eligible { .. }),
        ineligible_because: why_ineligible(measure.eligibility),
        owner,
        weight: measure.weight().to_string(),
        rewarded: unsigned(rewarded, decimals),
    }
}

/// The postings that were late for a closed epoch and are applied up to the epoch that is explained: those of the account, or with the scope
/// `owner` of all accounts of the owner.
fn late_postings(
    inputs: &ExplainInputs<'_>,
    figures: &EpochFigures,
    of_epoch: &EpochCorrections,
    index: usize,
) -> Result<Vec<ExplainedLatePosting>, Fault> {
    let (closed, at) = (of_epoch.at, figures.settlement.at);
    let assessor = of_epoch.resettlement.assessor();
    let length_ms = assessor.settlement().terms.calendar.length_ms();
    let own = figures.accounts.get(index).map(|account| account.name.as_str());
    let next = AssetEpoch::new(closed.number(), closed.epoch().next()?)?;
    let mut shown_ones = Vec::new();
    for applied in next.up_to(at).chain([at]) {
        for late in inputs.trace.late(applied) {
            let is_own = own == Some(&late.posting.account);
            if late.missed > closed.epoch() || !(is_own || assessor.is_by_owner()) {
                continue;
            }
            let counts_for_ms = late.counts_for_ms(closed.epoch(), length_ms);
            let added = unit_ms(late.posting.delta.into(), counts_for_ms);
            shown_ones.push(ExplainedLatePosting {
                event: shown(late.event),
                account: late.posting.account.to_string(),
                delta: amount(late.posting.delta, inputs.decimals),
                counts_for_ms,
                unit_milliseconds: added.ok_or(Fault::Overflow("a posting"))?.to_string(),
                applied_epoch: applied.epoch(),
            });
        }
    }
    Ok(shown_ones)
}
