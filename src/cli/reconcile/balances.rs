//! `softstake reconcile balances`: compares the exchange's own balances with those from the log.

use std::path::{Path, PathBuf};

use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use crate::audit::balances::{BalanceOutcome, BalanceRow, Balances, BalancesError, TimeResolution, compare};
use crate::audit::reconciliation::{ReconciledScope, ReconciliationHead, ReconciliationKind};
use crate::cli::csv_file::{CsvFile, CsvForm, SpreadsheetFlag};
use crate::cli::flags::ReadFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::table::{TextTable, count, counted};
use crate::cli::{input, made_at};

/// How many rows the table shows.
const SHOWN: usize = 20;

/// Compare balances of another ledger with those from the log
#[derive(Debug, Args)]
#[command(after_help = "\
The file has a line of names and a line for each balance: account, asset, balance and time, in any order, separated by \
commas, semicolons or tabs. Names of accounts are taken as they are, blanks included. A balance is the sum of all events \
from the asset's anchor up to that time, included. Exit status 1 if anything differs.
If the ledger cuts its times to seconds, give --time-resolution 1s: the last row of an account in a second is then its \
balance at the end of that second, and earlier rows of the second are not compared.

Example:
  softstake reconcile balances --bus dir:bus --against ledger.csv
  softstake reconcile balances --bus dir:bus --against ledger.csv --time-resolution 1s")]
pub(in crate::cli) struct ReconcileBalances {
    #[command(flatten)]
    bus: ReadFlags,
    /// The balances; - for standard input
    #[arg(long, value_name = "FILE.csv")]
    against: PathBuf,
    /// The steps in which the ledger tells time, such as 1s or 1ms, at most 1day [default: each time is exact]
    #[arg(long, value_name = "STEP", value_parser = time_resolution)]
    time_resolution: Option<TimeResolution>,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write all rows that do not agree, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    spreadsheet: SpreadsheetFlag,
}

fn time_resolution(text: &str) -> Result<TimeResolution, String> {
    let step = humantime::parse_duration(text).map_err(|error| error.to_string())?;
    TimeResolution::new(step).ok_or_else(|| "must be whole milliseconds, from 1ms to 1day".into())
}

impl ReconcileBalances {
    pub(in crate::cli) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let made_at = made_at::time()?;
        let file = input::open(&self.against)?;
        let loaded = self.bus.load()?;
        let compared = ReconciledScope {
            bus: loaded.bus()?.to_string(),
            with: Some(self.against.display().to_string()),
            ..ReconciledScope::default()
        };
        let balances = self.bus.read_with(&loaded, |bus| {
            compare(bus, file, self.time_resolution).map_err(|error| match error {
                BalancesError::File(error) => Failure::Usage(format!("{}: {error}", self.against.display())),
                error => error.into(),
            })
        })?;
        if let Some(path) = &self.csv {
            csv(&balances, path, self.spreadsheet.form())?;
        }
        if self.json {
            json(&balances, (made_at, compared), out)?;
        } else {
            tables(&balances, out)?;
        }
        if balances.rows.is_empty() {
            Ok(())
        } else {
            Err(Failure::Found)
        }
    }
}

impl From<BalancesError> for Failure {
    fn from(error: BalancesError) -> Self {
        match error {
            BalancesError::Audit(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// The verdict in a sentence or two.
fn verdict(balances: &Balances) -> String {
    if balances.rows.is_empty() {
        return format!(
            "EQUAL: all {} of the file agree with the log. Accounts that the file does not name were not compared.",
            counted(balances.agree, "balance", "balances")
        );
    }
    let counts = balances.counts();
    let of = |outcome| count(counts.get(&outcome).copied().unwrap_or(0));
    format!(
        "NOT EQUAL: {} differ, {} cannot be read; {} agree.",
        of(BalanceOutcome::Differs),
        of(BalanceOutcome::Malformed),
        count(balances.agree)
    )
}

fn json(balances: &Balances, (made_at, compared): (Timestamp, ReconciledScope), out: &mut Output<'_>) -> Outcome {
    #[derive(Serialize)]
    struct Document<'a> {
        #[serde(flatten)]
        head: ReconciliationHead,
        #[serde(flatten)]
        balances: &'a Balances,
    }
    let head = ReconciliationHead {
        kind: ReconciliationKind::Balances,
        made_at: made_at::text(made_at),
        compared,
        agrees: balances.rows.is_empty(),
        disagreements: balances.rows.len() as u64,
        verdict: verdict(balances),
    };
    out.json(&Document { head, balances })
}

fn tables(balances: &Balances, out: &mut Output<'_>) -> Outcome {
    write_line!(out, "{}", verdict(balances))?;
    if balances.not_taken_in > 0 {
        let waiting = counted(balances.not_taken_in, "source record is", "source records are");
        write_line!(out, "{waiting} not taken in yet, and not part of any balance.")?;
    }
    if balances.superseded > 0 {
        let rows = counted(balances.superseded, "row was", "rows were");
        write_line!(
            out,
            "{rows} not compared: a later row of the same account and asset is in the same step of time."
        )?;
    }
    if let Some(explained) = balances.explained_by_whole_seconds {
        write_line!(
            out,
            "All times in the file are whole seconds. If the ledger cuts its times, run again with --time-resolution 1s: {}.",
            match explained {
                0 => "none of the differences would go".into(),
                _ => format!("{} would go", counted(explained, "difference", "differences")),
            }
        )?;
    }
    if balances.rows.is_empty() {
        return Ok(());
    }
    let columns = [
        ">line",
        "account",
        "asset",
        "time",
        ">theirs",
        ">ours",
        ">difference",
        "",
    ];
    let mut table = TextTable::new(&columns);
    for row in balances.rows.iter().take(SHOWN) {
        table.row(cells(row));
    }
    write_line!(out)?;
    table.write(out)?;
    let more = balances.rows.len().saturating_sub(SHOWN);
    if more > 0 {
        write_line!(
            out,
            "… and {} more; --csv and --json show them.",
            counted(more as u64, "row", "rows")
        )?;
    }
    Ok(())
}

fn cells(row: &BalanceRow) -> [String; 8] {
    [
        row.line.to_string(),
        row.account.clone(),
        row.asset.clone(),
        row.time.clone(),
        row.theirs.clone(),
        row.ours.clone().unwrap_or_default(),
        row.difference.clone().unwrap_or_default(),
        row.note.clone(),
    ]
}

fn csv(balances: &Balances, path: &Path, form: CsvForm) -> Outcome {
    let columns = [
        "line",
        "account",
        "asset",
        "time",
        "theirs",
        "ours",
        "difference",
        "note",
    ];
    let mut file = CsvFile::create(path, form, &columns)?;
    for row in &balances.rows {
        file.row(cells(row))?;
    }
    file.finish()
}
