//! Commits of many threads. A thread that finds no other at work writes the commits of all waiting threads, so that they share one sync.

use std::fs::File;
use std::path::PathBuf;
use std::sync::{Condvar, Mutex, PoisonError};

use crate::bus::dir::committed::lock;
use crate::bus::dir::writer::{PreparedCommit, Writer};
use crate::bus::error::CommitError;

/// Accepts commits until one fails.
pub(super) struct CommitQueue {
    root: PathBuf,
    queue: Mutex<Queue>,
    turn: Condvar,
    writer: Mutex<Writer>,
    /// Locked until this is dropped.
    _lock: File,
}

#[derive(Default)]
struct Queue {
    waiting: Vec<PreparedCommit>,
    /// Commits that were added so far. Each gets the count as its number.
    added: u64,
    /// All commits up to this number are written.
    done: u64,
    /// Whether a thread is writing.
    writing: bool,
    /// The first error. After it, nobody knows what is on disk, so nothing more is written.
    failed: Option<String>,
}

impl CommitQueue {
    pub(super) fn new(root: PathBuf, writer: Writer, lock: File) -> Self {
        Self {
            root,
            queue: Mutex::default(),
            turn: Condvar::new(),
            writer: Mutex::new(writer),
            _lock: lock,
        }
    }

    /// Returns once `commit` is durable and can be read.
    pub(super) fn commit(&self, commit: PreparedCommit) -> Result<(), CommitError> {
        let mut queue = lock(&self.queue);
        queue.waiting.push(commit);
        queue.added += 1;
        let number = queue.added;
        loop {
            if queue.done >= number {
                return Ok(());
            }
            if let Some(why) = &queue.failed {
                return Err(self.stopped(why));
            }
            if !queue.writing {
                break;
            }
            queue = self.turn.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
        queue.writing = true;
        let group = std::mem::take(&mut queue.waiting);
        let mut turn = WriterTurn {
            commits: self,
            last: queue.added,
            failed: Some("a panic".to_owned()),
        };
        drop(queue);
        let outcome = lock(&self.writer).write(&group);
        turn.failed = outcome.as_ref().err().map(ToString::to_string);
        Ok(outcome?)
    }

    /// Makes the output files durable, so that the next start has nothing to redo.
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

impl Drop for CommitQueue {
    fn drop(&mut self) {
        // `DirBus::close` reports the error. After an error, the next start redoes the missing writes.
        let _ = self.close();
    }
}

/// One thread's turn to write. When it ends, also by a panic, the waiting threads learn the outcome.
struct WriterTurn<'a> {
    commits: &'a CommitQueue,
    last: u64,
    failed: Option<String>,
}

impl Drop for WriterTurn<'_> {
    fn drop(&mut self) {
        let mut queue = lock(&self.commits.queue);
        queue.writing = false;
        match self.failed.take() {
            None => queue.done = self.last,
            failed => queue.failed = failed,
        }
        drop(queue);
        self.commits.turn.notify_all();
    }
}
