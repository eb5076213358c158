//! `softstake explain`: why an account was paid what it was paid, or nothing.

use std::io::Write;
use std::sync::atomic::AtomicBool;

use clap::Args;
use ethnum::I256;

use crate::audit::explain::{
    EpochStage, ExplainError, ExplainedPayout, Explainer, Explanation, MULTIPLIER_SCALE, RATE_SCALE,
};
use crate::cli::failure::Failure;
use crate::cli::flags::Reading;
use crate::cli::query::write_json;
use crate::cli::table::Table;
use crate::cli::{Outcome, bus};
use crate::core::accrue::row;
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::printable::escape_for_terminal;

/// Tell the whole story of one payout, or of its absence
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is worked out from the log: the balance at the epoch's start, every change with its event, what counts of it, the rules in force, the
division and what is cut off. A refused or late event and a second copy are named, too. The text can be sent to the customer; --json has every number
exactly, in the asset's smallest units.

Example:
  softstake explain ATOM 12 u-0042 --bus dir:bus")]
pub(super) struct Explain {
    /// The asset
    asset: Asset,
    /// The epoch
    epoch: Epoch,
    /// The account
    #[arg(value_parser = account)]
    account: AccountName<'static>,
    #[command(flatten)]
    reading: Reading,
    /// JSON in place of text
    #[arg(long)]
    json: bool,
}

pub(super) fn account(name: &str) -> Result<AccountName<'static>, String> {
    name.parse().map_err(|error| format!("an account's name that {error}"))
}

impl Explain {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let loaded = self.reading.load()?;
        let Some(bus) = bus::view(loaded.bus()?, &loaded.config, &AtomicBool::new(false))? else {
            return Err(Failure::Failed("stopped before the bus was reached".into()));
        };
        let explanation = Explainer::new(bus.as_ref())?.explain(self.asset, self.epoch, &self.account)?;
        if self.json {
            write_json(&explanation, out)?;
        } else {
            tell(&explanation, out)?;
        }
        match explanation.agrees {
            Some(false) => Err(Failure::Found),
            _ => Ok(()),
        }
    }
}

impl From<ExplainError> for Failure {
    fn from(error: ExplainError) -> Self {
        match error {
            ExplainError::Audit(error) => error.into(),
            error @ (ExplainError::NotListed(_) | ExplainError::NoEpoch(_)) => Self::Usage(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// An integer scaled by a power of ten, as a decimal number.
fn scaled(digits: &str, scale: u32) -> String {
    let scale = scale as usize;
    let padded = format!("{digits:0>width$}", width = scale + 1);
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    let fraction = fraction.trim_end_matches('0');
    if fraction.is_empty() {
        whole.to_owned()
    } else {
        format!("{whole}.{fraction}")
    }
}

/// A length of time as people say it.
fn length(ms: u64) -> String {
    let (seconds, ms) = (ms / 1_000, ms % 1_000);
    let parts = [
        (seconds / 86_400, "d"),
        (seconds / 3_600 % 24, "h"),
        (seconds / 60 % 60, "min"),
    ];
    let mut said: Vec<String> = parts
        .into_iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, unit)| format!("{count} {unit}"))
        .collect();
    let seconds = seconds % 60;
    match (seconds, ms) {
        (0, 0) if !said.is_empty() => {}
        (seconds, 0) => said.push(format!("{seconds} s")),
        (seconds, ms) => said.push(format!("{seconds}.{ms:03} s")),
    }
    said.join(" ")
}

fn tell(trace: &Explanation, out: &mut dyn Write) -> Outcome {
    let asset = trace.asset;
    writeln!(
        out,
        "{asset}, epoch {}: {} to {}\nAccount {}\n",
        trace.epoch,
        trace.epoch_start,
        trace.epoch_end,
        escape_for_terminal(&trace.account)
    )?;
    match (&trace.payout, trace.stage) {
        (Some(payout), _) if payout.paid.units != "0" => writeln!(out, "Paid: {} {asset}.", payout.paid.amount)?,
        (Some(payout), _) if payout.due.units != "0" => writeln!(
            out,
            "Nothing was paid: {} {asset} are due, and less than {} {asset} is kept until it adds up.",
            payout.due.amount, trace.programme.min_payout.amount
        )?,
        (Some(_), _) if !trace.eligible => writeln!(out, "Nothing was paid: {}.", because(trace))?,
        (Some(_), _) => writeln!(
            out,
            "Nothing was paid: the share is less than the smallest amount there is."
        )?,
        (None, EpochStage::Open) => writeln!(
            out,
            "This epoch is not closed: what follows is as of now, and may change."
        )?,
        (None, _) => writeln!(
            out,
            "This epoch is closed and being settled: what it pays is not known yet."
        )?,
    }
    if trace.agrees == Some(false) {
        let published = trace.published.as_deref().unwrap_or("nothing");
        writeln!(
            out,
            "THIS IS NOT WHAT WAS PUBLISHED, which is {published}: run `softstake reconcile` before anything else is done."
        )?;
    }

    writeln!(out, "\n1. What was held")?;
    let mut table = Table::new(&[
        "",
        "when",
        ">change",
        ">counts for",
        ">balance-seconds",
        "event",
        "where",
    ]);
    let seconds = |unit_ms: &str| {
        let (sign, digits) = unit_ms.strip_prefix('-').map_or(("", unit_ms), |digits| ("-", digits));
        format!("{sign}{}", scaled(digits, u32::from(trace.decimals) + 3))
    };
    let opening: I256 = trace.opening_balance.units.parse().unwrap_or_default();
    let whole = row::unit_ms(opening, trace.epoch_ms).unwrap_or_default();
    table.row([
        "at the start",
        &trace.epoch_start,
        &trace.opening_balance.amount,
        &length(trace.epoch_ms),
        &seconds(&whole.to_string()),
        "",
        "",
    ]);
    for change in &trace.changes {
        let mut what = kind(&change.event_type).to_owned();
        if let Some(missed) = change.missed_epoch {
            what.push_str(&format!(" (late, of epoch {missed})"));
        }
        table.row([
            &what,
            &change.time,
            &change.delta.amount,
            &length(change.counts_for_ms),
            &seconds(&change.unit_milliseconds),
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
    writeln!(
        out,
        "On average {} {asset} were held: {} balance-seconds in {}.",
        trace.average_balance,
        trace.balance_seconds,
        length(trace.epoch_ms)
    )?;

    rules(trace, out)?;
    if let Some(payout) = &trace.payout {
        share(trace, payout, out)?;
    }
    if !trace.others.is_empty() {
        writeln!(out, "\nOther records that name the account")?;
        let mut table = Table::new(&["", "when", "what", "event", "where", "why"]);
        for other in &trace.others {
            table.row([
                other.outcome,
                &other.time,
                kind(&other.event_type),
                &other.event_id,
                &format!("{}, offset {}", other.partition, other.offset),
                other.reason.as_deref().unwrap_or_default(),
            ]);
        }
        table.write(out)?;
    }
    Ok(())
}

/// An event's type as people say it.
fn kind(kind: &str) -> &str {
    kind.strip_prefix("exchange.")
        .and_then(|kind| kind.strip_suffix(".v1"))
        .unwrap_or(kind)
}

fn because(trace: &Explanation) -> String {
    match trace.ineligible_because {
        Some("status") => "the account's status bars it from this epoch".into(),
        Some("negative") => "the balance was negative on average".into(),
        Some("below_minimum") => format!(
            "on average {} {} were held, and less than {} earns nothing",
            trace.average_balance, trace.asset, trace.programme.min_balance.amount
        ),
        Some(reason) => reason.into(),
        None => String::new(),
    }
}

fn rules(trace: &Explanation, out: &mut dyn Write) -> Outcome {
    let (asset, rules) = (trace.asset, &trace.programme);
    writeln!(out, "\n2. What of it counts")?;
    let mut said = vec![match &rules.apr_scaled {
        Some(apr) => format!("a yearly rate of {}", scaled(apr, RATE_SCALE)),
        None => format!(
            "a share of the pool, of which the exchange keeps {}",
            rules.commission_rate
        ),
    }];
    if rules.min_balance.units != "0" {
        said.push(format!("an average below {} earns nothing", rules.min_balance.amount));
    }
    if let Some(most) = &rules.max_balance {
        said.push(format!("what is above {} on average earns nothing", most.amount));
    }
    writeln!(out, "Rules since epoch {}: {}.", rules.from_epoch, said.join("; "))?;
    for status in &trace.statuses {
        writeln!(
            out,
            "Status {} from {} (event {}, {}, offset {}){}",
            status.status,
            status.time,
            escape_for_terminal(&status.event_id),
            status.partition,
            status.offset,
            if status.counts {
                "."
            } else {
                ": published after the cut, so it does not count here."
            }
        )?;
    }
    if !trace.eligible {
        return Ok(writeln!(out, "It earns nothing: {}.", because(trace))?);
    }
    let seconds = |unit_ms: &str| scaled(unit_ms, u32::from(trace.decimals) + 3);
    if trace.counted_unit_milliseconds != trace.unit_milliseconds {
        writeln!(
            out,
            "Above the limit: {} balance-seconds count.",
            seconds(&trace.counted_unit_milliseconds)
        )?;
    }
    for part in &trace.tiers {
        writeln!(
            out,
            "{} {asset}-seconds count {} times.",
            seconds(&part.unit_milliseconds),
            scaled(&part.multiplier_scaled, MULTIPLIER_SCALE)
        )?;
    }
    Ok(writeln!(out, "The weight is {}.", trace.weight)?)
}

fn share(trace: &Explanation, payout: &ExplainedPayout, out: &mut dyn Write) -> Outcome {
    let asset = trace.asset;
    writeln!(out, "\n3. What it earns")?;
    match &payout.pool {
        Some(pool) => {
            writeln!(
                out,
                "To share: {} = {} in the pool - {} commission + {} left over from the epoch before.",
                pool.to_share.amount, pool.reward_pool.amount, pool.commission.amount, pool.carried_in.amount
            )?;
            writeln!(
                out,
                "Of that {} in {}, the account's weight in that of all: {} {asset}, cut to multiples of {}.",
                trace.weight, pool.total_weight, payout.reward.amount, trace.programme.grain.amount
            )?;
        }
        None => writeln!(
            out,
            "The rate on the weight for {} of 365 days: {} {asset}, cut to multiples of {}.",
            length(trace.epoch_ms),
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
        writeln!(
            out,
            "With {} {asset} kept before ({}), {} are due.",
            payout.withheld_before.amount,
            from.join(", "),
            payout.due.amount
        )?;
    }
    if payout.withheld_after.units != "0" {
        writeln!(
            out,
            "Less than {} is not paid out: {} {asset} are kept, and paid with what comes.",
            trace.programme.min_payout.amount, payout.withheld_after.amount
        )?;
    }
    Ok(writeln!(out, "Paid: {} {asset}.", payout.paid.amount)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times_are_said_as_people_say_them() {
        assert_eq!(scaled("1500000", 6), "1.5");
        assert_eq!(scaled("1", 3), "0.001");
        assert_eq!(scaled("12000", 3), "12");
        assert_eq!(length(86_400_000), "1 d");
        assert_eq!(length(90_061_001), "1 d 1 h 1 min 1.001 s");
        assert_eq!(length(0), "0 s");
        assert_eq!(length(3_600_000), "1 h");
    }
}
