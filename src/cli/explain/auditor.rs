//! An explanation as text for auditors and support: every figure, event and position.

use ethnum::I256;

use crate::audit::explain::{EpochStage, ExplainedPayout, Explanation};
use crate::cli::explain::words::{commission, duration, multiplier, scaled, yearly_rate};
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::table::TextTable;
use crate::core::accrue::row;

pub(super) fn write(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    write_line!(
        out,
        "{}, epoch {}: {} to {}",
        trace.asset,
        trace.epoch,
        trace.epoch_start,
        trace.epoch_end
    )?;
    write_line!(out, "Account {}", trace.account)?;
    write_line!(out)?;
    write_result(trace, out)?;
    write_holding(trace, out)?;
    write_rules(trace, out)?;
    if let Some(payout) = &trace.payout {
        write_payout(trace, payout, out)?;
    }
    write_others(trace, out)
}

/// Unit-milliseconds, with a sign or without, as balance-seconds.
fn balance_seconds(unit_ms: &str, trace: &Explanation) -> String {
    let (sign, digits) = unit_ms.strip_prefix('-').map_or(("", unit_ms), |digits| ("-", digits));
    format!("{sign}{}", scaled(digits, u32::from(trace.decimals) + 3))
}

/// `exchange.deposit.v1` as `deposit`.
fn event_type(kind: &str) -> &str {
    kind.strip_prefix("exchange.")
        .and_then(|kind| kind.strip_suffix(".v1"))
        .unwrap_or(kind)
}

fn write_result(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    let asset = trace.asset;
    match (&trace.payout, trace.stage) {
        (Some(payout), _) if payout.paid.units != "0" => write_line!(out, "Paid: {} {asset}.", payout.paid.amount)?,
        (Some(payout), _) if payout.due.units != "0" => write_line!(
            out,
            "Nothing was paid: {} {asset} are due, and less than {} {asset} is withheld until it adds up.",
            payout.due.amount,
            trace.programme.min_payout.amount
        )?,
        (Some(_), _) if !trace.eligible => write_line!(out, "Nothing was paid: {}.", reason(trace))?,
        (Some(_), _) => write_line!(
            out,
            "Nothing was paid: the share is less than the smallest possible amount."
        )?,
        (None, EpochStage::Open) => write_line!(
            out,
            "This epoch is not closed: the figures below are as of now, and may change."
        )?,
        (None, _) => write_line!(
            out,
            "This epoch is closed and being settled: its payout is not known yet."
        )?,
    }
    match trace.agrees {
        Some(true) => write_line!(out, "This is what was published, in every field."),
        Some(false) => write_differences(trace, out),
        None => Ok(()),
    }
}

fn write_differences(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    let published = trace.published.as_deref().unwrap_or("nothing");
    write_line!(
        out,
        "THIS IS NOT WHAT WAS PUBLISHED, which is {published}: run `softstake reconcile` before anything else."
    )?;
    let mut table = TextTable::new(&["field", "published", "from the log"]);
    for difference in &trace.differences {
        let side = |value: &Option<String>| value.clone().unwrap_or_else(|| "-".into());
        let (published, replayed) = (side(&difference.published), side(&difference.replayed));
        table.row([&difference.field, &published, &replayed]);
    }
    table.write(out)
}

/// Why the account earns nothing.
fn reason(trace: &Explanation) -> String {
    match trace.ineligible_because {
        Some("status") => "the account's status excludes it from this epoch".into(),
        Some("negative") => "the average balance was negative".into(),
        Some("below_minimum") => format!(
            "the average balance was {} {}, and less than {} earns nothing",
            trace.average_balance, trace.asset, trace.programme.min_balance.amount
        ),
        Some(reason) => reason.into(),
        None => String::new(),
    }
}

fn write_holding(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    write_line!(out)?;
    write_line!(out, "1. What was held")?;
    let mut table = TextTable::new(&[
        "",
        "when",
        ">change",
        ">counts for",
        ">balance-seconds",
        "event",
        "where",
    ]);
    let opening: I256 = trace.opening_balance.units.parse().unwrap_or_default();
    let opening_unit_ms = row::unit_ms(opening, trace.epoch_ms).unwrap_or_default();
    table.row([
        "at the start",
        &trace.epoch_start,
        &trace.opening_balance.amount,
        &duration(trace.epoch_ms),
        &balance_seconds(&opening_unit_ms.to_string(), trace),
        "",
        "",
    ]);
    for change in &trace.changes {
        let mut what = event_type(&change.event_type).to_owned();
        if let Some(missed) = change.missed_epoch {
            what.push_str(&format!(" (late, of epoch {missed})"));
        }
        table.row([
            &what,
            &change.time,
            &change.delta.amount,
            &duration(change.counts_for_ms),
            &balance_seconds(&change.unit_milliseconds, trace),
            &change.event_id,
            &format!("{}, offset {}", change.partition, change.offset),
        ]);
    }
    table.row([
        "at the end",
        &trace.epoch_end,
        &trace.closing_balance.amount,
        "",
        &trace.balance_seconds,
        "",
        "",
    ]);
    table.write(out)?;
    write_line!(
        out,
        "The average balance was {} {}: {} balance-seconds in {}.",
        trace.average_balance,
        trace.asset,
        trace.balance_seconds,
        duration(trace.epoch_ms)
    )
}

fn write_rules(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    let (asset, rules) = (trace.asset, &trace.programme);
    write_line!(out)?;
    write_line!(out, "2. What of it counts")?;
    let mut terms = vec![match yearly_rate(rules) {
        Some(rate) => format!("a yearly rate of {rate}"),
        None => format!("a share of the pool, of which the exchange keeps {}", commission(rules)),
    }];
    if rules.min_balance.units != "0" {
        terms.push(format!("an average below {} earns nothing", rules.min_balance.amount));
    }
    if let Some(most) = &rules.max_balance {
        terms.push(format!("the part of an average above {} earns nothing", most.amount));
    }
    write_line!(out, "Rules since epoch {}: {}.", rules.from_epoch, terms.join("; "))?;
    for status in &trace.statuses {
        write_line!(
            out,
            "Status {} from {} (event {}, {}, offset {}){}",
            status.status,
            status.time,
            status.event_id,
            status.partition,
            status.offset,
            if status.counts {
                "."
            } else {
                ": published after the cut, so it does not count in this epoch."
            }
        )?;
    }
    if !trace.eligible {
        return write_line!(out, "The account earns nothing: {}.", reason(trace));
    }
    if trace.counted_unit_milliseconds != trace.unit_milliseconds {
        write_line!(
            out,
            "The average is above the limit: {} balance-seconds count.",
            balance_seconds(&trace.counted_unit_milliseconds, trace)
        )?;
    }
    for part in &trace.tiers {
        write_line!(
            out,
            "{} {asset}-seconds count {} times.",
            balance_seconds(&part.unit_milliseconds, trace),
            multiplier(&part.multiplier_scaled)
        )?;
    }
    write_line!(out, "The weight is {}.", trace.weight)
}

fn write_payout(trace: &Explanation, payout: &ExplainedPayout, out: &mut Output<'_>) -> Outcome {
    let asset = trace.asset;
    write_line!(out)?;
    write_line!(out, "3. What it earns")?;
    match &payout.pool {
        Some(pool) => {
            write_line!(
                out,
                "To share: {} = {} in the pool - {} commission + {} left from the epoch before.",
                pool.to_share.amount,
                pool.reward_pool.amount,
                pool.commission.amount,
                pool.carried_in.amount
            )?;
            write_line!(
                out,
                "The account's weight is {} of {} in total{}. Its share is {} {asset}, cut to multiples of {}.",
                trace.weight,
                pool.total_weight,
                match &payout.share_per_cent {
                    Some(share) => format!(", {share} %"),
                    None => String::new(),
                },
                payout.reward.amount,
                trace.programme.grain.amount
            )?;
        }
        None => write_line!(
            out,
            "The rate on the weight for {} of 365 days: {} {asset}, cut to multiples of {}.",
            duration(trace.epoch_ms),
            payout.reward.amount,
            trace.programme.grain.amount
        )?,
    }
    if payout.withheld_before.units != "0" {
        let from: Vec<_> = payout
            .withheld_from
            .iter()
            .map(|(epoch, share)| format!("{} of epoch {epoch}", share.amount))
            .collect();
        write_line!(
            out,
            "With {} {asset} withheld before ({}), {} are due.",
            payout.withheld_before.amount,
            from.join(", "),
            payout.due.amount
        )?;
    }
    if payout.withheld_after.units != "0" {
        write_line!(
            out,
            "Less than {} is not paid out: {} {asset} are withheld, and paid together with later rewards.",
            trace.programme.min_payout.amount,
            payout.withheld_after.amount
        )?;
    }
    write_line!(out, "Paid: {} {asset}.", payout.paid.amount)
}

fn write_others(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    if trace.others.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    write_line!(out, "Other records of the account")?;
    let mut table = TextTable::new(&["", "when", "what", "event", "where", "why"]);
    for other in &trace.others {
        table.row([
            other.outcome,
            &other.time,
            event_type(&other.event_type),
            &other.event_id,
            &format!("{}, offset {}", other.partition, other.offset),
            other.reason.as_deref().unwrap_or_default(),
        ]);
    }
    table.write(out)
}
