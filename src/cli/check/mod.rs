//! `softstake check`: checks a configuration, a bus or a programme. It runs nothing and writes nothing.

mod config;
mod files;
mod programme;
mod report;

use std::path::PathBuf;

use clap::{ArgGroup, Args};

pub(super) use crate::cli::check::programme::words as listing_words;
use crate::cli::outcome::Outcome;
use crate::cli::output::Output;
use crate::config::BusAddress;

/// Check a configuration, a bus or a programme without running
#[derive(Debug, Args)]
#[command(
    group = ArgGroup::new("what").required(true).args(["config", "bus", "programme"]),
    after_help = "\
A bus is judged as by a run that starts now, if nothing is added meanwhile. A programme is judged more strictly than by a \
run: a field that no listing has is an error.
Exit status: 0 if everything is right; 1 if a record would be rejected, or a file of the bus would not be read; 2 if the \
configuration is wrong; 3 if the bus has no record.

Example:
  softstake check --config
  softstake check --bus dir:bus
  softstake check --programme atom.json"
)]
pub(super) struct Check {
    /// Show the settings in force and the origin of each; FILE is the configuration to read
    #[arg(long, value_name = "FILE", num_args = 0..=1)]
    config: Option<Option<PathBuf>>,
    /// Judge every source and control record of a bus as a run would, and show which it would reject
    #[arg(long, value_name = "dir:PATH")]
    bus: Option<BusAddress>,
    /// The setting of the run that is foretold; fixed once softstake has run on the bus [default: 7]
    #[arg(long, value_name = "N", requires = "bus", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    dedup_days: Option<u64>,
    /// Explain a softstake.asset.v1 event, or only its data, as JSON or TOML; - for standard input
    #[arg(long, value_name = "FILE")]
    programme: Option<PathBuf>,
    /// JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        if let Some(file) = &self.config {
            config::check(file.as_deref(), self.json, out)
        } else if let Some(address) = &self.bus {
            report::check(address, self.dedup_days, self.json, out)
        } else if let Some(file) = &self.programme {
            programme::check(file, self.json, out)
        } else {
            // clap requires one of the three.
            Ok(())
        }
    }
}
