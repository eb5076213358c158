//! How long the parts of a step take, as histograms, by the kind of task.

use std::time::Duration;

use prometheus_client::metrics::histogram::Histogram;

use crate::bus::{TaskId, Topic};

/// The upper bounds of the histograms' buckets, in seconds.
const BOUNDS: [f64; 14] = [
    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0,
];

/// The kind of a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TaskKind {
    Sequence,
    Ingest,
    Coordinate,
    Accrue,
}

impl TaskKind {
    pub const ALL: [Self; 4] = [Self::Sequence, Self::Ingest, Self::Coordinate, Self::Accrue];

    #[must_use]
    pub const fn of(task: TaskId) -> Self {
        match task.home().topic {
            Topic::Control => Self::Sequence,
            Topic::Inbox => Self::Coordinate,
            Topic::Ledger => Self::Accrue,
            _ => Self::Ingest,
        }
    }

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sequence => "sequence",
            Self::Ingest => "ingest",
            Self::Coordinate => "coordinate",
            Self::Accrue => "accrue",
        }
    }
}

/// A part of a step of a task with a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepPart {
    /// To apply a batch of records.
    Batch,
    /// To commit outputs and position to the bus.
    Transaction,
    /// To write the changes to the store.
    Persist,
}

impl StepPart {
    pub const ALL: [Self; 3] = [Self::Batch, Self::Transaction, Self::Persist];
}

/// The durations of the tasks with a store. They are observed once a batch, never once a record.
#[derive(Debug)]
pub struct Durations([[Histogram; StepPart::ALL.len()]; TaskKind::ALL.len()]);

impl Default for Durations {
    fn default() -> Self {
        let histogram = || Histogram::new(BOUNDS);
        Self(std::array::from_fn(|_| std::array::from_fn(|_| histogram())))
    }
}

impl Durations {
    /// A part of a step of `task` took so long.
    pub fn note(&self, task: TaskId, part: StepPart, took: Duration) {
        self.of(TaskKind::of(task), part).observe(took.as_secs_f64());
    }

    #[must_use]
    pub const fn of(&self, kind: TaskKind, part: StepPart) -> &Histogram {
        &self.0[kind as usize][part as usize]
    }
}
