//! `softstake check`: is a configuration, a bus or a programme right? Nothing is run and nothing is written.

mod config;
mod files;
mod known;
pub(in crate::cli) mod programme;
mod report;

use std::io::Write;
use std::path::PathBuf;

use clap::{ArgGroup, Args};

use crate::cli::Outcome;
use crate::config::BusAddress;

/// Check a configuration, a bus or a programme without running
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["config", "bus", "programme"]),
    after_help = "\
Exit status 0 if all is right, 1 if a record would be refused or a file of the bus would not be read, 2 if the configuration is wrong.

Example:
  softstake check --config
  softstake check --bus dir:bus
  softstake check --programme atom.json"
)]
pub(super) struct Check {
    /// Show what is in force and where each value came from; FILE in place of ./softstake.toml
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    config: Option<Option<PathBuf>>,
    /// Read every source and control record of a bus, and show what would be refused
    #[arg(long, value_name = "dir:PATH")]
    bus: Option<BusAddress>,
    /// Say what a softstake.asset.v1 event, or just its data, means; - for stdin
    #[arg(long, value_name = "FILE")]
    programme: Option<PathBuf>,
    /// JSON in place of tables
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        if let Some(file) = &self.config {
            config::check(file.as_deref(), self.json, out)
        } else if let Some(address) = &self.bus {
            report::check(address, self.json, out)
        } else if let Some(file) = &self.programme {
            programme::check(file, self.json, out)
        } else {
            // One of the three is required.
            Ok(())
        }
    }
}
