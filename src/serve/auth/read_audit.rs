//! The audit log: who has read which account. It is a file of its own, because the log of the process never names an account.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use crate::core::values::time::timestamp;
use crate::serve::answer::Problem;

/// A file of JSON lines, one for each read of an account or of a list that names accounts. What cannot be written is not read.
#[derive(Debug)]
pub struct ReadAudit {
    path: PathBuf,
    file: Arc<Mutex<File>>,
}

/// One read, or a refused one.
#[derive(Serialize)]
pub(super) struct AuditedRead<'a> {
    pub subject: &'a str,
    pub address: &'a str,
    pub route: &'a str,
    pub right: &'a str,
    pub account: Option<&'a str>,
    pub allowed: bool,
}

#[derive(Serialize)]
struct AuditLine<'a> {
    time: String,
    #[serde(flatten)]
    read: &'a AuditedRead<'a>,
}

impl ReadAudit {
    /// Opens the file to append to it, or makes it, for this user alone.
    ///
    /// # Errors
    /// If the file cannot be opened or is no regular file, with what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(|error| {
                format!(
                    "is {}, which cannot be opened to append to it: {error}; name a file that this user may write",
                    path.display()
                )
            })?;
        let is_file = file.metadata().is_ok_and(|metadata| metadata.is_file());
        if !is_file {
            return Err(format!("is {}, which is no regular file: name a file", path.display()));
        }
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(Mutex::new(file)),
        })
    }

    /// Writes a line. It waits for the disk on another thread.
    ///
    /// # Errors
    /// 503 if the line cannot be written, so the read is refused.
    pub(super) async fn write(&self, read: &AuditedRead<'_>) -> Result<(), Problem> {
        let line = AuditLine { time: now(), read };
        let mut text = serde_json::to_vec(&line).map_err(|error| self.refuse(&error.into()))?;
        text.push(b'\n');
        let file = Arc::clone(&self.file);
        let written = tokio::task::spawn_blocking(move || {
            // One call, so that a line is never mixed with another one.
            file.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)
        });
        match written.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(self.refuse(&error)),
            Err(error) => Err(self.refuse(&io::Error::other(error))),
        }
    }

    fn refuse(&self, error: &io::Error) -> Problem {
        tracing::error!(
            "reads of accounts are refused: the audit log {} cannot be written: {error}",
            self.path.display()
        );
        Problem::unavailable(
            "The audit log cannot be written, so accounts cannot be read. The log of the process says why.",
            30,
        )
    }
}

fn now() -> String {
    let now = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    timestamp(i128::try_from(now.as_millis()).unwrap_or(i128::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reads");
        let read = AuditedRead {
            subject: "alice",
            address: "10.0.0.7",
            route: "/v1/accounts/{account}/summary",
            right: "account",
            account: Some("acct-1"),
            allowed: true,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let audit = ReadAudit::open(&path).unwrap();
        runtime.block_on(audit.write(&read)).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        assert_eq!(line["account"], "acct-1");
        // A file that takes no more, like one on a full disk.
        let full = ReadAudit {
            path: path.clone(),
            file: Arc::new(Mutex::new(File::open(&path).unwrap())),
        };
        let problem = runtime.block_on(full.write(&read)).unwrap_err();
        assert_eq!(problem.status().as_u16(), 503);
        assert!(!problem.detail().contains("acct-1"));
    }

    #[test]
    fn only_a_regular_file_is_taken() {
        for path in ["/dev/null", "/", "/nowhere/at/all"] {
            assert!(ReadAudit::open(Path::new(path)).is_err(), "{path}");
        }
    }
}
