//! `softstake rebuild`: builds the stores again from the log alone.

use std::path::Path;
use std::sync::Arc;

use clap::Args;

use crate::bus::Access;
use crate::cli::flags::SettingFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::private::keep_files_private;
use crate::cli::{bus, logging, progress, signals};
use crate::deployment::repartition::rebuild;
use crate::deployment::state_directory::StateDirectory;
use crate::deployment::{Deployment, DeploymentError, RunEnd, RunMode, STEP_BYTES};
use crate::task::stats::Stats;

/// Build the stores again from the log alone, up to the newest published output
#[derive(Debug, Args)]
#[command(after_help = "\
The bus is only read, and snapshots are not used. The old stores stay in place until the new ones are complete, and are \
kept beside them afterwards. After a stop or a kill, run the command again: it continues.

Example:
  softstake rebuild --bus kafka --state /var/lib/softstake")]
pub(super) struct Rebuild {
    #[command(flatten)]
    settings: SettingFlags,
}

/// The folder of the new stores until they are complete.
const REBUILT: &str = "rebuilt";

impl Rebuild {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let loaded = self.settings.load()?;
        let config = &loaded.config;
        let bars = logging::begin(&loaded)?;
        let state = loaded.state()?;
        let stop = signals::stop_on_signals(1)?;
        let stopped =
            || Failure::Failed("stopped before the stores were complete; run the command again to continue".into());
        let Some(bus) = bus::read_only(loaded.bus()?, config, &stop)? else {
            return Err(stopped());
        };
        keep_files_private();
        let old = StateDirectory::open(state, config.cache_bytes(), None)?;
        let new = |path: &Path| StateDirectory::open(&path.join(REBUILT), config.cache_bytes(), None);
        let stats = Arc::new(Stats::default());
        let mut deployment = Deployment {
            bus: Access::ReadOnly(bus),
            stores: Arc::new(new(state)?),
            partitions: config.partitions,
            dedup_days: config.dedup_days,
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
        write_line!(out, "The stores in {} are built again.", state.display())?;
        if let Some(replaced) = replaced {
            write_line!(
                out,
                "The old stores are in {}: remove them when they are not needed any more.",
                replaced.display()
            )?;
        }
        Ok(())
    }
}
