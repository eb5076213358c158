//! `softstake query`: reads the stores and the output topics without disturbing a running deployment.

use std::collections::BTreeSet;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::audit::asked::{Asked, AskedError, AskedPeriod, EpochProgress, Inventory, ResolvedPeriod, check_listed};
use crate::bus::Log;
use crate::cli::flags::{DeploymentFlags, PeriodFlags, ReadFlags, account};
use crate::cli::missing;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::records;
use crate::cli::scratch::Scratch;
use crate::cli::table::{TextTable, count, short_root};
use crate::core::contract::records::{Distribution, Seal};
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::time::TimeMs;
use crate::deployment::account::{AccountHoldings, AssetHolding, read_account};

/// Look up an account, its distributions, or an asset's epochs
#[derive(Debug, Args)]
#[command(after_help = "\
Exit status: 3 if the asset is not listed, or nothing is known of the account or the asset.

Example:
  softstake query distributions alice --bus dir:bus")]
pub(super) struct Query {
    #[command(subcommand)]
    query: AccountOrEpochs,
}

#[derive(Debug, Subcommand)]
enum AccountOrEpochs {
    /// Show an account's balances and accrued balance-seconds, as of the newest persisted state
    #[command(after_help = "\
The balance-seconds of an epoch count up to its end, assuming that the balance does not change any more. What is withheld is \
in the asset that rewards are paid in; a debt is negative.

Example:
  softstake query account alice --asset ATOM --state state")]
    Account {
        /// The account
        #[arg(value_parser = account)]
        name: AccountName<'static>,
        /// Only this asset
        #[arg(long)]
        asset: Option<Asset>,
        #[command(flatten)]
        deployment: DeploymentFlags,
        /// JSON instead of tables
        #[arg(long)]
        json: bool,
    },
    /// Show the payouts of an account
    #[command(after_help = "\
A period has the epochs whose last moment is in it: --from is included, --to is not. So an epoch that ends at midnight is of \
the day before. A date is its midnight in UTC. With a period, the exit status is 3, too, if some epoch of it is not sealed.

Examples:
  softstake query distributions alice --bus dir:bus --from 2026-11-01 --to 2026-12-01
  softstake query distributions alice --bus dir:bus --json
  softstake query distributions alice --bus kafka --kafka-brokers kafka-1:9092")]
    Distributions {
        /// The account
        #[arg(value_parser = account)]
        name: AccountName<'static>,
        /// Only this asset
        #[arg(long)]
        asset: Option<Asset>,
        #[command(flatten)]
        period: PeriodFlags,
        #[command(flatten)]
        flags: BusFlags,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
    /// Show the sealed epochs of an asset
    #[command(after_help = "\
Example:
  softstake query epochs ATOM --bus dir:bus")]
    Epochs {
        /// The asset
        asset: Asset,
        #[command(flatten)]
        flags: BusFlags,
        /// JSON instead of a table
        #[arg(long)]
        json: bool,
    },
}

/// A bus that is only read.
#[derive(Debug, Args)]
struct BusFlags {
    #[command(flatten)]
    bus: ReadFlags,
    /// Not needed: payouts and epochs are read from the bus
    #[arg(long, value_name = "DIR", hide = true)]
    state: Option<String>,
}

impl Query {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        match &self.query {
            AccountOrEpochs::Account {
                name,
                asset,
                deployment,
                json,
            } => {
                let loaded = deployment.load()?;
                let AccountHoldings {
                    listed,
                    holdings: mut balances,
                } = read_account(loaded.state()?, name, Scratch::new("query")?.path())?;
                match asset {
                    Some(asset) => check_listed(*asset, listed)?,
                    None if listed.is_empty() => return Err(AskedError::NoAssets.into()),
                    None => {}
                }
                balances.retain(|balance| asset.is_none_or(|asset| asset.as_str() == balance.asset));
                if *json {
                    out.json(&json!({ "account": name.as_str(), "assets": balances }))?;
                } else {
                    show_account(name.as_str(), &balances, out)?;
                }
                if balances.is_empty() {
                    return Err(Failure::Absent(format!(
                        "{name} has no balance of {}, as of the newest persisted state",
                        asset.map_or_else(|| "a listed asset".into(), |asset| asset.to_string())
                    )));
                }
                Ok(())
            }
            AccountOrEpochs::Distributions {
                name,
                asset,
                period,
                flags,
                json,
            } => {
                let asked = AskedPeriod::new(*asset, period.period())?;
                distributions(flags, name.as_str(), &asked, *json, out)
            }
            AccountOrEpochs::Epochs { asset, flags, json } => epochs(flags, *asset, *json, out),
        }
    }
}

fn distributions(flags: &BusFlags, name: &str, asked: &AskedPeriod, json: bool, out: &mut Output<'_>) -> Outcome {
    let found = flags.bus.read(|bus| read_distributions(bus, name, asked))?;
    let rows = found.distributions.iter().map(|data| QueriedDistribution {
        data,
        sealed: found.sealed.contains(&(data.asset, data.epoch)),
    });
    let rows: Vec<_> = rows.collect();
    if json {
        out.json(&rows)?;
    } else {
        show_distributions(&rows, out)?;
    }
    if rows.is_empty() && !found.resolved.as_ref().is_some_and(ResolvedPeriod::is_nothing) {
        let of_asset: String = asked.assets.iter().map(|asset| format!(" of {asset}")).collect();
        let in_period = match asked.period.is_everything() {
            true => String::new(),
            false => format!(" for an epoch that has its last moment {}", asked.period),
        };
        return Err(Failure::Absent(format!(
            "there is no distribution to {name}{of_asset}{in_period}"
        )));
    }
    Ok(found.resolved.map_or(Ok(()), |resolved| resolved.check())?)
}

/// The distributions to an account.
struct FoundDistributions {
    distributions: Vec<Distribution<'static>>,
    sealed: BTreeSet<(Asset, Epoch)>,
    /// Whether the epochs of the period are sealed, if a period is asked for.
    resolved: Option<ResolvedPeriod>,
}

fn read_distributions(bus: &dyn Log, name: &str, asked: &AskedPeriod) -> Result<FoundDistributions, Failure> {
    let has_period = !asked.period.is_everything();
    let mut resolved = None;
    if has_period || !asked.assets.is_empty() {
        let epochs = Inventory::read(bus)?.resolve_period(asked.clone(), EpochProgress::Sealed)?;
        resolved = Some(epochs).filter(|_| has_period);
    }
    // One whose end cannot be read is in every period: it must not go unseen.
    let in_period = |end: &str| TimeMs::parse(end).map_or(true, |end| asked.period.includes_epoch_ending(end));
    // The seals are read second: an epoch that is sealed then had its distributions before.
    let mut distributions = records::all::<Distribution>(bus, Some(name), |data| {
        data.account == *name && asked.has_asset(data.asset) && in_period(&data.epoch_end)
    })?;
    distributions.sort_by(|a, b| (&a.asset, a.epoch).cmp(&(&b.asset, b.epoch)));
    let mut sealed = BTreeSet::new();
    records::each::<Seal>(bus, None, |seal| {
        sealed.insert((seal.asset, seal.epoch));
        Ok(())
    })?;
    Ok(FoundDistributions {
        distributions,
        sealed,
        resolved,
    })
}

fn epochs(flags: &BusFlags, asset: Asset, json: bool, out: &mut Output<'_>) -> Outcome {
    let (resolved, mut seals) = flags.bus.read(|bus| {
        let asked = Asked::epoch(Some(asset), None);
        let resolved = Inventory::read(bus)?.resolve(asked, EpochProgress::Sealed)?;
        let seals = records::all::<Seal>(bus, Some(asset.as_str()), |seal| seal.asset == asset)?;
        Ok((resolved, seals))
    })?;
    seals.sort_by_key(|seal| seal.epoch);
    if json {
        out.json(&seals)?;
    } else {
        missing::show(resolved.missing(), out)?;
        show_epochs(&seals, out)?;
    }
    Ok(resolved.check()?)
}

/// A distribution, and whether it may be paid.
#[derive(Serialize)]
struct QueriedDistribution<'a> {
    #[serde(flatten)]
    data: &'a Distribution<'a>,
    /// Before its epoch is sealed, a distribution must not be paid.
    sealed: bool,
}

fn show_account(name: &str, balances: &[AssetHolding], out: &mut Output<'_>) -> Outcome {
    if balances.is_empty() {
        return Ok(());
    }
    write_line!(out, "{name}, as of the newest persisted state")?;
    let mut table = TextTable::new(&["asset", ">balance", ">withheld", "paid in"]);
    let mut epochs = TextTable::new(&["asset", ">epoch", "from", "to", ">change", ">balance-seconds"]);
    let mut open = 0;
    for balance in balances {
        table.row([
            &balance.asset,
            &balance.balance,
            &balance.withheld,
            &balance.reward_asset,
        ]);
        for epoch in &balance.open_epochs {
            let number = epoch.epoch.to_string();
            epochs.row([
                &balance.asset,
                &number,
                &epoch.start,
                &epoch.end,
                &epoch.delta,
                &epoch.balance_seconds,
            ]);
            open += 1;
        }
    }
    table.write(out)?;
    if open > 0 {
        write_line!(out)?;
        write_line!(
            out,
            "Open epochs; balance-seconds up to the epoch's end, if the balance does not change"
        )?;
        epochs.write(out)?;
    }
    Ok(())
}

fn show_distributions(rows: &[QueriedDistribution<'_>], out: &mut Output<'_>) -> Outcome {
    if rows.is_empty() {
        return Ok(());
    }
    let columns = [
        "asset",
        ">epoch",
        "ended",
        ">amount",
        "paid in",
        ">earned",
        ">made good",
        ">adjusted",
        ">withheld before",
        ">average balance",
        ">balance-seconds",
        ">rules from",
        "sealed",
    ];
    let mut table = TextTable::new(&columns);
    for QueriedDistribution { data, sealed } in rows {
        table.row([
            data.asset.as_str(),
            &data.epoch.to_string(),
            &data.epoch_end,
            &data.amount,
            data.reward_asset.as_str(),
            &data.rewarded,
            &data.made_good,
            &data.adjusted,
            &data.withheld_before,
            &data.average_balance,
            &data.balance_seconds,
            &data.programme_from_epoch.to_string(),
            if *sealed { "yes" } else { "not yet" },
        ]);
    }
    table.write(out)
}

fn show_epochs(seals: &[Seal<'_>], out: &mut Output<'_>) -> Outcome {
    if seals.is_empty() {
        return Ok(());
    }
    let columns = [
        ">epoch",
        "started",
        "ended",
        "mode",
        ">pool",
        ">commission",
        ">rewarded",
        ">made good",
        ">adjusted",
        ">distributed",
        "paid in",
        ">withheld",
        ">carried out",
        ">returned",
        ">payouts",
        ">closing balance",
        "root",
    ];
    let mut table = TextTable::new(&columns);
    for seal in seals {
        table.row([
            &*seal.epoch.to_string(),
            &seal.epoch_start,
            &seal.epoch_end,
            &seal.mode,
            &seal.reward_pool,
            &seal.commission,
            &seal.rewarded,
            &seal.made_good,
            &seal.adjusted,
            &seal.distributed,
            seal.reward_asset.as_str(),
            &seal.withheld_after,
            &seal.carried_out,
            &seal.returned,
            &count(seal.distributions),
            &seal.closing_balance,
            short_root(&seal.root),
        ]);
    }
    table.write(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::output::text;

    fn paid() -> Distribution<'static> {
        Distribution {
            account: "alice".into(),
            asset: Asset::parse("ATOM").unwrap(),
            reward_asset: Asset::parse("ATOM").unwrap(),
            epoch: Epoch::new(3),
            epoch_start: "2026-11-01T00:00:00.000Z".into(),
            epoch_end: "2026-11-02T00:00:00.000Z".into(),
            amount: "0.9007".into(),
            rewarded: "0.9007".into(),
            made_good: "0".into(),
            adjusted: "0".into(),
            withheld_before: "0".into(),
            balance_seconds: "7775784".into(),
            average_balance: "89.9975".into(),
            programme_from_epoch: Epoch::FIRST,
        }
    }

    #[test]
    fn a_distribution_says_whether_it_is_sealed() {
        let data = paid();
        let rows = [QueriedDistribution {
            data: &data,
            sealed: false,
        }];
        let json: serde_json::Value = serde_json::from_str(&text(|out| out.json(&rows[..]))).unwrap();
        assert_eq!(json[0]["amount"], "0.9007");
        assert_eq!(json[0]["sealed"], false);
        let table = text(|out| show_distributions(&rows, out));
        assert!(table.contains("0.9007") && table.contains("not yet"), "{table}");
    }
}
