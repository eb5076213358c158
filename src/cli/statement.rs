//! `softstake statement`: what finance books, by asset and epoch, with the sums checked.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use clap::Args;
use serde::Serialize;
use serde_json::json;

use crate::audit::exact::Exact;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Topic};
use crate::cli::failure::Failure;
use crate::cli::flags::Reading;
use crate::cli::query::write_json;
use crate::cli::records::{Distribution, Seal, each};
use crate::cli::table::{Table, count};
use crate::cli::{Outcome, bus};
use crate::core::contract::decision::Decision;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

/// What was distributed, kept and carried, by asset and epoch, for finance
#[derive(Debug, Args)]
#[command(after_help = "\
Every line comes from a seal, and is checked: that no money appeared or vanished within an epoch, and that each epoch takes over what the one before left.
Exit status 1 if a check fails.

Example:
  softstake statement --bus dir:bus --asset ATOM --from-epoch 0 --to-epoch 30 --csv november.csv")]
pub(super) struct Statement {
    #[command(flatten)]
    reading: Reading,
    /// Only this asset
    #[arg(long)]
    asset: Option<Asset>,
    /// From this epoch on
    #[arg(long, value_name = "N")]
    from_epoch: Option<Epoch>,
    /// Up to and with this epoch
    #[arg(long, value_name = "N")]
    to_epoch: Option<Epoch>,
    /// Add up every distribution as well, and compare with the seals
    #[arg(long)]
    check_distributions: bool,
    /// JSON in place of tables
    #[arg(long)]
    json: bool,
    /// A line for each epoch, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// The sums of an asset over the period.
#[derive(Debug, Default, Serialize)]
struct Total {
    epochs: u64,
    reward_pool: String,
    commission: String,
    rewarded: String,
    distributed: String,
    distributions: u64,
    /// Withheld and carried when the period begins.
    withheld_before: String,
    carried_in: String,
    /// The same when it ends.
    withheld_after: String,
    carried_out: String,
}

/// What is on record for epochs that have no seal yet.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
struct Pending {
    asset: String,
    epoch: Epoch,
    /// Whether its close was accepted.
    closed: bool,
    /// Validators' rewards that count for it.
    rewards: String,
}

impl Statement {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let loaded = self.reading.load()?;
        let Some(bus) = bus::view(loaded.bus()?, &loaded.config, &AtomicBool::new(false))? else {
            return Err(Failure::Failed("stopped before the bus was reached".into()));
        };
        let bus = bus.as_ref();
        let mut seals: BTreeMap<(String, Epoch), Seal> = BTreeMap::new();
        let mut wrong = Vec::new();
        each(bus, Topic::Epochs, None, |seal: Seal| {
            let at = (seal.asset.clone(), seal.epoch);
            if seals.insert(at, seal.clone()).is_some() {
                wrong.push(format!("{} epoch {} has two seals", seal.asset, seal.epoch));
            }
            Ok(())
        })?;
        let pending = pending(bus, &seals)?;
        seals.retain(|(asset, epoch), _| self.wants(asset, *epoch));
        wrong.extend(checked(&seals));
        if self.check_distributions {
            wrong.extend(self.added_up(bus, &seals)?);
        }
        let totals = totals(&seals)?;
        if let Some(path) = &self.csv {
            csv(&seals, path)?;
        }
        let pending: Vec<_> = pending
            .into_iter()
            .filter(|one| self.wants(&one.asset, one.epoch))
            .collect();
        if self.json {
            let epochs: Vec<&Seal> = seals.values().collect();
            write_json(
                &json!({ "totals": totals, "epochs": epochs, "not_sealed": pending, "wrong": wrong }),
                out,
            )?;
        } else {
            tables(&seals, &totals, &pending, &wrong, out)?;
        }
        if wrong.is_empty() { Ok(()) } else { Err(Failure::Found) }
    }

    fn wants(&self, asset: &str, epoch: Epoch) -> bool {
        self.asset.is_none_or(|wanted| wanted.as_str() == asset)
            && self.from_epoch.is_none_or(|from| epoch >= from)
            && self.to_epoch.is_none_or(|to| epoch <= to)
    }

    /// Adds up all distributions; what does not agree with the seals.
    fn added_up(&self, bus: &dyn Log, seals: &BTreeMap<(String, Epoch), Seal>) -> Result<Vec<String>, Failure> {
        let mut sums: BTreeMap<(String, Epoch), (u64, Exact)> = BTreeMap::new();
        let mut wrong = Vec::new();
        each(bus, Topic::Distributions, None, |paid: Distribution| {
            let at = (paid.asset, paid.epoch);
            if !seals.contains_key(&at) {
                return Ok(());
            }
            let Some(amount) = Exact::parse(&paid.amount) else {
                wrong.push(format!(
                    "{}:{}:{}: amount {} is none",
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
            let (count, sum) = sums.remove(&(asset.clone(), *epoch)).unwrap_or_default();
            if count != seal.distributions || Some(sum) != Exact::parse(&seal.distributed) {
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
    Failure::Failed("the sums do not fit into 512 bits: an amount on the bus is not one of softstake's".into())
}

/// What does not add up, in sentences.
fn checked(seals: &BTreeMap<(String, Epoch), Seal>) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut before: Option<&Seal> = None;
    for seal in seals.values() {
        let at = format!("{} epoch {}", seal.asset, seal.epoch);
        let sum = |amounts: &[&str]| {
            amounts
                .iter()
                .try_fold(Exact::default(), |sum, amount| sum.plus(Exact::parse(amount)?))
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
                wrong.push(format!("{at}: {came_in} came in, and {went_out} went out or is kept"));
            }
            _ => wrong.push(format!("{at}: an amount in its seal is none")),
        }
        if let Some(before) = before.filter(|before| before.asset == seal.asset) {
            if before.epoch.saturating_add(1) != seal.epoch {
                wrong.push(format!(
                    "{at} comes after epoch {}: there are seals missing",
                    before.epoch
                ));
            } else {
                for (what, left, taken) in [
                    ("carried", &before.carried_out, &seal.carried_in),
                    ("withheld", &before.withheld_after, &seal.withheld_before),
                ] {
                    if Exact::parse(left) != Exact::parse(taken) {
                        wrong.push(format!(
                            "{at}: {taken} were {what} before, and the epoch before left {left}"
                        ));
                    }
                }
            }
        }
        before = Some(seal);
    }
    wrong
}

fn totals(seals: &BTreeMap<(String, Epoch), Seal>) -> Result<BTreeMap<String, Total>, Failure> {
    let mut totals: BTreeMap<String, Total> = BTreeMap::new();
    for seal in seals.values() {
        let total = totals.entry(seal.asset.clone()).or_insert_with(|| Total {
            withheld_before: seal.withheld_before.clone(),
            carried_in: seal.carried_in.clone(),
            ..Total::default()
        });
        total.epochs += 1;
        total.distributions += seal.distributions;
        total.withheld_after.clone_from(&seal.withheld_after);
        total.carried_out.clone_from(&seal.carried_out);
        for (sum, amount) in [
            (&mut total.reward_pool, &seal.reward_pool),
            (&mut total.commission, &seal.commission),
            (&mut total.rewarded, &seal.rewarded),
            (&mut total.distributed, &seal.distributed),
        ] {
            let so_far = if sum.is_empty() { "0" } else { sum.as_str() };
            let added = Exact::parse(so_far)
                .zip(Exact::parse(amount))
                .and_then(|(a, b)| a.plus(b));
            *sum = added.ok_or_else(too_much)?.to_string();
        }
    }
    Ok(totals)
}

/// Epochs that are closed and not sealed, or open with rewards on record.
fn pending(bus: &dyn Log, seals: &BTreeMap<(String, Epoch), Seal>) -> Result<Vec<Pending>, Failure> {
    let mut pending: BTreeMap<(String, Epoch), (bool, Exact)> = BTreeMap::new();
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
                    pending.entry((asset.to_string(), epoch)).or_default().0 = true;
                }
                Decision::RewardAdded {
                    asset, epoch, amount, ..
                } => {
                    let (_, sum) = pending.entry((asset.to_string(), epoch)).or_default();
                    let added = Exact::parse(&amount).and_then(|amount| sum.plus(amount));
                    *sum = added.ok_or_else(too_much)?;
                }
                _ => {}
            }
            Ok::<_, Failure>(())
        },
    )?;
    let open = pending.into_iter().filter(|(at, _)| !seals.contains_key(at));
    Ok(open
        .map(|((asset, epoch), (closed, rewards))| Pending {
            asset,
            epoch,
            closed,
            rewards: rewards.to_string(),
        })
        .collect())
}

/// The columns of a line, by the names that seals have for them.
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

fn line(seal: &Seal) -> [String; 14] {
    [
        seal.asset.clone(),
        seal.epoch.to_string(),
        seal.epoch_end.clone(),
        seal.mode.clone(),
        seal.reward_pool.clone(),
        seal.commission.clone(),
        seal.carried_in.clone(),
        seal.rewarded.clone(),
        seal.withheld_before.clone(),
        seal.distributed.clone(),
        seal.withheld_after.clone(),
        seal.carried_out.clone(),
        seal.distributions.to_string(),
        seal.closing_balance.clone(),
    ]
}

fn csv(seals: &BTreeMap<(String, Epoch), Seal>, path: &Path) -> Outcome {
    let failed = |error: csv::Error| Failure::Failed(format!("cannot write {}: {error}", path.display()));
    let mut file = csv::Writer::from_path(path).map_err(failed)?;
    file.write_record(COLUMNS).map_err(failed)?;
    for seal in seals.values() {
        file.write_record(line(seal)).map_err(failed)?;
    }
    file.flush().map_err(|error| failed(error.into()))
}

fn tables(
    seals: &BTreeMap<(String, Epoch), Seal>,
    totals: &BTreeMap<String, Total>,
    pending: &[Pending],
    wrong: &[String],
    out: &mut dyn Write,
) -> Outcome {
    if totals.is_empty() {
        writeln!(out, "No epoch is sealed in this period.")?;
    } else {
        let mut table = Table::new(&[
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
                asset,
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
        writeln!(out)?;
        let columns = COLUMNS.map(|name| match name {
            "asset" | "epoch_end" | "mode" => name.replace('_', " "),
            _ => format!(">{}", name.replace('_', " ")),
        });
        let mut table = Table::new(&columns);
        for seal in seals.values() {
            table.row(line(seal));
        }
        table.write(out)?;
    }
    if !pending.is_empty() {
        writeln!(out, "\nNot sealed yet")?;
        let mut table = Table::new(&["asset", ">epoch", "", ">rewards on record"]);
        for one in pending {
            let stage = if one.closed { "closed" } else { "open" };
            table.row([&one.asset, &one.epoch.to_string(), stage, &one.rewards]);
        }
        table.write(out)?;
    }
    if wrong.is_empty() {
        return Ok(writeln!(out, "\nEverything adds up.")?);
    }
    writeln!(out, "\nNOT RIGHT")?;
    for wrong in wrong {
        writeln!(out, "  {wrong}")?;
    }
    Ok(())
}
