//! `softstake redrive`: shows dead letters, exports them to be corrected, and publishes the corrected events.
//!
//! - `select`: which dead letters a command is about. `list`, `export`: show and write them.
//! - `edited`: reads the file that a person has edited. `corrected`: makes the event that is published of it.
//! - `plan`: what would become of each line; `words` tells it in `phrases`. `apply`: publishes, and waits. `publisher`: how, on each bus.

mod apply;
mod corrected;
mod edited;
mod export;
mod list;
mod phrases;
mod plan;
mod publisher;
mod select;
mod words;

use clap::{Args, Subcommand};

use crate::cli::outcome::Outcome;
use crate::cli::output::Output;

/// List dead letters, export them to be corrected, and publish the corrected events
#[derive(Debug, Args)]
#[command(after_help = "\
Example:
  softstake redrive list --bus dir:bus
  softstake redrive export --code invalid_amount --out letters.jsonl --bus dir:bus
  softstake redrive apply letters.jsonl --bus dir:bus")]
pub(super) struct RedriveCommand {
    #[command(subcommand)]
    step: RedriveStep,
}

#[derive(Debug, Subcommand)]
enum RedriveStep {
    List(list::RedriveList),
    Export(export::RedriveExport),
    Apply(apply::RedriveApply),
}

impl RedriveCommand {
    pub(super) fn run(&self, out: &mut Output<'_>) -> Outcome {
        match &self.step {
            RedriveStep::List(list) => list.run(out),
            RedriveStep::Export(export) => export.run(out),
            RedriveStep::Apply(apply) => apply.run(out),
        }
    }
}
