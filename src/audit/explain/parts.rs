//! Parts that several pieces of an explanation have.

use ethnum::I256;
use ruint::aliases::U512;
use serde::Serialize;

use crate::audit::trace::TracedEvent;
use crate::core::accrue::eligibility::Eligibility;
use crate::core::accrue::settle::{Measure, Rules};
use crate::core::accrue::wide::magnitude;
use crate::core::values::amount::{format_signed_units, format_units_wide};
use crate::core::values::offset::Offset;

/// A balance in the asset, or a reward in the reward asset.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedAmount {
    /// A decimal number.
    pub amount: String,
    /// The same amount in units.
    pub units: String,
}

/// An event, and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedEvent {
    /// Empty if it cannot be read. So are the next two.
    pub event_id: String,
    pub event_source: String,
    #[serde(rename = "type")]
    pub event_type: String,
    /// Such as `exchange.trades:3`.
    pub partition: String,
    pub offset: Offset,
    /// As the record has it.
    pub time: String,
}

/// In `apr` mode: units of the reward for one unit of weight, as a fraction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedRate {
    pub numerator: String,
    pub denominator: String,
}

/// Whether S of an account counts in its owner's.
pub(super) const fn may_earn(measure: &Measure) -> bool {
    matches!(
        measure.eligibility,
        Eligibility::Eligible { .. } | Eligibility::BelowMinimum
    )
}

/// S, C and W of an owner; C and W are 0 if it does not earn.
pub(super) fn owner_sums(rules: &Rules, measures: &[Measure]) -> (U512, U512, U512) {
    let earning = measures.iter().filter(|measure| may_earn(measure));
    let sum = earning.fold(U512::ZERO, |sum, measure| sum.saturating_add(magnitude(measure.held)));
    match rules.weigh(sum) {
        Ok(Eligibility::Eligible { counted, weight }) if !sum.is_zero() => (sum, counted, weight),
        _ => (sum, U512::ZERO, U512::ZERO),
    }
}

pub(super) fn show_rate(rules: &Rules) -> Option<ExplainedRate> {
    rules.rate().map(|rate| ExplainedRate {
        numerator: rate.numerator.to_string(),
        denominator: rate.denominator.to_string(),
    })
}

pub(super) const fn why_ineligible(eligibility: Eligibility) -> Option<&'static str> {
    match eligibility {
        Eligibility::Eligible { .. } => None,
        Eligibility::Empty => Some("nothing was held"),
        Eligibility::Excluded => Some("status"),
        Eligibility::Negative => Some("negative"),
        Eligibility::BelowMinimum => Some("below_minimum"),
    }
}

pub(super) fn unsigned(units: U512, decimals: u8) -> ExplainedAmount {
    ExplainedAmount {
        amount: format_units_wide(false, units, u32::from(decimals)),
        units: units.to_string(),
    }
}

pub(super) fn signed(units: I256, decimals: u8) -> ExplainedAmount {
    ExplainedAmount {
        amount: format_units_wide(units < I256::ZERO, magnitude(units), u32::from(decimals)),
        units: units.to_string(),
    }
}

/// The event of a line of an explanation.
pub(super) fn shown(event: &TracedEvent) -> ExplainedEvent {
    ExplainedEvent {
        event_id: event.id.clone(),
        event_source: event.event_source.clone(),
        event_type: event.event_type.clone(),
        partition: event.source.to_string(),
        offset: event.offset,
        time: event.time.clone(),
    }
}

pub(super) fn amount(units: i128, decimals: u8) -> ExplainedAmount {
    ExplainedAmount {
        amount: format_signed_units(units, decimals),
        units: units.to_string(),
    }
}
