//! Looks up the ends of what the tasks read, now and then, so that their lag is known without asking the bus.

use std::collections::BTreeMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, TryRecvError, channel};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use crate::bus::{Bus, TaskId, Topic};
use crate::task::task_board::TaskBoard;

/// The time between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The longest wait for the end of a look: brokers that are away may hold it up.
const END_WITHIN: Duration = Duration::from_secs(1);

/// Looks up ends on a thread of its own, until it is dropped.
pub(super) struct LagWatch {
    running: Option<Sender<()>>,
    done: Receiver<()>,
}

impl LagWatch {
    /// Starts to look. Without a thread, lags stay unknown.
    pub(super) fn start(bus: &Arc<dyn Bus>, board: &Arc<TaskBoard>) -> Self {
        let (running, ended) = channel();
        let (ends, done) = channel();
        let (bus, board) = (Arc::downgrade(bus), Arc::clone(board));
        let watch = move || {
            look(&bus, &board, &ended);
            drop(ends);
        };
        if let Err(error) = thread::Builder::new().name("lag".into()).spawn(watch) {
            tracing::warn!("cannot start a thread, so lags stay unknown: {error}");
        }
        Self {
            running: Some(running),
            done,
        }
    }
}

impl Drop for LagWatch {
    fn drop(&mut self) {
        drop(self.running.take());
        let _ = self.done.recv_timeout(END_WITHIN);
    }
}

/// Looks until the other end of `ended` is dropped. The thread never owns the bus for longer than one question: its owner closes it.
fn look(bus: &Weak<dyn Bus>, board: &TaskBoard, ended: &Receiver<()>) {
    let mut rates = Rates::default();
    // The first look is at once: a bus that is silent soon after the start is told from one that was never asked.
    let mut wait = Duration::ZERO;
    while ended.recv_timeout(wait) == Err(RecvTimeoutError::Timeout) {
        wait = LOOK_EVERY;
        rates.note(board);
        match look_up(bus, board, ended) {
            LookUp::Complete => board.note_look_up(),
            LookUp::Failed => {}
            LookUp::Ended => return,
        }
    }
}

enum LookUp {
    Complete,
    /// Some ends are not known now.
    Failed,
    /// The watch is to end.
    Ended,
}

fn look_up(bus: &Weak<dyn Bus>, board: &TaskBoard, ended: &Receiver<()>) -> LookUp {
    let mut outcome = LookUp::Complete;
    let tasks = board.tasks();
    if tasks.is_empty() {
        return ask_anything(bus);
    }
    for progress in tasks.values() {
        let inputs = progress.inputs().iter();
        // Every ingest task reads the decisions as well: nobody waits for that lag.
        for input in inputs.filter(|input| input.partition.topic != Topic::Decisions) {
            let Some(bus) = bus.upgrade().filter(|_| ended.try_recv() == Err(TryRecvError::Empty)) else {
                return LookUp::Ended;
            };
            match bus.readable_end(input.partition) {
                Ok(end) => input.note_end(end),
                Err(error) => {
                    tracing::debug!("cannot look up the end of {}: {error}", input.partition);
                    outcome = LookUp::Failed;
                    // Each further question would wait for the brokers, too.
                    if error.is_unavailable() {
                        return outcome;
                    }
                }
            }
        }
    }
    outcome
}

/// For a process without a task, which has no input: only whether the bus answers.
fn ask_anything(bus: &Weak<dyn Bus>) -> LookUp {
    let Some(bus) = bus.upgrade() else {
        return LookUp::Ended;
    };
    match bus.readable_end(Topic::Control.partition(0)) {
        Err(error) if error.is_unavailable() => LookUp::Failed,
        _ => LookUp::Complete,
    }
}

/// The numbers of records at the last look.
#[derive(Default)]
struct Rates(BTreeMap<TaskId, (Instant, u64)>);

impl Rates {
    /// Notes how many records a second each task applied since the last look.
    fn note(&mut self, board: &TaskBoard) {
        let (now, tasks) = (Instant::now(), board.tasks());
        self.0.retain(|task, _| tasks.contains_key(task));
        for (task, progress) in tasks {
            let records = progress.records();
            if let Some((at, before)) = self.0.insert(task, (now, records)) {
                let seconds = now.saturating_duration_since(at).as_secs_f64();
                // A task that has started again counts from 0.
                progress.note_rate(records.saturating_sub(before) as f64 / seconds.max(f64::MIN_POSITIVE));
            }
        }
    }
}
