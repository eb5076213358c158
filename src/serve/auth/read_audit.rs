//! The audit log: who has read which account. It is a file of its own, because the log of the process never names an account.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

use serde::Serialize;

use crate::core::values::time::timestamp;
use crate::outage::Outage;
use crate::serve::answer::Problem;

/// A file of JSON lines, one for each read of an account or of a list that names accounts. What cannot be written is not read.
#[derive(Debug)]
pub struct ReadAudit {
    path: PathBuf,
    file: Arc<Mutex<AuditFile>>,
    outage: Outage,
    written: AtomicU64,
    failed: AtomicU64,
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

/// The file while it is open.
#[derive(Debug)]
struct AuditFile {
    file: File,
    /// Whether it ends within a line: the disk was full.
    is_torn: bool,
}

impl AuditFile {
    /// Opens the file, or makes it, for this user alone.
    fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)?;
        let about = file.metadata()?;
        if !about.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        let mut last = [b'\n'];
        if let Some(at) = about.len().checked_sub(1) {
            file.read_exact_at(&mut last, at)?;
        }
        Ok(Self {
            file,
            is_torn: last != [b'\n'],
        })
    }

    /// Whether the file is still the one at `path`: it may have been moved away or deleted.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let named = match fs::metadata(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
            named => named?,
        };
        let open = self.file.metadata()?;
        Ok((named.dev(), named.ino()) == (open.dev(), open.ino()))
    }

    /// Appends a line, which ends with a line feed, to the file at `path`.
    fn append(&mut self, path: &Path, line: &[u8]) -> io::Result<()> {
        if !self.is_at(path)? {
            *self = Self::open(path)?;
        }
        let begin: &[u8] = if self.is_torn { b"\n" } else { b"" };
        self.is_torn = true;
        // One call, so that a line is never mixed with another one.
        self.file.write_all(&[begin, line].concat())?;
        self.is_torn = false;
        Ok(())
    }
}

impl ReadAudit {
    /// Opens the file to append to it, or makes it, for this user alone.
    ///
    /// # Errors
    /// If the file cannot be opened or is no regular file, with what to do.
    pub fn open(path: &Path) -> Result<Self, String> {
        let file = AuditFile::open(path).map_err(|error| {
            format!(
                "is {}, which cannot be opened to append to it: {error}; name a file that this user may write",
                path.display()
            )
        })?;
        Ok(Self {
            path: path.to_owned(),
            file: Arc::new(Mutex::new(file)),
            outage: Outage::default(),
            written: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })
    }

    /// How many lines were written, and how many could not be.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.written.load(Relaxed), self.failed.load(Relaxed))
    }

    /// Writes a line. It waits for the disk on another thread.
    ///
    /// # Errors
    /// 503 if the line cannot be written, so the read is refused.
    pub(super) async fn write(&self, read: &AuditedRead<'_>) -> Result<(), Problem> {
        let line = AuditLine { time: now(), read };
        let mut text = serde_json::to_vec(&line).map_err(|error| self.refuse(&error.into()))?;
        text.push(b'\n');
        let (file, path) = (Arc::clone(&self.file), self.path.clone());
        let written = tokio::task::spawn_blocking(move || {
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            file.append(&path, &text)
        });
        match written.await {
            Ok(Ok(())) => {
                self.written.fetch_add(1, Relaxed);
                if let Some(lasted) = self.outage.ends() {
                    tracing::info!(
                        "the audit log {} is written again after {} s",
                        self.path.display(),
                        lasted.as_secs()
                    );
                }
                Ok(())
            }
            Ok(Err(error)) => Err(self.refuse(&error)),
            Err(error) => Err(self.refuse(&io::Error::other(error))),
        }
    }

    fn refuse(&self, error: &io::Error) -> Problem {
        self.failed.fetch_add(1, Relaxed);
        if self.outage.begins() {
            tracing::error!(
                "reads of accounts are refused: the audit log {} cannot be written: {error}",
                self.path.display()
            );
        }
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

    const READ: AuditedRead<'static> = AuditedRead {
        subject: "alice",
        address: "10.0.0.7",
        route: "/v1/accounts/{account}/summary",
        right: "account",
        account: Some("acct-1"),
        allowed: true,
    };

    fn write(audit: &ReadAudit) -> Result<(), Problem> {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(audit.write(&READ))
    }

    fn lines(path: &Path) -> Vec<String> {
        let text = fs::read_to_string(path).unwrap();
        assert!(text.ends_with('\n'), "{text}");
        text.lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_cannot_be_written_is_not_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("reads");
        let audit = ReadAudit::open(&path).unwrap();
        write(&audit).unwrap();
        let line: serde_json::Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        assert_eq!(line["account"], "acct-1");
        // A file that takes no more, like one on a full disk.
        audit.file.lock().unwrap().file = File::open(&path).unwrap();
        for _ in 0..2 {
            let problem = write(&audit).unwrap_err();
            assert_eq!(problem.status().as_u16(), 503);
            assert!(!problem.detail().contains("acct-1"));
        }
        assert_eq!((lines(&path).len(), audit.counts()), (1, (1, 2)));
        // It takes lines again; what the fault has left of a line is not mixed with them.
        let writable = OpenOptions::new().append(true).open(&path).unwrap();
        (&writable).write_all(b"{\"time\":").unwrap();
        audit.file.lock().unwrap().file = writable;
        write(&audit).unwrap();
        write(&audit).unwrap();
        let all = lines(&path);
        assert_eq!((all.len(), all[1].as_str()), (4, "{\"time\":"), "{all:?}");
        assert!(all[2].ends_with('}') && all[3].ends_with('}'), "{all:?}");
    }

    #[test]
    fn a_file_that_is_moved_away_or_torn_is_followed_by_whole_lines() {
        let folder = tempfile::tempdir().unwrap();
        let (path, old) = (folder.path().join("reads"), folder.path().join("reads.1"));
        let audit = ReadAudit::open(&path).unwrap();
        write(&audit).unwrap();
        fs::rename(&path, &old).unwrap();
        write(&audit).unwrap();
        assert_eq!((lines(&old).len(), lines(&path).len()), (1, 1));
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
        fs::remove_file(&path).unwrap();
        write(&audit).unwrap();
        assert_eq!(lines(&path).len(), 1);
        drop(audit);
        // A process before this one could not write all of a line.
        fs::write(&path, "{\"time\":").unwrap();
        write(&ReadAudit::open(&path).unwrap()).unwrap();
        assert_eq!(lines(&path).len(), 2);
    }

    #[test]
    fn only_a_regular_file_is_taken() {
        for path in ["/dev/null", "/", "/nowhere/at/all"] {
            assert!(ReadAudit::open(Path::new(path)).is_err(), "{path}");
        }
    }
}
