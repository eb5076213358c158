//! `softstake query`: what stands in the stores and on the output topics, without disturbing whoever works there.

use std::collections::BTreeSet;
use std::io::Write;

use clap::{Args, Subcommand};
use serde::Serialize;
use serde_json::json;

use crate::bus::Topic;
use crate::core::values::account::AccountName;

use crate::cli::flags::Places;
use crate::cli::records::{Distribution, Seal};
use crate::cli::table::Table;
use crate::cli::{Outcome, bus, records};
use crate::core::values::asset::Asset;
use crate::core::values::printable::escape_for_terminal;
use crate::deployment::account::{AssetHolding, read_account};

/// Look up an account, its distributions, or an asset's epochs
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  softstake query distributions alice --bus dir:bus")]
pub(super) struct Query {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// An account's balances and its accrued balance-seconds, as of the newest persisted state
    #[command(after_help = "\
Balance-seconds of an epoch are what they come to at its end if nothing more happens.

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
        places: Places,
        /// JSON in place of tables
        #[arg(long)]
        json: bool,
    },
    /// What an account was paid
    #[command(after_help = "\
Example:
  softstake query distributions alice --bus dir:bus --json")]
    Distributions {
        /// The account
        #[arg(value_parser = account)]
        name: AccountName<'static>,
        /// Only this asset
        #[arg(long)]
        asset: Option<Asset>,
        #[command(flatten)]
        places: Places,
        /// JSON in place of a table
        #[arg(long)]
        json: bool,
    },
    /// An asset's sealed epochs
    #[command(after_help = "\
Example:
  softstake query epochs ATOM --bus dir:bus")]
    Epochs {
        /// The asset
        asset: Asset,
        #[command(flatten)]
        places: Places,
        /// JSON in place of a table
        #[arg(long)]
        json: bool,
    },
}

fn account(name: &str) -> Result<AccountName<'static>, String> {
    name.parse().map_err(|error| format!("an account's name that {error}"))
}

impl Query {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        match &self.what {
            What::Account {
                name,
                asset,
                places,
                json,
            } => {
                let loaded = places.load()?;
                let mut views = read_account(loaded.state()?, name)?;
                views.retain(|view| asset.is_none_or(|asset| asset.as_str() == view.asset));
                if *json {
                    write_json(&json!({ "account": name.as_str(), "assets": views }), out)
                } else {
                    show_account(name.as_str(), &views, out)
                }
            }
            What::Distributions {
                name,
                asset,
                places,
                json,
            } => {
                let loaded = places.load()?;
                let bus = bus::open_for_reading(loaded.bus()?)?;
                let of_asset = |given: &str| asset.is_none_or(|asset| asset.as_str() == given);
                // Seals second: whoever is sealed now had its distributions before.
                let mut found: Vec<Distribution> = records::all(
                    &bus,
                    Topic::Distributions,
                    Some(name.as_str()),
                    |data: &Distribution| data.account == name.as_str() && of_asset(&data.asset),
                )?;
                found.sort_by(|a, b| (&a.asset, a.epoch).cmp(&(&b.asset, b.epoch)));
                let mut sealed = BTreeSet::new();
                records::each(&bus, Topic::Epochs, None, |seal: Seal| {
                    sealed.insert((seal.asset, seal.epoch));
                    Ok(())
                })?;
                let rows = found.iter().map(|data| Paid {
                    data,
                    sealed: sealed.contains(&(data.asset.clone(), data.epoch)),
                });
                let rows: Vec<_> = rows.collect();
                if *json {
                    write_json(&rows, out)
                } else {
                    show_distributions(name.as_str(), &rows, out)
                }
            }
            What::Epochs { asset, places, json } => {
                let loaded = places.load()?;
                let bus = bus::open_for_reading(loaded.bus()?)?;
                let name = asset.as_str();
                let mut seals: Vec<Seal> =
                    records::all(&bus, Topic::Epochs, Some(name), |seal: &Seal| seal.asset == name)?;
                seals.sort_by_key(|seal| seal.epoch);
                if *json {
                    write_json(&seals, out)
                } else {
                    show_epochs(name, &seals, out)
                }
            }
        }
    }
}

/// A distribution, and whether it counts.
#[derive(Serialize)]
struct Paid<'a> {
    #[serde(flatten)]
    data: &'a Distribution,
    /// Before its epoch is sealed, a distribution must not be paid.
    sealed: bool,
}

/// Writes a value as indented JSON.
pub(super) fn write_json<T: Serialize + ?Sized>(value: &T, out: &mut dyn Write) -> Outcome {
    serde_json::to_writer_pretty(&mut *out, value)?;
    Ok(writeln!(out)?)
}

fn show_account(name: &str, views: &[AssetHolding], out: &mut dyn Write) -> Outcome {
    let name = escape_for_terminal(name);
    if views.is_empty() {
        return Ok(writeln!(
            out,
            "{name} has no balance of a listed asset, as of the newest persisted state."
        )?);
    }
    writeln!(out, "{name}, as of the newest persisted state")?;
    let mut balances = Table::new(&["asset", ">balance", ">withheld"]);
    let mut epochs = Table::new(&["asset", ">epoch", "from", "to", ">change", ">balance-seconds"]);
    let mut open = 0;
    for view in views {
        balances.row([&view.asset, &view.balance, &view.withheld]);
        for epoch in &view.open_epochs {
            let number = epoch.epoch.to_string();
            epochs.row([
                &view.asset,
                &number,
                &epoch.start,
                &epoch.end,
                &epoch.delta,
                &epoch.balance_seconds,
            ]);
            open += 1;
        }
    }
    balances.write(out)?;
    if open > 0 {
        writeln!(
            out,
            "\nOpen epochs; balance-seconds as they stand, to the epoch's end if nothing more happens"
        )?;
        epochs.write(out)?;
    }
    Ok(())
}

fn show_distributions(name: &str, rows: &[Paid<'_>], out: &mut dyn Write) -> Outcome {
    if rows.is_empty() {
        return Ok(writeln!(
            out,
            "There is no distribution to {}.",
            escape_for_terminal(name)
        )?);
    }
    let columns = [
        "asset",
        ">epoch",
        "ended",
        ">amount",
        ">average balance",
        ">balance-seconds",
        ">rules from",
        "sealed",
    ];
    let mut table = Table::new(&columns);
    for Paid { data, sealed } in rows {
        table.row([
            data.asset.as_str(),
            &data.epoch.to_string(),
            &data.epoch_end,
            &data.amount,
            &data.average_balance,
            &data.balance_seconds,
            &data.programme_from_epoch.to_string(),
            if *sealed { "yes" } else { "not yet" },
        ]);
    }
    table.write(out)
}

fn show_epochs(asset: &str, seals: &[Seal], out: &mut dyn Write) -> Outcome {
    if seals.is_empty() {
        return Ok(writeln!(out, "No epoch of {asset} is sealed.")?);
    }
    let columns = [
        ">epoch",
        "ended",
        "mode",
        ">pool",
        ">commission",
        ">distributed",
        ">withheld",
        ">carried out",
        ">payouts",
        ">closing balance",
        "root",
    ];
    let mut table = Table::new(&columns);
    for seal in seals {
        table.row([
            &seal.epoch.to_string(),
            &seal.epoch_end,
            &seal.mode,
            &seal.reward_pool,
            &seal.commission,
            &seal.distributed,
            &seal.withheld_after,
            &seal.carried_out,
            &crate::cli::table::count(seal.distributions),
            &seal.closing_balance,
            short(&seal.root),
        ]);
    }
    table.write(out)
}

/// Enough of a root to tell it from others.
pub(super) fn short(root: &str) -> &str {
    root.get(..12).unwrap_or(root)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::failure::Failure;
    use crate::core::values::ids::Epoch;

    fn text(write: impl FnOnce(&mut dyn Write) -> Result<(), Failure>) -> String {
        let mut out = Vec::new();
        write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    fn paid() -> Distribution {
        Distribution {
            account: "alice".into(),
            asset: "ATOM".into(),
            epoch: Epoch::new(3),
            epoch_start: "2026-11-01T00:00:00.000Z".into(),
            epoch_end: "2026-11-02T00:00:00.000Z".into(),
            amount: "0.9007".into(),
            balance_seconds: "7775784".into(),
            average_balance: "89.9975".into(),
            programme_from_epoch: Epoch::FIRST,
        }
    }

    #[test]
    fn a_distribution_says_whether_it_is_sealed() {
        let data = paid();
        let rows = [Paid {
            data: &data,
            sealed: false,
        }];
        let json: serde_json::Value = serde_json::from_str(&text(|out| write_json(&rows[..], out))).unwrap();
        assert_eq!(json[0]["amount"], "0.9007");
        assert_eq!(json[0]["sealed"], false);
        let table = text(|out| show_distributions("alice", &rows, out));
        assert!(table.contains("0.9007") && table.contains("not yet"), "{table}");
        assert_eq!(
            text(|out| show_distributions("bob", &[], out)),
            "There is no distribution to bob.\n"
        );
    }

    #[test]
    fn a_name_that_cannot_be_is_refused() {
        assert_eq!(
            account("a\u{202e}b").unwrap_err(),
            "an account's name that has the unprintable character U+202E at byte 1"
        );
        assert_eq!(account("Ünal"), Ok(AccountName::new("Ünal").unwrap()));
    }
}
