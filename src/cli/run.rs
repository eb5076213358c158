//! `softstake run`: works a deployment, until it is told to stop or nothing is left to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use indicatif::MultiProgress;

use crate::bus::{Access, Bus, MembershipError};
use crate::cli::failure::Failure;
use crate::cli::flags::Settings;
use crate::cli::table::{count, counted};
use crate::cli::{Outcome, bus, progress, signals};
use crate::config::{BusAddress, Config, Loaded, LogFormat};
use crate::deployment::state_directory::StateDirectory;
use crate::deployment::{Deployment, DeploymentError, RunEnd, RunMode, STEP_BYTES, run};
use crate::task::TaskError;
use crate::task::stats::Stats;

/// Read the bus, add up, settle what is closed, and go on watching
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It may be killed at any instant: started again, it goes on as if it had never stopped.
Ctrl-C or SIGTERM stops it cleanly; a second one stops it at once.

Example:
  softstake run --bus dir:bus --state state --until-idle")]
pub(super) struct Run {
    #[command(flatten)]
    settings: Settings,
    /// RunEnd with status 0 once everything on the bus is processed and every accepted close is sealed
    #[arg(long)]
    until_idle: bool,
}

impl Run {
    pub(super) fn run(&self) -> Outcome {
        let loaded = self.settings.load()?;
        let bars = MultiProgress::new();
        crate::cli::logging::start(&loaded.config.log, &bars).map_err(Failure::Failed)?;
        self.work(&loaded, &bars)
            .map_err(|failure| match (loaded.config.log.format, &failure) {
                // Who asks for JSON gets nothing else on stderr.
                (LogFormat::Json, Failure::Usage(error) | Failure::Failed(error)) => {
                    tracing::error!(error, "ended");
                    Failure::Logged(Box::new(failure))
                }
                _ => failure,
            })
    }

    fn work(&self, loaded: &Loaded, bars: &MultiProgress) -> Outcome {
        let config = &loaded.config;
        let state = loaded.state()?;
        let address = loaded.bus()?;
        if self.until_idle && *address == BusAddress::Kafka {
            return Err(Failure::Usage(
                "--until-idle is for a directory bus: on Kafka nobody can tell that nothing more will come; stop it with SIGTERM".into(),
            ));
        }
        let stop = Arc::new(AtomicBool::new(false));
        signals::stop_on_signals(Arc::clone(&stop))
            .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
        let stats = Arc::new(Stats::default());
        let started = Instant::now();
        let mut replaced: Option<Instant> = None;
        let end = loop {
            match self.session(config, address, state, bars, &stop, &stats) {
                Err(DeploymentError::Task(TaskError::Membership(error @ MembershipError::Replaced { .. })))
                    if !stop.load(Relaxed) && replaced.is_none_or(|at| at.elapsed() > REPLACED_AGAIN_WITHIN) =>
                {
                    tracing::warn!("{error}; it may have been an earlier life of this one: joining once more");
                    replaced = Some(Instant::now());
                }
                Err(DeploymentError::Task(TaskError::LayoutChanged)) if !stop.load(Relaxed) => {
                    tracing::info!("{}", TaskError::LayoutChanged);
                }
                end => break end,
            }
        };
        if end.is_ok() || stats.records.load(Relaxed) > 0 {
            tell(&stats, started.elapsed().as_secs(), config.log.format);
        }
        match end? {
            RunEnd::Idle => Ok(()),
            RunEnd::Stopped if !self.until_idle => Ok(()),
            RunEnd::Stopped => Err(Failure::Failed(
                "stopped before everything was processed; start it again to go on".into(),
            )),
            RunEnd::Alarmed(alarms) => Err(alarmed(&alarms)),
        }
    }

    /// Works on the bus until something ends that.
    fn session(
        &self,
        config: &Config,
        address: &BusAddress,
        state: &Path,
        bars: &MultiProgress,
        stop: &Arc<AtomicBool>,
        stats: &Arc<Stats>,
    ) -> Result<RunEnd, DeploymentError> {
        let Some(opened) = bus::open(address, config, stop)? else {
            return Ok(RunEnd::Stopped);
        };
        let deployment = deployment(config, opened.bus(), state, self.until_idle)?;
        let end = progress::watched(stats, bars, config.log.format, || {
            run(&deployment, self.until_idle, stop, stats)
        })?;
        if self.until_idle && end != RunEnd::Stopped {
            deployment.stores.finish();
        }
        drop(deployment);
        opened.close()?;
        Ok(end)
    }
}

/// Whoever is replaced under its name once may have been taken for its own earlier life, of which a request was still on its way; twice within
/// this time, there are two of that name.
const REPLACED_AGAIN_WITHIN: Duration = Duration::from_secs(300);

/// The deployment that a configuration describes, its state directory taken. `to_the_end`: whether a snapshot is left of how it is in the end.
pub(super) fn deployment(
    config: &Config,
    bus: Arc<dyn Bus>,
    state: &Path,
    to_the_end: bool,
) -> Result<Deployment, DeploymentError> {
    Ok(Deployment {
        bus: Access::ReadWrite(bus),
        stores: Arc::new(StateDirectory::open(
            state,
            config.cache_bytes(),
            config.snapshots(to_the_end),
        )?),
        partitions: config.partitions,
        dedup_epochs: config.dedup_epochs,
        threads: config.threads,
        step_bytes: match config.bus {
            // A block must fit into a record that brokers take, and a transaction be short.
            Some(BusAddress::Kafka) => STEP_BYTES / 4,
            _ => STEP_BYTES,
        },
        mode: RunMode::Work,
        sequence: None,
    })
}

/// What to say of epochs whose settlement a failed check stopped.
pub(super) fn alarmed(alarms: &[String]) -> Failure {
    let epochs = counted(alarms.len() as u64, "epoch was", "epochs were");
    Failure::Failed(format!(
        "all is processed, but {epochs} stopped by a failed check; nothing was sealed there and nothing may be paid:\n  {}",
        alarms.join("\n  ")
    ))
}

/// The closing lines.
fn tell(stats: &Stats, seconds: u64, format: LogFormat) {
    let [records, distributions, seals] =
        [&stats.records, &stats.distributions, &stats.seals].map(|counter| counter.load(Relaxed));
    let all = stats.counts();
    if format == LogFormat::Json {
        tracing::info!(
            records,
            distributions,
            seals,
            seconds,
            total_applied = all.applied,
            total_postings = all.postings,
            total_late = all.late,
            total_duplicates = all.duplicates,
            total_dead_letters = all.dead_letters,
            total_unlisted = all.unlisted,
            total_before_anchor = all.before_anchor,
            total_ignored = all.ignored,
            total_blank = all.blank,
            "totals"
        );
        return;
    }
    eprintln!(
        "This run: {} read in {}, {} and {} written.",
        counted(records, "record", "records"),
        counted(seconds, "second", "seconds"),
        counted(distributions, "distribution", "distributions"),
        counted(seals, "seal", "seals"),
    );
    eprintln!("Source records since this deployment began:");
    for (name, what) in [
        (
            "applied",
            format!(
                "{} with {} (late: {})",
                count(all.applied),
                counted(all.postings, "posting", "postings"),
                count(all.late)
            ),
        ),
        ("duplicates", count(all.duplicates)),
        ("dead letters", count(all.dead_letters)),
        (
            "ignored",
            format!(
                "{} altogether (postings ignored: {} of assets not listed, {} before their anchor)",
                count(all.ignored),
                count(all.unlisted),
                count(all.before_anchor)
            ),
        ),
        ("blank", count(all.blank)),
    ] {
        eprintln!("  {name:<13} {what}");
    }
}
