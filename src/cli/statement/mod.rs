//! `softstake statement`: the amounts that finance books, by asset and epoch, with checked sums.

mod distributions;
mod findings;
mod scope;
mod show;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::audit::asked::Inventory;
use crate::audit::statement::checks::check_seals;
use crate::audit::statement::totals::totals;
use crate::audit::statement::{Seals, SumTooLarge};
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Topic};
use crate::cli::csv_file::SpreadsheetFlag;
use crate::cli::flags::{PeriodFlags, ReadFlags};
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::Output;
use crate::cli::records::each;
use crate::cli::statement::findings::{StatementFindings, UnsealedEpoch};
use crate::cli::statement::scope::StatementScope;
use crate::core::contract::decision::Decision;
use crate::core::contract::records::Seal;
use crate::core::values::amount::SignedAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;

/// Show what was distributed, withheld and carried, by asset and epoch, for finance
#[derive(Debug, Args)]
#[command(after_help = "\
Every line comes from a seal and is checked: within an epoch, no money appeared or vanished; and each epoch starts with \
what the epoch before left. A period has the epochs whose last moment is in it: --from is included, --to is not. So an epoch \
that ends at midnight is of the day before. A date is its midnight in UTC. Amounts are in the reward asset, and debts and deficits are negative. In apr mode the exchange funds \
the rewards, and a pool that was given counts for nothing.
Exit status: 1 if a check fails; 3 if an epoch that was asked for is not sealed, the period has no epoch, or the asset is not \
listed.

Examples:
  softstake statement --bus dir:bus --from 2026-11-01 --to 2026-12-01 --csv november.csv
  softstake statement --bus dir:bus --asset ATOM --from-epoch 0 --to-epoch 29")]
pub(super) struct Statement {
    #[command(flatten)]
    bus: ReadFlags,
    /// Only this asset
    #[arg(long)]
    asset: Option<Asset>,
    #[command(flatten)]
    period: PeriodFlags,
    /// From this epoch on
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to"])]
    from_epoch: Option<Epoch>,
    /// Up to this epoch, included
    #[arg(long, value_name = "N", conflicts_with_all = ["from", "to"])]
    to_epoch: Option<Epoch>,
    /// Also add up every distribution, and compare with the seals
    #[arg(long)]
    check_distributions: bool,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write a line for each epoch, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    spreadsheet: SpreadsheetFlag,
}

impl Statement {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let scope = StatementScope::new(self.asset, self.period.period(), (self.from_epoch, self.to_epoch))?;
        let bus = self.bus.open()?;
        let findings = self.find(bus.as_ref(), &scope)?;
        if let Some(path) = &self.csv {
            show::csv(&findings.seals, path, self.spreadsheet.form())?;
        }
        if self.json {
            let epochs: Vec<&Seal<'_>> = findings.seals.values().collect();
            out.json(&json!({
                "totals": findings.totals, "epochs": epochs, "not_sealed": findings.unsealed,
                "missing": findings.coverage.missing, "wrong": findings.wrong,
            }))?;
        } else {
            show::tables(&findings, out)?;
        }
        if !findings.wrong.is_empty() {
            return Err(Failure::Found);
        }
        Ok(findings.coverage.complete?)
    }

    fn find(&self, bus: &dyn Log, scope: &StatementScope) -> Result<StatementFindings, Failure> {
        let inventory = Inventory::read(bus)?;
        let coverage = scope.resolve(&inventory)?;
        // A seal's own end counts only if its asset has no listing on the bus.
        let includes = |seal: &Seal<'_>| {
            let end = inventory.epoch_end(seal.asset, seal.epoch);
            let end = end.or_else(|| TimeMs::parse(&seal.epoch_end).ok());
            scope.includes(seal.asset, seal.epoch, end)
        };
        let mut seals = Seals::new();
        let mut wrong = Vec::new();
        each::<Seal>(bus, None, |seal| {
            let (asset, epoch) = (seal.asset, seal.epoch);
            let is_included = includes(&seal);
            if seals.insert((asset, epoch), seal.into_owned()).is_some() && is_included {
                wrong.push(format!("{asset} epoch {epoch} has two seals"));
            }
            Ok(())
        })?;
        let unsealed = unsealed(bus, scope, &seals, &inventory)?;
        seals.retain(|_, seal| includes(seal));
        let begins_listing = |asset, epoch| inventory.begins_listing(asset, epoch);
        let found = check_seals(seals.values(), begins_listing);
        wrong.extend(found.iter().map(ToString::to_string));
        if self.check_distributions {
            wrong.extend(distributions::added_up(bus, &seals)?);
        }
        let sums = totals(seals.values(), begins_listing, |_| ())?;
        Ok(StatementFindings {
            totals: sums.into_iter().map(|((), total)| total).collect(),
            seals,
            unsealed,
            coverage,
            wrong,
        })
    }
}

impl From<SumTooLarge> for Failure {
    fn from(error: SumTooLarge) -> Self {
        Self::Failed(error.to_string())
    }
}

/// Epochs that are closed but not sealed, or open with rewards or adjustments of their pools.
fn unsealed(
    bus: &dyn Log,
    scope: &StatementScope,
    seals: &Seals,
    inventory: &Inventory,
) -> Result<Vec<UnsealedEpoch>, Failure> {
    let mut unsealed: BTreeMap<(Asset, Epoch), (bool, SignedAmount)> = BTreeMap::new();
    let decisions = Topic::Decisions.partition(0);
    let end = bus.readable_end(decisions)?;
    scan_range(bus, decisions, &Mark::default(), end, |record| {
        if record.value.is_empty() {
            return Ok(());
        }
        match Decision::read(record.value).map_err(|fault| Failure::Failed(fault.to_string()))? {
            Decision::CloseAccepted { asset, epoch, .. } => {
                unsealed.entry((asset, epoch)).or_default().0 = true;
            }
            Decision::RewardAdded {
                asset, epoch, amount, ..
            }
            | Decision::PoolAdjusted {
                asset, epoch, amount, ..
            } => {
                let (_, sum) = unsealed.entry((asset, epoch)).or_default();
                let added = SignedAmount::parse(&amount).and_then(|amount| sum.plus(amount));
                *sum = added.ok_or(SumTooLarge)?;
            }
            _ => {}
        }
        Ok::<_, Failure>(())
    })?;
    let includes = |asset, epoch| scope.includes(asset, epoch, inventory.epoch_end(asset, epoch));
    let open = unsealed
        .into_iter()
        .filter(|((asset, epoch), _)| includes(*asset, *epoch) && !seals.contains_key(&(*asset, *epoch)));
    Ok(open
        .map(|((asset, epoch), (closed, rewards))| UnsealedEpoch {
            asset,
            epoch,
            dates: inventory.dates(asset, epoch),
            closed,
            gate: closed.then(|| inventory.held(asset, epoch)).flatten(),
            rewards: rewards.to_string(),
        })
        .collect())
}
