//! Runs the tasks of a deployment on a pool of threads.

use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, PoisonError, mpsc};

use crate::core::coordinate::waiting::WaitingEvent;
use crate::deployment::catch_up::{CatchUp, CaughtUp};
use crate::deployment::diagnosis::Diagnosis;
use crate::deployment::error::DeploymentError;
use crate::deployment::held_up;
use crate::deployment::holdings::LiveLedger;
use crate::deployment::lag::LagWatch;
use crate::deployment::observed::{Observed, ObservedRun};
use crate::deployment::settings::{Deployment, RunMode};
use crate::deployment::tasks::TaskFactory;
use crate::task::TaskError;
use crate::task::coordinator_task::UnfinishedWork;
use crate::task::pool::{PoolEnd, PoolGoal, TaskPool};
use crate::task::stats::Stats;

/// How a run ended, if it did not end with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// All input is processed, and every accepted close is sealed.
    Idle,
    /// It was told to stop.
    Stopped,
    /// All input is processed, but failed checks stopped some epochs. These are the alarms.
    Alarmed(Vec<String>),
}

/// Runs until `stop` is set, or, with `until_idle`, until all input is processed and every accepted close is sealed. Where several processes share the
/// deployment, that is the input that is there when it begins, and it does not matter which process does the work.
///
/// # Errors
/// What stopped a task. All commits are safe, and a later run continues after them.
pub fn run(
    deployment: &Deployment,
    until_idle: bool,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<RunEnd, DeploymentError> {
    run_observed(deployment, until_idle, stop, &Observed::new(Arc::clone(stats)), false)
}

/// As [`run`], and can be seen from outside meanwhile. With `watches_lag`, the ends of what tasks read are looked up now and then.
///
/// # Errors
/// As [`run`].
pub fn run_observed(
    deployment: &Deployment,
    until_idle: bool,
    stop: &AtomicBool,
    observed: &Observed,
    watches_lag: bool,
) -> Result<RunEnd, DeploymentError> {
    let stats = &observed.stats;
    let Some(factory) = TaskFactory::new(deployment, Arc::clone(stats), stop)? else {
        return Ok(RunEnd::Stopped);
    };
    observed.begin(ObservedRun {
        work: Arc::clone(&factory.unfinished),
        stores: deployment.stores.figures(),
        snapshots: deployment.stores.snapshot_figures(),
        ledger: deployment
            .stores
            .live()
            .map(|stores| LiveLedger::new(stores, factory.layout())),
    });
    let (end, caught_up) = run_tasks(deployment, &factory, until_idle, stop, observed, watches_lag);
    observed.end();
    let unfinished = factory
        .unfinished
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clone();
    match end? {
        PoolEnd::Stopped => Ok(RunEnd::Stopped),
        PoolEnd::Idle if deployment.mode != RunMode::Work => Ok(RunEnd::Idle),
        PoolEnd::Idle => match caught_up {
            // What is unfinished came later.
            Some(CaughtUp::Done) => Ok(RunEnd::Idle),
            Some(CaughtUp::Stuck(what)) => match judge(unfinished)? {
                RunEnd::Idle => Err(DeploymentError::Unfinished { what }),
                end => Ok(end),
            },
            None => judge(unfinished),
        },
    }
}

/// The end of a run in which nothing is left to do but what is unfinished.
fn judge(unfinished: UnfinishedWork) -> Result<RunEnd, DeploymentError> {
    if !unfinished.alarms.is_empty() {
        return Ok(RunEnd::Alarmed(unfinished.alarms));
    }
    let what = if unfinished.undecided {
        format!(
            "a control event waits for an answer of a source partition that is not on the bus any more{}; bring its file or topic back",
            reasons(&unfinished.waiting)
        )
    } else if !unfinished.unsealed.is_empty() {
        format!(
            "these closed epochs have no seal: {}{}",
            unfinished.unsealed.join(", "),
            reasons(&unfinished.waiting)
        )
    } else {
        return Ok(RunEnd::Idle);
    };
    Err(DeploymentError::Unfinished { what })
}

/// Runs the pool. Returns its end, and how a catch-up with the deployment ended.
fn run_tasks(
    deployment: &Deployment,
    factory: &TaskFactory<'_>,
    until_idle: bool,
    stop: &AtomicBool,
    observed: &Observed,
    watches_lag: bool,
) -> (Result<PoolEnd, TaskError>, Option<CaughtUp>) {
    let task_states = &observed.stats.task_states;
    // A drain or a rebuild works on a part of the tasks, and asks again when these are idle.
    let is_shared = factory.membership().is_some() && deployment.mode == RunMode::Work;
    let reached = AtomicBool::new(false);
    let pool = TaskPool {
        log: deployment.bus.log(),
        membership: factory.membership(),
        threads: deployment.threads.max(1),
        until: match (until_idle, is_shared) {
            (false, _) => PoolGoal::Never,
            (true, false) => PoolGoal::Idle,
            (true, true) => PoolGoal::CaughtUp(&reached),
        },
        stop,
        tasks_to_run: &|| factory.tasks_to_run(),
        start: &|task| factory.start(task),
        task_states,
    };
    let diagnosis = Diagnosis {
        access: &deployment.bus,
        task_states,
    };
    let catch_up = (until_idle && is_shared).then(|| CatchUp {
        log: deployment.bus.log(),
        ledger_partitions: factory.layout().partitions.count(),
        unfinished: &factory.unfinished,
        task_states,
    });
    let bus = deployment.bus.bus().filter(|_| watches_lag);
    let _lag = bus.map(|bus| LagWatch::start(bus, &observed.stats.board));
    std::thread::scope(|scope| {
        let (unfinished, diagnosis, reached) = (&factory.unfinished, &diagnosis, &reached);
        // Each watch ends when its sender is dropped.
        let mut running = Vec::new();
        if let Some(announcer) = &observed.stats.announcer {
            let (sender, ended) = mpsc::channel();
            running.push(sender);
            scope.spawn(move || held_up::watch(unfinished, announcer, diagnosis, observed, &ended));
        }
        let caught_up = catch_up.map(|catch_up| {
            let (sender, ended) = mpsc::channel();
            running.push(sender);
            scope.spawn(move || {
                let caught_up = catch_up.wait(&ended);
                reached.store(caught_up.is_some(), Relaxed);
                caught_up
            })
        });
        let end = pool.run();
        drop(running);
        // A panic in it is already logged.
        let caught_up = caught_up.and_then(|thread| thread.join().ok().flatten());
        (end, caught_up)
    })
}

/// What each control event waits for, to be put into a sentence.
fn reasons(waiting: &[WaitingEvent]) -> String {
    let reasons: Vec<String> = waiting
        .iter()
        .map(|WaitingEvent { event, missing, .. }| format!("{event} waits for {missing}"))
        .collect();
    if reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", reasons.join("; "))
    }
}
