//! `softstake what-if`: past epochs settled under other rules. Publishes nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use indicatif::MultiProgress;
use serde_json::{Value, json};

use crate::audit::exact::Exact;
use crate::audit::point_in_time::PointInTime;
use crate::audit::replay::{EpochFilter, ReplayPlan, ReplayResources, Schedule, replay};
use crate::audit::what_if::{AffectedAccounts, Amendment, Effect, PayoutChange, compare};
use crate::bus::{Log, Topic};
use crate::cli::check::programme::listing;
use crate::cli::failure::Failure;
use crate::cli::flags::Reading;
use crate::cli::query::write_json;
use crate::cli::records::{Seal, each};
use crate::cli::table::{Table, count, counted};
use crate::cli::{Outcome, bus, progress, signals};
use crate::config::Loaded;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::task::stats::Stats;

/// Settle past epochs under another programme: who would gain, who would lose
#[derive(Debug, Args)]
#[command(after_help = "\
FILE is a listing, as `softstake check --programme` takes it: the same asset, decimals, anchor and epoch_seconds, and the programme to try. From its from_epoch
on it takes the place of all programmes that were in force; what came before stays. The log is gone through again in a throw-away folder; nothing is
published, and the bus is only read.

Example:
  softstake what-if --programme new.json --bus dir:bus --csv accounts.csv")]
pub(super) struct WhatIf {
    /// The listing with the programme to try; - for standard input
    #[arg(long, value_name = "FILE")]
    programme: PathBuf,
    #[command(flatten)]
    reading: Reading,
    /// Compare no further than this epoch
    #[arg(long, value_name = "N")]
    to_epoch: Option<Epoch>,
    /// JSON in place of tables
    #[arg(long)]
    json: bool,
    /// A line for each account that was or would be paid, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
}

/// The two seals of an epoch.
struct Both {
    was: Seal,
    would_be: Seal,
}

/// What came of it.
struct Findings {
    asset: Asset,
    from_epoch: Epoch,
    epochs: BTreeMap<Epoch, Both>,
    effect: Effect,
}

impl WhatIf {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let loaded = self.reading.load()?;
        let bars = MultiProgress::new();
        crate::cli::logging::start(&loaded.config.log, &bars).map_err(Failure::Failed)?;
        let name = self.programme.display();
        let mut bytes = Vec::new();
        let read = if self.programme == Path::new("-") {
            std::io::stdin().read_to_end(&mut bytes).map(drop)
        } else {
            std::fs::read(&self.programme).map(|read| bytes = read)
        };
        read.map_err(|error| Failure::Usage(format!("cannot read {name}: {error}")))?;
        let listing = listing(&bytes).map_err(|rejection| {
            Failure::Usage(format!(
                "{name} would be refused. {}: {}",
                rejection.code, rejection.reason
            ))
        })?;
        let stop = Arc::new(AtomicBool::new(false));
        signals::stop_on_signals(Arc::clone(&stop))
            .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
        let Some(origin) = bus::view(loaded.bus()?, &loaded.config, &stop)? else {
            return Err(stopped());
        };
        let point = PointInTime::read(origin.as_ref())?;
        let amendment = Amendment::new(listing, &point).map_err(|why| Failure::Usage(format!("{name}: {why}")))?;
        let findings = self.find(&loaded, origin, &point, &amendment, &bars, &stop)?;
        if self.json {
            return write_json(&as_json(&findings), out);
        }
        tables(&findings, out)
    }

    fn find(
        &self,
        loaded: &Loaded,
        origin: Arc<dyn Log>,
        point: &PointInTime,
        amendment: &Amendment,
        bars: &MultiProgress,
        stop: &AtomicBool,
    ) -> Result<Findings, Failure> {
        let (asset, from_epoch) = (amendment.asset(), amendment.from_epoch());
        let schedule = Schedule::new(point, EpochFilter::default())?;
        let removed = amendment.removed(origin.as_ref(), &schedule)?;
        let schedule = Arc::new(amendment.amend(schedule, &removed));
        let work = tempfile::Builder::new()
            .prefix("softstake-what-if-")
            .tempdir()
            .map_err(|error| Failure::Failed(format!("cannot make a folder for temporary files: {error}")))?;
        let plan = ReplayPlan {
            origin: Arc::clone(&origin),
            schedule,
            dedup_epochs: point.dedup_epochs,
            work: work.path(),
            resources: ReplayResources {
                partitions: crate::cli::reconcile::PARTITIONS,
                threads: loaded.config.threads,
                cache_bytes: loaded.config.cache_bytes(),
            },
            rewrite: Some(amendment.rewrite()),
            observer: None,
            keep_outputs: true,
        };
        let stats = Arc::new(Stats::default());
        let replayed = progress::watched(&stats, bars, loaded.config.log.format, || replay(plan, &stats, stop))?;
        if replayed.stopped {
            return Err(stopped());
        }
        if let Some(deviation) = replayed.deviation {
            return Err(Failure::Failed(format!(
                "under these rules the log leads to another decision than the one on record: {} is {}; `softstake reconcile` tells whether the log is whole",
                deviation.number,
                serde_json::to_string(&deviation.replayed)?
            )));
        }
        if !replayed.alarms.is_empty() {
            return Err(crate::cli::run::alarmed(&replayed.alarms));
        }
        let replayed = replayed.bus.scratch();
        let last = self.to_epoch.unwrap_or(Epoch::new(u64::MAX));
        let seals = |bus: &dyn Log| -> Result<BTreeMap<Epoch, Seal>, Failure> {
            let mut seals = BTreeMap::new();
            each(bus, Topic::Epochs, None, |seal: Seal| {
                if seal.asset == asset.as_str() && (from_epoch..=last).contains(&seal.epoch) {
                    seals.insert(seal.epoch, seal);
                }
                Ok(())
            })?;
            Ok(seals)
        };
        let mut would_be = seals(replayed)?;
        let epochs: BTreeMap<Epoch, Both> = seals(origin.as_ref())?
            .into_iter()
            .filter_map(|(epoch, was)| {
                let would_be = would_be.remove(&epoch)?;
                Some((epoch, Both { was, would_be }))
            })
            .collect();
        if epochs.is_empty() {
            return Err(Failure::Failed(format!(
                "no epoch of {asset} from {from_epoch} on is sealed: there is nothing to compare"
            )));
        }
        let mut csv = self
            .csv
            .as_ref()
            .map(|path| {
                let failed = |error: csv::Error| Failure::Failed(format!("cannot write {}: {error}", path.display()));
                let mut csv = csv::Writer::from_path(path).map_err(failed)?;
                csv.write_record(["account", "asset", "paid", "would_be", "difference"])
                    .map_err(failed)?;
                Ok::<_, Failure>((csv, failed))
            })
            .transpose()?;
        let numbers: BTreeSet<Epoch> = epochs.keys().copied().collect();
        let effect = compare(
            (origin.as_ref(), replayed),
            asset,
            &numbers,
            work.path(),
            |account, paid, would_be| {
                let Some((csv, failed)) = &mut csv else {
                    return Ok(());
                };
                let [paid_text, would_be_text] = [paid, would_be].map(|amount| amount.to_string());
                csv.write_record([
                    account,
                    asset.as_str(),
                    &paid_text,
                    &would_be_text,
                    &signed(paid, would_be),
                ])
                .map_err(&*failed)
            },
        )?;
        if let Some((mut csv, failed)) = csv {
            csv.flush().map_err(|error| failed(error.into()))?;
        }
        Ok(Findings {
            asset,
            from_epoch,
            epochs,
            effect,
        })
    }
}

fn stopped() -> Failure {
    Failure::Failed("stopped before everything was gone through".into())
}

/// How much more, or less, something would be.
fn signed(was: Exact, would_be: Exact) -> String {
    match (would_be.minus(was), was.minus(would_be)) {
        (Some(more), _) if more != Exact::default() => format!("+{more}"),
        (None, Some(less)) => format!("-{less}"),
        _ => "0".into(),
    }
}

/// How much more, or less, a published amount would be.
fn difference(was: &str, would_be: &str) -> String {
    match (Exact::parse(was), Exact::parse(would_be)) {
        (Some(was), Some(would_be)) => signed(was, would_be),
        _ => "?".into(),
    }
}

/// What is shown of a seal.
const SHOWN: [&str; 6] = [
    "reward_pool",
    "commission",
    "rewarded",
    "distributed",
    "withheld_after",
    "carried_out",
];

fn shown(seal: &Seal) -> [&str; 6] {
    [
        &seal.reward_pool,
        &seal.commission,
        &seal.rewarded,
        &seal.distributed,
        &seal.withheld_after,
        &seal.carried_out,
    ]
}

fn as_json(findings: &Findings) -> Value {
    let of = |seal: &Seal| {
        let mut value: serde_json::Map<String, Value> = SHOWN
            .iter()
            .zip(shown(seal))
            .map(|(name, amount)| ((*name).to_owned(), json!(amount)))
            .collect();
        value.insert("mode".into(), json!(seal.mode));
        value.insert("distributions".into(), json!(seal.distributions));
        value
    };
    let epochs: Vec<Value> = findings
        .epochs
        .iter()
        .map(|(epoch, both)| json!({"epoch": epoch, "was": of(&both.was), "would_be": of(&both.would_be)}))
        .collect();
    let party =
        |party: &AffectedAccounts| {
            let most: Vec<Value> = party.most.iter().map(|change| {
            json!({
                "account": change.account, "paid": change.paid.to_string(), "would_be": change.would_be.to_string(),
                "difference": signed(change.paid, change.would_be),
            })
        }).collect();
            json!({"accounts": party.accounts, "sum": party.sum.to_string(), "most": most})
        };
    json!({
        "asset": findings.asset, "from_epoch": findings.from_epoch, "epochs": epochs,
        "gain": party(&findings.effect.gain), "lose": party(&findings.effect.lose), "same": findings.effect.same,
        "difference": signed(findings.effect.lose.sum, findings.effect.gain.sum),
    })
}

fn tables(findings: &Findings, out: &mut dyn Write) -> Outcome {
    let Findings {
        asset,
        from_epoch,
        epochs,
        effect,
    } = findings;
    let (gain, lose) = (&effect.gain, &effect.lose);
    writeln!(
        out,
        "{} of {asset} under the other programme, from epoch {from_epoch} on; nothing was published.\n",
        counted(epochs.len() as u64, "sealed epoch", "sealed epochs"),
    )?;
    writeln!(
        out,
        "{} would gain {} {asset} all together.",
        counted(gain.accounts, "account", "accounts"),
        gain.sum
    )?;
    writeln!(
        out,
        "{} would lose {} {asset} all together.",
        counted(lose.accounts, "account", "accounts"),
        lose.sum
    )?;
    writeln!(
        out,
        "{} would get the same.",
        counted(effect.same, "account", "accounts")
    )?;
    let net = signed(lose.sum, gain.sum);
    match (net.strip_prefix('+'), net.strip_prefix('-')) {
        (Some(more), _) => writeln!(out, "All together, {more} {asset} more would be paid.\n")?,
        (_, Some(less)) => writeln!(out, "All together, {less} {asset} less would be paid.\n")?,
        _ => writeln!(out, "All together, as much would be paid.\n")?,
    }
    let mut table = Table::new(&[
        "epoch",
        "",
        ">pool",
        ">commission",
        ">rewarded",
        ">distributed",
        ">withheld",
        ">carried",
        ">paid",
    ]);
    for (epoch, both) in epochs {
        for (name, seal) in [("was", &both.was), ("would be", &both.would_be)] {
            let mut cells = vec![
                if name == "was" {
                    epoch.to_string()
                } else {
                    String::new()
                },
                name.to_owned(),
            ];
            cells.extend(shown(seal).map(str::to_owned));
            cells.push(count(seal.distributions));
            table.row(cells);
        }
        let mut cells = vec![String::new(), "difference".to_owned()];
        cells.extend(
            shown(&both.was)
                .iter()
                .zip(shown(&both.would_be))
                .map(|(was, would_be)| difference(was, would_be)),
        );
        let (was, would_be) = (both.was.distributions, both.would_be.distributions);
        let sign = if would_be > was {
            "+"
        } else if would_be < was {
            "-"
        } else {
            ""
        };
        cells.push(format!("{sign}{}", count(was.abs_diff(would_be))));
        table.row(cells);
    }
    table.write(out)?;
    named("would gain most", &gain.most, out)?;
    named("would lose most", &lose.most, out)
}

fn named(what: &str, changes: &[PayoutChange], out: &mut dyn Write) -> Outcome {
    if changes.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let mut table = Table::new(&[what, ">paid", ">would be", ">difference"]);
    for change in changes {
        table.row([
            change.account.clone(),
            change.paid.to_string(),
            change.would_be.to_string(),
            signed(change.paid, change.would_be),
        ]);
    }
    table.write(out)
}
