//! The tasks of a deployment: which ones this process runs, and how each one starts from its store.

use std::collections::BTreeSet;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use crate::bus::{Access, DeploymentIdentity, Log, Mark, Membership, Position, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::contract::rules;
use crate::core::fault::{Fault, impossible};
use crate::core::values::offset::Offset;
use crate::deployment::error::DeploymentError;
use crate::deployment::layout::LedgerLayout;
use crate::deployment::record::{DeploymentRecord, load_or_create_record};
use crate::deployment::settings::{Deployment, RunMode, STEP_BYTES};
use crate::deployment::state_directory::StoreOwner;
use crate::store::{Store, tables};
use crate::task::accrue_task::AccrueTask;
use crate::task::coordinator_task::{CoordinatorTask, UnfinishedWork};
use crate::task::fold::Fold;
use crate::task::harness::{CHANGES_BYTES, Harness, StepLimits};
use crate::task::ingest_task::IngestTask;
use crate::task::sequencer_task::SequencerTask;
use crate::task::stats::Stats;
use crate::task::{Task, TaskError};

/// The least that a task may keep in memory as changes, however many tasks there are.
const MIN_CHANGES_BYTES: usize = 1 << 20;

/// Starts the tasks of a deployment whose record is loaded.
pub(super) struct TaskFactory<'a> {
    deployment: &'a Deployment,
    /// The bus for the tasks: a rebuild cannot commit to it.
    access: Access,
    identity: DeploymentIdentity,
    record: DeploymentRecord,
    layout: LedgerLayout,
    /// What the coordinator has not finished; it keeps this up to date.
    pub unfinished: Arc<Mutex<UnfinishedWork>>,
    stats: Arc<Stats>,
    limits: StepLimits,
    /// Source partitions that were on the bus before. If the file of one is gone, its task starts all the same, and fails with a message.
    known_sources: BTreeSet<TopicPartition>,
}

impl<'a> TaskFactory<'a> {
    /// Loads or creates the deployment record. `None` if `stop` was set first.
    pub fn new(
        deployment: &'a Deployment,
        stats: Arc<Stats>,
        stop: &AtomicBool,
    ) -> Result<Option<Self>, DeploymentError> {
        let Some(mut record) = load_or_create_record(deployment, stop)? else {
            return Ok(None);
        };
        if let RunMode::Rebuild {
            before: Some(layout_change),
        } = deployment.mode
        {
            record = record.before(layout_change);
        }
        let layout = record.layout()?;
        let identity = record.identity(deployment.bus.log());
        deployment
            .stores
            .begin(&identity, deployment.bus.membership().is_none())?;
        if deployment.mode == RunMode::Work {
            // A repartition that was stopped late may have left stores of an earlier layout.
            let earlier = |generation| generation < layout.generation;
            deployment.stores.remove_layouts(&earlier)?;
        }
        let access = match deployment.mode {
            RunMode::Rebuild { .. } => deployment.bus.read_only(),
            RunMode::Work | RunMode::Drain => deployment.bus.clone(),
        };
        let mut known_sources = BTreeSet::new();
        if access.membership().is_none() {
            known_sources = sources_on_record(access.log())?;
            known_sources.extend(deployment.stores.sources()?);
        }
        let mut tasks = usize::from(layout.partitions.count()) + 1;
        for topic in Topic::SOURCES {
            tasks += access.log().partitions(topic)?.len();
        }
        // Large batches are cheaper. So a few tasks get much memory each, and very many tasks get little.
        let changes_bytes = (CHANGES_BYTES / tasks).max(MIN_CHANGES_BYTES);
        let limits = StepLimits {
            step_bytes: deployment.step_bytes,
            changes_bytes,
        };
        Ok(Some(Self {
            deployment,
            access,
            identity,
            record,
            layout,
            unfinished: Arc::default(),
            stats,
            limits,
            known_sources,
        }))
    }

    pub const fn layout(&self) -> LedgerLayout {
        self.layout
    }

    /// This process's part of the deployment; `None` if it runs all tasks.
    pub fn membership(&self) -> Option<&dyn Membership> {
        self.access.membership()
    }

    /// The tasks that this process has to run now.
    pub fn tasks_to_run(&self) -> Result<BTreeSet<TaskId>, TaskError> {
        if let Some(membership) = self.access.membership() {
            let mut assigned = membership.assigned()?;
            // The deployment record has no task, nor have ledger partitions that only an earlier layout used.
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
        all.extend(self.known_sources.iter().copied().map(TaskId::ingest));
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

    /// Starts a task from its store.
    pub fn start(&self, task: TaskId) -> Result<Box<dyn Task>, TaskError> {
        let home = task.home();
        if self.deployment.mode == RunMode::Work {
            let on_bus = DeploymentRecord::read(self.access.log())?;
            if on_bus.is_some_and(|on_bus| on_bus.layout_changes.len() != self.record.layout_changes.len()) {
                return Err(TaskError::LayoutChanged);
            }
        }
        match home.topic {
            Topic::Control => match &self.deployment.sequence {
                Some(start) => start(),
                None => match self.access.bus() {
                    Some(bus) => Ok(Box::new(SequencerTask::new(Arc::clone(bus), &self.stats.board)?)),
                    None => Err(fault(impossible("a sequencer on a bus that is only read"))),
                },
            },
            Topic::Inbox => self.coordinate(),
            Topic::Ledger => match u16::try_from(home.partition) {
                Ok(partition) if partition < self.layout.partitions.count() => self.accrue(partition),
                // `tasks_to_run` has left it out.
                _ => Err(fault(impossible(format!("{task} is not in layout {}", self.layout)))),
            },
            _ => self.ingest(home),
        }
    }

    fn is_of_earlier_layout(&self, task: TaskId) -> bool {
        let home = task.home();
        home.topic == Topic::Ledger && home.partition >= u32::from(self.layout.partitions.count())
    }

    fn coordinate(&self) -> Result<Box<dyn Task>, TaskError> {
        let task = TaskId::COORDINATE;
        let committed = self.committed(task)?;
        let owner = StoreOwner::Coordinate(self.layout.generation);
        let store = self.store_of_layout(owner, task, committed.as_ref())?;
        let is_behind = |committed: &Position| store.position().is_before(committed);
        if self.access.membership().is_some() && committed.as_ref().is_some_and(is_behind) {
            // It would judge again what a newer program has decided since.
            sources_on_record(self.access.log())?;
        }
        let fold = CoordinatorTask::new(
            u32::from(self.layout.partitions.count()),
            store.as_ref(),
            Arc::clone(&self.unfinished),
            Arc::clone(&self.stats),
        )?;
        self.harness(task, fold, store, committed)
    }

    fn accrue(&self, partition: u16) -> Result<Box<dyn Task>, TaskError> {
        let task = TaskId::accrue(partition);
        let committed = self.committed(task)?;
        let owner = StoreOwner::Accrue(partition, self.layout);
        let store = self.store_of_layout(owner, task, committed.as_ref())?;
        let fold = AccrueTask::new(
            partition,
            self.layout.partitions,
            self.deployment.dedup_days,
            store.as_ref(),
            Arc::clone(&self.stats),
        )?;
        self.harness(task, fold, store, committed)
    }

    fn ingest(&self, source: TopicPartition) -> Result<Box<dyn Task>, TaskError> {
        let dedup_days = self.deployment.dedup_days;
        let task = TaskId::ingest(source);
        let committed = self.committed(task)?;
        let store = self.store(StoreOwner::Ingest(source), committed.as_ref())?;
        let fold = IngestTask::new(
            source,
            dedup_days,
            self.layout.partitions,
            self.limits.changes_bytes,
            store.as_ref(),
            Arc::clone(&self.stats),
        )?;
        self.harness(task, fold, store, committed)
    }

    fn harness<F: Fold + 'static>(
        &self,
        task: TaskId,
        fold: F,
        store: Box<dyn Store>,
        committed: Option<Position>,
    ) -> Result<Box<dyn Task>, TaskError> {
        let harness = Harness::new(
            task,
            fold,
            self.access.clone(),
            store,
            self.limits,
            committed,
            Arc::clone(&self.stats),
        )?;
        Ok(Box::new(harness))
    }

    fn store(&self, owner: StoreOwner, committed: Option<&Position>) -> Result<Box<dyn Store>, TaskError> {
        self.deployment.stores.open(owner, &self.identity, committed)
    }

    /// The store of a task of the layout in force. After a layout change the store must exist already: the log before the change belongs to
    /// earlier layouts, so a new store cannot be built from it.
    fn store_of_layout(
        &self,
        owner: StoreOwner,
        task: TaskId,
        committed: Option<&Position>,
    ) -> Result<Box<dyn Store>, TaskError> {
        let store = self.store(owner, committed)?;
        if self.layout.generation > 0 && store.get(&tables::STATE)?.is_none() {
            // An empty store would keep the next start from restoring a snapshot.
            drop(store);
            self.deployment.stores.remove(owner)?;
            return Err(TaskError::NoStore { task });
        }
        Ok(store)
    }

    /// The position of a task on the bus, in the layout in force. In a rebuild up to a layout change: where the task stopped for that change.
    fn committed(&self, task: TaskId) -> Result<Option<Position>, TaskError> {
        let log = self.access.log();
        if let RunMode::Rebuild {
            before: Some(layout_change),
        } = self.deployment.mode
            && matches!(task.home().topic, Topic::Ledger | Topic::Inbox)
            && let Some(record) = DeploymentRecord::read(log)?
        {
            let stopped_at = record.before(layout_change + 1).stopped_at(task);
            return Ok(Some(stopped_at.position(task, None)));
        }
        let committed = log.committed(task)?;
        match task.home().topic {
            Topic::Ledger | Topic::Inbox => Ok(self.record.position_in_layout(task, committed)),
            _ => Ok(committed),
        }
    }
}

/// The source partitions that the decisions name: each must still be on the bus, even if all stores are lost. It fails if a version of the rules is in
/// force that this program does not know.
fn sources_on_record(log: &dyn Log) -> Result<BTreeSet<TopicPartition>, TaskError> {
    let mut known = BTreeSet::new();
    let mut reader = log.open(Topic::Decisions.partition(0), &Mark::default())?;
    loop {
        let batch = reader.read(STEP_BYTES, Offset::NO_LIMIT)?;
        if batch.is_empty() {
            return Ok(known);
        }
        for record in batch.iter().filter(|record| !record.value.is_empty()) {
            match Decision::read(record.value).map_err(fault)? {
                Decision::SourcesAdded { sources, .. } => known.extend(sources),
                Decision::Rules { version, .. } => rules::check_known(version).map_err(fault)?,
                _ => {}
            }
        }
    }
}

fn fault(fault: Fault) -> TaskError {
    TaskError::Fault {
        at: "deployment".into(),
        fault,
    }
}
