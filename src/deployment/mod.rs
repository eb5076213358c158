//! A deployment in one process: its tasks on a few threads, from the state that is there to the end of the bus.

pub mod account;
pub mod record;
pub mod repartition;
pub mod state_directory;

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use crate::bus::{Access, Bus, Log, Mark, Position, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::deployment::record::{DeploymentRecord, Layout, fixed};
use crate::deployment::state_directory::{Owner, Stores};
use crate::store::Store;
use crate::store::rocks::Expired;
use crate::task::accrue_task::AccrueTask;
use crate::task::coordinator_task::{CoordinatorTask, Open};
use crate::task::harness::{CHANGES_BYTES, Harness, StepLimits};
use crate::task::ingest_task::IngestTask;
use crate::task::pool::{PoolEnd, TaskPool};
use crate::task::seen_events::DedupWindow;
use crate::task::sequencer_task::SequencerTask;
use crate::task::stats::Stats;
use crate::task::{Task, TaskError};

pub use crate::task::harness::STEP_BYTES;

/// The number of ledger partitions of a new deployment for which none is given.
pub const DEFAULT_PARTITIONS: u32 = 8;

/// What to run.
pub struct Deployment {
    /// The bus. Only [`RunMode::Rebuild`] can do without the right to commit.
    pub bus: Access,
    /// The tasks' stores.
    pub stores: Arc<dyn Stores>,
    /// How many ledger partitions; `None` for what the deployment was begun with.
    pub partitions: Option<u32>,
    /// For how many epochs duplicates are recognised.
    pub dedup_epochs: u64,
    /// How many threads work; at least 1.
    pub threads: usize,
    /// How many bytes of input one step of a task takes, about; [`STEP_BYTES`] unless a test wants otherwise. No part of any result.
    pub step_bytes: usize,
    /// What is done.
    pub mode: RunMode,
    /// What puts control records and source partitions into the inbox, if it is not the usual sequencer: a replay brings them as they came then.
    pub sequence: Option<Box<StartSequence>>,
}

impl Deployment {
    /// The bus, to commit to.
    fn writable(&self) -> Result<Arc<dyn Bus>, TaskError> {
        self.bus.bus().cloned().ok_or_else(|| TaskError::Unfinished {
            what: "the bus was opened to be read only".into(),
        })
    }
}

/// What a run does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunMode {
    /// Everything.
    Work,
    /// Only what is on the ledger and in the inbox is worked off; nothing new is taken in.
    Drain,
    /// Only the stores are made anew, up to what the bus has committed, or to the switch of this number: nothing is published, and the bus is only
    /// read.
    Rebuild {
        /// The switch before which to stop.
        before: Option<usize>,
    },
}

/// Starts a sequencer.
pub type StartSequence = dyn Fn() -> Result<Box<dyn Task>, TaskError> + Send + Sync;

/// How a run ended, when it did not end with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunEnd {
    /// All is processed, every accepted close is sealed.
    Idle,
    /// It was asked to stop.
    Stopped,
    /// All is processed, but a failed check stopped these epochs: the alarms.
    Alarmed(Vec<String>),
}

/// Runs until `stop` is set, or, with `until_idle`, until everything on the bus is processed and every accepted close is sealed.
///
/// # Errors
/// Whatever stopped a task. Everything committed is safe; a later run goes on from there.
pub fn run(
    deployment: &Deployment,
    until_idle: bool,
    stop: &AtomicBool,
    stats: &Arc<Stats>,
) -> Result<RunEnd, TaskError> {
    let Some(opened) = Opened::new(deployment, Arc::clone(stats), stop)? else {
        return Ok(RunEnd::Stopped);
    };
    let pool = TaskPool {
        log: deployment.bus.log(),
        membership: opened.access.membership(),
        threads: deployment.threads.max(1),
        until_idle,
        stop,
        wanted: &|| opened.wanted(),
        start: &|task| opened.start(task),
    };
    let stopped = pool.run()?;
    let open = opened
        .open
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
        .clone();
    match stopped {
        PoolEnd::Asked => Ok(RunEnd::Stopped),
        PoolEnd::Idle if deployment.mode != RunMode::Work => Ok(RunEnd::Idle),
        PoolEnd::Idle if !open.alarms.is_empty() => Ok(RunEnd::Alarmed(open.alarms)),
        PoolEnd::Idle if open.undecided => Err(TaskError::Unfinished {
            what: "a control event waits for an answer of a source partition that is not on the bus any more; bring its file back".into(),
        }),
        PoolEnd::Idle if !open.unsealed.is_empty() => {
            Err(TaskError::Unfinished { what: format!("these closed epochs have no seal: {}", open.unsealed.join(", ")) })
        }
        PoolEnd::Idle => Ok(RunEnd::Idle),
    }
}

/// The source partitions on record: even with all stores lost, one that was read has to be there.
fn announced(log: &dyn Log) -> Result<BTreeSet<TopicPartition>, TaskError> {
    let mut known = BTreeSet::new();
    let mut reader = log.open(Topic::Decisions.partition(0), &Mark::default())?;
    loop {
        let batch = reader.read(STEP_BYTES, u64::MAX)?;
        if batch.is_empty() {
            return Ok(known);
        }
        for record in batch.iter().filter(|record| !record.value.is_empty()) {
            if let Decision::SourcesAdded { sources } = Decision::read(record.value).map_err(fault)? {
                known.extend(sources);
            }
        }
    }
}

/// A deployment with its fixed settings agreed.
struct Opened<'a> {
    deployment: &'a Deployment,
    /// As the tasks get it: a rebuild cannot commit.
    access: Access,
    record: DeploymentRecord,
    layout: Layout,
    open: Arc<Mutex<Open>>,
    stats: Arc<Stats>,
    limits: StepLimits,
    /// Source partitions that were on the bus before: one whose file is gone is started all the same, and says so.
    known: BTreeSet<TopicPartition>,
}

impl<'a> Opened<'a> {
    /// `None` if it was asked to stop meanwhile.
    fn new(deployment: &'a Deployment, stats: Arc<Stats>, stop: &AtomicBool) -> Result<Option<Self>, TaskError> {
        let Some(mut record) = fixed(deployment, stop)? else {
            return Ok(None);
        };
        if let RunMode::Rebuild {
            before: Some(layout_change),
        } = deployment.mode
        {
            record = record.before(layout_change);
        }
        let layout = record.layout()?;
        let access = match deployment.mode {
            RunMode::Rebuild { .. } => deployment.bus.read_only(),
            RunMode::Work | RunMode::Drain => deployment.bus.clone(),
        };
        let mut known = BTreeSet::new();
        if access.membership().is_none() {
            known = announced(access.log())?;
            known.extend(deployment.stores.sources()?);
        }
        let mut tasks = usize::from(layout.partitions.count()) + 1;
        for topic in Topic::SOURCES {
            tasks += access.log().partitions(topic)?.len();
        }
        // Large batches are cheaper, but so many tasks may each have one; far more tasks than usual make do with little.
        let changes_bytes = (CHANGES_BYTES / tasks).max(1 << 20);
        let limits = StepLimits {
            step_bytes: deployment.step_bytes,
            changes_bytes,
        };
        Ok(Some(Self {
            deployment,
            access,
            record,
            layout,
            open: Arc::default(),
            stats,
            limits,
            known,
        }))
    }

    /// The tasks that this process is to run now.
    fn wanted(&self) -> Result<BTreeSet<TaskId>, TaskError> {
        if let Some(membership) = self.access.membership() {
            let mut assigned = membership.assigned()?;
            // What a deployment was begun with has no task, nor have partitions that an earlier layout had.
            assigned.retain(|task| *task != TaskId::DEPLOYMENT && !self.is_of_earlier_layout(*task));
            if self.deployment.mode == RunMode::Drain {
                assigned.retain(|task| matches!(task.home().topic, Topic::Inbox | Topic::Ledger));
            }
            return Ok(assigned);
        }
        let mut all = BTreeSet::from([TaskId::COORDINATE]);
        all.extend((0..self.layout.partitions.count()).map(TaskId::accrue));
        match self.deployment.mode {
            RunMode::Drain => return Ok(all),
            RunMode::Work => _ = all.insert(TaskId::SEQUENCE),
            // The sequencer has no store.
            RunMode::Rebuild { .. } => {}
        }
        all.extend(self.known.iter().copied().map(TaskId::ingest));
        for topic in Topic::SOURCES {
            let numbers = self.access.log().partitions(topic)?;
            all.extend(
                numbers
                    .into_iter()
                    .map(|number| TaskId::ingest(topic.partition(number))),
            );
        }
        Ok(all)
    }

    /// Takes a task up from its store.
    fn start(&self, task: TaskId) -> Result<Box<dyn Task>, TaskError> {
        let home = task.home();
        if self.deployment.mode == RunMode::Work {
            let known = DeploymentRecord::of(self.access.log())?;
            if known.is_some_and(|known| known.layout_changes.len() != self.record.layout_changes.len()) {
                return Err(TaskError::LayoutChanged);
            }
        }
        match home.topic {
            Topic::Control => match &self.deployment.sequence {
                Some(start) => start(),
                None => Ok(Box::new(SequencerTask::new(self.deployment.writable()?)?)),
            },
            Topic::Inbox => self.coordinate(),
            Topic::Ledger => match u16::try_from(home.partition) {
                Ok(partition) if partition < self.layout.partitions.count() => self.accrue(partition),
                _ => Err(TaskError::Fixed {
                    name: "partitions",
                    given: format!("{} or more, going by topic {}", home.partition + 1, home.topic),
                    recorded: self.layout.to_string(),
                    hint: "`softstake repartition` changes it",
                }),
            },
            _ => self.ingest(home),
        }
    }

    fn is_of_earlier_layout(&self, task: TaskId) -> bool {
        let home = task.home();
        home.topic == Topic::Ledger && home.partition >= u32::from(self.layout.partitions.count())
    }

    /// What the bus has as a task's position, or where it stood when the stores are to be as they were then.
    fn committed(&self, task: TaskId) -> Result<Option<Position>, TaskError> {
        let rebuilt_to = match self.deployment.mode {
            RunMode::Rebuild { before } => before.and_then(|layout_change| {
                DeploymentRecord::of(self.access.log())
                    .transpose()
                    .map(|record| record.map(|record| record.before(layout_change + 1)))
            }),
            RunMode::Work | RunMode::Drain => None,
        };
        match (rebuilt_to.transpose()?, task.home().topic) {
            (Some(record), Topic::Ledger | Topic::Inbox) => Ok(Some(record.begins_at(task))),
            _ => Ok(self.access.log().committed(task)?),
        }
    }

    /// The store of a task of the layout in force. What lies before it on the log is of earlier ones, so it has to be there.
    fn store_of_layout(&self, owner: Owner, task: TaskId) -> Result<Box<dyn Store>, TaskError> {
        let store = self.store(owner, None)?;
        if self.layout.generation > 0 && store.get(&crate::store::tables::STATE)?.is_none() {
            // An empty one would stand in the way of a snapshot.
            drop(store);
            self.deployment.stores.remove(owner)?;
            return Err(TaskError::NoStore { task });
        }
        Ok(store)
    }

    fn store(&self, owner: Owner, expired: Option<Expired>) -> Result<Box<dyn Store>, TaskError> {
        self.deployment
            .stores
            .open(owner, self.access.log().identity(), expired)
    }

    fn coordinate(&self) -> Result<Box<dyn Task>, TaskError> {
        let store = self.store_of_layout(Owner::Coordinate(self.layout.generation), TaskId::COORDINATE)?;
        let fold = CoordinatorTask::new(
            u32::from(self.layout.partitions.count()),
            store.as_ref(),
            Arc::clone(&self.open),
            Arc::clone(&self.stats),
        )?;
        Ok(Box::new(Harness::new(
            TaskId::COORDINATE,
            fold,
            self.access.clone(),
            store,
            self.limits,
            self.committed(TaskId::COORDINATE)?,
        )?))
    }

    fn accrue(&self, partition: u16) -> Result<Box<dyn Task>, TaskError> {
        let store = self.store_of_layout(Owner::Accrue(partition, self.layout), TaskId::accrue(partition))?;
        let fold = AccrueTask::new(
            partition,
            self.layout.partitions,
            store.as_ref(),
            Arc::clone(&self.stats),
        )?;
        Ok(Box::new(Harness::new(
            TaskId::accrue(partition),
            fold,
            self.access.clone(),
            store,
            self.limits,
            self.committed(TaskId::accrue(partition))?,
        )?))
    }

    fn ingest(&self, source: TopicPartition) -> Result<Box<dyn Task>, TaskError> {
        let dedup_epochs = self.deployment.dedup_epochs;
        let window = Arc::new(DedupWindow::new(dedup_epochs));
        let hidden = Arc::clone(&window);
        let expired: Expired = Arc::new(move |key, value| hidden.expires(key, value));
        let store = self.store(Owner::Ingest(source), Some(expired))?;
        let fold = IngestTask::new(
            source,
            dedup_epochs,
            self.layout.partitions,
            store.as_ref(),
            window,
            Arc::clone(&self.stats),
        )?;
        Ok(Box::new(Harness::new(
            TaskId::ingest(source),
            fold,
            self.access.clone(),
            store,
            self.limits,
            self.committed(TaskId::ingest(source))?,
        )?))
    }
}

fn fault(fault: crate::core::fault::Fault) -> TaskError {
    TaskError::Fault {
        at: "deployment".into(),
        fault,
    }
}
