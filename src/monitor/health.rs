//! Whether this process does its work, and why not.

use std::time::{Duration, Instant};

use serde::Serialize;

use crate::monitor::monitored::Monitored;
use crate::monitor::tasks::{TaskReport, TaskState, reports};

/// How many tasks a report names.
const NAMED: usize = 8;
/// The bus is silent if nothing could be looked up for this long. It is asked every 2 s.
const SILENT_AFTER: Duration = Duration::from_secs(10);

/// The answer of `/readyz`.
#[derive(Debug, Serialize, PartialEq, Eq)]
pub(super) struct Readiness {
    pub ready: bool,
    /// Why it is not ready: sentences. None if it is.
    pub reasons: Vec<String>,
}

pub(super) fn readiness(process: &Monitored) -> Readiness {
    let reasons = reasons(process);
    Readiness {
        ready: reasons.is_empty(),
        reasons,
    }
}

fn reasons(process: &Monitored) -> Vec<String> {
    if process.is_ending() {
        return vec!["the process is ending".into()];
    }
    if process.observed.run().is_none() {
        return vec!["the bus and the state directory are not open".into()];
    }
    let tasks = reports(&process.observed.stats);
    if tasks.is_empty() {
        let answered = process.observed.stats.board.looked_up();
        return vec![unassigned(
            answered.map(|at| Instant::now().saturating_duration_since(at)),
        )];
    }
    let not_ready: Vec<&TaskReport> = tasks.iter().filter(|task| !task.state.is_ready()).collect();
    let mut reasons: Vec<String> = not_ready.iter().take(NAMED).map(|task| sentence(task)).collect();
    if let Some(more) = not_ready.len().checked_sub(NAMED).filter(|more| *more > 0) {
        reasons.push(format!("{more} more tasks do not work yet"));
    }
    reasons
}

/// Why there is no task. `silence` is the time since the bus last answered; `None` if it was not asked.
fn unassigned(silence: Option<Duration>) -> String {
    let why = "no partition is assigned to this instance";
    match silence.filter(|silence| *silence > SILENT_AFTER) {
        Some(silence) => format!("{why}, and no broker has answered it for {} s", silence.as_secs()),
        None => why.into(),
    }
}

/// What a task does, as a sentence.
pub(super) fn sentence(report: &TaskReport) -> String {
    let task = report.task;
    if let Some(trouble) = &report.trouble {
        return format!("{task} {trouble}");
    }
    let inputs = report.progress.iter().flat_map(|progress| progress.inputs());
    let left: Vec<String> = inputs
        .filter_map(|input| {
            let (at, to) = (input.offset(), input.recover_to()?);
            (at < to).then(|| format!("{} is read to offset {at} of {to}", input.partition))
        })
        .collect();
    match report.state {
        TaskState::Recovering if !left.is_empty() => format!("{task} is recovering: {}", left.join(", ")),
        state => format!("{task} is {}", state.name()),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::bus::{Mark, Position, TaskId};
    use crate::core::values::offset::Offset;
    use crate::deployment::observed::{Observed, ObservedRun};
    use crate::monitor::monitored::Instance;
    use crate::task::task_board::TaskEntry;
    use crate::task::task_states::TroubleKind;

    fn at(task: TaskId, offset: u64) -> Position {
        let mut position = Position::default();
        position.inputs.insert(task.home(), Mark::at(Offset::new(offset)));
        position
    }

    #[test]
    fn a_process_is_ready_while_all_its_tasks_work() {
        let (observed, stop) = (Arc::new(Observed::default()), Arc::new(AtomicBool::new(false)));
        let process = Monitored::new(Arc::clone(&observed), Instance::default(), Arc::clone(&stop));
        let said = || readiness(&process).reasons;
        assert_eq!(said(), ["the bus and the state directory are not open"]);
        observed.begin(ObservedRun::default());
        assert_eq!(said(), ["no partition is assigned to this instance"]);
        let (states, board) = (&observed.stats.task_states, &observed.stats.board);
        let tasks = [0, 1].map(TaskId::accrue);
        states.assign(&BTreeSet::from(tasks));
        assert_eq!(said(), ["accrue 0 is starting", "accrue 1 is starting"]);
        let [first, second]: [TaskEntry; 2] = tasks.map(|task| board.enter(task, &[task.home()]));
        first.note(&at(tasks[0], 5), Some(&at(tasks[0], 9)));
        assert_eq!(
            said(),
            ["accrue 0 is recovering: softstake.ledger:0 is read to offset 5 of 9"]
        );
        first.note(&at(tasks[0], 9), None);
        assert_eq!(said(), [""; 0]);
        states.note(tasks[1], TroubleKind::Waits, "records are gone".into());
        assert_eq!(said(), [""; 0], "a restart changes nothing");
        drop(second);
        states.note(tasks[1], TroubleKind::Stopped, "its topic is gone".into());
        assert_eq!(said(), ["accrue 1 is stopped: its topic is gone"]);
        states.note(tasks[1], TroubleKind::Restarts, "the disk is full".into());
        assert_eq!(said(), ["accrue 1 restarts again and again: the disk is full"]);
        stop.store(true, Ordering::Relaxed);
        assert_eq!(said(), ["the process is ending"]);
    }

    #[test]
    fn silent_brokers_are_told() {
        let alone = "no partition is assigned to this instance";
        assert_eq!(unassigned(None), alone);
        assert_eq!(unassigned(Some(SILENT_AFTER)), alone);
        assert_eq!(
            unassigned(Some(Duration::from_millis(41_900))),
            format!("{alone}, and no broker has answered it for 41 s")
        );
    }

    #[test]
    fn many_tasks_are_counted() {
        let observed = Arc::new(Observed::default());
        let process = Monitored::new(Arc::clone(&observed), Instance::default(), Arc::default());
        observed.begin(ObservedRun::default());
        observed
            .stats
            .task_states
            .assign(&(0..100).map(TaskId::accrue).collect());
        let reasons = readiness(&process).reasons;
        assert_eq!(reasons.len(), NAMED + 1);
        assert_eq!(reasons[NAMED], "92 more tasks do not work yet");
    }
}
