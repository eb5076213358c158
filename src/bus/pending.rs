//! A commit whose outcome may not be known yet, and an end of a partition that may not be known yet.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::time::Instant;

use crate::bus::error::CommitError;
use crate::bus::position::TaskId;
use crate::core::values::offset::Offset;

/// What became of a commit: when it was done, or why it failed.
pub type CommitOutcome = Result<Instant, CommitError>;

/// A commit that was begun.
///
/// Dropped, it waits for its outcome: a task that is given up must not commit later, after its committed position was read again.
#[derive(Debug)]
pub struct PendingCommit {
    task: TaskId,
    /// `None` once the outcome is known.
    outcome: Option<Receiver<CommitOutcome>>,
}

impl PendingCommit {
    /// A commit that is done.
    #[must_use]
    pub const fn done(task: TaskId) -> Self {
        Self { task, outcome: None }
    }

    /// A commit whose outcome another thread tells.
    #[must_use]
    pub const fn new(task: TaskId, outcome: Receiver<CommitOutcome>) -> Self {
        Self {
            task,
            outcome: Some(outcome),
        }
    }

    /// The outcome, once; `None` if it is not known yet.
    pub fn poll(&mut self) -> Option<CommitOutcome> {
        let outcome = match &self.outcome {
            None => Ok(Instant::now()),
            Some(receiver) => match receiver.try_recv() {
                Ok(outcome) => outcome,
                Err(TryRecvError::Empty) => return None,
                Err(TryRecvError::Disconnected) => Err(CommitError::NotOurs { task: self.task }),
            },
        };
        self.outcome = None;
        Some(outcome)
    }

    /// The outcome, once it is known.
    ///
    /// # Errors
    /// As [`Bus::commit`](crate::bus::Bus::commit).
    pub fn wait(mut self) -> CommitOutcome {
        match self.outcome.take() {
            None => Ok(Instant::now()),
            Some(receiver) => receiver.recv().unwrap_or(Err(CommitError::NotOurs { task: self.task })),
        }
    }
}

impl Drop for PendingCommit {
    fn drop(&mut self) {
        if let Some(receiver) = self.outcome.take() {
            // Whatever it is, nobody asks for it any more.
            let _ = receiver.recv();
        }
    }
}

/// The end of a partition, which is looked up after this was asked for.
#[derive(Debug)]
pub enum PendingEnd {
    Known(Offset),
    /// The answer of another thread. It is missing if that thread could not find it out.
    Asked(Receiver<Offset>),
}

impl PendingEnd {
    /// A question, and where to send the answer.
    #[must_use]
    pub fn asked() -> (Self, Sender<Offset>) {
        let (answer, receiver) = channel();
        (Self::Asked(receiver), answer)
    }

    /// The end; `None` if it is not known yet, and `Some(None)` if it could not be found out.
    pub fn poll(&mut self) -> Option<Option<Offset>> {
        match self {
            Self::Known(end) => Some(Some(*end)),
            Self::Asked(receiver) => match receiver.try_recv() {
                Ok(end) => {
                    *self = Self::Known(end);
                    Some(Some(end))
                }
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => Some(None),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc::sync_channel;
    use std::thread;
    use std::time::Duration;

    use super::*;

    const TASK: TaskId = TaskId::COORDINATE;

    #[test]
    fn an_outcome_is_told_once_it_is_known() {
        let (sender, receiver) = sync_channel(1);
        let mut pending = PendingCommit::new(TASK, receiver);
        assert!(pending.poll().is_none());
        sender.send(Err(CommitError::NotOurs { task: TASK })).unwrap();
        assert!(matches!(pending.poll(), Some(Err(CommitError::NotOurs { .. }))));
        assert!(matches!(PendingCommit::done(TASK).poll(), Some(Ok(_))));
        assert!(PendingCommit::done(TASK).wait().is_ok());
        // The thread that commits has ended.
        let (_, receiver) = sync_channel(1);
        let waited = PendingCommit::new(TASK, receiver).wait();
        assert!(matches!(waited, Err(CommitError::NotOurs { .. })));
    }

    #[test]
    fn a_commit_that_is_given_up_ends_before_anything_else() {
        let (sender, receiver) = sync_channel(1);
        let is_done = Arc::new(AtomicBool::new(false));
        let committing = thread::spawn({
            let is_done = Arc::clone(&is_done);
            move || {
                thread::sleep(Duration::from_millis(50));
                is_done.store(true, Ordering::SeqCst);
                sender.send(Ok(Instant::now())).unwrap();
            }
        });
        drop(PendingCommit::new(TASK, receiver));
        assert!(is_done.load(Ordering::SeqCst));
        committing.join().unwrap();
    }
}
