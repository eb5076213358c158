//! `softstake reconcile balances`: whether the log gives the balances that the exchange's own ledger has.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;

use crate::audit::balances::{BalanceOutcome, BalanceRow, Balances, BalancesError, compare};
use crate::cli::failure::Failure;
use crate::cli::flags::Reading;
use crate::cli::query::write_json;
use crate::cli::table::{Table, count, counted};
use crate::cli::{Outcome, bus};

/// So many rows are shown one by one.
const SHOWN: usize = 20;

/// Compare balances that somebody else has with what the log gives
#[derive(Debug, Args)]
#[command(after_help = "\
The file has a line of names and a line for each balance: account, asset, balance and time, in any order. A balance is what all events up to and with that
time add up to, from the asset's anchor on. Exit status 1 if anything differs.

Example:
  softstake reconcile balances --bus dir:bus --against ledger.csv")]
pub(in crate::cli) struct ReconcileBalances {
    #[command(flatten)]
    reading: Reading,
    /// The balances; - for standard input
    #[arg(long, value_name = "FILE.csv")]
    against: PathBuf,
    /// JSON in place of tables
    #[arg(long)]
    json: bool,
    /// All rows that do not agree, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

impl ReconcileBalances {
    pub(in crate::cli) fn run(&self, out: &mut dyn Write) -> Outcome {
        let loaded = self.reading.load()?;
        let Some(bus) = bus::view(loaded.bus()?, &loaded.config, &AtomicBool::new(false))? else {
            return Err(Failure::Failed("stopped before the bus was reached".into()));
        };
        let balances = if self.against == Path::new("-") {
            compare(bus.as_ref(), io::stdin().lock())?
        } else {
            let file = File::open(&self.against)
                .map_err(|error| Failure::Usage(format!("cannot open {}: {error}", self.against.display())))?;
            compare(bus.as_ref(), file)?
        };
        if let Some(path) = &self.csv {
            csv(&balances, path)?;
        }
        if self.json {
            write_json(&balances, out)?;
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
            error @ BalancesError::NoColumn(_) => Self::Usage(error.to_string()),
            error => Self::Failed(error.to_string()),
        }
    }
}

fn tables(balances: &Balances, out: &mut dyn Write) -> Outcome {
    let of = |outcome| balances.counts().get(&outcome).copied().unwrap_or(0);
    if balances.rows.is_empty() {
        writeln!(
            out,
            "EQUAL: all {} agree with the log.",
            counted(balances.agree, "balance", "balances")
        )?;
    } else {
        writeln!(
            out,
            "NOT EQUAL: {} differ, {} cannot be read; {} agree.",
            count(of(BalanceOutcome::Differs)),
            count(of(BalanceOutcome::Malformed)),
            count(balances.agree)
        )?;
    }
    if balances.not_taken_in > 0 {
        let waiting = counted(balances.not_taken_in, "source record is", "source records are");
        writeln!(out, "{waiting} not taken in yet, and in no balance.")?;
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
    let mut table = Table::new(&columns);
    for row in balances.rows.iter().take(SHOWN) {
        table.row(cells(row));
    }
    writeln!(out)?;
    table.write(out)?;
    let more = balances.rows.len().saturating_sub(SHOWN);
    if more > 0 {
        writeln!(
            out,
            "… and {} more; --csv and --json have them.",
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

fn csv(balances: &Balances, path: &Path) -> Outcome {
    let failed = |error: csv::Error| Failure::Failed(format!("cannot write {}: {error}", path.display()));
    let mut file = csv::Writer::from_path(path).map_err(failed)?;
    file.write_record([
        "line",
        "account",
        "asset",
        "time",
        "theirs",
        "ours",
        "difference",
        "note",
    ])
    .map_err(failed)?;
    for row in &balances.rows {
        file.write_record(cells(row)).map_err(failed)?;
    }
    file.flush().map_err(|error| failed(error.into()))
}
