//! `softstake reconcile`: works everything out once more, and holds it against what was published.

mod balances;
mod html;
mod payouts;
mod show;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Instant;

use clap::{Args, Subcommand};
use indicatif::MultiProgress;
use serde::{Deserialize, Serialize};

use crate::audit::error::AuditError;
use crate::audit::point_in_time::PointInTime;
use crate::audit::reconcile::classify::RecordClassifier;
use crate::audit::reconcile::compare::Comparison;
use crate::audit::reconcile::digest::{DigestObserver, Digester};
use crate::audit::reconcile::report::ReconcileReport;
use crate::audit::replay::{
    Deviation, EpochFilter, OutputObserver, ReplayOutcome, ReplayPlan, ReplayResources, Schedule, replay,
};
use crate::bus::Log;
use crate::cli::failure::Failure;
use crate::cli::flags::Reading;
use crate::cli::{Outcome, bus, progress, signals};
use crate::config::Loaded;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::task::stats::Stats;

/// Work out all payouts once more from the log, and compare with what was published
#[derive(Debug, Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "\
Source and control records and the decisions on record are gone through again by the same rules, in a throw-away folder. Distributions, seals, dead
letters and late postings must come out as they were published, to the last byte. The bus is only read; softstake may go on working on it.
Exit status: 0 if everything is equal, 1 if anything is missing, extra, different or doubled.

With --work, what was gone through is kept: an interrupted run goes on where it was, and a later one goes through no more than what is new.

Example:
  softstake reconcile --bus dir:bus
  softstake reconcile --bus kafka --asset ATOM --epoch 12 --html report.html"
)]
pub(super) struct Reconcile {
    #[command(subcommand)]
    what: Option<What>,
    #[command(flatten)]
    reading: Reading,
    /// Compare only this asset
    #[arg(long)]
    asset: Option<Asset>,
    /// Compare only this epoch, and go through no more than it needs
    #[arg(long)]
    epoch: Option<Epoch>,
    /// Where to keep what was gone through; a temporary folder that is removed if not given
    #[arg(long, value_name = "DIR")]
    work: Option<PathBuf>,
    /// JSON in place of tables
    #[arg(long)]
    json: bool,
    /// All differences, a line for each field, as CSV
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// A page to read and to file, complete in itself
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// What else can be compared.
#[derive(Debug, Subcommand)]
enum What {
    Payouts(payouts::ReconcilePayouts),
    Balances(balances::ReconcileBalances),
}

/// What a reconciliation comes to.
pub(super) struct Findings {
    pub(super) bus: String,
    pub(super) records: u64,
    pub(super) not_taken_in: u64,
    pub(super) decisions: usize,
    pub(super) deviation: Option<Deviation>,
    pub(super) alarms: Vec<String>,
    pub(super) report: ReconcileReport,
}

impl Findings {
    pub(super) fn is_clean(&self) -> bool {
        self.deviation.is_none() && self.report.is_clean()
    }
}

impl Reconcile {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        match &self.what {
            Some(What::Payouts(payouts)) => return payouts.run(out),
            Some(What::Balances(balances)) => return balances.run(out),
            None => {}
        }
        let loaded = self.reading.load()?;
        let bars = MultiProgress::new();
        crate::cli::logging::start(&loaded.config.log, &bars).map_err(Failure::Failed)?;
        let stop = Arc::new(AtomicBool::new(false));
        signals::stop_on_signals(Arc::clone(&stop))
            .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
        let address = loaded.bus()?;
        let Some(origin) = bus::view(address, &loaded.config, &stop)? else {
            return Err(stopped(self.work.as_deref()));
        };
        let findings = self.find(&loaded, &address.to_string(), origin, &bars, &stop)?;
        if let Some(path) = &self.csv {
            show::csv(&findings, path)?;
        }
        if let Some(path) = &self.html {
            html::write(&findings, path)?;
        }
        if self.json {
            show::json(&findings, out)?;
        } else {
            show::tables(&findings, out)?;
        }
        if findings.is_clean() {
            Ok(())
        } else {
            Err(Failure::Found)
        }
    }

    fn find(
        &self,
        loaded: &Loaded,
        name: &str,
        origin: Arc<dyn Log>,
        bars: &MultiProgress,
        stop: &AtomicBool,
    ) -> Result<Findings, Failure> {
        let filter = EpochFilter {
            asset: self.asset,
            epoch: self.epoch,
        };
        let began = Instant::now();
        let point = PointInTime::read(origin.as_ref())?;
        if point.decisions.is_empty() {
            return Err(Failure::Failed(format!(
                "nothing was decided on {name}: softstake has not worked on it, so there is nothing to hold against anything"
            )));
        }
        let schedule = Arc::new(Schedule::new(&point, filter)?);
        let work = Work::take(self.work.as_deref(), origin.identity())?;
        let digester = Digester::new(RecordClassifier::new(&point, &schedule, filter));
        let comparison = Comparison {
            origin: origin.as_ref(),
            point: &point,
            digester: &digester,
            threads: loaded.config.threads,
        };
        let pass = Pass {
            loaded,
            origin: &origin,
            point: &point,
            schedule: &schedule,
            digester: &digester,
            bars,
            stop,
        };
        tracing::debug!("{} ms: what is on the bus is known", began.elapsed().as_millis());
        let keep = matches!(work, Work::Kept(_));
        // What was published is read meanwhile.
        let (gone_through, published) = std::thread::scope(|scope| {
            let reader = scope.spawn(|| comparison.digest_published());
            (pass.go_through(work.path(), keep), reader.join())
        });
        let Some((mut replayed, observed)) = gone_through? else {
            return Err(stopped(self.work.as_deref()));
        };
        let published = published.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        tracing::debug!("{} ms: all was gone through", began.elapsed().as_millis());
        // Its stores are of no more use, and to remove them takes a while.
        let leftovers = work.without_stores();
        let mut report = comparison.compare(published.clone(), &replayed.bus, &observed, work.path())?;
        leftovers
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        if report.is_none() {
            tracing::info!(
                "not everything is equal: all is gone through once more, and kept, to find what is different"
            );
            let again = work.path().join("again");
            let Some((second, observed)) = pass.go_through(&again, true)? else {
                return Err(stopped(self.work.as_deref()));
            };
            report = comparison.compare(published, &second.bus, &observed, &again)?;
            replayed = second;
        }
        tracing::debug!("{} ms: compared", began.elapsed().as_millis());
        Ok(Findings {
            bus: name.to_owned(),
            records: schedule.record_count(),
            not_taken_in: point.not_ingested(),
            decisions: schedule.decision_count(),
            deviation: replayed.deviation,
            alarms: replayed.alarms,
            report: report.unwrap_or_default(),
        })
    }
}

/// One going through of a log, and what it takes.
struct Pass<'a> {
    loaded: &'a Loaded,
    origin: &'a Arc<dyn Log>,
    point: &'a PointInTime,
    schedule: &'a Arc<Schedule>,
    digester: &'a Arc<Digester>,
    bars: &'a MultiProgress,
    stop: &'a AtomicBool,
}

impl Pass<'_> {
    /// Goes through everything in the folder `work`; `None` if it was told to stop.
    fn go_through(&self, work: &Path, keep: bool) -> Result<Option<(ReplayOutcome, Arc<DigestObserver>)>, AuditError> {
        let observer = DigestObserver::new(self.digester);
        let stats = Arc::new(Stats::default());
        let plan = ReplayPlan {
            origin: Arc::clone(self.origin),
            schedule: Arc::clone(self.schedule),
            dedup_epochs: self.point.dedup_epochs,
            work,
            resources: ReplayResources {
                partitions: PARTITIONS,
                threads: self.loaded.config.threads,
                cache_bytes: self.loaded.config.cache_bytes(),
            },
            rewrite: None,
            observer: Some(Arc::clone(&observer) as Arc<dyn OutputObserver>),
            keep_outputs: keep,
        };
        let format = self.loaded.config.log.format;
        let replayed = progress::watched(&stats, self.bars, format, || replay(plan, &stats, self.stop))?;
        Ok((!replayed.stopped).then_some((replayed, observer)))
    }
}

/// How many ledger partitions a replay has. Of no influence on any result.
pub(super) const PARTITIONS: u32 = 8;

fn stopped(work: Option<&Path>) -> Failure {
    Failure::Failed(match work {
        Some(_) => "stopped before everything was gone through; the same command goes on from here".into(),
        None => "stopped before everything was gone through".into(),
    })
}

impl From<AuditError> for Failure {
    fn from(error: AuditError) -> Self {
        match error {
            AuditError::Open(error) => error.into(),
            AuditError::Deployment(error) => error.into(),
            error => Self::Failed(error.to_string()),
        }
    }
}

/// The folder of a replay.
enum Work {
    Kept(PathBuf),
    Temporary(tempfile::TempDir),
}

/// What a kept folder says of itself.
#[derive(Serialize, Deserialize)]
struct Owner {
    format: u32,
    bus: String,
}

const FORMAT: u32 = 1;

impl Work {
    /// Takes the folder named, if it is of this bus, or a new one.
    fn take(named: Option<&Path>, bus: &str) -> Result<Self, Failure> {
        let failed = |what: &str, path: &Path, error: std::io::Error| {
            Failure::Failed(format!("cannot {what} {}: {error}", path.display()))
        };
        let Some(path) = named else {
            let folder = tempfile::Builder::new().prefix("softstake-replay-").tempdir();
            return folder
                .map(Self::Temporary)
                .map_err(|error| failed("make a folder in", &std::env::temp_dir(), error));
        };
        std::fs::create_dir_all(path).map_err(|error| failed("make", path, error))?;
        let file = path.join("replay.json");
        let owner = Owner {
            format: FORMAT,
            bus: bus.to_owned(),
        };
        match std::fs::read(&file) {
            Ok(bytes) => {
                let known = serde_json::from_slice::<Owner>(&bytes).ok();
                if known.is_none_or(|known| known.format != owner.format || known.bus != owner.bus) {
                    return Err(Failure::Usage(format!(
                        "{} holds a replay of another bus, or of another softstake: name another folder, or remove it",
                        path.display()
                    )));
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let written = serde_json::to_vec(&owner)?;
                std::fs::write(&file, written).map_err(|error| failed("write", &file, error))?;
            }
            Err(error) => return Err(failed("read", &file, error)),
        }
        Ok(Self::Kept(path.to_owned()))
    }

    /// Removes the stores of a temporary folder, beside whatever comes next.
    fn without_stores(&self) -> std::thread::JoinHandle<()> {
        let stores = match self {
            Self::Kept(_) => None,
            Self::Temporary(folder) => Some(folder.path().join("state")),
        };
        std::thread::spawn(move || {
            if let Some(stores) = stores {
                // What is left goes with the folder.
                let _ = std::fs::remove_dir_all(stores);
            }
        })
    }

    fn path(&self) -> &Path {
        match self {
            Self::Kept(path) => path,
            Self::Temporary(folder) => folder.path(),
        }
    }
}
