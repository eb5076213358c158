//! An explanation as text for auditors and support: every figure, event and position.

use ethnum::I256;

use crate::audit::explain::{
    EpochStage, ExplainedOwner, ExplainedPayout, ExplainedPool, Explanation, GateDecision, RATE_SCALE,
};
use crate::cli::explain::corrections;
use crate::cli::explain::words::{
    balance_seconds, commission, duration, event_type, multiplier, per_cent, place, scaled, yearly_rate,
};
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
    write_gate(trace, out)?;
    write_holding(trace, out)?;
    write_rules(trace, out)?;
    if let Some(payout) = &trace.payout {
        write_reward(trace, payout, out)?;
    }
    corrections::write(trace, out)?;
    write_adjustments(trace, out)?;
    if let Some(payout) = &trace.payout {
        write_payout(trace, payout, out)?;
    }
    write_others(trace, out)
}

fn write_result(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    let asset = trace.reward_asset;
    match (&trace.payout, trace.stage) {
        (Some(payout), _) if payout.paid.units != "0" => write_line!(out, "Paid: {} {asset}.", payout.paid.amount)?,
        (Some(payout), _) if payout.due.units != "0" => {
            write_line!(
                out,
                "Nothing was paid: {} {asset} are due. {}",
                payout.due.amount,
                why_withheld(trace, payout)
            )?;
        }
        (Some(_), _) if !trace.eligible => write_line!(out, "Nothing was paid: {}.", reason(trace))?,
        (Some(_), _) => write_line!(out, "Nothing was paid: the share is less than the smallest unit.")?,
        (None, EpochStage::Open) => write_line!(
            out,
            "This epoch is not closed: the figures below are as of now, and may change."
        )?,
        (None, EpochStage::Held) => write_line!(
            out,
            "This epoch is held: nothing of it is published until it is released."
        )?,
        (None, EpochStage::Void) => write_line!(
            out,
            "This epoch is void: nothing of it is published until it is closed again."
        )?,
        (None, EpochStage::Waiting) => write_line!(
            out,
            "This epoch waits: an earlier one is held or void, and has to be settled first."
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

/// What was decided about an epoch that the gate held.
fn write_gate(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    let asset = trace.reward_asset;
    for decision in &trace.gate {
        match decision {
            GateDecision::EpochHeld {
                epoch,
                limit,
                largest,
                total,
                change,
            } => {
                let change = match change {
                    Some(change) => format!("the rewards differ from the epoch before by {change} of these"),
                    None => "there is no epoch before to compare with".into(),
                };
                write_line!(
                    out,
                    "Epoch {epoch} was held ({limit}): its largest payout is {largest} {asset}, all are {total} {asset}; {change}."
                )?;
            }
            GateDecision::EpochReleased { epoch, by, reason } => {
                write_line!(out, "Epoch {epoch} was released by {by}: {reason}")?;
            }
            GateDecision::EpochVoid { epoch, by, reason } => {
                write_line!(out, "Epoch {epoch} was made void by {by}: {reason}")?;
            }
            GateDecision::ClosedAgain { epoch } => write_line!(out, "Epoch {epoch} was closed again.")?,
        }
    }
    Ok(())
}

/// Why the account earns nothing.
fn reason(trace: &Explanation) -> String {
    match trace.ineligible_because {
        Some("status") => "the account's status excludes it from this epoch".into(),
        Some("negative") => "the average balance was negative".into(),
        Some("below_minimum") => {
            let (whose, average) = match &trace.owner {
                Some(owner) => ("average balance of the owner's accounts", &owner.average_balance),
                None => ("average balance", &trace.average_balance),
            };
            format!(
                "the {whose} was {average} {}, and less than {} earns nothing",
                trace.asset, trace.programme.min_balance.amount
            )
        }
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
        let mut what = event_type(&change.event.event_type).to_owned();
        if let Some(missed) = change.missed_epoch {
            what.push_str(&format!(" (late, of epoch {missed})"));
        }
        table.row([
            &what,
            &change.event.time,
            &change.delta.amount,
            &duration(change.counts_for_ms),
            &balance_seconds(&change.unit_milliseconds, trace),
            &change.event.event_id,
            &place(&change.event),
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

/// The rules of the epoch in a sentence.
fn rules(trace: &Explanation) -> String {
    let rules = &trace.programme;
    let mut terms = vec![match (rules.mode, yearly_rate(rules)) {
        ("pool", _) => format!("a share of the pool, of which the exchange keeps {}", commission(rules)),
        (_, Some(rate)) if rules.is_apr_of_close => format!("a yearly rate of {rate}, which the close gave"),
        (_, Some(rate)) => format!("a yearly rate of {rate}"),
        (_, None) => "a yearly rate for each part of the balance".into(),
    }];
    if let Some(rate) = &rules.reward_rate_scaled {
        terms.push(format!(
            "paid at {} {} for 1 {}",
            scaled(rate, RATE_SCALE),
            trace.reward_asset,
            trace.asset
        ));
    }
    if rules.scope == "owner" {
        terms.push("all accounts of the owner are taken together".into());
    }
    if rules.min_balance.units != "0" {
        terms.push(format!("an average below {} earns nothing", rules.min_balance.amount));
    }
    if let Some(most) = &rules.max_balance {
        terms.push(format!("the part of an average above {} earns nothing", most.amount));
    }
    if rules.is_last_epoch {
        terms.push(
            "the asset was withdrawn, and this is its last epoch: any multiple of the smallest payout is paid".into(),
        );
    }
    format!("Rules since epoch {}: {}.", rules.from_epoch, terms.join("; "))
}

fn write_statuses(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    for status in &trace.statuses {
        let whose = match status.account == trace.account {
            true => String::new(),
            false => format!(" of the owner's account {}", status.account),
        };
        let scope = status
            .asset
            .map_or_else(|| "all assets".into(), |asset| asset.to_string());
        let effect = match (status.effect, status.counts) {
            (_, false) => ": published after the cut, so it does not count in this epoch.",
            (Some("bars"), _) => ": it excludes the account from this epoch.",
            (Some(_), _) => ": it decides at the start of this epoch.",
            (None, _) => ".",
        };
        write_line!(
            out,
            "Status {}{whose} for {scope} from {} (event {}, {}, offset {}){effect}",
            status.status,
            status.time,
            status.event_id,
            status.partition,
            status.offset,
        )?;
    }
    Ok(())
}

fn write_rules(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    write_line!(out)?;
    write_line!(out, "2. What of it counts")?;
    write_line!(out, "{}", rules(trace))?;
    write_statuses(trace, out)?;
    if let Some(owner) = &trace.owner {
        write_owner(trace, owner, out)?;
    }
    if !trace.eligible {
        return write_line!(out, "The account earns nothing: {}.", reason(trace));
    }
    let (held, counted) = match &trace.owner {
        Some(owner) => (&owner.unit_milliseconds, &owner.counted_unit_milliseconds),
        None => (&trace.unit_milliseconds, &trace.counted_unit_milliseconds),
    };
    if counted != held {
        write_line!(
            out,
            "The average is above the limit: {} balance-seconds count.",
            balance_seconds(counted, trace)
        )?;
    }
    for part in &trace.tiers {
        let part_seconds = balance_seconds(&part.unit_milliseconds, trace);
        match (&part.multiplier_scaled, &part.apr_scaled) {
            (Some(times), _) => write_line!(
                out,
                "{part_seconds} {}-seconds count {} times.",
                trace.asset,
                multiplier(times)
            )?,
            (None, Some(rate)) => write_line!(
                out,
                "{part_seconds} {}-seconds earn {} a year.",
                trace.asset,
                per_cent(rate)
            )?,
            (None, None) => {}
        }
    }
    match &trace.owner {
        Some(owner) => write_line!(
            out,
            "The owner's weight is {}. The account's part of it is {} * {} / {}, rounded down: the weight is {}.",
            owner.weight,
            owner.weight,
            trace.unit_milliseconds,
            owner.unit_milliseconds,
            trace.weight
        ),
        None => write_line!(out, "The weight is {}.", trace.weight),
    }
}

/// The accounts of the owner together.
fn write_owner(trace: &Explanation, owner: &ExplainedOwner, out: &mut Output<'_>) -> Outcome {
    let mut table = TextTable::new(&["account of the owner", ">balance-seconds", ""]);
    for account in &owner.accounts {
        table.row([
            account.account.as_str(),
            &balance_seconds(&account.unit_milliseconds, trace),
            if account.counts { "" } else { "does not count" },
        ]);
    }
    table.row(["together", &balance_seconds(&owner.unit_milliseconds, trace), ""]);
    table.write(out)
}

fn write_pool(trace: &Explanation, payout: &ExplainedPayout, pool: &ExplainedPool, out: &mut Output<'_>) -> Outcome {
    let asset = trace.reward_asset;
    write_line!(
        out,
        "To share: {} {asset} = {} in the pool - {} commission + {} left from the epoch before.",
        pool.to_share.amount,
        pool.reward_pool.amount,
        pool.commission.amount,
        pool.carried_in.amount
    )?;
    if pool.to_share.units == "0" || pool.to_share.units.starts_with('-') {
        return write_line!(
            out,
            "So nothing is shared. {} {asset} are carried into the next epoch.",
            pool.to_share.amount
        );
    }
    if pool.total_weight == "0" {
        return write_line!(
            out,
            "Nobody has weight, so {} {asset} went back to the treasury.",
            pool.returned.amount
        );
    }
    write_line!(
        out,
        "The account's weight is {} of {} in total{}. Its share is {} * {} / {}, rounded down to a unit: {} {asset}.",
        trace.weight,
        pool.total_weight,
        match &payout.share_per_cent {
            Some(share) => format!(", {share} %"),
            None => String::new(),
        },
        pool.to_share.amount,
        trace.weight,
        pool.total_weight,
        payout.rewarded.amount,
    )
}

fn write_reward(trace: &Explanation, payout: &ExplainedPayout, out: &mut Output<'_>) -> Outcome {
    write_line!(out)?;
    write_line!(out, "3. What it earns")?;
    if let Some(pool) = &payout.pool {
        write_pool(trace, payout, pool, out)?;
    }
    if let Some(rate) = &payout.rate {
        write_line!(
            out,
            "The rate on the weight for {} of 365 days: {} * {} / {} units, rounded down: {} {}.",
            duration(trace.epoch_ms),
            trace.weight,
            rate.numerator,
            rate.denominator,
            payout.rewarded.amount,
            trace.reward_asset
        )?;
    }
    Ok(())
}

fn write_adjustments(trace: &Explanation, out: &mut Output<'_>) -> Outcome {
    if trace.adjustments.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    write_line!(out, "Adjustments of the account's rewards, in {}", trace.reward_asset)?;
    let mut table = TextTable::new(&["when", ">change", "event", "where", ""]);
    for adjustment in &trace.adjustments {
        let late = adjustment
            .missed_epoch
            .map_or_else(String::new, |missed| format!("late, of epoch {missed}"));
        table.row([
            &adjustment.event.time,
            &adjustment.delta.amount,
            &adjustment.event.event_id,
            &place(&adjustment.event),
            &late,
        ]);
    }
    table.write(out)
}

/// Why a part of the due is not paid.
fn why_withheld(trace: &Explanation, payout: &ExplainedPayout) -> String {
    let (asset, rules) = (trace.reward_asset, &trace.programme);
    let left = &payout.withheld_after.amount;
    match payout.withheld_because {
        Some("debt") => format!(
            "This is a debt of {} {asset}: later rewards make it up first.",
            left.trim_start_matches('-')
        ),
        Some("excluded") => format!("The account is excluded, so it is paid nothing: {left} {asset} are withheld."),
        Some("below_min_payout") => format!(
            "Less than {} {asset} is not paid out: {left} {asset} are withheld, and paid together with later rewards.",
            rules.min_payout.amount
        ),
        Some(_) => format!(
            "Only multiples of {} {asset} are paid out: {left} {asset} are withheld, and paid together with later rewards.",
            rules.grain.amount
        ),
        None => String::new(),
    }
}

fn write_payout(trace: &Explanation, payout: &ExplainedPayout, out: &mut Output<'_>) -> Outcome {
    let asset = trace.reward_asset;
    write_line!(out)?;
    write_line!(out, "What is paid")?;
    write_line!(
        out,
        "Due: {} {asset} = {} earned + {} made good + {} adjusted + {} withheld before.",
        payout.due.amount,
        payout.rewarded.amount,
        payout.made_good.amount,
        payout.adjusted.amount,
        payout.withheld_before.amount
    )?;
    if !payout.withheld_from.is_empty() {
        let from: Vec<_> = payout
            .withheld_from
            .iter()
            .map(|(epoch, added)| format!("{} of epoch {epoch}", added.amount))
            .collect();
        write_line!(
            out,
            "Withheld before: {} {asset} = {}.",
            payout.withheld_before.amount,
            from.join(" + ")
        )?;
    }
    if payout.withheld_because.is_some() {
        write_line!(out, "{}", why_withheld(trace, payout))?;
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
            &other.event.time,
            event_type(&other.event.event_type),
            &other.event.event_id,
            &place(&other.event),
            other.reason.as_deref().unwrap_or_default(),
        ]);
    }
    table.write(out)
}
