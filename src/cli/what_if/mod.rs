//! `softstake what-if`: settles past epochs under other rules. Publishes nothing.

mod findings;
mod show;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use indicatif::MultiProgress;

use crate::audit::asked::{Asked, EpochProgress, Inventory, Resolved};
use crate::audit::point_in_time::PointInTime;
use crate::audit::replay::{EpochFilter, ReplayOutcome, ReplayPlan, Schedule, replay};
use crate::audit::what_if::{Amendment, Effect, compare};
use crate::bus::Log;
use crate::cli::csv_file::{CsvFile, SpreadsheetFlag};
use crate::cli::deployment::alarmed;
use crate::cli::flags::ReadFlags;
use crate::cli::listing_file::parse_listing;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::Output;
use crate::cli::records::each;
use crate::cli::replay::resources;
use crate::cli::scratch::Scratch;
use crate::cli::what_if::findings::{SealPair, WhatIfFindings, signed};
use crate::cli::{bus, input, logging, missing, progress, signals};
use crate::config::Config;
use crate::core::contract::listing::Listing;
use crate::core::contract::records::Seal;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::task::stats::Stats;

/// Settle past epochs under another programme, and show which accounts would gain or lose
#[derive(Debug, Args)]
#[command(after_help = "\
FILE is a listing, as for `softstake check --programme`: the same asset, decimals, anchor and epoch_seconds, and the \
programme to try. From its from_epoch on, it replaces all programmes in force; earlier epochs do not change. The log is \
replayed in a temporary folder. Nothing is published, and the bus is only read.
Exit status: 3 if the asset is not listed, no epoch from from_epoch on is sealed, or one up to --to-epoch is not.

Example:
  softstake what-if --programme new.json --bus dir:bus --csv accounts.csv")]
pub(super) struct WhatIf {
    /// The listing with the programme to try; - for standard input
    #[arg(long, value_name = "FILE")]
    programme: PathBuf,
    #[command(flatten)]
    bus: ReadFlags,
    /// The last epoch to compare
    #[arg(long, value_name = "N")]
    to_epoch: Option<Epoch>,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write a line for each account that was or would be paid, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    spreadsheet: SpreadsheetFlag,
}

impl WhatIf {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let loaded = self.bus.load()?;
        let bars = logging::begin(&loaded)?;
        let name = self.programme.display();
        let listing = parse_listing(&input::read(&self.programme)?)
            .map_err(|rejection| Failure::Usage(format!("{name} would be rejected. {rejection}")))?;
        let stop = signals::stop_on_signals(1)?;
        let Some(origin) = bus::read_patiently(loaded.bus()?, &loaded.config, self.bus.limit(Arc::clone(&stop)))?
        else {
            return Err(stopped());
        };
        let resolved = self.resolve(origin.as_ref(), &listing)?;
        let point = PointInTime::read(origin.as_ref())?;
        let amendment = Amendment::new(listing, &point).map_err(|why| Failure::Usage(format!("{name}: {why}")))?;
        let findings = self.find(&loaded.config, &origin, &point, &amendment, &bars, &stop)?;
        if self.json {
            out.json(&show::as_json(&findings, resolved.missing()))?;
        } else {
            missing::show(resolved.missing(), out)?;
            show::tables(&findings, out)?;
        }
        match self.to_epoch {
            Some(_) => Ok(resolved.check()?),
            None => Ok(()),
        }
    }

    /// Looks for the epochs from the programme's first to the last one that is asked for.
    fn resolve(&self, bus: &dyn Log, listing: &Listing) -> Result<Resolved, Failure> {
        let asset = Some(listing.terms.asset);
        let asked = Asked::new(asset, Some(listing.programme.from_epoch), self.to_epoch)?;
        let resolved = Inventory::read(bus)?.resolve(asked, EpochProgress::Sealed)?;
        if resolved.is_nothing() {
            resolved.check()?;
        }
        Ok(resolved)
    }

    fn find(
        &self,
        config: &Config,
        origin: &Arc<dyn Log>,
        point: &PointInTime,
        amendment: &Amendment,
        bars: &MultiProgress,
        stop: &AtomicBool,
    ) -> Result<WhatIfFindings, Failure> {
        let (asset, from_epoch) = (amendment.asset(), amendment.from_epoch());
        let schedule = Schedule::new(point, EpochFilter::default())?;
        let removed = amendment.removed(origin.as_ref(), &schedule)?;
        let work = Scratch::new("what-if")?;
        let plan = ReplayPlan {
            origin: Arc::clone(origin),
            schedule: Arc::new(amendment.amend(schedule, &removed)),
            dedup_days: point.dedup_days,
            work: work.path(),
            resources: resources(config),
            rewrite: Some(amendment.rewrite()),
            observer: None,
            keep_outputs: true,
        };
        let stats = Arc::new(Stats::default());
        let outcome = progress::watched(&stats, bars, config.log.format, || replay(plan, &stats, stop))?;
        check(&outcome)?;
        let replayed = outcome.bus.scratch();
        let seals = |bus: &dyn Log| seals(bus, asset, from_epoch, self.to_epoch.unwrap_or(Epoch::new(u64::MAX)));
        let mut would_be = seals(replayed)?;
        let epochs: BTreeMap<Epoch, SealPair> = seals(origin.as_ref())?
            .into_iter()
            .filter_map(|(epoch, was)| {
                let would_be = would_be.remove(&epoch)?;
                Some((epoch, SealPair { was, would_be }))
            })
            .collect();
        if epochs.is_empty() {
            return Err(Failure::Failed(format!(
                "no epoch of {asset} from {from_epoch} on is sealed: there is nothing to compare"
            )));
        }
        let numbers: BTreeSet<Epoch> = epochs.keys().copied().collect();
        let effect = self.effect((origin.as_ref(), replayed), asset, &numbers, work.path())?;
        Ok(WhatIfFindings {
            asset,
            from_epoch,
            epochs,
            effect,
        })
    }

    /// Compares the payouts of all accounts, and writes them to the CSV file.
    fn effect(
        &self,
        buses: (&dyn Log, &dyn Log),
        asset: Asset,
        epochs: &BTreeSet<Epoch>,
        work: &Path,
    ) -> Result<Effect, Failure> {
        let columns = ["account", "asset", "paid", "would_be", "difference"];
        let create = |path| CsvFile::create(path, self.spreadsheet.form(), &columns);
        let mut csv = self.csv.as_deref().map(create).transpose()?;
        let effect = compare(buses, asset, epochs, work, |account, paid, would_be| {
            let Some(csv) = &mut csv else {
                return Ok(());
            };
            let [paid_text, would_be_text] = [paid, would_be].map(|amount| amount.to_string());
            csv.row([
                account,
                asset.as_str(),
                &paid_text,
                &would_be_text,
                &signed(paid, would_be),
            ])
        })?;
        if let Some(csv) = csv {
            csv.finish()?;
        }
        Ok(effect)
    }
}

/// Fails unless the replay reached the end of the log.
fn check(outcome: &ReplayOutcome) -> Outcome {
    if outcome.stopped {
        return Err(stopped());
    }
    if let Some(deviation) = &outcome.deviation {
        return Err(Failure::Failed(format!(
            "under these rules the log leads to another decision than the one on record: {} is {}; `softstake reconcile` tells whether the log is whole",
            deviation.number,
            serde_json::to_string(&deviation.replayed)?
        )));
    }
    if !outcome.alarms.is_empty() {
        return Err(alarmed(&outcome.alarms));
    }
    Ok(())
}

/// The seals of an asset in a range of epochs, by epoch.
fn seals(bus: &dyn Log, asset: Asset, first: Epoch, last: Epoch) -> Result<BTreeMap<Epoch, Seal<'static>>, Failure> {
    let mut seals = BTreeMap::new();
    each::<Seal>(bus, None, |seal| {
        if seal.asset == asset && (first..=last).contains(&seal.epoch) {
            seals.insert(seal.epoch, seal.into_owned());
        }
        Ok(())
    })?;
    Ok(seals)
}

fn stopped() -> Failure {
    Failure::Failed("stopped before the replay was complete".into())
}
