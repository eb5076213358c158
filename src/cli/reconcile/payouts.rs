//! `softstake reconcile payouts`: checks that the payout service credited the sealed distributions.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::audit::asked::{Asked, EpochProgress, Inventory, Resolved};
use crate::audit::payouts::{AcknowledgementPlace, Acknowledgements, PayoutFinding, Payouts, PayoutsError, compare};
use crate::audit::reconciliation::{ReconciledScope, ReconciliationHead, ReconciliationKind};
use crate::audit::replay::EpochFilter;
use crate::cli::csv_file::{CsvFile, CsvForm, SpreadsheetFlag};
use crate::cli::flags::ReadFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::reconcile::executions::{Lines, topic, topic_name};
use crate::cli::table::{TextTable, count, counted};
use crate::cli::{input, made_at, missing};
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
        let made_at = made_at::time()?;
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
            let compared = ReconciledScope {
                bus: loaded.bus()?.to_string(),
                with: Some(self.with()),
                asset: self.asset,
                epoch: self.epoch,
            };
            json(&payouts, &resolved, (made_at, compared), out)?;
        } else {
            tables(&payouts, &resolved, out)?;
        }
        if payouts.counts.is_empty() {
            Ok(resolved.check()?)
        } else {
            Err(Failure::Found)
        }
    }

    /// What the log is compared with.
    fn with(&self) -> String {
        let file = self.acks.as_ref();
        file.map_or_else(|| self.executions.clone(), |path| path.display().to_string())
    }
}

impl From<PayoutsError> for Failure {
    fn from(error: PayoutsError) -> Self {
        Self::Failed(error.to_string())
    }
}

/// The verdict in a sentence.
fn verdict(payouts: &Payouts, resolved: &Resolved) -> String {
    let is_right = payouts.counts.is_empty();
    if is_right && resolved.is_nothing() {
        return "NOTHING COMPARED: no epoch is sealed.".into();
    }
    if is_right && payouts.sealed == 0 {
        return "RIGHT: nothing was distributed, and nothing credited.".into();
    }
    if is_right {
        let all = counted(payouts.sealed, "distribution was", "distributions were");
        return format!("RIGHT: all {all} credited once, in the right amount.");
    }
    let kinds: Vec<_> = payouts
        .counts
        .iter()
        .map(|(kind, number)| format!("{} {}", count(*number), kind.name().replace('_', " ")))
        .collect();
    format!(
        "NOT RIGHT: {}; {} of {} are right.",
        kinds.join(", "),
        count(payouts.right),
        counted(payouts.sealed, "sealed distribution", "sealed distributions")
    )
}

fn tables(payouts: &Payouts, resolved: &Resolved, out: &mut Output<'_>) -> Outcome {
    missing::show(resolved.missing(), out)?;
    write_line!(out, "{}", verdict(payouts, resolved))?;
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
    let more = payouts.wrong().saturating_sub(SHOWN as u64);
    if more > 0 {
        let more = counted(more, "finding", "findings");
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

fn json(
    payouts: &Payouts,
    resolved: &Resolved,
    (made_at, compared): (Timestamp, ReconciledScope),
    out: &mut Output<'_>,
) -> Outcome {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        head: ReconciliationHead,
        counts: Value,
        findings: &'a [PayoutFinding],
        #[serde(flatten)]
        rest: Value,
    }
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
    let head = ReconciliationHead {
        kind: ReconciliationKind::Payouts,
        made_at: made_at::text(made_at),
        compared,
        agrees: payouts.counts.is_empty() && resolved.check().is_ok(),
        disagreements: payouts.wrong(),
        verdict: verdict(payouts, resolved),
    };
    let rest = json!({
        "right": payouts.counts.is_empty() && !resolved.is_nothing(),
        "missing": resolved.missing(),
        "sealed": payouts.sealed,
        "credited_as_they_should_be": payouts.right,
        "redelivered": payouts.redelivered,
        "totals": sums,
    });
    out.json(&Document {
        head,
        counts: Value::Object(counts),
        findings: &payouts.findings,
        rest,
    })
}
