//! The outputs of a task on their way to the bus: at most one commit at a time, while the next outputs are gathered.

use std::mem;
use std::sync::Arc;
use std::time::Instant;

use tracing::Span;

use crate::bus::{Bus, CommitError, Outputs, PendingCommit, Position, TaskId};

/// A task with a commit on its way gathers about this many bytes for the next one. Then it waits.
const MOST_GATHERED: usize = 1 << 20;
/// In a backlog, a task gathers so many bytes before it commits, at least.
pub const ENOUGH_GATHERED: usize = MOST_GATHERED / 2;

/// What a task publishes.
#[derive(Debug)]
pub struct Publication {
    task: TaskId,
    /// Outputs that are not handed to the bus yet.
    pub outputs: Outputs,
    on_its_way: Option<Sent>,
    /// The position of the task on the bus.
    committed: Option<Position>,
    /// Memory for the next outputs.
    spare: Outputs,
}

/// A commit on its way.
#[derive(Debug)]
struct Sent {
    pending: PendingCommit,
    outputs: Arc<Outputs>,
    position: Position,
    began: Instant,
    _span: Span,
}

/// A commit that was done.
#[derive(Debug)]
pub struct Arrived {
    pub outputs: Arc<Outputs>,
    /// When it began, and when it was done.
    pub began: Instant,
    pub done: Instant,
}

impl Publication {
    #[must_use]
    pub fn new(task: TaskId, committed: Option<Position>) -> Self {
        Self {
            task,
            outputs: Outputs::default(),
            on_its_way: None,
            committed,
            spare: Outputs::default(),
        }
    }

    /// Whether the task must wait for a commit before it works on. `held_back` are the bytes of outputs that its fold still holds.
    #[must_use]
    pub fn is_full(&self, held_back: usize) -> bool {
        self.is_on_its_way() && self.outputs.bytes() + held_back >= MOST_GATHERED
    }

    #[must_use]
    pub const fn is_on_its_way(&self) -> bool {
        self.on_its_way.is_some()
    }

    /// Whether the bus has the task at this position, with all that it published up to there.
    #[must_use]
    pub fn is_committed(&self, position: &Position) -> bool {
        self.committed.as_ref() == Some(position)
    }

    /// Hands the outputs and the position to the bus. Nothing may be on its way.
    ///
    /// # Errors
    /// As [`Bus::begin_commit`].
    pub fn send(&mut self, bus: &dyn Bus, position: &Position, span: Span) -> Result<(), CommitError> {
        let _entered = span.enter();
        let outputs = Arc::new(mem::replace(&mut self.outputs, mem::take(&mut self.spare)));
        let began = Instant::now();
        let pending = bus.begin_commit(self.task, Arc::clone(&outputs), position)?;
        self.on_its_way = Some(Sent {
            pending,
            outputs,
            position: position.clone(),
            began,
            _span: span.clone(),
        });
        Ok(())
    }

    /// The commit that was on its way, if it is done. With `wait`, waits for it.
    ///
    /// # Errors
    /// As [`Bus::commit`].
    pub fn arrived(&mut self, wait: bool) -> Result<Option<Arrived>, CommitError> {
        let Some(mut sent) = self.on_its_way.take() else {
            return Ok(None);
        };
        let done = if wait {
            sent.pending.wait()?
        } else if let Some(outcome) = sent.pending.poll() {
            outcome?
        } else {
            self.on_its_way = Some(sent);
            return Ok(None);
        };
        self.committed = Some(sent.position);
        Ok(Some(Arrived {
            outputs: sent.outputs,
            began: sent.began,
            done,
        }))
    }

    /// Takes back outputs that arrived, to use their memory again.
    pub fn recycle(&mut self, arrived: Arrived) {
        if let Ok(mut outputs) = Arc::try_unwrap(arrived.outputs) {
            outputs.clear();
            self.spare = outputs;
        }
    }
}
