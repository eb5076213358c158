//! `softstake run`: runs a deployment until it is stopped, or until nothing is left to do.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use indicatif::MultiProgress;

use crate::bus::MembershipError;
use crate::cli::deployment::{alarmed, deployment};
use crate::cli::flags::SettingFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::{bus, logging, progress, signals, totals};
use crate::config::{BusAddress, Config, ConfigError, Key, Loaded, LogFormat};
use crate::deployment::observed::Observed;
use crate::deployment::{DeploymentError, RunEnd, run_observed};
use crate::monitor::{self, HoldingsAccess, Instance, Monitored, Traces};
use crate::task::TaskError;
use crate::task::stats::Stats;

/// Read the bus, accrue balances, settle closed epochs, and wait for new records
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The process may be killed at any instant; after a restart it continues without loss or repetition.
Ctrl-C or SIGTERM stops it cleanly; a second signal stops it at once.

Example:
  softstake run --bus dir:bus --state state --until-idle")]
pub(super) struct Run {
    #[command(flatten)]
    settings: SettingFlags,
    /// Exit with status 0 once every record that is there is processed, by any instance, and every accepted close is sealed
    #[arg(long)]
    until_idle: bool,
    /// For benchmarks alone: publishes on Kafka without transactions, so EXACTLY ONCE IS LOST
    // A restart or a rebalance may publish the same distributions twice, and what is published may be read before it is whole. Never use it where
    // anybody is paid. The value says that this is known.
    #[arg(long, hide = true, value_name = "ACKNOWLEDGEMENT", value_parser = [ACKNOWLEDGEMENT])]
    bench_without_transactions: Option<String>,
}

/// The value of the flag that turns transactions off.
const ACKNOWLEDGEMENT: &str = "exactly-once-is-lost";

impl Run {
    pub(super) fn run(&self) -> Outcome {
        let loaded = self.settings.load()?;
        let instance = loaded.config.kafka.instance.as_deref();
        // Dropped at the end, which sends the last spans.
        let traces = Traces::from_environment(instance).map_err(Failure::Usage)?;
        let bars = logging::begin_with(&loaded, traces.as_ref())?;
        self.work(&loaded, &bars)
            .map_err(|failure| match (loaded.config.log.format, &failure) {
                // With JSON logs, stderr has nothing but JSON.
                (LogFormat::Json, Failure::Usage(error) | Failure::Failed(error)) => {
                    tracing::error!(error, "failed");
                    Failure::Logged(Box::new(failure))
                }
                _ => failure,
            })
    }

    fn work(&self, loaded: &Loaded, bars: &MultiProgress) -> Outcome {
        let config = &loaded.config;
        let state = loaded.state()?;
        let address = loaded.bus()?;
        let config = &self.measured(config, address)?;
        let stop = signals::stop_on_signals(i32::from(self.until_idle))?;
        let stats = Arc::new(Stats::announced());
        let observed = Arc::new(Observed::new(Arc::clone(&stats)));
        watch(loaded, &observed, &stop)?;
        let started = Instant::now();
        let mut replaced: Option<Instant> = None;
        let end = loop {
            match self.session(config, address, state, bars, &stop, &observed) {
                Err(DeploymentError::Task(TaskError::Membership(error @ MembershipError::Replaced { .. })))
                    if !stop.load(Relaxed) && replaced.is_none_or(|at| at.elapsed() > REPLACED_AGAIN_WITHIN) =>
                {
                    tracing::warn!(
                        "{error}; it may be a late request of this instance before its restart: joining again"
                    );
                    replaced = Some(Instant::now());
                }
                Err(DeploymentError::Task(TaskError::LayoutChanged)) if !stop.load(Relaxed) => {
                    tracing::info!("{}", TaskError::LayoutChanged);
                }
                end => break end,
            }
        };
        if end.is_ok() || stats.records.load(Relaxed) > 0 {
            let is_shared = *address == BusAddress::Kafka;
            totals::tell(&stats, started.elapsed().as_secs(), config.log.format, is_shared);
        }
        match end? {
            RunEnd::Idle => Ok(()),
            RunEnd::Stopped if !self.until_idle => Ok(()),
            RunEnd::Stopped => Err(Failure::Failed(
                "stopped before everything was processed; run the command again to continue".into(),
            )),
            RunEnd::Alarmed(alarms) => Err(alarmed(&alarms)),
        }
    }

    /// The configuration, without transactions if that is to be measured.
    fn measured(&self, config: &Config, address: &BusAddress) -> Result<Config, Failure> {
        let mut config = config.clone();
        if self.bench_without_transactions.is_some() {
            if *address != BusAddress::Kafka {
                let why = "--bench-without-transactions is for Kafka: a directory bus has no other transactions";
                return Err(Failure::Usage(why.into()));
            }
            tracing::warn!(
                "without transactions, for a benchmark: exactly once is lost, so nothing may be paid from these topics"
            );
            config.kafka.is_transactional = false;
        }
        Ok(config)
    }

    /// Works on the bus until it is idle, stopped or fails.
    fn session(
        &self,
        config: &Config,
        address: &BusAddress,
        state: &Path,
        bars: &MultiProgress,
        stop: &Arc<AtomicBool>,
        observed: &Observed,
    ) -> Result<RunEnd, DeploymentError> {
        let Some(opened) = bus::open(address, config, stop)? else {
            return Ok(RunEnd::Stopped);
        };
        let deployment = deployment(config, opened.bus(), state, self.until_idle)?;
        let end = progress::watched(&observed.stats, bars, config.log.format, || {
            let watches_lag = config.monitor.listen.is_some();
            run_observed(&deployment, self.until_idle, stop, observed, watches_lag)
        })?;
        if self.until_idle && end != RunEnd::Stopped {
            deployment.stores.finish();
        }
        drop(deployment);
        opened.close()?;
        Ok(end)
    }
}

/// Starts the endpoint for monitoring, if it has an address. It answers until the process ends.
fn watch(loaded: &Loaded, observed: &Arc<Observed>, stop: &Arc<AtomicBool>) -> Outcome {
    let config = &loaded.config;
    let Some(listen) = config.monitor.listen else {
        return Ok(());
    };
    let is_kafka = config.bus == Some(BusAddress::Kafka);
    let instance = Instance {
        bus: config.bus.as_ref().map(ToString::to_string).unwrap_or_default(),
        deployment: is_kafka.then(|| config.kafka.deployment.clone()),
        name: config.kafka.instance.clone().filter(|_| is_kafka),
    };
    let mut process = Monitored::new(Arc::clone(observed), instance, Arc::clone(stop));
    if let Some(file) = &config.monitor.token_file {
        let access = HoldingsAccess::from_file(file);
        process.holdings = Some(access.map_err(|what| ConfigError::Value {
            origin: loaded.origin(Key::MonitorTokenFile).clone(),
            key: Key::MonitorTokenFile,
            what,
        })?);
    }
    let address = monitor::start(listen, process).map_err(|error| ConfigError::Value {
        origin: loaded.origin(Key::MonitorListen).clone(),
        key: Key::MonitorListen,
        what: error.to_string(),
    })?;
    tracing::info!("monitoring: http://{address} has /metrics, /livez, /readyz and /status");
    Ok(())
}

/// An instance may be replaced by a late request of its own earlier process. If it is replaced twice within this time, there
/// are two instances of its name.
const REPLACED_AGAIN_WITHIN: Duration = Duration::from_secs(300);
