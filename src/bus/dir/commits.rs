//! Commits from many threads: the one who finds nobody at it writes for all who wait, so that they share one sync.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::bus::dir::committed::lock;
use crate::bus::dir::writer::{Pending, Writer};
use crate::bus::error::CommitError;

/// Takes commits until one fails.
pub(super) struct Commits {
    root: PathBuf,
    queue: Mutex<Queue>,
    turn: Condvar,
    writer: Mutex<Writer>,
    /// Held as long as anything is written.
    _lock: File,
}

#[derive(Default)]
struct Queue {
    pending: Vec<Pending>,
    joined: u64,
    done: u64,
    leading: bool,
    /// What the first error was. What is on disk is not known after it, so nothing is written any more.
    failed: Option<String>,
}

impl Commits {
    pub(super) fn new(root: PathBuf, writer: Writer, lock: File) -> Self {
        Self {
            root,
            queue: Mutex::default(),
            turn: Condvar::new(),
            writer: Mutex::new(writer),
            _lock: lock,
        }
    }

    /// Returns once `pending` is committed.
    pub(super) fn commit(&self, pending: Pending) -> Result<(), CommitError> {
        let mut queue = lock(&self.queue);
        queue.pending.push(pending);
        queue.joined += 1;
        let ticket = queue.joined;
        loop {
            if queue.done >= ticket {
                return Ok(());
            }
            if let Some(why) = &queue.failed {
                return Err(self.stopped(why));
            }
            if !queue.leading {
                break;
            }
            queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.leading = true;
        let group = std::mem::take(&mut queue.pending);
        let mut lead = Lead {
            commits: self,
            last: queue.joined,
            failed: Some("a panic".to_owned()),
        };
        drop(queue);
        let outcome = lock(&self.writer).write(&group);
        lead.failed = outcome.as_ref().err().map(ToString::to_string);
        Ok(outcome?)
    }

    /// Makes all durable in its place, so that the next start has nothing to redo.
    pub(super) fn close(&self) -> Result<(), CommitError> {
        if let Some(why) = &lock(&self.queue).failed {
            return Err(self.stopped(why));
        }
        let outcome = lock(&self.writer).checkpoint();
        if let Err(error) = &outcome {
            lock(&self.queue).failed = Some(error.to_string());
        }
        Ok(outcome?)
    }

    fn stopped(&self, why: &str) -> CommitError {
        CommitError::Stopped {
            path: self.root.clone(),
            why: why.to_owned(),
        }
    }
}

impl Drop for Commits {
    fn drop(&mut self) {
        // Who wants to know calls `DirBus::close`; the next start redoes what is missing.
        let _ = self.close();
    }
}

/// The turn of one thread to write; when it ends, by a panic too, the others learn how.
struct Lead<'a> {
    commits: &'a Commits,
    last: u64,
    failed: Option<String>,
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.commits.queue);
        queue.leading = false;
        match self.failed.take() {
            None => queue.done = self.last,
            failed => queue.failed = failed,
        }
        drop(queue);
        self.commits.turn.notify_all();
    }
}
