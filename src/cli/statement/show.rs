//! A statement as tables and as CSV.

use std::path::Path;

use crate::cli::csv_file::{CsvFile, CsvForm};
use crate::cli::missing;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::statement::findings::{StatementFindings, UnsealedEpoch};
use crate::cli::statement::seals::Seals;
use crate::cli::statement::totals::PeriodTotal;
use crate::cli::table::{TextTable, count};
use crate::core::contract::records::Seal;

/// The columns of a line, named like the fields of a seal.
const COLUMNS: [&str; 15] = [
    "asset",
    "epoch",
    "epoch_start",
    "epoch_end",
    "mode",
    "reward_pool",
    "commission",
    "carried_in",
    "rewarded",
    "withheld_before",
    "distributed",
    "withheld_after",
    "carried_out",
    "distributions",
    "closing_balance",
];

fn line(seal: &Seal<'_>) -> [String; 15] {
    [
        seal.asset.to_string(),
        seal.epoch.to_string(),
        seal.epoch_start.to_string(),
        seal.epoch_end.to_string(),
        seal.mode.to_string(),
        seal.reward_pool.to_string(),
        seal.commission.to_string(),
        seal.carried_in.to_string(),
        seal.rewarded.to_string(),
        seal.withheld_before.to_string(),
        seal.distributed.to_string(),
        seal.withheld_after.to_string(),
        seal.carried_out.to_string(),
        seal.distributions.to_string(),
        seal.closing_balance.to_string(),
    ]
}

pub(super) fn csv(seals: &Seals, path: &Path, form: CsvForm) -> Outcome {
    let mut file = CsvFile::create(path, form, &COLUMNS)?;
    for seal in seals.values() {
        file.row(line(seal))?;
    }
    file.finish()
}

pub(super) fn tables(findings: &StatementFindings, out: &mut Output<'_>) -> Outcome {
    let StatementFindings {
        seals,
        totals,
        unsealed,
        resolved,
        wrong,
    } = findings;
    missing::show(resolved.missing(), out)?;
    if totals.is_empty() {
        write_line!(out, "No epoch is sealed in this period.")?;
    } else {
        show_totals(totals, out)?;
        write_line!(out)?;
        show_seals(seals, out)?;
    }
    show_unsealed(unsealed, out)?;
    if !wrong.is_empty() {
        write_line!(out)?;
        write_line!(out, "NOT RIGHT")?;
        return wrong.iter().try_for_each(|wrong| write_line!(out, "  {wrong}"));
    }
    if totals.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    if resolved.check().is_ok() {
        write_line!(out, "Everything adds up.")
    } else {
        write_line!(out, "The sealed epochs add up. The period is not complete.")
    }
}

fn show_totals(totals: &[PeriodTotal], out: &mut Output<'_>) -> Outcome {
    let mut table = TextTable::new(&[
        "asset",
        "mode",
        ">epochs",
        "from",
        "to",
        ">pool",
        ">commission",
        ">funding",
        ">distributed",
        ">payouts",
        ">withheld",
        ">carried out",
    ]);
    for total in totals {
        let epochs = match total.epochs {
            1 => total.first_epoch.to_string(),
            _ => format!("{} to {}", total.first_epoch, total.last_epoch),
        };
        table.row([
            total.asset.as_str(),
            &total.mode,
            &epochs,
            &total.start,
            &total.end,
            &total.reward_pool,
            &total.commission,
            total.funding.as_deref().unwrap_or("-"),
            &total.distributed,
            &count(total.distributions),
            &total.withheld_after,
            &total.carried_out,
        ]);
    }
    table.write(out)?;
    if totals.iter().any(|total| total.funding.is_some()) {
        write_line!(
            out,
            "In apr mode, the exchange funds the rewards (funding). A pool that was given there counts for nothing."
        )?;
    }
    Ok(())
}

fn show_seals(seals: &Seals, out: &mut Output<'_>) -> Outcome {
    let columns = COLUMNS.map(|name| match name {
        "asset" | "epoch_start" | "epoch_end" | "mode" => name.replace('_', " "),
        _ => format!(">{}", name.replace('_', " ")),
    });
    let mut table = TextTable::new(&columns);
    for seal in seals.values() {
        table.row(line(seal));
    }
    table.write(out)
}

fn show_unsealed(unsealed: &[UnsealedEpoch], out: &mut Output<'_>) -> Outcome {
    if unsealed.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    write_line!(out, "Not sealed yet")?;
    let mut table = TextTable::new(&["asset", ">epoch", "from", "to", "", ">rewards on record"]);
    for one in unsealed {
        let stage = if one.closed { "closed" } else { "open" };
        let (start, end) = one
            .dates
            .as_ref()
            .map_or(("", ""), |(start, end)| (start.as_str(), end.as_str()));
        table.row([
            one.asset.as_str(),
            &one.epoch.to_string(),
            start,
            end,
            stage,
            &one.rewards,
        ]);
    }
    table.write(out)
}
