//! The state of each task that this process has to run.

use std::sync::Arc;

use crate::bus::TaskId;
use crate::task::durations::TaskKind;
use crate::task::stats::Stats;
use crate::task::task_board::TaskProgress;
use crate::task::task_states::{Trouble, TroubleKind};

/// What a task does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum TaskState {
    Starting,
    Recovering,
    Working,
    /// It starts again until an error passes.
    Restarting,
    /// An error stopped it.
    Stopped,
    /// It waits for a decision.
    Waiting,
}

impl TaskState {
    pub const ALL: [Self; 6] = [
        Self::Starting,
        Self::Recovering,
        Self::Working,
        Self::Restarting,
        Self::Stopped,
        Self::Waiting,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Recovering => "recovering",
            Self::Working => "working",
            Self::Restarting => "restarting",
            Self::Stopped => "stopped",
            Self::Waiting => "waiting",
        }
    }

    /// Whether the process does all it can for the task. One that waits for a decision does not work better after a restart.
    pub const fn is_ready(self) -> bool {
        matches!(self, Self::Working | Self::Waiting)
    }
}

/// A task that this process has to run.
#[derive(Debug)]
pub(super) struct TaskReport {
    pub task: TaskId,
    pub kind: TaskKind,
    pub state: TaskState,
    /// Why it does not work.
    pub trouble: Option<Trouble>,
    /// `None` if it is not at work.
    pub progress: Option<Arc<TaskProgress>>,
}

/// Every task that this process has to run.
pub(super) fn reports(stats: &Stats) -> Vec<TaskReport> {
    let (mut troubles, mut board) = (stats.task_states.troubles(), stats.board.tasks());
    let assigned = stats.task_states.assigned().into_iter();
    let reports = assigned.map(|task| {
        let (trouble, progress) = (troubles.remove(&task), board.remove(&task));
        TaskReport {
            task,
            kind: TaskKind::of(task),
            state: state(trouble.as_ref(), progress.as_deref()),
            trouble,
            progress,
        }
    });
    reports.collect()
}

fn state(trouble: Option<&Trouble>, progress: Option<&TaskProgress>) -> TaskState {
    match (trouble.map(|trouble| trouble.kind), progress) {
        (Some(TroubleKind::Restarts), _) => TaskState::Restarting,
        (Some(TroubleKind::Stopped), _) => TaskState::Stopped,
        (Some(TroubleKind::Waits), _) => TaskState::Waiting,
        (None, None) => TaskState::Starting,
        (None, Some(progress)) if progress.is_recovering() => TaskState::Recovering,
        (None, Some(_)) => TaskState::Working,
    }
}
