//! `softstake completions`: completions of the commands for a shell.

use clap_complete::Shell;

use crate::cli::outcome::Outcome;
use crate::cli::output::Output;

/// Write shell completions to stdout
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  softstake completions bash > /etc/bash_completion.d/softstake")]
pub(super) struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, command: &mut clap::Command, out: &mut Output<'_>) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, command, "softstake", &mut script);
        out.verbatim(&script)
    }
}
