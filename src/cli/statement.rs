//! `softstake statement`: the amounts that finance books, by asset and epoch, with checked sums.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Topic};
use crate::cli::csv_file::CsvFile;
use crate::cli::flags::ReadFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::records::each;
use crate::cli::table::{TextTable, count};
use crate::core::contract::decision::Decision;
use crate::core::contract::records::{Distribution, Seal};
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// Show what was distributed, withheld and carried, by asset and epoch, for finance
#[derive(Debug, Args)]
#[command(after_help = "\
Every line comes from a seal and is checked: within an epoch, no money appeared or vanished; and each epoch starts with \
what the epoch before left.
Exit status 1 if a check fails.

Example:
  softstake statement --bus dir:bus --asset ATOM --from-epoch 0 --to-epoch 30 --csv november.csv")]
pub(super) struct Statement {
    #[command(flatten)]
    bus: ReadFlags,
    /// Only this asset
    #[arg(long)]
    asset: Option<Asset>,
    /// From this epoch on
    #[arg(long, value_name = "N")]
    from_epoch: Option<Epoch>,
    /// Up to this epoch, included
    #[arg(long, value_name = "N")]
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
}

/// The sums of an asset over the period.
#[derive(Debug, Default, Serialize)]
struct AssetTotal {
    epochs: u64,
    reward_pool: String,
    commission: String,
    rewarded: String,
    distributed: String,
    distributions: u64,
    /// Withheld and carried at the start of the period.
    withheld_before: String,
    carried_in: String,
    /// Withheld and carried at its end.
    withheld_after: String,
    carried_out: String,
}

/// The decisions about an epoch without a seal.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct UnsealedEpoch {
    asset: Asset,
    epoch: Epoch,
    /// Whether its close was accepted.
    closed: bool,
    /// Validators' rewards that count for the epoch.
    rewards: String,
}

impl Statement {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let bus = self.bus.open()?;
        let bus = bus.as_ref();
        let mut seals: BTreeMap<(Asset, Epoch), Seal<'static>> = BTreeMap::new();
        let mut wrong = Vec::new();
        each::<Seal>(bus, None, |seal| {
            let (asset, epoch) = (seal.asset, seal.epoch);
            if seals.insert((asset, epoch), seal.into_owned()).is_some() {
                wrong.push(format!("{asset} epoch {epoch} has two seals"));
            }
            Ok(())
        })?;
        let unsealed = unsealed(bus, &seals)?;
        seals.retain(|(asset, epoch), _| self.wants(*asset, *epoch));
        wrong.extend(checked(&seals));
        if self.check_distributions {
            wrong.extend(self.added_up(bus, &seals)?);
        }
        let totals = totals(&seals)?;
        if let Some(path) = &self.csv {
            csv(&seals, path)?;
        }
        let unsealed: Vec<_> = unsealed
            .into_iter()
            .filter(|one| self.wants(one.asset, one.epoch))
            .collect();
        if self.json {
            let epochs: Vec<&Seal<'_>> = seals.values().collect();
            out.json(&json!({ "totals": totals, "epochs": epochs, "not_sealed": unsealed, "wrong": wrong }))?;
        } else {
            tables(&seals, &totals, &unsealed, &wrong, out)?;
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Found) }
    }

    fn wants(&self, asset: Asset, epoch: Epoch) -> bool {
        self.asset.is_none_or(|wanted| wanted == asset)
            && self.from_epoch.is_none_or(|from| epoch >= from)
            && self.to_epoch.is_none_or(|to| epoch <= to)
    }

    /// Adds up all distributions. Returns the differences from the seals.
    fn added_up(&self, bus: &dyn Log, seals: &BTreeMap<(Asset, Epoch), Seal<'static>>) -> Result<Vec<String>, Failure> {
        let mut sums: BTreeMap<(Asset, Epoch), (u64, ExactAmount)> = BTreeMap::new();
        let mut wrong = Vec::new();
        each::<Distribution>(bus, None, |paid| {
            let at = (paid.asset, paid.epoch);
            if !seals.contains_key(&at) {
                return Ok(());
            }
            let Some(amount) = ExactAmount::parse(&paid.amount) else {
                wrong.push(format!(
                    "{}:{}:{}: {} is not an amount",
                    at.0, at.1, paid.account, paid.amount
                ));
                return Ok(());
            };
            let (count, sum) = sums.entry(at).or_default();
            *count += 1;
            *sum = sum.plus(amount).ok_or_else(too_much)?;
            Ok(())
        })?;
        for ((asset, epoch), seal) in seals {
            let (count, sum) = sums.remove(&(*asset, *epoch)).unwrap_or_default();
            if count != seal.distributions || Some(sum) != ExactAmount::parse(&seal.distributed) {
                wrong.push(format!(
                    "{asset} epoch {epoch}: {count} distributions add up to {sum}, its seal has {} of {}",
                    seal.distributions, seal.distributed
                ));
            }
        }
        Ok(wrong)
    }
}

fn too_much() -> Failure {
    Failure::Failed("the sums do not fit into 512 bits: an amount on the bus was not written by softstake".into())
}

/// Checks each seal, and each pair of seals of consecutive epochs. Returns the errors.
fn checked(seals: &BTreeMap<(Asset, Epoch), Seal<'static>>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut before: Option<&Seal<'_>> = None;
    for seal in seals.values() {
        let at = format!("{} epoch {}", seal.asset, seal.epoch);
        let sum = |amounts: &[&str]| {
            amounts.iter().try_fold(ExactAmount::default(), |sum, amount| {
                sum.plus(ExactAmount::parse(amount)?)
            })
        };
        let apr = seal.mode == "apr";
        let came_in = if apr {
            sum(&[&seal.rewarded, &seal.withheld_before])
        } else {
            sum(&[&seal.reward_pool, &seal.carried_in, &seal.withheld_before])
        };
        let went_out = if apr {
            sum(&[&seal.distributed, &seal.withheld_after])
        } else {
            sum(&[
                &seal.commission,
                &seal.distributed,
                &seal.withheld_after,
                &seal.carried_out,
            ])
        };
        match (came_in, went_out) {
            (Some(came_in), Some(went_out)) if came_in == went_out => {}
            (Some(came_in), Some(went_out)) => {
                wrong.push(format!("{at}: {came_in} came in, but {went_out} went out or is kept"));
            }
            _ => wrong.push(format!("{at}: its seal has an invalid amount")),
        }
        if let Some(before) = before.filter(|before| before.asset == seal.asset) {
            if before.epoch.saturating_add(1) != seal.epoch {
                wrong.push(format!("{at} follows epoch {}: seals are missing", before.epoch));
            } else {
                for (what, left, taken) in [
                    ("carried", &before.carried_out, &seal.carried_in),
                    ("withheld", &before.withheld_after, &seal.withheld_before),
                ] {
                    if ExactAmount::parse(left) != ExactAmount::parse(taken) {
                        wrong.push(format!(
                            "{at} starts with {taken} {what}, but the epoch before left {left}"
                        ));
                    }
                }
            }
        }
        before = Some(seal);
    }
    wrong
}

fn totals(seals: &BTreeMap<(Asset, Epoch), Seal<'static>>) -> Result<BTreeMap<Asset, AssetTotal>, Failure> {
    let mut totals: BTreeMap<Asset, AssetTotal> = BTreeMap::new();
    for seal in seals.values() {
        let total = totals.entry(seal.asset).or_insert_with(|| AssetTotal {
            withheld_before: seal.withheld_before.to_string(),
            carried_in: seal.carried_in.to_string(),
            ..AssetTotal::default()
        });
        total.epochs += 1;
        total.distributions += seal.distributions;
        total.withheld_after = seal.withheld_after.to_string();
        total.carried_out = seal.carried_out.to_string();
        for (sum, amount) in [
            (&mut total.reward_pool, &seal.reward_pool),
            (&mut total.commission, &seal.commission),
            (&mut total.rewarded, &seal.rewarded),
            (&mut total.distributed, &seal.distributed),
        ] {
            let so_far = if sum.is_empty() { "0" } else { sum.as_str() };
            let added = ExactAmount::parse(so_far)
                .zip(ExactAmount::parse(amount))
                .and_then(|(a, b)| a.plus(b));
            *sum = added.ok_or_else(too_much)?.to_string();
        }
    }
    Ok(totals)
}

/// Epochs that are closed but not sealed, or open with rewards.
fn unsealed(bus: &dyn Log, seals: &BTreeMap<(Asset, Epoch), Seal<'static>>) -> Result<Vec<UnsealedEpoch>, Failure> {
    let mut unsealed: BTreeMap<(Asset, Epoch), (bool, ExactAmount)> = BTreeMap::new();
    let decisions = Topic::Decisions.partition(0);
    scan_range(
        bus,
        decisions,
        &Mark::default(),
        bus.readable_end(decisions)?,
        |record| {
            if record.value.is_empty() {
                return Ok(());
            }
            match Decision::read(record.value).map_err(|fault| Failure::Failed(fault.to_string()))? {
                Decision::CloseAccepted { asset, epoch, .. } => {
                    unsealed.entry((asset, epoch)).or_default().0 = true;
                }
                Decision::RewardAdded {
                    asset, epoch, amount, ..
                } => {
                    let (_, sum) = unsealed.entry((asset, epoch)).or_default();
                    let added = ExactAmount::parse(&amount).and_then(|amount| sum.plus(amount));
                    *sum = added.ok_or_else(too_much)?;
                }
                _ => {}
            }
            Ok::<_, Failure>(())
        },
    )?;
    let open = unsealed.into_iter().filter(|(at, _)| !seals.contains_key(at));
    Ok(open
        .map(|((asset, epoch), (closed, rewards))| UnsealedEpoch {
            asset,
            epoch,
            closed,
            rewards: rewards.to_string(),
        })
        .collect())
}

/// The columns of a line, named like the fields of a seal.
const COLUMNS: [&str; 14] = [
    "asset",
    "epoch",
    "epoch_end",
    "mode",
    "reward_pool",
    "commission",
    "carried_in",
    "rewarded",
    "withheld_before",
    "distributed",
    "withheld_after",
    "carried_out",
    "distributions",
    "closing_balance",
];

fn line(seal: &Seal<'_>) -> [String; 14] {
    [
        seal.asset.to_string(),
        seal.epoch.to_string(),
        seal.epoch_end.to_string(),
        seal.mode.to_string(),
        seal.reward_pool.to_string(),
        seal.commission.to_string(),
        seal.carried_in.to_string(),
        seal.rewarded.to_string(),
        seal.withheld_before.to_string(),
        seal.distributed.to_string(),
        seal.withheld_after.to_string(),
        seal.carried_out.to_string(),
        seal.distributions.to_string(),
        seal.closing_balance.to_string(),
    ]
}

fn csv(seals: &BTreeMap<(Asset, Epoch), Seal<'static>>, path: &Path) -> Outcome {
    let mut file = CsvFile::create(path, &COLUMNS)?;
    for seal in seals.values() {
        file.row(line(seal))?;
    }
    file.finish()
}

fn tables(
    seals: &BTreeMap<(Asset, Epoch), Seal<'static>>,
    totals: &BTreeMap<Asset, AssetTotal>,
    unsealed: &[UnsealedEpoch],
    wrong: &[String],
    out: &mut Output<'_>,
) -> Outcome {
    if totals.is_empty() {
        write_line!(out, "No epoch is sealed in this period.")?;
    } else {
        let mut table = TextTable::new(&[
            "asset",
            ">epochs",
            ">pool",
            ">commission",
            ">distributed",
            ">payouts",
            ">withheld",
            ">carried out",
        ]);
        for (asset, total) in totals {
            table.row([
                asset.as_str(),
                &count(total.epochs),
                &total.reward_pool,
                &total.commission,
                &total.distributed,
                &count(total.distributions),
                &total.withheld_after,
                &total.carried_out,
            ]);
        }
        table.write(out)?;
        write_line!(out)?;
        let columns = COLUMNS.map(|name| match name {
            "asset" | "epoch_end" | "mode" => name.replace('_', " "),
            _ => format!(">{}", name.replace('_', " ")),
        });
        let mut table = TextTable::new(&columns);
        for seal in seals.values() {
            table.row(line(seal));
        }
        table.write(out)?;
    }
    if !unsealed.is_empty() {
        write_line!(out)?;
        write_line!(out, "Not sealed yet")?;
        let mut table = TextTable::new(&["asset", ">epoch", "", ">rewards on record"]);
        for one in unsealed {
            let stage = if one.closed { "closed" } else { "open" };
            table.row([one.asset.as_str(), &one.epoch.to_string(), stage, &one.rewards]);
        }
        table.write(out)?;
    }
    if wrong.is_empty() {
        write_line!(out)?;
        return write_line!(out, "Everything adds up.");
    }
    write_line!(out)?;
    write_line!(out, "NOT RIGHT")?;
    for wrong in wrong {
        write_line!(out, "  {wrong}")?;
    }
    Ok(())
}
