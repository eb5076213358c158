//! An explanation as a letter to the customer: short, in everyday words, with nothing of another account and nothing of the inner workings.

use crate::audit::explain::{EpochStage, ExplainedPayout, ExplainedPool, Explanation, OtherRecord};
use crate::cli::explain::words::{commission, duration_in_words, moment, multiplier, yearly_rate};
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::table::TextTable;
use crate::core::values::time::TimeMs;

pub(super) fn write(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    write_line!(out, "Your {} reward", trace.asset)?;
    write_line!(out)?;
    write_line!(out, "Account: {}", trace.account)?;
    write_line!(
        out,
        "Period: {} to {} (all times are UTC)",
        moment(&trace.epoch_start),
        moment(&trace.epoch_end)
    )?;
    write_line!(out)?;
    write_line!(out, "{}", result(trace))?;
    write_held(trace, out)?;
    if let Some(payout) = trace.payout.as_ref().filter(|_| trace.eligible) {
        write_line!(out)?;
        write_line!(out, "How the reward follows")?;
        for sentence in reward(trace, payout) {
            write_line!(out, "{sentence}")?;
        }
    }
    let apart: Vec<String> = trace
        .others
        .iter()
        .filter_map(|other| set_apart(other, trace))
        .collect();
    if !apart.is_empty() {
        write_line!(out)?;
        apart.iter().try_for_each(|sentence| write_line!(out, "{sentence}"))?;
    }
    Ok(())
}

/// What the customer got, in a sentence.
fn result(trace: &Explanation) -> String {
    let (asset, rules) = (trace.asset, &trace.programme);
    match (&trace.payout, trace.stage) {
        (Some(payout), _) if payout.paid.units != "0" => format!("You received {} {asset}.", payout.paid.amount),
        (Some(payout), _) if payout.due.units != "0" => format!(
            "You have earned {} {asset}. Less than {} {asset} is not paid out at once: it is kept for you, and paid with a later reward.",
            payout.due.amount, rules.min_payout.amount
        ),
        (Some(_), _) if !trace.eligible => format!("You received no reward: {}.", no_reward(trace)),
        (Some(_), _) => format!(
            "You received no reward: your share was less than {} {asset}.",
            rules.grain.amount
        ),
        (None, EpochStage::Open) => "This period is not finished: the figures below can still change.".into(),
        (None, _) => "The reward of this period is being worked out. It is not known yet.".into(),
    }
}

/// Why the account earns nothing.
fn no_reward(trace: &Explanation) -> String {
    let asset = trace.asset;
    match trace.ineligible_because {
        Some("status") => "your account did not take part in this period".into(),
        Some("negative") => "your average balance was negative".into(),
        Some("below_minimum") => format!(
            "your average balance was {} {asset}, and less than {} {asset} earns nothing",
            trace.average_balance, trace.programme.min_balance.amount
        ),
        _ => format!("you held no {asset} in this period"),
    }
}

fn write_held(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    let asset = trace.asset;
    write_line!(out)?;
    write_line!(out, "What you held")?;
    write_line!(
        out,
        "You held {} {asset} at the start and {} {asset} at the end. On average it was {} {asset}.",
        trace.opening_balance.amount,
        trace.closing_balance.amount,
        trace.average_balance
    )?;
    if trace.changes.is_empty() {
        return Ok(());
    }
    let mut table = TextTable::new(&["", "when", ">change", "counted for"]);
    for change in &trace.changes {
        let late = if change.missed_epoch.is_some() {
            " (recorded late, for an earlier period)"
        } else {
            ""
        };
        table.row([
            &format!("{}{late}", kind(&change.event_type)),
            &moment(&change.time),
            &change.delta.amount,
            &duration_in_words(change.counts_for_ms),
        ]);
    }
    table.write(out)
}

/// The steps from the balance to the amount.
fn reward(trace: &Explanation, payout: &ExplainedPayout) -> Vec<String> {
    let (asset, rules) = (trace.asset, &trace.programme);
    let mut sentences = counted(trace);
    match (&payout.pool, yearly_rate(rules)) {
        (Some(pool), _) => sentences.extend(share(trace, payout, pool)),
        (None, Some(rate)) => sentences.push(format!(
            "It earns {rate} a year. For {} of 365 days that is {} {asset}.",
            duration_in_words(trace.epoch_ms),
            payout.reward.amount
        )),
        (None, None) => {}
    }
    sentences.push(format!(
        "Rewards are rounded down to multiples of {} {asset}.",
        rules.grain.amount
    ));
    if payout.withheld_before.units != "0" {
        sentences.push(format!(
            "{} {asset} were kept for you from earlier periods. Together that is {} {asset}.",
            payout.withheld_before.amount, payout.due.amount
        ));
    }
    sentences
}

/// The part of the balance that counts.
fn counted(trace: &Explanation) -> Vec<String> {
    let (asset, rules) = (trace.asset, &trace.programme);
    let mut sentences = Vec::new();
    if trace.counted_unit_milliseconds != trace.unit_milliseconds
        && let Some(most) = &rules.max_balance
    {
        sentences.push(format!(
            "Of your average balance, {} {asset} count, which is the most that can.",
            most.amount
        ));
    }
    let times = |scaled: &str| match multiplier(scaled).as_str() {
        "1" => "once".to_owned(),
        times => format!("{times} times"),
    };
    match &trace.tiers[..] {
        [] => {}
        [only] if times(&only.multiplier_scaled) == "once" => {}
        parts => {
            let parts: Vec<String> = parts
                .iter()
                .map(|part| {
                    format!(
                        "{} {asset} count {}",
                        part.average_balance,
                        times(&part.multiplier_scaled)
                    )
                })
                .collect();
            sentences.push(format!("Of your average balance, {}.", parts.join(", ")));
        }
    }
    sentences
}

/// From the rewards of all to the customer's share.
fn share(trace: &Explanation, payout: &ExplainedPayout, pool: &ExplainedPool) -> Vec<String> {
    let (asset, rules) = (trace.asset, &trace.programme);
    let mut all = format!("The rewards of this period were {} {asset}.", pool.reward_pool.amount);
    if pool.commission.units != "0" {
        all.push_str(&format!(
            " The exchange keeps {} of them, which is {} {asset}.",
            commission(rules),
            pool.commission.amount
        ));
    }
    if pool.carried_in.units != "0" {
        all.push_str(&format!(
            " {} {asset} were left from the period before.",
            pool.carried_in.amount
        ));
    }
    let own = match &payout.share_per_cent {
        Some(share) => format!("Your share was {share} %, which is {} {asset}.", payout.reward.amount),
        None => format!("Your share was {} {asset}.", payout.reward.amount),
    };
    let shared = format!(
        "{} {asset} were shared among all customers by how much each of them held, and for how long.",
        pool.to_share.amount
    );
    vec![all, shared, own]
}

/// A sentence about a record that changed nothing in this period; `None` if it is of no interest to the customer.
fn set_apart(other: &OtherRecord, trace: &Explanation) -> Option<String> {
    let what = format!("The {} of {}", kind(&other.event_type), moment(&other.time));
    match (other.outcome, other.code.as_deref()) {
        ("late", _) => Some(format!(
            "{what} was recorded after this period was closed. It counts in a later period."
        )),
        ("refused", code) if lies_within(&other.time, trace) => {
            let why = match code {
                Some("too_old") => "it was recorded too late",
                Some("conflicting_duplicate") => "it contradicts an earlier record of the same number",
                _ => "its record was wrong",
            };
            Some(format!(
                "{what} could not be counted, because {why}. Please ask our support."
            ))
        }
        ("skipped", _) if lies_within(&other.time, trace) => Some(format!(
            "{what} could not be counted, because its record was lost. Please ask our support."
        )),
        _ => None,
    }
}

/// Whether a time lies within the period.
fn lies_within(time: &str, trace: &Explanation) -> bool {
    let ms = |text: &str| TimeMs::parse(text).ok().map(TimeMs::get);
    match (ms(&trace.epoch_start), ms(time), ms(&trace.epoch_end)) {
        (Some(start), Some(time), Some(end)) => (start..end).contains(&time),
        _ => false,
    }
}

/// The everyday word for a type of event.
fn kind(event_type: &str) -> &'static str {
    match event_type {
        "exchange.deposit.v1" => "deposit",
        "exchange.opening_balance.v1" => "opening balance",
        "exchange.withdrawal.v1" => "withdrawal",
        "exchange.trade.v1" => "trade",
        "exchange.transfer.v1" => "transfer",
        "exchange.balance_adjustment.v1" => "adjustment",
        "exchange.account_status.v1" => "change of status",
        _ => "record",
    }
}
