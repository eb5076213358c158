//! `softstake reconcile`: computes every output again, and compares it with the published one.

mod balances;
mod chart;
pub(super) mod executions;
mod findings;
mod html;
mod payouts;
mod show;
mod work;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::{Args, Subcommand};
use indicatif::MultiProgress;

use crate::audit::asked::{Asked, EpochProgress, Inventory, Resolved};
use crate::audit::error::AuditError;
use crate::audit::point_in_time::PointInTime;
use crate::audit::reconcile::classify::RecordClassifier;
use crate::audit::reconcile::compare::Comparison;
use crate::audit::reconcile::digest::{DigestObserver, Digester};
use crate::audit::reconcile::report::ReconcileReport;
use crate::audit::replay::{EpochFilter, OutputObserver, ReplayOutcome, ReplayPlan, Schedule, replay};
use crate::bus::Log;
use crate::cli::csv_file::SpreadsheetFlag;
use crate::cli::flags::ReadFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::Output;
use crate::cli::reconcile::findings::Findings;
use crate::cli::reconcile::work::WorkFolder;
use crate::cli::replay::resources;
use crate::cli::{bus, logging, made_at, progress, signals};
use crate::config::Config;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::task::stats::Stats;

/// Compute all payouts again from the log, and compare them with the published ones
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
The source records, the control records and the recorded decisions are replayed by the same rules, in a temporary folder. \
Distributions, seals, dead letters and late postings must be equal to the published ones, to the last byte. The bus is only \
read; softstake may work on it meanwhile.
Exit status: 0 if everything is equal; 1 if a record is missing, extra, different or doubled; 3 if the asset is not listed, \
an epoch that was asked for is not closed, or nothing could be compared.

With --work, the replay is kept: after an interruption it continues, and a later replay reads only the new records.

Example:
  softstake reconcile --bus dir:bus
  softstake reconcile --bus kafka --asset ATOM --epoch 12 --html report.html"
)]
pub(super) struct Reconcile {
    #[command(subcommand)]
    with: Option<ReconcileWith>,
    #[command(flatten)]
    bus: ReadFlags,
    /// Compare only this asset
    #[arg(long)]
    asset: Option<Asset>,
    /// Compare only this epoch, and replay only the records that it needs
    #[arg(long)]
    epoch: Option<Epoch>,
    /// Keep the replay in this folder [default: a temporary folder, removed at the end]
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
    /// Write all differences, a line for each field, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    #[command(flatten)]
    spreadsheet: SpreadsheetFlag,
    /// Write the report as one HTML page without external files
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Other data to compare with the log.
#[derive(Debug, Subcommand)]
enum ReconcileWith {
    Payouts(payouts::ReconcilePayouts),
    Balances(balances::ReconcileBalances),
}

impl Reconcile {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        match &self.with {
            Some(ReconcileWith::Payouts(payouts)) => return payouts.run(out),
            Some(ReconcileWith::Balances(balances)) => return balances.run(out),
            None => {}
        }
        let made_at = made_at::time()?;
        let filter = EpochFilter {
            asset: self.asset,
            epoch: self.epoch,
        };
        let loaded = self.bus.load()?;
        let bars = logging::begin(&loaded)?;
        let stop = signals::stop_on_signals(1)?;
        let address = loaded.bus()?;
        let Some(origin) = bus::read_patiently(address, &loaded.config, self.bus.limit(Arc::clone(&stop)))? else {
            return Err(self.stopped());
        };
        let findings = self.find((&loaded.config, filter), &address.to_string(), &origin, &bars, &stop)?;
        if let Some(path) = &self.csv {
            show::csv(&findings, path, self.spreadsheet.form())?;
        }
        if let Some(path) = &self.html {
            html::write(&findings, made_at, path)?;
        }
        if self.json {
            show::json(&findings, made_at, filter, out)?;
        } else {
            show::tables(&findings, out)?;
        }
        findings.outcome()
    }

    fn find(
        &self,
        (config, filter): (&Config, EpochFilter),
        name: &str,
        origin: &Arc<dyn Log>,
        bars: &MultiProgress,
        stop: &AtomicBool,
    ) -> Result<Findings, Failure> {
        let began = Instant::now();
        let point = PointInTime::read(origin.as_ref())?;
        if point.decisions.is_empty() {
            return Err(Failure::Absent(format!(
                "{name} has no decisions: softstake has not run on it, so there is nothing to compare"
            )));
        }
        let resolved = self.resolve(origin.as_ref())?;
        let schedule = Arc::new(Schedule::new(&point, filter)?);
        let digester = Digester::new(RecordClassifier::new(&point, &schedule, filter));
        tracing::debug!("{} ms: the point in time is read", began.elapsed().as_millis());
        let pass = Pass {
            config,
            origin,
            point: &point,
            schedule: &schedule,
            digester: &digester,
            bars,
            stop,
            began,
        };
        let work = WorkFolder::open(self.work.as_deref(), origin.identity())?;
        let Some((replayed, report)) = pass.compare(&work)? else {
            return Err(self.stopped());
        };
        tracing::debug!("{} ms: compared", began.elapsed().as_millis());
        Ok(Findings {
            bus: name.to_owned(),
            records: schedule.record_count(),
            not_taken_in: point.not_ingested(),
            decisions: schedule.decision_count(),
            deviation: replayed.deviation,
            alarms: replayed.alarms,
            missing: resolved.map_or_else(Vec::new, |resolved| resolved.missing().to_vec()),
            report,
        })
    }

    /// Looks for the asset and the epoch that are asked for; `None` if everything is. An epoch may lack its seal: the replay tells whether it
    /// must have one.
    fn resolve(&self, bus: &dyn Log) -> Result<Option<Resolved>, Failure> {
        if self.asset.is_none() && self.epoch.is_none() {
            return Ok(None);
        }
        let asked = Asked::epoch(self.asset, self.epoch);
        let resolved = Inventory::read(bus)?.resolve(asked, EpochProgress::Closed)?;
        if resolved.is_nothing() {
            resolved.check()?;
        }
        Ok(Some(resolved))
    }

    fn stopped(&self) -> Failure {
        Failure::Failed(match self.work {
            Some(_) => "stopped before the replay was complete; run the same command again to continue".into(),
            None => "stopped before the replay was complete".into(),
        })
    }
}

/// The inputs of a replay.
struct Pass<'a> {
    config: &'a Config,
    origin: &'a Arc<dyn Log>,
    point: &'a PointInTime,
    schedule: &'a Arc<Schedule>,
    digester: &'a Arc<Digester>,
    bars: &'a MultiProgress,
    stop: &'a AtomicBool,
    began: Instant,
}

impl Pass<'_> {
    /// Replays the log and compares. If the digests differ, it replays a second time and keeps the outputs, to find the
    /// differences. `None` if `stop` was set.
    fn compare(&self, work: &WorkFolder) -> Result<Option<(ReplayOutcome, ReconcileReport)>, AuditError> {
        let comparison = Comparison {
            origin: self.origin.as_ref(),
            point: self.point,
            digester: self.digester,
            threads: self.config.threads,
        };
        let keep = matches!(work, WorkFolder::Kept(_));
        // The published records are read meanwhile.
        let (replayed, published) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| comparison.digest_published());
            (self.replay(work.path(), keep), reader.join())
        });
        let Some((replayed, observed)) = replayed? else {
            return Ok(None);
        };
        let published = published.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        tracing::debug!("{} ms: the log is replayed", self.began.elapsed().as_millis());
        // The replay's stores are not needed any more, and removing them takes a while.
        let removal = work.remove_stores();
        let report = comparison.compare(published.clone(), &replayed.bus, &observed, work.path())?;
        removal.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if let Some(report) = report {
            return Ok(Some((replayed, report)));
        }
        tracing::info!("not everything is equal: replaying again to find the differences");
        let again = work.path().join("again");
        let Some((replayed, observed)) = self.replay(&again, true)? else {
            return Ok(None);
        };
        let report = comparison.compare(published, &replayed.bus, &observed, &again)?;
        Ok(Some((replayed, report.unwrap_or_default())))
    }

    /// Replays the log in the folder `work`. `None` if `stop` was set.
    fn replay(&self, work: &Path, keep: bool) -> Result<Option<(ReplayOutcome, Arc<DigestObserver>)>, AuditError> {
        let observer = DigestObserver::new(self.digester);
        let stats = Arc::new(Stats::default());
        let plan = ReplayPlan {
            origin: Arc::clone(self.origin),
            schedule: Arc::clone(self.schedule),
            dedup_days: self.point.dedup_days,
            work,
            resources: resources(self.config),
            rewrite: None,
            observer: Some(Arc::clone(&observer) as Arc<dyn OutputObserver>),
            keep_outputs: keep,
        };
        let format = self.config.log.format;
        let replayed = progress::watched(&stats, self.bars, format, || replay(plan, &stats, self.stop))?;
        Ok((!replayed.stopped).then_some((replayed, observer)))
    }
}
