//! `softstake rebuild`: the stores made anew from the log alone.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use indicatif::MultiProgress;

use crate::bus::Access;
use crate::cli::failure::Failure;
use crate::cli::flags::Settings;
use crate::cli::{Outcome, bus, progress, signals};
use crate::deployment::repartition::rebuild;
use crate::deployment::state_directory::StateDirectory;
use crate::deployment::{Deployment, DeploymentError, RunEnd, RunMode, STEP_BYTES};
use crate::task::stats::Stats;

/// Make the stores anew from the log alone, up to what was published
#[derive(Debug, Args)]
#[command(after_help = "\
The bus is only read, and snapshots are not used. The stores that are there stay until the new ones are whole, and are kept beside them afterwards.
Stopped or killed, it goes on when it is started again.

Example:
  softstake rebuild --bus kafka --state /var/lib/softstake")]
pub(super) struct Rebuild {
    #[command(flatten)]
    settings: Settings,
}

/// Where the new stores are until they are whole.
const REBUILT: &str = "rebuilt";

impl Rebuild {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let loaded = self.settings.load()?;
        let config = &loaded.config;
        let bars = MultiProgress::new();
        crate::cli::logging::start(&config.log, &bars).map_err(Failure::Failed)?;
        let state = loaded.state()?;
        let stop = Arc::new(AtomicBool::new(false));
        signals::stop_on_signals(Arc::clone(&stop))
            .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
        let stopped = || Failure::Failed("stopped before the stores were whole; start it again to go on".into());
        let Some(bus) = bus::view(loaded.bus()?, config, &stop)? else {
            return Err(stopped());
        };
        let old = StateDirectory::open(state, config.cache_bytes(), None)?;
        let new = |path: &Path| StateDirectory::open(&path.join(REBUILT), config.cache_bytes(), None);
        let stats = Arc::new(Stats::default());
        let mut deployment = Deployment {
            bus: Access::ReadOnly(bus),
            stores: Arc::new(new(state)?),
            partitions: config.partitions,
            dedup_epochs: config.dedup_epochs,
            threads: config.threads,
            step_bytes: STEP_BYTES,
            mode: RunMode::Rebuild { before: None },
            sequence: None,
        };
        let end: Result<RunEnd, DeploymentError> = progress::watched(&stats, &bars, config.log.format, || {
            rebuild(&mut deployment, &stop, &stats)
        });
        drop(deployment);
        if end? == RunEnd::Stopped {
            return Err(stopped());
        }
        let replaced = old.replace_by(new(state)?)?;
        writeln!(out, "The stores in {} are made anew.", state.display())?;
        if let Some(replaced) = replaced {
            writeln!(
                out,
                "Those that were there are in {}: remove them when they are not needed any more.",
                replaced.display()
            )?;
        }
        Ok(())
    }
}
