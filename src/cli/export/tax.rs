//! `softstake export tax`: what a customer was paid in a year.

use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueEnum};

use crate::audit::asked::{AskedPeriod, EpochProgress, Inventory};
use crate::audit::export::ExportError;
use crate::audit::export::scope::{AskedAccounts, ExportScope};
use crate::audit::export::tax::{COLUMNS, CreditState, TaxTime, TaxYear, tax_year};
use crate::audit::payouts::Acknowledgements;
use crate::cli::export::rows::RowFlags;
use crate::cli::flags::{ReadFlags, account};
use crate::cli::input;
use crate::cli::message::message;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::Output;
use crate::cli::reconcile::executions::{Lines, topic, topic_name};
use crate::cli::table::{TextTable, count, counted};
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::period::TimePeriod;

/// Which time decides to which year a payout belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum DecidingTime {
    Accrual,
    Credit,
}

/// Write the payouts of a customer in a calendar year, for the tax return
#[derive(Debug, Args)]
#[command(after_help = "\
Each payout has the time of its accrual (the end of its epoch) and the time of its credit, from the events `payout.executed.v1` that \
`softstake reconcile payouts` reads as well. --by chooses which of the two decides the year. An epoch accrues in \
the year of its last moment: one that ends at midnight of New Year's Eve accrues in the old year. Years are those of UTC.
A payout without a credit has an empty time of credit, and is listed at the end, with the state `not_credited`. With --by credit, \
that is every one that accrued before the end of the year. Sums per reward asset are exact. They are shown apart from the rows: as a \
table with --out, else on standard error.
Exit status: 1 if a payout was credited twice; 3 if the account has no payout in the year, an epoch of the year is not \
sealed, an asset is not listed, or the topic of the credits does not exist.

Example:
  softstake export tax alice --year 2026 --by credit --bus dir:bus --acks payouts.jsonl --out alice-2026.csv")]
pub(super) struct ExportTax {
    /// The account
    #[arg(value_parser = account)]
    account: AccountName<'static>,
    /// The calendar year
    #[arg(long, value_name = "YEAR", value_parser = clap::value_parser!(u16).range(1970..=9998))]
    year: u16,
    /// Which time decides the year: the last moment of the epoch, or when the payout service credited the payout
    #[arg(long, value_enum, default_value = "accrual")]
    by: DecidingTime,
    /// Only this asset; may be given more than once
    #[arg(long = "asset", value_name = "ASSET")]
    assets: Vec<Asset>,
    /// The topic of the credits, on the same bus
    #[arg(long, value_name = "TOPIC", default_value = "payout.executions", value_parser = topic_name)]
    executions: String,
    /// A file of credits, one per line, in place of the topic; - for standard input
    #[arg(long, value_name = "FILE", conflicts_with = "executions")]
    acks: Option<PathBuf>,
    #[command(flatten)]
    rows: RowFlags,
    #[command(flatten)]
    bus: ReadFlags,
}

impl ExportTax {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        self.rows.check()?;
        let year = TimePeriod::of_year(self.year)
            .ok_or_else(|| Failure::Usage(format!("{} is not a calendar year", self.year)))?;
        let by = match self.by {
            DecidingTime::Accrual => TaxTime::Accrual,
            DecidingTime::Credit => TaxTime::Credit,
        };
        let asked = AskedPeriod::new(self.assets.iter().copied(), year)?;
        let loaded = self.bus.load()?;
        let file = self.acks.as_deref().map(input::open).transpose()?;
        let (found, scope) = self.bus.read_with(&loaded, |bus| {
            // First the end of the credits: what they credit is on the bus by then.
            let credits: Box<dyn Acknowledgements> = match file {
                Some(file) => Box::new(Lines(file)),
                None => {
                    let limit = self.bus.limit(Arc::default());
                    topic(loaded.bus()?, &loaded.config, &self.executions, limit)?
                }
            };
            let inventory = Inventory::read(bus).map_err(ExportError::from)?;
            let scope = ExportScope::new(inventory, asked, AskedAccounts::default(), EpochProgress::Sealed)?;
            Ok((tax_year(bus, credits, &self.account, &scope, (year, by))?, scope))
        })?;
        self.tell_left_out(&found);
        if found.is_empty() {
            return Err(Failure::Absent(format!(
                "{} has no sealed payout in {}",
                self.account, self.year
            )));
        }
        let mut rows = self.rows.writer(&COLUMNS, out)?;
        found.write(&self.account, &mut rows)?;
        rows.finish()?;
        let payouts = found.sums.values().map(|sum| sum.payouts).sum();
        self.rows.told(payouts, out)?;
        self.show_sums(&found, out)?;
        if !found.credited_twice.is_empty() {
            message!(
                "credited more than once, and the first credit counts: {}; `softstake reconcile payouts` tells more",
                found.credited_twice.join(", ")
            );
            return Err(Failure::Found);
        }
        Ok(scope.check_epochs()?)
    }

    /// Says what is not among the rows.
    fn tell_left_out(&self, found: &TaxYear) {
        if found.unsealed > 0 {
            let all = counted(found.unsealed, "distribution is", "distributions are");
            message!("{all} not sealed, and left out: it is no payout yet");
        }
        if found.unreadable > 0 {
            let all = counted(found.unreadable, "credit", "credits");
            message!(
                "{all} of any account cannot be read, and counted for nothing; `softstake reconcile payouts` names them"
            );
        }
    }

    fn show_sums(&self, found: &TaxYear, out: &mut Output<'_>) -> Outcome {
        if self.rows.is_stdout() {
            for ((state, reward_asset), sum) in &found.sums {
                let payouts = counted(sum.payouts, "payout", "payouts");
                match state {
                    CreditState::Credited => message!(
                        "credited: {payouts}, {} {reward_asset} distributed, {} {reward_asset} credited",
                        sum.amount,
                        sum.credited
                    ),
                    CreditState::NotCredited => {
                        message!("not credited: {payouts}, {} {reward_asset} distributed", sum.amount);
                    }
                }
            }
            return Ok(());
        }
        let mut table = TextTable::new(&["", "paid in", ">payouts", ">distributed", ">credited"]);
        for ((state, reward_asset), sum) in &found.sums {
            table.row([
                state.name().replace('_', " ").as_str(),
                reward_asset.as_str(),
                &count(sum.payouts),
                &sum.amount.to_string(),
                &sum.credited.to_string(),
            ]);
        }
        table.write(out)
    }
}
