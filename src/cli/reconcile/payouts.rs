//! `softstake reconcile payouts`: checks that the payout service credited the sealed distributions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::json;

use crate::audit::asked::{Asked, EpochProgress, Inventory, Resolved};
use crate::audit::payouts::{AcknowledgementPlace, Acknowledgements, PayoutFinding, Payouts, PayoutsError, compare};
use crate::audit::replay::EpochFilter;
use crate::cli::csv_file::{CsvFile, CsvForm, SpreadsheetFlag};
use crate::cli::flags::ReadFlags;
use crate::cli::input;
use crate::cli::missing;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::reconcile::executions::{Lines, topic, topic_name};
use crate::cli::table::{TextTable, count, counted};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// How many findings the table shows.
const SHOWN: usize = 20;

/// Compare the payout service's acknowledgements with the sealed distributions
#[derive(Debug, Args)]
#[command(after_help = "\
Acknowledgements are events `payout.executed.v1` (schemas/payout.executed.v1.schema.json), with the id of the distribution, the \
amount, and the time of the credit. The payout service writes them to the topic `payout.executions`, on Kafka or as a folder of a \
directory bus. Its committed records are read up to its end at the start. The same event twice is a redelivery. Two events for one distribution \
are a double payment. Two different events with the same id and source are a conflict.
Exit status: 1 if anything is wrong; 3 if the topic does not exist, the asset is not listed, or an epoch that was asked for is \
not sealed.

Examples:
  softstake reconcile payouts --bus kafka
  softstake reconcile payouts --bus dir:bus --acks payouts.jsonl")]
pub(in crate::cli) struct ReconcilePayouts {
    #[command(flatten)]
    bus: ReadFlags,
    /// The topic of the acknowledgements, on the same bus
    #[arg(long, value_name = "TOPIC", default_value = "payout.executions", value_parser = topic_name)]
    executions: String,
    /// A file of acknowledgements, one per line, in place of the topic; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "executions")]
    acks: Option<PathBuf>,
    /// Only this asset
    #[arg(long)]
    asset: Option<Asset>,
    /// Only this epoch
    #[arg(long)]
    epoch: Option<Epoch>,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write all findings, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    spreadsheet: SpreadsheetFlag,
}

impl ReconcilePayouts {
    pub(in crate::cli) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let filter = EpochFilter {
            asset: self.asset,
            epoch: self.epoch,
        };
        let loaded = self.bus.load()?;
        let asked = Asked::epoch(self.asset, self.epoch);
        let file = self.acks.as_deref().map(input::open).transpose()?;
        let (payouts, resolved) = self.bus.read_with(&loaded, |bus| {
            // First the end of the acknowledgements: what they acknowledge is on the bus by then.
            let acknowledgements: Box<dyn Acknowledgements> = match file {
                Some(file) => Box::new(Lines(file)),
                None => {
                    let limit = self.bus.limit(Arc::default());
                    topic(loaded.bus()?, &loaded.config, &self.executions, limit)?
                }
            };
            let resolved = Inventory::read(bus)?.resolve(asked, EpochProgress::Sealed)?;
            Ok((compare(bus, acknowledgements, filter)?, resolved))
        })?;
        if let Some(path) = &self.csv {
            csv(&payouts, path, self.spreadsheet.form())?;
        }
        if self.json {
            json(&payouts, &resolved, out)?;
        } else {
            tables(&payouts, &resolved, out)?;
        }
        if payouts.counts.is_empty() {
            Ok(resolved.check()?)
        } else {
            Err(Failure::Found)
        }
    }
}

impl From<PayoutsError> for Failure {
    fn from(error: PayoutsError) -> Self {
        Self::Failed(error.to_string())
    }
}

fn tables(payouts: &Payouts, resolved: &Resolved, out: &mut Output<'_>) -> Outcome {
    let wrong: u64 = payouts.counts.values().sum();
    missing::show(resolved.missing(), out)?;
    if wrong == 0 && resolved.is_nothing() {
        write_line!(out, "NOTHING COMPARED: no epoch is sealed.")?;
    } else if wrong == 0 && payouts.sealed == 0 {
        write_line!(out, "RIGHT: nothing was distributed, and nothing credited.")?;
    } else if wrong == 0 {
        let all = counted(payouts.sealed, "distribution was", "distributions were");
        write_line!(out, "RIGHT: all {all} credited once, in the right amount.")?;
    } else {
        let kinds: Vec<_> = payouts
            .counts
            .iter()
            .map(|(kind, number)| format!("{} {}", count(*number), kind.name().replace('_', " ")))
            .collect();
        write_line!(
            out,
            "NOT RIGHT: {}; {} of {} are right.",
            kinds.join(", "),
            count(payouts.right),
            counted(payouts.sealed, "sealed distribution", "sealed distributions")
        )?;
    }
    let again = counted(payouts.redelivered, "acknowledgement was", "acknowledgements were");
    write_line!(out, "{again} repeated, which changes nothing.")?;
    write_line!(out)?;
    let mut table = TextTable::new(&["reward asset", ">distributed", ">credited", ">unpaid", ">overpaid"]);
    for (reward_asset, sums) in &payouts.sums {
        table.row([
            reward_asset,
            &sums.distributed.to_string(),
            &sums.credited.to_string(),
            &sums.unpaid.to_string(),
            &sums.overpaid.to_string(),
        ]);
    }
    table.write(out)?;
    if payouts.findings.is_empty() {
        return Ok(());
    }
    write_line!(out)?;
    let mut table = TextTable::new(&["", "distribution", ">distributed", ">credited", "of", ">at", ""]);
    for finding in payouts.findings.iter().take(SHOWN) {
        table.row(cells(finding));
    }
    table.write(out)?;
    if wrong > SHOWN as u64 {
        let more = counted(wrong - SHOWN as u64, "finding", "findings");
        write_line!(out, "… and {more} more; --csv and --json show them.")?;
    }
    Ok(())
}

fn cells(finding: &PayoutFinding) -> [String; 7] {
    let at = |place: AcknowledgementPlace| match place {
        AcknowledgementPlace::Line { line } => line.to_string(),
        AcknowledgementPlace::Record { partition, offset } => format!("{partition}:{offset}"),
    };
    [
        finding.kind.name().to_owned(),
        finding.distribution.clone(),
        finding.distributed.clone().unwrap_or_default(),
        finding.credited.clone().unwrap_or_default(),
        finding.reward_asset.clone(),
        finding.place.map(at).unwrap_or_default(),
        finding.note.clone(),
    ]
}

fn csv(payouts: &Payouts, path: &Path, form: CsvForm) -> Outcome {
    let columns = [
        "kind",
        "distribution",
        "distributed",
        "credited",
        "reward_asset",
        "at",
        "note",
    ];
    let mut file = CsvFile::create(path, form, &columns)?;
    for finding in &payouts.findings {
        file.row(cells(finding))?;
    }
    file.finish()
}

fn json(payouts: &Payouts, resolved: &Resolved, out: &mut Output<'_>) -> Outcome {
    let sums: serde_json::Map<_, _> = payouts
        .sums
        .iter()
        .map(|(reward_asset, sums)| {
            let sums = json!({
                "distributed": sums.distributed.to_string(), "credited": sums.credited.to_string(),
                "unpaid": sums.unpaid.to_string(), "overpaid": sums.overpaid.to_string(),
            });
            (reward_asset.clone(), sums)
        })
        .collect();
    let counts: serde_json::Map<_, _> = payouts
        .counts
        .iter()
        .map(|(kind, number)| (kind.name().to_owned(), json!(number)))
        .collect();
    out.json(&json!({
        "right": payouts.counts.is_empty() && !resolved.is_nothing(),
        "missing": resolved.missing(),
        "sealed": payouts.sealed,
        "credited_as_they_should_be": payouts.right,
        "redelivered": payouts.redelivered,
        "totals": sums,
        "counts": counts,
        "findings": payouts.findings,
    }))
}
