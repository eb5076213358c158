//! The closed epochs that were settled again, for auditors.

use crate::audit::explain::{ExplainedCorrection, Explanation};
use crate::cli::explain::words::{balance_seconds, duration, event_type, place};
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::table::TextTable;

pub(super) fn write(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    if trace.corrections.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    write_line!(
        out,
        "What is made good: late postings changed closed epochs, which were settled again for the account"
    )?;
    for correction in &trace.corrections {
        write_one(trace, correction, out)?;
    }
    Ok(())
}

fn write_one(trace: &Explanation, correction: &ExplainedCorrection, out: &mut Output<'_>) -> Outcome {
    let asset = trace.reward_asset;
    write_line!(
        out,
        "Epoch {}: {} to {}",
        correction.epoch,
        correction.epoch_start,
        correction.epoch_end
    )?;
    write_late(trace, correction, out)?;
    write_figures(trace, correction, out)?;
    if let Some(pool) = &correction.pool {
        write_line!(
            out,
            "The reward is {} {asset} * the weight / the total weight, rounded down to a unit.",
            pool.to_share.amount
        )?;
    }
    if let Some(rate) = &correction.rate {
        write_line!(
            out,
            "The reward is the weight * {} / {} units, rounded down.",
            rate.numerator,
            rate.denominator
        )?;
    }
    write_line!(
        out,
        "It is worth {} {asset} instead of {} {asset}{}: {} {asset} are made good.",
        correction.corrected.rewarded.amount,
        correction.before.amount,
        if correction.is_corrected_before {
            ", which it was when it was settled again before"
        } else {
            ""
        },
        correction.made_good.amount
    )
}

/// The postings that were late for the epoch.
fn write_late(trace: &Explanation, correction: &ExplainedCorrection, out: &mut Output<'_>) -> Outcome {
    let mut table = TextTable::new(&[
        "late",
        "when",
        "account",
        ">change",
        ">counts for",
        ">balance-seconds",
        ">applied to epoch",
        "event",
        "where",
    ]);
    for late in &correction.late {
        table.row([
            event_type(&late.event.event_type),
            &late.event.time,
            &late.account,
            &late.delta.amount,
            &duration(late.counts_for_ms),
            &balance_seconds(&late.unit_milliseconds, trace),
            &late.applied_epoch.to_string(),
            &late.event.event_id,
            &place(&late.event),
        ]);
    }
    table.write(out)
}

/// The figures of the epoch as sealed, beside those with the late postings.
fn write_figures(trace: &Explanation, correction: &ExplainedCorrection, out: &mut Output<'_>) -> Outcome {
    let (sealed, now) = (&correction.as_sealed, &correction.corrected);
    let mut table = TextTable::new(&["", ">as sealed", ">with the late postings"]);
    let mut row = |what: &str, sealed: &str, now: &str| table.row([what, sealed, now]);
    row(
        "balance-seconds",
        &balance_seconds(&sealed.unit_milliseconds, trace),
        &balance_seconds(&now.unit_milliseconds, trace),
    );
    if let Some((sealed, now)) = sealed.owner.as_ref().zip(now.owner.as_ref()) {
        row(
            "balance-seconds of the owner",
            &balance_seconds(&sealed.unit_milliseconds, trace),
            &balance_seconds(&now.unit_milliseconds, trace),
        );
        row("weight of the owner", &sealed.weight, &now.weight);
    }
    let why = |because: Option<&'static str>| match because {
        None => "yes",
        Some("below_minimum") => "no: below the minimum",
        Some("negative") => "no: negative",
        Some("status") => "no: its status",
        Some(_) => "no: nothing was held",
    };
    row("earns", why(sealed.ineligible_because), why(now.ineligible_because));
    row("weight", &sealed.weight, &now.weight);
    if let Some(pool) = &correction.pool {
        row("total weight", &pool.total_weight, &pool.corrected_total_weight);
    }
    row("reward", &sealed.rewarded.amount, &now.rewarded.amount);
    table.write(out)
}
