//! A deployment as one process runs it: its settings on record, its stores, and its tasks on a few threads.

pub mod account;
mod catch_up;
mod diagnosis;
pub mod error;
mod held_up;
pub mod holdings;
mod lag;
pub mod layout;
pub mod observed;
mod open_files;
pub mod preview;
pub mod record;
pub mod repartition;
mod run;
mod settings;
pub mod state_directory;
mod tasks;

pub use error::DeploymentError;
pub use open_files::raise_limit as raise_limit_of_open_files;
pub use run::{RunEnd, run, run_observed};
pub use settings::{DEFAULT_PARTITIONS, Deployment, RunMode, STEP_BYTES, StartSequence};
