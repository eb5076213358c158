//! `softstake export`: what was published, as files for other programs.

mod parquet_file;
mod rows;
mod tax;
mod whole_file;

use std::io::BufRead;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::audit::asked::{AskedPeriod, EpochProgress, Inventory};
use crate::audit::export::row::ExportColumn;
use crate::audit::export::scope::{AskedAccounts, ExportScope, ExportedRows};
use crate::audit::export::{ExportError, distributions, late_postings, seals};
use crate::bus::Log;
use crate::cli::export::rows::{RowFlags, RowWriter};
use crate::cli::export::tax::ExportTax;
use crate::cli::flags::{PeriodFlags, ReadFlags, account};
use crate::cli::input;
use crate::cli::message::message;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::Output;
use crate::cli::table::counted;
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;

/// Write what was published as CSV, JSON lines or Parquet
#[derive(Debug, Args)]
#[command(after_help = "\
Only sealed distributions are written, if nothing else is said. A period has the epochs whose last moment is in it: --from is \
included, --to is not. So an epoch that ends at midnight is of the day before. A date is its midnight in UTC. Memory does not grow with the number of records.
Exit status: 3 if an asset is not listed, an account has no record, the period has no epoch, or some epoch of it is not \
sealed. The rows of the others are written all the same.

Example:
  softstake export distributions --bus dir:bus --from 2026-11-01 --to 2026-12-01 --format parquet --out november.parquet")]
pub(super) struct Export {
    #[command(subcommand)]
    what: Exported,
}

#[derive(Debug, Subcommand)]
enum Exported {
    Distributions(ExportDistributions),
    Seals(ExportSeals),
    LatePostings(ExportLatePostings),
    Tax(ExportTax),
}

/// Write the distributions, a row for each payout
#[derive(Debug, Args)]
#[command(after_help = "\
Distributions of an epoch without a seal must not be paid. They are counted on standard error; --unsealed writes them as \
well, and adds the column `sealed`.

Examples:
  softstake export distributions --bus dir:bus --account alice --account bob
  softstake export distributions --bus kafka --asset ATOM --from 2026-11-01 --format jsonl --out atom.jsonl")]
struct ExportDistributions {
    #[command(flatten)]
    scope: ScopeFlags,
    #[command(flatten)]
    accounts: AccountFlags,
    /// Also the distributions of epochs that are not sealed
    #[arg(long)]
    unsealed: bool,
    #[command(flatten)]
    rows: RowFlags,
    #[command(flatten)]
    bus: ReadFlags,
}

/// Write the seals, a row for each epoch
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  softstake export seals --bus dir:bus --from 2026-11-01 --to 2026-12-01 --out seals.csv")]
struct ExportSeals {
    #[command(flatten)]
    scope: ScopeFlags,
    #[command(flatten)]
    rows: RowFlags,
    #[command(flatten)]
    bus: ReadFlags,
}

/// Write the late postings: events that came after the cut of their epoch
#[derive(Debug, Args)]
#[command(after_help = "\
The period has the epoch that a posting counts in. That epoch may still be open.

Example:
  softstake export late-postings --bus dir:bus --asset ATOM --format jsonl")]
struct ExportLatePostings {
    #[command(flatten)]
    scope: ScopeFlags,
    #[command(flatten)]
    accounts: AccountFlags,
    #[command(flatten)]
    rows: RowFlags,
    #[command(flatten)]
    bus: ReadFlags,
}

/// The assets and the period of an export.
#[derive(Debug, Args)]
struct ScopeFlags {
    #[command(flatten)]
    period: PeriodFlags,
    /// Only this asset; may be given more than once
    #[arg(long = "asset", value_name = "ASSET")]
    assets: Vec<Asset>,
}

/// The accounts of an export.
#[derive(Debug, Args)]
struct AccountFlags {
    /// Only this account; may be given more than once
    #[arg(long = "account", value_name = "NAME", value_parser = account)]
    named: Vec<AccountName<'static>>,
    /// Only the accounts of this file, a name on each line; - for standard input
    #[arg(long = "accounts", value_name = "FILE")]
    file: Option<PathBuf>,
}

impl ScopeFlags {
    fn asked(&self) -> Result<AskedPeriod, Failure> {
        Ok(AskedPeriod::new(self.assets.iter().copied(), self.period.period())?)
    }
}

impl AccountFlags {
    fn read(&self) -> Result<AskedAccounts, Failure> {
        let mut names = self.named.clone();
        if let Some(path) = &self.file {
            let before = names.len();
            for (number, line) in input::open(path)?.lines().enumerate() {
                let line = line.map_err(|error| Failure::Usage(format!("cannot read {}: {error}", path.display())))?;
                if line.is_empty() {
                    continue;
                }
                let name = account(&line)
                    .map_err(|error| Failure::Usage(format!("{}, line {}: {error}", path.display(), number + 1)))?;
                names.push(name);
            }
            if names.len() == before {
                return Err(Failure::Usage(format!("{} names no account", path.display())));
            }
        }
        Ok(AskedAccounts::new(names))
    }
}

impl Export {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        match &self.what {
            Exported::Distributions(export) => export.run(out),
            Exported::Seals(export) => export.run(out),
            Exported::LatePostings(export) => export.run(out),
            Exported::Tax(export) => export.run(out),
        }
    }
}

impl ExportDistributions {
    fn run(&self, out: &mut Output<'_>) -> Outcome {
        self.rows.check()?;
        let (asked, accounts) = (self.scope.asked()?, self.accounts.read()?);
        let needed = match self.unsealed {
            true => EpochProgress::Closed,
            false => EpochProgress::Sealed,
        };
        let columns = distributions::columns(self.unsealed);
        let read = |bus: &dyn Log, scope: &mut ExportScope, rows: &mut RowWriter<'_, '_>| {
            distributions::export(bus, scope, self.unsealed, rows)
        };
        let wanted = Wanted {
            asked,
            accounts,
            needed,
            columns,
        };
        let exported = wanted.export(&self.bus, &self.rows, out, read)?;
        if exported.unsealed > 0 {
            let all = counted(exported.unsealed, "distribution is", "distributions are");
            let fate = match self.unsealed {
                true => "written with `sealed` false",
                false => "left out; --unsealed writes them",
            };
            message!("{all} not sealed, and {fate}");
        }
        exported.complete
    }
}

impl ExportSeals {
    fn run(&self, out: &mut Output<'_>) -> Outcome {
        self.rows.check()?;
        let wanted = Wanted {
            asked: self.scope.asked()?,
            accounts: AskedAccounts::default(),
            needed: EpochProgress::Sealed,
            columns: &seals::COLUMNS,
        };
        let read =
            |bus: &dyn Log, scope: &mut ExportScope, rows: &mut RowWriter<'_, '_>| seals::export(bus, scope, rows);
        wanted.export(&self.bus, &self.rows, out, read)?.complete
    }
}

impl ExportLatePostings {
    fn run(&self, out: &mut Output<'_>) -> Outcome {
        self.rows.check()?;
        let wanted = Wanted {
            asked: self.scope.asked()?,
            accounts: self.accounts.read()?,
            needed: EpochProgress::Open,
            columns: &late_postings::COLUMNS,
        };
        let read = |bus: &dyn Log, scope: &mut ExportScope, rows: &mut RowWriter<'_, '_>| {
            late_postings::export(bus, scope, rows)
        };
        wanted.export(&self.bus, &self.rows, out, read)?.complete
    }
}

/// What is asked for, and the columns of its rows.
struct Wanted {
    asked: AskedPeriod,
    accounts: AskedAccounts,
    needed: EpochProgress,
    columns: &'static [ExportColumn],
}

/// What an export has done.
struct FinishedExport {
    unsealed: u64,
    /// Whether all that was asked for is there.
    complete: Outcome,
}

impl Wanted {
    /// Reads what is asked for, and writes it.
    fn export(
        self,
        bus: &ReadFlags,
        flags: &RowFlags,
        out: &mut Output<'_>,
        read: impl FnOnce(&dyn Log, &mut ExportScope, &mut RowWriter<'_, '_>) -> Result<ExportedRows, ExportError>,
    ) -> Result<FinishedExport, Failure> {
        let work = |bus: &dyn Log| {
            let inventory = Inventory::read(bus).map_err(ExportError::from)?;
            let mut scope = ExportScope::new(inventory, self.asked, self.accounts, self.needed)?;
            let mut rows = flags.writer(self.columns, out)?;
            let exported = read(bus, &mut scope, &mut rows)?;
            if scope.accounts.are_absent() {
                return Err(absent(&scope));
            }
            rows.finish()?;
            Ok((exported, scope))
        };
        let (exported, scope) = read_bus(bus, flags, work)?;
        flags.told(exported.rows, out)?;
        let complete = match scope.accounts.without_records().is_empty() {
            true => scope.check_epochs().map_err(Failure::from),
            false => Err(absent(&scope)),
        };
        Ok(FinishedExport {
            unsealed: exported.unsealed,
            complete,
        })
    }
}

/// Reads the bus. The bar of progress would be among the rows on a terminal, so it is only there for a file.
fn read_bus<T>(
    bus: &ReadFlags,
    flags: &RowFlags,
    work: impl FnOnce(&dyn Log) -> Result<T, Failure>,
) -> Result<T, Failure> {
    match flags.is_stdout() {
        true => work(bus.open()?.as_ref()),
        false => bus.read(work),
    }
}

/// How many names a message has.
const NAMED: usize = 20;

fn absent(scope: &ExportScope) -> Failure {
    let without = scope.accounts.without_records();
    let mut names = without.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = without.len().saturating_sub(NAMED);
    if more > 0 {
        names.push_str(&format!(" and {more} more"));
    }
    Failure::Absent(format!("nothing of what was asked for is of {names}"))
}

impl From<ExportError> for Failure {
    fn from(error: ExportError) -> Self {
        match error {
            ExportError::Asked(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}
