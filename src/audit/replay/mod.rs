//! Replay: what was published, worked out once more from what it rests on, and the questions that only the whole log can answer.
//!
//! A replay runs the deployment's own tasks on a bus of its own ([`ReplayBus`]): source and control records come from the deployment's topics, where
//! each source partition stood when it was asked something comes from the decisions on record ([`schedule`]), and everything else is worked out
//! anew, in a throw-away folder. Nothing here writes to the bus it reads.

mod bus;
pub mod schedule;
mod sequencer;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use crate::audit::reconcile::digest::Observer;
use crate::audit::replay::sequencer::ReplaySequencer;
use crate::bus::{Access, Bus, BusError, Log, TopicPartition};
use crate::core::fault::Fault;
use crate::deployment::state_directory::StateDirectory;
use crate::deployment::{Deployment, RunEnd, RunMode, STEP_BYTES, run};
use crate::store::StoreError;
use crate::task::TaskError;
use crate::task::stats::Stats;

pub use crate::audit::point_in_time::PointInTime;
pub use bus::{Deviation, ReplayBus};
pub use schedule::{Schedule, Wanted};

pub use sequencer::Rewrite;

/// Why a replay cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum ReplayError {
    /// One of the two buses.
    #[error(transparent)]
    Bus(BusError),
    /// A task of the replay.
    #[error(transparent)]
    Task(#[from] TaskError),
    /// The store that differences are found with.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record of ours.
    #[error(transparent)]
    Record(Fault),
    /// The decisions on record do not follow one another.
    #[error("softstake.decisions is not what a coordinator writes: {0}")]
    Decisions(String),
    /// What a replay rests on is gone.
    #[error(
        "{partition} starts at offset {start} now: what lay before is gone, and a replay needs it from offset {needed} on; use an archive that has it"
    )]
    Gone {
        /// The partition.
        partition: TopicPartition,
        /// Its first offset.
        start: u64,
        /// The first offset the replay has not read.
        needed: u64,
    },
    /// The folder holds a replay of something else.
    #[error(
        "the folder holds a replay of another bus, or of one that was changed since: decision {} there is {}; name another folder, or remove this one",
        .0.number, serde_json::to_string(&.0.replayed).unwrap_or_default()
    )]
    OtherReplay(Box<Deviation>),
    /// A file.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}

impl ReplayError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io { action, path, source }
    }
}

/// How to work on a replay. No part of any result.
#[derive(Debug, Clone, Copy)]
pub struct Means {
    /// How many ledger partitions.
    pub partitions: u32,
    /// How many threads.
    pub threads: usize,
    /// Bytes for caching what is on disk.
    pub cache_bytes: usize,
}

/// A replay that has come to its end.
pub struct Replay {
    /// Its bus, with what it came to.
    pub bus: ReplayBus,
    /// Epochs that a failed check stopped.
    pub alarms: Vec<String>,
    /// The decision at which it left the record: what it came to after that is not known.
    pub deviation: Option<Deviation>,
    /// Whether it was told to stop before its end.
    pub stopped: bool,
}

/// A replay to be done.
pub struct Plan<'a> {
    /// What is gone through again.
    pub origin: Arc<dyn Log>,
    /// How things came then.
    pub schedule: Arc<Schedule>,
    /// For how many epochs duplicates are recognised.
    pub dedup_epochs: u64,
    /// The folder to work in; an earlier replay there is gone on from.
    pub work: &'a Path,
    /// How to work.
    pub means: Means,
    /// What control records are changed into before they are gone through, for a replay under other rules.
    pub rewrite: Option<Arc<Rewrite>>,
    /// Who hears what it says.
    pub observed: Option<Arc<Observer>>,
    /// Whether distributions, dead letters and late postings are kept once they were heard. Without, they cannot be compared one by one.
    pub keep: bool,
}

/// Does a replay, to its end or until `stop` is set.
///
/// # Errors
/// What one of the buses or a task says; a deviation is none.
pub fn replay(plan: Plan<'_>, stats: &Arc<Stats>, stop: &AtomicBool) -> Result<Replay, ReplayError> {
    let Plan {
        origin,
        schedule,
        dedup_epochs,
        work,
        means,
        rewrite,
        observed,
        keep,
    } = plan;
    let scratch = work.join("bus");
    std::fs::create_dir_all(&scratch).map_err(ReplayError::io("create", &scratch))?;
    let bus = Arc::new(ReplayBus::open(
        origin,
        &scratch,
        Arc::clone(&schedule),
        observed,
        keep,
    )?);
    for source in schedule.sources() {
        let start = bus.origin().start(source)?;
        let needed = bus
            .committed(crate::bus::TaskId::ingest(source))?
            .map_or(0, |at| at.offset(source));
        if start > needed {
            return Err(ReplayError::Gone {
                partition: source,
                start,
                needed,
            });
        }
    }
    let rewrite = rewrite.unwrap_or_else(|| Arc::new(|_, record: &[u8]| vec![record.to_vec()]));
    let (on, told) = (Arc::clone(&bus), Arc::clone(&schedule));
    let deployment = Deployment {
        bus: Access::ReadWrite(Arc::clone(&bus) as Arc<dyn Bus>),
        stores: Arc::new(StateDirectory::open(&work.join("state"), means.cache_bytes, None)?),
        partitions: Some(means.partitions),
        dedup_epochs,
        threads: means.threads,
        step_bytes: STEP_BYTES,
        mode: RunMode::Work,
        sequence: Some(Box::new(move || {
            let task = ReplaySequencer::new(Arc::clone(&on), Arc::clone(&told), rewrite.as_ref())?;
            Ok(Box::new(task))
        })),
    };
    let end = run(&deployment, true, stop, stats);
    drop(deployment);
    let deviation = bus.deviation();
    let (alarms, stopped) = match end {
        Ok(RunEnd::Idle) => (Vec::new(), false),
        Ok(RunEnd::Stopped) => (Vec::new(), true),
        Ok(RunEnd::Alarmed(alarms)) => (alarms, false),
        // Epochs of which a source partition had not come to its cut have no seal there, either.
        Err(TaskError::Unfinished { .. }) => (Vec::new(), false),
        Err(_) if deviation.is_some() => (Vec::new(), false),
        Err(error) => return Err(error.into()),
    };
    let Some(bus) = Arc::into_inner(bus) else {
        return Err(ReplayError::Record(crate::core::fault::impossible(
            "a task of the replay goes on",
        )));
    };
    Ok(Replay {
        bus,
        alarms,
        deviation,
        stopped,
    })
}
