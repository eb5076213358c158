//! A statement as tables and as CSV.

use std::borrow::Cow;
use std::path::Path;

use crate::audit::asked::HeldEpoch;
use crate::audit::statement::Seals;
use crate::audit::statement::totals::PeriodTotal;
use crate::cli::csv_file::{CsvFile, CsvForm};
use crate::cli::missing;
use crate::cli::outcome::Outcome;
use crate::cli::output::{Output, write_line};
use crate::cli::statement::findings::{StatementFindings, UnsealedEpoch};
use crate::cli::table::{TextTable, count};
use crate::core::contract::records::Seal;

/// The columns of a line, named like the fields of a seal.
const COLUMNS: [&str; 21] = [
    "asset",
    "reward_asset",
    "epoch",
    "epoch_start",
    "epoch_end",
    "mode",
    "apr",
    "reward_rate",
    "reward_pool",
    "commission",
    "carried_in",
    "rewarded",
    "made_good",
    "adjusted",
    "withheld_before",
    "distributed",
    "withheld_after",
    "carried_out",
    "returned",
    "distributions",
    "closing_balance",
];

fn line(seal: &Seal<'_>) -> [String; 21] {
    let rate = |rate: &Option<Cow<'_, str>>| rate.as_deref().unwrap_or_default().to_owned();
    [
        seal.asset.to_string(),
        seal.reward_asset.to_string(),
        seal.epoch.to_string(),
        seal.epoch_start.to_string(),
        seal.epoch_end.to_string(),
        seal.mode.to_string(),
        rate(&seal.apr),
        rate(&seal.reward_rate),
        seal.reward_pool.to_string(),
        seal.commission.to_string(),
        seal.carried_in.to_string(),
        seal.rewarded.to_string(),
        seal.made_good.to_string(),
        seal.adjusted.to_string(),
        seal.withheld_before.to_string(),
        seal.distributed.to_string(),
        seal.withheld_after.to_string(),
        seal.carried_out.to_string(),
        seal.returned.to_string(),
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
        coverage,
        wrong,
    } = findings;
    missing::show(&coverage.missing, out)?;
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
    if coverage.complete.is_ok() {
        write_line!(out, "Everything adds up.")
    } else {
        write_line!(out, "The sealed epochs add up. The period is not complete.")
    }
}

fn show_totals(totals: &[PeriodTotal], out: &mut Output<'_>) -> Outcome {
    let mut table = TextTable::new(&[
        "asset",
        "paid in",
        "mode",
        ">epochs",
        "from",
        "to",
        ">pool",
        ">commission",
        ">funding",
        ">made good",
        ">adjusted",
        ">distributed",
        ">payouts",
        ">withheld",
        ">carried out",
        ">returned",
    ]);
    for total in totals {
        let epochs = match total.epochs {
            1 => total.first_epoch.to_string(),
            _ => format!("{} to {}", total.first_epoch, total.last_epoch),
        };
        table.row([
            total.asset.as_str(),
            total.reward_asset.as_str(),
            &total.mode,
            &epochs,
            &total.start,
            &total.end,
            &total.reward_pool,
            &total.commission,
            total.funding.as_deref().unwrap_or("-"),
            &total.made_good,
            &total.adjusted,
            &total.distributed,
            &count(total.distributions),
            &total.withheld_after,
            &total.carried_out,
            &total.returned,
        ]);
    }
    table.write(out)?;
    if totals.iter().any(|total| total.funding.is_some()) {
        write_line!(
            out,
            "In apr mode, the exchange funds the rewards (funding). A pool that was given there counts for nothing."
        )?;
    }
    let is_zero = |amount: &str| amount == "0";
    if totals
        .iter()
        .any(|total| !is_zero(&total.made_good) || !is_zero(&total.adjusted))
    {
        write_line!(
            out,
            "The treasury pays what is made good and adjusted, or gets it if it is negative; pots that were returned are its own again."
        )?;
    }
    Ok(())
}

fn show_seals(seals: &Seals, out: &mut Output<'_>) -> Outcome {
    let columns = COLUMNS.map(|name| match name {
        "asset" | "reward_asset" | "epoch_start" | "epoch_end" | "mode" => name.replace('_', " "),
        _ => format!(">{}", name.replace('_', " ")),
    });
    let mut table = TextTable::new(&columns);
    for seal in seals.values() {
        // A table leaves out what is empty, and a reader should see that there is no rate.
        table.row(line(seal).map(|cell| if cell.is_empty() { "-".to_owned() } else { cell }));
    }
    table.write(out)
}

fn show_unsealed(unsealed: &[UnsealedEpoch], out: &mut Output<'_>) -> Outcome {
    if unsealed.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    write_line!(out, "Not sealed yet")?;
    let mut table = TextTable::new(&["asset", ">epoch", "from", "to", "", ">pool on record"]);
    for one in unsealed {
        let stage = match (one.closed, one.gate) {
            (false, _) => "open".to_owned(),
            (true, None) => "closed".to_owned(),
            (true, Some(held)) if held.epoch != one.epoch => format!("closed, waits for epoch {}", held.epoch),
            (true, Some(HeldEpoch { is_void: false, .. })) => "held until it is released".to_owned(),
            (true, Some(HeldEpoch { is_void: true, .. })) => "void until it is closed again".to_owned(),
        };
        let (start, end) = one
            .dates
            .as_ref()
            .map_or(("", ""), |(start, end)| (start.as_str(), end.as_str()));
        table.row([
            one.asset.as_str(),
            &one.epoch.to_string(),
            start,
            end,
            &stage,
            &one.rewards,
        ]);
    }
    table.write(out)
}
