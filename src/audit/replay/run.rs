//! Runs a replay: the deployment's own tasks, on a [`ReplayBus`].
//!
//! Source and control records come from the deployment's topics. The [`Schedule`] tells where each source partition was when it answered a
//! question. The tasks work out everything else again, in a temporary folder. Nothing is written to the bus that is replayed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::audit::error::AuditError;
use crate::audit::replay::bus::{Deviation, OutputObserver, ReplayBus};
use crate::audit::replay::schedule::Schedule;
use crate::audit::replay::sequencer::{ControlRewrite, ReplaySequencer};
use crate::bus::{Access, Bus, Log, TaskId};
use crate::core::contract::skipped::SkippedRanges;
use crate::core::fault::impossible;
use crate::core::values::offset::Offset;
use crate::deployment::state_directory::StateDirectory;
use crate::deployment::{Deployment, DeploymentError, RunEnd, RunMode, STEP_BYTES, run};
use crate::task::stats::Stats;

/// What a replay may use. No result depends on it.
#[derive(Debug, Clone, Copy)]
pub struct ReplayResources {
    /// Ledger partitions.
    pub partitions: u32,
    pub threads: usize,
    /// Memory for the block cache of the stores.
    pub cache_bytes: usize,
}

/// What to replay, and how.
pub struct ReplayPlan<'a> {
    /// The deployment's bus. It is only read.
    pub origin: Arc<dyn Log>,
    pub schedule: Arc<Schedule>,
    /// For how many epochs duplicates are recognised.
    pub dedup_days: u64,
    /// The folder to work in. A replay that was interrupted there resumes.
    pub work: &'a Path,
    pub resources: ReplayResources,
    /// Changes control records before the replay reads them, to try other rules.
    pub rewrite: Option<Arc<ControlRewrite>>,
    /// Observes every output.
    pub observer: Option<Arc<dyn OutputObserver>>,
    /// Whether the replay's bus keeps distributions, dead letters and late postings. They can be compared record by record only if it does.
    pub keep_outputs: bool,
}

/// A replay that ended.
pub struct ReplayOutcome {
    /// The replay's bus, with its outputs.
    pub bus: ReplayBus,
    /// Epochs that a failed check stopped.
    pub alarms: Vec<String>,
    /// The first decision that differs from the recorded one. The replay ends there.
    pub deviation: Option<Deviation>,
    /// Whether it was stopped before its end.
    pub stopped: bool,
}

/// Replays until the end of the schedule, a deviation, or `stop`.
///
/// # Errors
/// A failure of a bus, a store or a task. A deviation is no error.
pub fn replay(plan: ReplayPlan<'_>, stats: &Arc<Stats>, stop: &AtomicBool) -> Result<ReplayOutcome, AuditError> {
    let scratch = plan.work.join("bus");
    std::fs::create_dir_all(&scratch).map_err(AuditError::io("create", &scratch))?;
    let bus = Arc::new(ReplayBus::open(
        Arc::clone(&plan.origin),
        &scratch,
        Arc::clone(&plan.schedule),
        plan.observer.clone(),
        plan.keep_outputs,
    )?);
    check_sources(&bus, &plan.schedule)?;
    let deployment = deployment(&bus, plan)?;
    let end = run(&deployment, true, stop, stats);
    drop(deployment);
    let deviation = bus.deviation();
    let (alarms, stopped) = match end {
        Ok(RunEnd::Idle) => (Vec::new(), false),
        Ok(RunEnd::Stopped) => (Vec::new(), true),
        Ok(RunEnd::Alarmed(alarms)) => (alarms, false),
        // If the deployment has not reached a cut yet, the epoch has no seal there either.
        Err(DeploymentError::Unfinished { .. }) => (Vec::new(), false),
        Err(_) if deviation.is_some() => (Vec::new(), false),
        Err(error) => return Err(error.into()),
    };
    let Some(bus) = Arc::into_inner(bus) else {
        return Err(impossible("a task of the replay is still running").into());
    };
    Ok(ReplayOutcome {
        bus,
        alarms,
        deviation,
        stopped,
    })
}

/// Checks that each source partition still has the records that the replay has not read yet.
fn check_sources(bus: &ReplayBus, schedule: &Schedule) -> Result<(), AuditError> {
    let skipped = SkippedRanges::of(&schedule.decisions);
    for source in schedule.sources() {
        let start = bus.origin().start(source)?;
        let at = bus
            .committed(TaskId::ingest(source))?
            .map_or(Offset::START, |position| position.offset(source))
            .max(schedule.start(source));
        let needed = skipped.after(source, at);
        if start > needed {
            return Err(AuditError::Gone {
                partition: source,
                start,
                needed,
            });
        }
    }
    Ok(())
}

/// The replay as a deployment: on `bus`, with a sequencer that follows the schedule.
fn deployment(bus: &Arc<ReplayBus>, plan: ReplayPlan<'_>) -> Result<Deployment, AuditError> {
    let rewrite = plan
        .rewrite
        .unwrap_or_else(|| Arc::new(|_, record: &[u8]| vec![record.to_vec()]));
    let (sequencer_bus, schedule) = (Arc::clone(bus), plan.schedule);
    let resources = plan.resources;
    Ok(Deployment {
        bus: Access::ReadWrite(Arc::clone(bus) as Arc<dyn Bus>),
        stores: Arc::new(StateDirectory::open(
            &plan.work.join("state"),
            resources.cache_bytes,
            None,
        )?),
        partitions: Some(resources.partitions),
        dedup_days: plan.dedup_days,
        threads: resources.threads,
        step_bytes: STEP_BYTES,
        mode: RunMode::Work,
        sequence: Some(Box::new(move || {
            let task = ReplaySequencer::new(Arc::clone(&sequencer_bus), Arc::clone(&schedule), rewrite.as_ref())?;
            Ok(Box::new(task))
        })),
    })
}
