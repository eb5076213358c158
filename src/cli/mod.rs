//! The command line. Results go to stdout, messages to stderr.

mod archive;
mod ask;
mod bus;
mod check;
mod colours;
mod completions;
mod control;
mod csv_file;
mod demo;
mod deployment;
mod explain;
mod export;
mod flags;
mod generate;
mod input;
mod listing_file;
mod logging;
mod made_at;
mod man;
mod message;
mod missing;
mod outcome;
mod output;
mod preview;
mod private;
mod progress;
mod prove;
mod publish;
mod query;
mod rebuild;
mod reconcile;
mod records;
mod redrive;
mod repartition;
mod replay;
mod results;
mod run;
mod scratch;
mod serve;
mod signals;
mod statement;
mod table;
mod top;
mod topics;
mod totals;
mod verify;
mod what_if;

use std::borrow::Cow;
use std::ffi::OsString;
use std::io::{self, Write};
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::cli::colours::has_colours;
use crate::cli::message::message;
use crate::cli::outcome::{Failure, Outcome, exit};
use crate::cli::output::Output;
use crate::cli::results::Results;
use crate::core::values::credentials::without_credentials;
use crate::core::values::csv_cell;
use crate::core::values::printable::escape_for_terminal;
use crate::deployment::raise_limit_of_open_files;

/// Exact, replayable soft-staking rewards from an exchange's event log.
#[derive(Debug, Parser)]
#[command(name = "softstake", version, propagate_version = true, after_help = AFTER_HELP)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

const AFTER_HELP: &str = "\
Settings come from a file (--config or SOFTSTAKE_CONFIG), SOFTSTAKE_* variables and flags; each overrides the one before. \
`softstake check --config` shows the settings in force.
Exit status: 0 success, 1 a check or the command failed, 2 wrong usage or configuration, 3 what was asked for, or a part \
of it, is not there.

Example:
  softstake demo";

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Demo(demo::Demo),
    Gen(generate::Gen),
    Control(control::Control),
    Redrive(redrive::RedriveCommand),
    Preview(preview::PreviewCommand),
    Query(query::Query),
    Check(check::Check),
    Reconcile(reconcile::Reconcile),
    Explain(explain::Explain),
    Statement(statement::Statement),
    Export(export::Export),
    WhatIf(what_if::WhatIf),
    Archive(archive::Archive),
    Prove(prove::Prove),
    Verify(verify::Verify),
    Rebuild(rebuild::Rebuild),
    Repartition(repartition::Repartition),
    Serve(serve::Serve),
    Top(top::Top),
    Topics(topics::Topics),
    Publish(publish::Publish),
    Completions(completions::Completions),
    Man(man::Man),
}

/// Runs the command that this process was started with.
#[must_use]
pub fn main() -> ExitCode {
    let mut results = Results::stdout();
    let columns = terminal_size::terminal_size_of(io::stdout()).map(|(columns, _)| usize::from(columns.0));
    let mut out = Output::new(&mut results, columns);
    let outcome = match Cli::try_parse() {
        Ok(cli) => run(cli.command, &mut out),
        Err(error) => unparsed(&error, &mut out),
    };
    // Results before a failure are shown as well.
    exit(outcome, results.finish())
}

fn run(command: Command, out: &mut Output<'_>) -> Outcome {
    raise_limit_of_open_files();
    match command {
        Command::Run(run) => run.run(),
        Command::Demo(demo) => demo.run(out),
        Command::Gen(generate) => generate.run(),
        Command::Control(control) => control.run(out),
        Command::Redrive(redrive) => redrive.run(out),
        Command::Preview(preview) => preview.run(out),
        Command::Query(query) => query.run(out),
        Command::Check(check) => check.run(out),
        Command::Reconcile(reconcile) => reconcile.run(out),
        Command::Explain(explain) => explain.run(out),
        Command::Statement(statement) => statement.run(out),
        Command::Export(export) => export.run(out),
        Command::WhatIf(what_if) => what_if.run(out),
        Command::Archive(archive) => archive.run(out),
        Command::Prove(prove) => prove.run(out),
        Command::Verify(verify) => verify.run(out),
        Command::Repartition(repartition) => repartition.run(out),
        Command::Rebuild(rebuild) => rebuild.run(out),
        Command::Serve(serve) => serve.run(),
        Command::Top(top) => top.run(out),
        Command::Topics(topics) => topics.run(out),
        Command::Publish(publish) => publish.run(out),
        Command::Completions(completions) => completions.run(&mut Cli::command(), out),
        Command::Man(man) => man.run(Cli::command(), out),
    }
}

/// Shows what clap has instead of a command: help or the version as results, wrong usage as a message.
fn unparsed(error: &clap::Error, out: &mut Output<'_>) -> Outcome {
    if !error.use_stderr() {
        let text = error.render();
        return if has_colours(&io::stdout()) {
            out.verbatim(text.ansi().to_string().as_bytes())
        } else {
            out.verbatim(text.to_string().as_bytes())
        };
    }
    let is_printable = |argument: OsString| {
        let argument = argument.to_string_lossy();
        matches!(escape_for_terminal(&argument), Cow::Borrowed(_)) && without_credentials(&argument) == argument
    };
    if std::env::args_os().all(is_printable) {
        let text = error.render();
        let text = if has_colours(&io::stderr()) {
            text.ansi().to_string()
        } else {
            text.to_string()
        };
        // Errors are ignored: the exit status still tells.
        let _ = io::stderr().write_all(in_words(text).as_bytes());
    } else {
        // clap quotes the arguments as they are.
        message!("{}", in_words(error.to_string()).trim_end());
    }
    Err(Failure::Logged(Box::new(Failure::Usage(String::new()))))
}

/// A message of clap, with what Rust says of a number that it cannot read in words for users.
fn in_words(message: String) -> String {
    let words = [
        ("invalid digit found in string", "must be a whole number"),
        ("cannot parse integer from empty string", "must be a whole number"),
        ("number too large to fit in target type", "is too large"),
        ("invalid float literal", "must be a number, such as 0.01"),
    ];
    words
        .into_iter()
        .fold(message, |message, (rust, words)| message.replace(rust, words))
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
