//! `softstake repartition`: the ledger laid out over more or fewer partitions.

use std::io::Write;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use clap::Args;
use indicatif::MultiProgress;

use crate::bus::Log;
use crate::bus::kafka::topics::grow_ledger;
use crate::cli::failure::Failure;
use crate::cli::flags::Settings;
use crate::cli::table::counted;
use crate::cli::{Outcome, bus, progress, signals};
use crate::config::BusAddress;
use crate::core::values::bucket::Partitions;
use crate::deployment::repartition::repartition;
use crate::deployment::{RunMode, run};
use crate::task::stats::Stats;

/// Lay the ledger out over more or fewer partitions, without going through the log again
#[derive(Debug, Args)]
#[command(after_help = "\
Stop all instances first; what comes onto the source topics meanwhile waits there. What is on the ledger is worked off, the rows of each range of buckets
move to the store that holds it from then on, and a record on the bus puts the new layout in force. Killed before that, nothing has happened: start it
again. On Kafka, partitions are added to softstake.ledger if it has too few. No payout depends on any of this.

Where several instances run, name the place of the snapshots: the others get their new stores from there.

Example:
  softstake repartition --to 32 --bus kafka --state /var/lib/softstake --snapshots-place s3://earn-snapshots/production")]
pub(super) struct Repartition {
    /// How many partitions: a power of two up to 4096
    #[arg(long, value_name = "N", value_parser = partitions)]
    to: Partitions,
    #[command(flatten)]
    settings: Settings,
}

fn partitions(text: &str) -> Result<Partitions, String> {
    let count: u32 = text.parse().map_err(|_| "must be a whole number".to_owned())?;
    Partitions::new(count).map_err(|error| error.to_string())
}

impl Repartition {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let loaded = self.settings.load()?;
        let config = &loaded.config;
        let bars = MultiProgress::new();
        crate::cli::logging::start(&config.log, &bars).map_err(Failure::Failed)?;
        let (address, state) = (loaded.bus()?, loaded.state()?);
        let stop = Arc::new(AtomicBool::new(false));
        signals::stop_on_signals(Arc::clone(&stop))
            .map_err(|error| Failure::Failed(format!("cannot listen for signals: {error}")))?;
        let stopped = || Failure::Failed("stopped before anything was changed".into());
        if *address == BusAddress::Kafka {
            grow_ledger(&config.kafka, self.to.count().into())?;
        }
        let Some(opened) = bus::open(address, config, &stop)? else {
            return Err(stopped());
        };
        let look = match address {
            BusAddress::Kafka => bus::view(address, config, &stop)?,
            BusAddress::Dir(_) => Some(opened.bus() as Arc<dyn Log>),
        };
        let Some(look) = look else {
            return Err(stopped());
        };
        let mut deployment = crate::cli::run::deployment(config, opened.bus(), state, true)?;
        // What was told to this process may be the layout before or after.
        deployment.partitions = None;
        deployment.mode = RunMode::Drain;
        let stats = Arc::new(Stats::default());
        let done = progress::watched(&stats, &bars, config.log.format, || {
            repartition(&deployment, look.as_ref(), self.to, &stop, &stats)
        })?;
        let Some(done) = done else {
            return Err(stopped());
        };
        // Taken up once, closed again: that leaves a snapshot of each new store, if any are taken.
        run(&deployment, true, &stop, &stats)?;
        deployment.stores.finish();
        drop((deployment, look));
        opened.close()?;
        writeln!(
            out,
            "The ledger has {} now, and had {}; {} moved. Set `partitions` in the configuration to {} where it is set.",
            counted(done.to.partitions.count().into(), "partition", "partitions"),
            done.from.partitions.count(),
            counted(done.rows, "row was", "rows were"),
            done.to.partitions.count(),
        )?;
        Ok(())
    }
}
