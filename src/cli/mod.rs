//! The command line. Results go to stdout, messages to stderr.

mod archive;
mod bus;
mod check;
mod completions;
mod csv_file;
mod demo;
mod deployment;
mod explain;
mod flags;
mod generate;
mod input;
mod listing_file;
mod logging;
mod message;
mod outcome;
mod output;
mod progress;
mod prove;
mod publish;
mod query;
mod rebuild;
mod reconcile;
mod records;
mod repartition;
mod replay;
mod run;
mod signals;
mod statement;
mod table;
mod topics;
mod verify;
mod what_if;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, BufWriter};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::message::message;
use crate::cli::outcome::exit;
use crate::cli::output::Output;
use crate::core::values::printable::escape_for_terminal;

/// Exact, replayable soft-staking rewards from an exchange's event log.
#[derive(Debug, Parser)]
#[command(name = "softstake", version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Settings come from softstake.toml, SOFTSTAKE_* variables and flags; each overrides the one before. \
`softstake check --config` shows the settings in force.
Exit status: 0 success, 1 a check or the command failed, 2 wrong usage or configuration.

Example:
  softstake demo";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Gen(generate::Gen),
    Query(query::Query),
    Check(check::Check),
    Reconcile(reconcile::Reconcile),
    Explain(explain::Explain),
    Statement(statement::Statement),
    WhatIf(what_if::WhatIf),
    Archive(archive::Archive),
    Prove(prove::Prove),
    Verify(verify::Verify),
    Rebuild(rebuild::Rebuild),
    Repartition(repartition::Repartition),
    Topics(topics::Topics),
    Publish(publish::Publish),
    Completions(completions::Completions),
}

/// Runs the command that this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            print(&error);
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let mut stdout = BufWriter::new(io::stdout().lock());
    let mut out = Output::new(&mut stdout);
    let outcome = match cli.command {
        Command::Run(run) => run.run(),
        Command::Demo(demo) => demo.run(&mut out),
        Command::Gen(generate) => generate.run(),
        Command::Query(query) => query.run(&mut out),
        Command::Check(check) => check.run(&mut out),
        Command::Reconcile(reconcile) => reconcile.run(&mut out),
        Command::Explain(explain) => explain.run(&mut out),
        Command::Statement(statement) => statement.run(&mut out),
        Command::WhatIf(what_if) => what_if.run(&mut out),
        Command::Archive(archive) => archive.run(&mut out),
        Command::Prove(prove) => prove.run(&mut out),
        Command::Verify(verify) => verify.run(&mut out),
        Command::Repartition(repartition) => repartition.run(&mut out),
        Command::Rebuild(rebuild) => rebuild.run(&mut out),
        Command::Topics(topics) => topics.run(&mut out),
        Command::Publish(publish) => publish.run(&mut out),
        Command::Completions(completions) => completions.run(&mut Cli::command(), &mut out),
    };
    // Results before a failure are shown as well.
    let flushed = out.flush();
    exit(outcome.and(flushed))
}

/// Prints help, the version, or an error of the arguments. If it cannot be printed, the exit status still tells.
fn print(error: &clap::Error) {
    let is_printable =
        |argument: OsString| matches!(escape_for_terminal(&argument.to_string_lossy()), Cow::Borrowed(_));
    if error.use_stderr() && !std::env::args_os().all(is_printable) {
        // clap quotes the arguments as they are.
        message!("{}", error.to_string().trim_end());
    } else {
        let _ = error.print();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_an_example() {
        fn walk(command: &clap::Command) {
            if command.get_name() != "help" {
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                assert!(help.contains("Example"), "{} has none", command.get_name());
                command.get_subcommands().for_each(walk);
            }
        }
        walk(&Cli::command());
    }

    #[test]
    fn wrong_usage_is_status_2() {
        for line in [
            "softstake",
            "softstake stake",
            "softstake run --partition 4",
            "softstake check",
            "softstake check --config --bus dir:a",
            "softstake gen --events 5",
            "softstake gen --bus kafka:a",
            "softstake gen --bus dir:a --stage 1 --stages 1..2",
            "softstake gen --bus dir:a --trades f",
            "softstake gen --bus dir:a --trades f --pair XRP/ETH --late 0.5",
            "softstake query account",
        ] {
            let error = Cli::try_parse_from(line.split(' ')).unwrap_err();
            assert_eq!(error.exit_code(), 2, "{line}");
        }
        for line in ["softstake --help", "softstake --version", "softstake run --help"] {
            assert_eq!(
                Cli::try_parse_from(line.split(' ')).unwrap_err().exit_code(),
                0,
                "{line}"
            );
        }
    }
}
