//! The deployment that a configuration describes, and the report of its alarms.

use std::path::Path;
use std::sync::Arc;

use crate::bus::{Access, Bus};
use crate::cli::outcome::Failure;
use crate::cli::private::keep_files_private;
use crate::cli::table::counted;
use crate::config::{BusAddress, Config};
use crate::deployment::state_directory::StateDirectory;
use crate::deployment::{Deployment, DeploymentError, RunMode, STEP_BYTES};

/// Opens the state directory. `final_snapshots`: whether each task leaves a snapshot of its last state.
pub(super) fn deployment(
    config: &Config,
    bus: Arc<dyn Bus>,
    state: &Path,
    final_snapshots: bool,
) -> Result<Deployment, DeploymentError> {
    keep_files_private();
    let stores = StateDirectory::open(state, config.cache_bytes(), config.snapshots(final_snapshots))?;
    Ok(Deployment {
        bus: Access::ReadWrite(bus),
        stores: Arc::new(stores),
        partitions: config.partitions,
        dedup_days: config.dedup_days,
        threads: config.threads,
        step_bytes: match config.bus {
            // A block must fit into a record that brokers accept, and a transaction must be short.
            Some(BusAddress::Kafka) => STEP_BYTES / 4,
            _ => STEP_BYTES,
        },
        mode: RunMode::Work,
        sequence: None,
    })
}

/// The failure of a run in which a check stopped the settlement of epochs.
pub(super) fn alarmed(alarms: &[String]) -> Failure {
    let epochs = counted(alarms.len() as u64, "epoch was", "epochs were");
    Failure::Failed(format!(
        "everything is processed, but {epochs} stopped by a failed check; nothing was sealed there and nothing may be paid: {}",
        alarms.join("; ")
    ))
}
