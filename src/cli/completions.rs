//! `softstake completions`: what a shell needs to complete our commands.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::cli::{Cli, Outcome};

/// Write shell completions to stdout
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example:
  softstake completions bash > /etc/bash_completion.d/softstake")]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

impl Completions {
    pub(super) fn run(&self, out: &mut dyn Write) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), "softstake", &mut script);
        Ok(out.write_all(&script)?)
    }
}
