//! The program and how its commands end, and the settings of the tests.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

/// The program, without the settings that the caller's environment has for it.
pub fn softstake() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_softstake"));
    command.stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        let name_text = name.to_string_lossy();
        if ["SOFTSTAKE_", "OTEL_"]
            .iter()
            .any(|prefix| name_text.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command
}

/// A subcommand on a directory bus.
pub fn on_bus(subcommand: &str, bus: &Path) -> Command {
    let mut command = softstake();
    command
        .arg(subcommand)
        .arg("--bus")
        .arg(format!("dir:{}", bus.display()));
    command
}

/// The same command as the last arguments of a program that runs it, with the command's own environment.
pub fn run_by(mut runner: Command, command: &Command) -> Command {
    runner.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => runner.env(name, value),
            None => runner.env_remove(name),
        };
    }
    runner.stdin(Stdio::null());
    runner
}

/// Runs a command that must succeed.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    assert!(
        output.status.success(),
        "{command:?} ended with {}:\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// Runs a command that must end with this status. Returns its standard error.
pub fn fail(command: &mut Command, status: i32) -> String {
    let output = command.output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(status), "{command:?} said:\n{said}");
    said
}

/// Starts a command in the background and drops its output.
pub fn start(command: &mut Command) -> Child {
    command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts")
}

/// A setting of the tests, from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    match std::env::var(name) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{name} must be a number")),
        Err(_) => default,
    }
}
