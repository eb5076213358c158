//! An explanation as a letter to the customer: short, in everyday words, with nothing of another account and nothing of the inner workings.

use crate::audit::explain::{
    EpochStage, ExplainedCorrection, ExplainedPayout, ExplainedPool, ExplainedTier, Explanation, OtherRecord,
    RATE_SCALE,
};
use crate::cli::explain::words::{commission, duration_in_words, moment, multiplier, per_cent, scaled, yearly_rate};
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
    if let Some(payout) = &trace.payout {
        let sentences = [reward(trace, payout), due(trace, payout)].concat();
        if !sentences.is_empty() {
            write_line!(out)?;
            write_line!(out, "How the reward follows")?;
            sentences
                .iter()
                .try_for_each(|sentence| write_line!(out, "{sentence}"))?;
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
    let (asset, rules) = (trace.reward_asset, &trace.programme);
    let Some(payout) = &trace.payout else {
        return match trace.stage {
            EpochStage::Open => "This period is not finished: the figures below can still change.".into(),
            EpochStage::Held | EpochStage::Void | EpochStage::Waiting => {
                "The reward of this period is being checked. It is not known yet.".into()
            }
            EpochStage::Closed | EpochStage::Sealed => {
                "The reward of this period is being worked out. It is not known yet.".into()
            }
        };
    };
    if payout.paid.units != "0" {
        return format!("You received {} {asset}.", payout.paid.amount);
    }
    let due = &payout.due.amount;
    match payout.withheld_because {
        Some("debt") => format!(
            "You received no reward: earlier rewards were {} {asset} too high. Later rewards make this up first.",
            due.trim_start_matches('-')
        ),
        Some("excluded") => format!(
            "You received no reward: your account did not take part in this period. {due} {asset} are kept for you."
        ),
        Some("below_min_payout") => format!(
            "You have earned {due} {asset}. Less than {} {asset} is not paid out at once: it is kept for you, and paid with a later reward.",
            rules.min_payout.amount
        ),
        Some(_) => format!(
            "You have earned {due} {asset}. Less than {} {asset} is not paid out: it is kept for you, and paid with a later reward.",
            rules.grain.amount
        ),
        None if !trace.eligible => format!("You received no reward: {}.", no_reward(trace)),
        None => "You received no reward: your share was less than the smallest amount that there is.".into(),
    }
}

/// Why the account earns nothing.
fn no_reward(trace: &Explanation) -> String {
    let asset = trace.asset;
    match trace.ineligible_because {
        Some("status") => "your account did not take part in this period".into(),
        Some("negative") => "your average balance was negative".into(),
        Some("below_minimum") => match &trace.owner {
            Some(owner) => format!(
                "the average balance of all your accounts was {} {asset}, and less than {} {asset} earns nothing",
                owner.average_balance, trace.programme.min_balance.amount
            ),
            None => format!(
                "your average balance was {} {asset}, and less than {} {asset} earns nothing",
                trace.average_balance, trace.programme.min_balance.amount
            ),
        },
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
            &format!("{}{late}", kind(&change.event.event_type)),
            &moment(&change.event.time),
            &change.delta.amount,
            &duration_in_words(change.counts_for_ms),
        ]);
    }
    table.write(out)
}

/// The steps from the balance to what it earns; none if it earns nothing.
fn reward(trace: &Explanation, payout: &ExplainedPayout) -> Vec<String> {
    if !trace.eligible {
        return Vec::new();
    }
    let (asset, rules) = (trace.reward_asset, &trace.programme);
    let mut sentences = counted(trace);
    if let Some(pool) = &payout.pool {
        sentences.extend(share(trace, payout, pool));
        return sentences;
    }
    let paid_at = match &rules.reward_rate_scaled {
        Some(rate) => format!(", at {} {asset} for 1 {}", scaled(rate, RATE_SCALE), trace.asset),
        None => String::new(),
    };
    let year = match yearly_rate(rules) {
        Some(rate) => format!("It earns {rate} a year. "),
        None => String::new(),
    };
    sentences.push(format!(
        "{year}For {} of 365 days that is {} {asset}{paid_at}.",
        duration_in_words(trace.epoch_ms),
        payout.rewarded.amount
    ));
    sentences
}

/// What else is due, and what of it is not paid yet.
fn due(trace: &Explanation, payout: &ExplainedPayout) -> Vec<String> {
    let (asset, rules) = (trace.reward_asset, &trace.programme);
    let mut sentences: Vec<String> = trace
        .corrections
        .iter()
        .filter_map(|one| made_good(one, trace))
        .collect();
    for adjustment in &trace.adjustments {
        let when = moment(&adjustment.event.time);
        sentences.push(match adjustment.delta.amount.strip_prefix('-') {
            Some(amount) => format!("{amount} {asset} were taken off your rewards on {when}."),
            None => format!(
                "{} {asset} were added to your rewards on {when}.",
                adjustment.delta.amount
            ),
        });
    }
    let before = &payout.withheld_before.amount;
    match before.strip_prefix('-') {
        Some(debt) => sentences.push(format!(
            "Rewards of earlier periods were {debt} {asset} too high, which is taken off."
        )),
        None if before != "0" => sentences.push(format!("{before} {asset} were kept for you from earlier periods.")),
        None => {}
    }
    if payout.due.units != payout.rewarded.units {
        sentences.push(format!("Together that is {} {asset}.", payout.due.amount));
    }
    if payout.paid.units != "0" && payout.withheld_after.units != "0" {
        sentences.push(format!(
            "Payouts are rounded down to multiples of {} {asset}: {} {asset} are kept for you, and paid with a later reward.",
            rules.grain.amount, payout.withheld_after.amount
        ));
    }
    sentences
}

/// A closed period that was worked out again; `None` if nothing came of it.
fn made_good(correction: &ExplainedCorrection, trace: &Explanation) -> Option<String> {
    if correction.made_good.units == "0" {
        return None;
    }
    let asset = trace.reward_asset;
    let difference = &correction.made_good.amount;
    let what = match difference.strip_prefix('-') {
        Some(amount) => format!("{amount} {asset} are taken off now"),
        None => format!("{difference} {asset} are added now"),
    };
    Some(format!(
        "A record of the period that began on {} came late, so its reward was worked out again: {} {asset} instead of {} {asset}. {what}.",
        moment(&correction.epoch_start),
        correction.corrected.rewarded.amount,
        correction.before.amount
    ))
}

/// The part of the balance that counts.
fn counted(trace: &Explanation) -> Vec<String> {
    let (asset, rules) = (trace.asset, &trace.programme);
    let mut sentences = Vec::new();
    let (whose, held, counted) = match &trace.owner {
        Some(owner) => {
            if owner.accounts.len() > 1 {
                sentences.push(format!(
                    "All your accounts are taken together. On average they held {} {asset}.",
                    owner.average_balance
                ));
            }
            (
                "of all your accounts",
                &owner.unit_milliseconds,
                &owner.counted_unit_milliseconds,
            )
        }
        None => ("", &trace.unit_milliseconds, &trace.counted_unit_milliseconds),
    };
    let balance = match whose {
        "" => "your average balance".to_owned(),
        whose => format!("the average balance {whose}"),
    };
    if counted != held
        && let Some(most) = &rules.max_balance
    {
        sentences.push(format!(
            "Of {balance}, {} {asset} count, which is the most that can.",
            most.amount
        ));
    }
    match &trace.tiers[..] {
        [] => {}
        [only] if times(only) == "count once" => {}
        parts => {
            let parts: Vec<String> = parts
                .iter()
                .map(|part| format!("{} {asset} {}", part.average_balance, times(part)))
                .collect();
            sentences.push(format!("Of {balance}, {}.", parts.join(", ")));
        }
    }
    sentences
}

/// How often the balance in a tier counts, or what it earns.
fn times(tier: &ExplainedTier) -> String {
    if let Some(rate) = &tier.apr_scaled {
        return format!("earn {} a year", per_cent(rate));
    }
    match tier.multiplier_scaled.as_deref().map(multiplier).as_deref() {
        Some("1") | None => "count once".into(),
        Some(times) => format!("count {times} times"),
    }
}

/// From the rewards of all to the customer's share.
fn share(trace: &Explanation, payout: &ExplainedPayout, pool: &ExplainedPool) -> Vec<String> {
    let (asset, rules) = (trace.reward_asset, &trace.programme);
    let mut all = match pool.reward_pool.amount.strip_prefix('-') {
        Some(loss) => format!("There were no rewards in this period, but a loss of {loss} {asset}."),
        None => format!("The rewards of this period were {} {asset}.", pool.reward_pool.amount),
    };
    if pool.commission.units != "0" {
        all.push_str(&format!(
            " The exchange keeps {} of them, which is {} {asset}.",
            commission(rules),
            pool.commission.amount
        ));
    }
    match pool.carried_in.amount.strip_prefix('-') {
        Some(loss) => all.push_str(&format!(
            " A loss of {loss} {asset} of earlier periods is made up first."
        )),
        None if pool.carried_in.units != "0" => all.push_str(&format!(
            " {} {asset} were left from the period before.",
            pool.carried_in.amount
        )),
        None => {}
    }
    if pool.to_share.units == "0" || pool.to_share.units.starts_with('-') {
        return vec![all, "So there was nothing to share.".into()];
    }
    let own = match &payout.share_per_cent {
        Some(share) => format!("Your share was {share} %, which is {} {asset}.", payout.rewarded.amount),
        None => format!("Your share was {} {asset}.", payout.rewarded.amount),
    };
    let shared = format!(
        "{} {asset} were shared among all customers by how much each of them held, and for how long.",
        pool.to_share.amount
    );
    vec![all, shared, own]
}

/// A sentence about a record that changed nothing in this period; `None` if it is of no interest to the customer.
fn set_apart(other: &OtherRecord, trace: &Explanation) -> Option<String> {
    let what = format!("The {} of {}", kind(&other.event.event_type), moment(&other.event.time));
    match (other.outcome, other.code.as_deref()) {
        ("late", _) => Some(format!(
            "{what} was recorded after this period was closed. It counts in a later period."
        )),
        ("refused", code) if lies_within(&other.event.time, trace) => {
            let why = match code {
                Some("too_old") => "it was recorded too late",
                Some("conflicting_duplicate") => "it contradicts an earlier record of the same number",
                _ => "its record was wrong",
            };
            Some(format!(
                "{what} could not be counted, because {why}. Please ask our support."
            ))
        }
        ("skipped", _) if lies_within(&other.event.time, trace) => Some(format!(
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
        "exchange.reward_adjustment.v1" => "adjustment of rewards",
        "exchange.account_status.v1" => "change of status",
        _ => "record",
    }
}
