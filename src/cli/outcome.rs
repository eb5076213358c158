//! How a command ends, and with which exit status.

use std::io;
use std::process::ExitCode;

use crate::audit::asked::AskedError;
use crate::bus::{AdminError, BrokerError, CommitError, FileError, OpenError, ReadError};
use crate::cli::message::message;
use crate::config::ConfigError;
use crate::core::fault::Fault;
use crate::deployment::DeploymentError;
use crate::generate::GenerateError;
use crate::task::TaskError;

pub(super) type Outcome = Result<(), Failure>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Failure {
    /// The usage or the configuration is wrong. Status 2.
    Usage(String),
    /// The command failed. Status 1.
    Failed(String),
    /// What was asked for, or a part of it, is not there. Status 3.
    Absent(String),
    /// A check found problems, and has reported them. Status 1.
    Found,
    /// The failure was already logged. Its own status.
    Logged(Box<Self>),
}

/// Reports failures on stderr, and returns the exit status. `written` tells whether the results were written.
pub(super) fn exit(outcome: Outcome, written: io::Result<()>) -> ExitCode {
    let written = written.map_err(Failure::from);
    for failure in [&outcome, &written] {
        if let Err(Failure::Usage(message) | Failure::Failed(message) | Failure::Absent(message)) = failure {
            message!("error: {message}");
        }
    }
    // The verdict comes first: it tells more than the lost results.
    ExitCode::from(status(&outcome.and(written)))
}

fn status(outcome: &Outcome) -> u8 {
    match outcome {
        Ok(()) => 0,
        Err(Failure::Failed(_) | Failure::Found) => 1,
        Err(Failure::Usage(_)) => 2,
        Err(Failure::Absent(_)) => 3,
        Err(Failure::Logged(failure)) => status(&Err((**failure).clone())),
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<AskedError> for Failure {
    fn from(error: AskedError) -> Self {
        match error {
            AskedError::Inverted { .. } | AskedError::EmptyPeriod { .. } => Self::Usage(error.to_string()),
            _ => Self::Absent(error.to_string()),
        }
    }
}

impl From<OpenError> for Failure {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Missing { .. } => Self::Usage(error.to_string()),
            OpenError::Broker(error) => error.into(),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<BrokerError> for Failure {
    fn from(error: BrokerError) -> Self {
        match error.is_configuration() {
            true => Self::Usage(error.to_string()),
            false => Self::Failed(error.to_string()),
        }
    }
}

impl From<ReadError> for Failure {
    fn from(error: ReadError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<CommitError> for Failure {
    fn from(error: CommitError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::Open(error) => error.into(),
            AdminError::Broker(error) => error.into(),
            AdminError::NoRecords { .. } => Self::Absent(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        match error {
            TaskError::Fault {
                fault: Fault::UnknownRules { .. },
                ..
            } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<DeploymentError> for Failure {
    fn from(error: DeploymentError) -> Self {
        match error {
            DeploymentError::Open(error) => error.into(),
            DeploymentError::Task(error) => error.into(),
            DeploymentError::SettingChanged { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

impl From<GenerateError> for Failure {
    fn from(error: GenerateError) -> Self {
        match &error {
            GenerateError::Setting {
                setting,
                value,
                expected,
            } => {
                let flag = setting.replace('_', "-");
                Self::Usage(format!("--{flag} is {value}; it has to be {expected}"))
            }
            GenerateError::NotEmpty { .. } => Self::Usage(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

/// An error of writing results. Errors of files are converted earlier, with their path.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Failed(format!("cannot write the results: {error}"))
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        io::Error::from(error).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Key;

    #[test]
    fn statuses() {
        let missing = OpenError::Missing { path: "nowhere".into() };
        let locked = OpenError::Locked { path: "here".into() };
        let setting_changed = DeploymentError::SettingChanged {
            name: "partitions",
            given: "4".into(),
            recorded: "8".into(),
            hint: "",
        };
        let setting = GenerateError::Setting {
            setting: "epoch_seconds",
            value: "1".into(),
            expected: "more",
        };
        let full = io::Error::from(io::ErrorKind::StorageFull);
        let refused = || BrokerError::Refused { why: "no".into() };
        let away = BrokerError::GaveUp {
            action: "connect".into(),
            why: "away".into(),
            seconds: 30,
        };
        for (failure, expected) in [
            (missing.into(), 2),
            (DeploymentError::from(OpenError::from(refused())).into(), 2),
            (AdminError::from(refused()).into(), 2),
            (OpenError::from(away).into(), 1),
            (DeploymentError::from(OpenError::Missing { path: "a".into() }).into(), 2),
            (locked.into(), 1),
            (setting_changed.into(), 2),
            (setting.into(), 2),
            (GenerateError::EmptyTape.into(), 1),
            (ConfigError::Missing(Key::Bus).into(), 2),
            (
                DeploymentError::from(TaskError::Fault {
                    at: "coordinate".into(),
                    fault: Fault::UnknownRules { version: 3, newest: 2 },
                })
                .into(),
                2,
            ),
            (Failure::Found, 1),
            (Failure::Absent(String::new()), 3),
            (Failure::Logged(Box::new(Failure::Usage(String::new()))), 2),
            (full.into(), 1),
        ] {
            assert_eq!(status(&Err(Failure::clone(&failure))), expected, "{failure:?}");
        }
        assert_eq!(status(&Ok(())), 0);
    }
}
