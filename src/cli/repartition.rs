//! `softstake repartition`: changes the number of ledger partitions.

use std::sync::Arc;

use clap::Args;

use crate::bus::Log;
use crate::bus::kafka::topics::grow_ledger;
use crate::cli::deployment::deployment;
use crate::cli::flags::SettingFlags;
use crate::cli::outcome::{Failure, Outcome};
use crate::cli::output::{Output, write_line};
use crate::cli::table::counted;
use crate::cli::{bus, logging, progress, signals};
use crate::config::BusAddress;
use crate::core::values::bucket::Partitions;
use crate::deployment::repartition::repartition;
use crate::deployment::{RunMode, run};
use crate::task::stats::Stats;

/// Change the number of ledger partitions, without replaying the log
#[derive(Debug, Args)]
#[command(after_help = "\
Stop all instances first; new source records wait on their topics meanwhile. The command processes the rest of the ledger, \
and moves the rows of each range of buckets to its new store. Then it writes the new layout to the bus, which puts it in \
force. If the command is killed before that, nothing has changed: run it again. On Kafka, it adds partitions to \
softstake.ledger if needed. No payout depends on the number of partitions.

With several instances, name the place of the snapshots: the other instances get their new stores from there.

Example:
  softstake repartition --to 32 --bus kafka --state /var/lib/softstake --snapshots-place s3://earn-snapshots/production")]
pub(super) struct Repartition {
    /// The new number of partitions: a power of two up to 4096
    #[arg(long, value_name = "N", value_parser = partitions)]
    to: Partitions,
    #[command(flatten)]
    settings: SettingFlags,
}

fn partitions(text: &str) -> Result<Partitions, String> {
    let count: u32 = text.parse().map_err(|_| "must be a whole number".to_owned())?;
    Partitions::new(count).map_err(|error| error.to_string())
}

impl Repartition {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        let loaded = self.settings.load()?;
        let config = &loaded.config;
        let bars = logging::begin(&loaded)?;
        let (address, state) = (loaded.bus()?, loaded.state()?);
        let stop = signals::stop_on_signals(1)?;
        let stopped = || Failure::Failed("stopped before anything was changed".into());
        if *address == BusAddress::Kafka {
            grow_ledger(&config.kafka, self.to.count().into())?;
        }
        let Some(opened) = bus::open(address, config, &stop)? else {
            return Err(stopped());
        };
        let log = match address {
            BusAddress::Kafka => bus::read_only(address, config, &stop)?,
            BusAddress::Dir(_) => Some(opened.bus() as Arc<dyn Log>),
        };
        let Some(log) = log else {
            return Err(stopped());
        };
        let mut deployment = deployment(config, opened.bus(), state, true)?;
        // The configured number may be that of the old layout or of the new one.
        deployment.partitions = None;
        deployment.mode = RunMode::Drain;
        let stats = Arc::new(Stats::announced());
        let done = progress::watched(&stats, &bars, config.log.format, || {
            repartition(&deployment, log.as_ref(), self.to, &stop, &stats)
        })?;
        let Some(done) = done else {
            return Err(stopped());
        };
        // Opens and closes each new store once, which leaves its first snapshot if snapshots are taken.
        run(&deployment, true, &stop, &stats)?;
        deployment.stores.finish();
        drop((deployment, log));
        opened.close()?;
        write_line!(
            out,
            "The ledger has {} now, and had {}; {} moved. If the configuration sets `partitions`, set it to {}.",
            counted(done.to.partitions.count().into(), "partition", "partitions"),
            done.from.partitions.count(),
            counted(done.rows, "row was", "rows were"),
            done.to.partitions.count(),
        )?;
        Ok(())
    }
}
