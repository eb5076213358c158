//! The spans of a task, for a collector of traces. Each is of a whole step, never of a record.

use std::time::{Duration, Instant};

use tracing::Span;
use tracing::span::EnteredSpan;

use crate::bus::{TaskId, TopicPartition};
use crate::spans::{SPANS, attribute};

/// A task traces a batch at most this often: batches are many, and alike.
const BATCH_EVERY: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct TaskSpans {
    task: TaskId,
    /// From the start of recovery to its end.
    recovery: Span,
    /// When a batch was last traced.
    traced: Option<Instant>,
}

impl TaskSpans {
    /// A task that starts.
    pub fn begin(task: TaskId, recovering: bool) -> Self {
        let recovery = match recovering {
            true => tracing::info_span!(target: SPANS, parent: None, "recovery", %task),
            false => Span::none(),
        };
        Self {
            task,
            recovery,
            traced: None,
        }
    }

    pub fn end_recovery(&mut self) {
        self.recovery = Span::none();
    }

    pub fn batch(&mut self, partition: TopicPartition, records: usize, recovering: bool) -> EnteredSpan {
        let is_due = self.traced.is_none_or(|traced| traced.elapsed() >= BATCH_EVERY);
        if !is_due {
            return Span::none().entered();
        }
        self.traced = Some(Instant::now());
        let (task, records) = (self.task, attribute(records));
        tracing::info_span!(target: SPANS, parent: None, "batch", %task, %partition, records, recovering).entered()
    }

    pub fn transaction(&self) -> Span {
        tracing::info_span!(target: SPANS, "transaction", task = %self.task)
    }

    pub fn persist(&self, recovering: bool) -> EnteredSpan {
        tracing::info_span!(target: SPANS, "persist", task = %self.task, recovering).entered()
    }
}
