//! The bus of a replay: what others wrote is read from the deployment's own bus, and what the replay says goes onto a throw-away one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::audit::point_in_time::OUTPUTS;
use crate::audit::published;
use crate::audit::published::scan_range;
use crate::audit::reconcile::compare::ends;
use crate::audit::reconcile::digest::Observer;
use crate::audit::replay::schedule::Schedule;
use crate::audit::replay::{ReplayError, schedule};
use crate::bus::dir::{DirBus, Options};
use crate::bus::{
    Batch, Bus, BusError, Log, Mark, Outputs, Position, Reader, TaskId, Topic, TopicKind, TopicPartition,
};
use crate::core::contract::decision::Decision;

const DECISIONS: TopicPartition = Topic::Decisions.partition(0);

/// A decision that the replay does not come to.
#[derive(Debug, Clone, PartialEq)]
pub struct Deviation {
    /// How many decisions came before, not counting how far control was read.
    pub number: usize,
    /// The one on record; `None` if there is none more.
    pub recorded: Option<Decision>,
    /// The one the replay came to.
    pub replayed: Decision,
}

/// How far a replay has come.
#[derive(Default)]
struct Progress {
    /// Decisions come to again.
    decided: usize,
    /// Questions decided.
    questions: usize,
    deviation: Option<Deviation>,
    /// Where each source partition's task stands: everything before is applied.
    stands: BTreeMap<TopicPartition, u64>,
}

/// The bus of a replay.
pub struct ReplayBus {
    origin: Arc<dyn Log>,
    scratch: DirBus,
    schedule: Arc<Schedule>,
    shared: Arc<Shared>,
    /// Where the output partitions ended when it was opened: what lies before was said by an earlier replay.
    earlier: BTreeMap<TopicPartition, u64>,
    /// Who hears what is said.
    observed: Option<Arc<Observer>>,
    /// Whether what is said is kept when it was heard; seals always are.
    keeps: bool,
}

#[derive(Default)]
struct Shared {
    progress: Mutex<Progress>,
    /// How often something happened that tasks wait for and that is no commit.
    news: AtomicU64,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplayBus {
    /// A replay of what is on `origin`, whose own records are kept in the folder `scratch`: what an earlier one left there is gone on from.
    ///
    /// # Errors
    /// What one of the two buses says; decisions in `scratch` that are not those on record.
    pub fn open(
        origin: Arc<dyn Log>,
        scratch: &Path,
        schedule: Arc<Schedule>,
        observed: Option<Arc<Observer>>,
        keeps: bool,
    ) -> Result<Self, ReplayError> {
        // If the machine fails, the replay is begun anew; if only the process does, nothing is lost.
        let scratch = DirBus::open(scratch, Options { sync: false })?;
        let mut progress = Progress::default();
        scan_range(
            &scratch,
            DECISIONS,
            &Mark::default(),
            scratch.readable_end(DECISIONS)?,
            |record| {
                progress.decide(&schedule, &Decision::read(record.value)?);
                Ok::<_, ReplayError>(())
            },
        )?;
        if let Some(deviation) = progress.deviation {
            return Err(ReplayError::OtherReplay(Box::new(deviation)));
        }
        Ok(Self {
            earlier: ends(&scratch)?,
            observed,
            keeps,
            origin,
            scratch,
            schedule,
            shared: Arc::new(Shared {
                progress: Mutex::new(progress),
                news: AtomicU64::new(0),
            }),
        })
    }

    /// The bus that is replayed.
    pub(crate) fn origin(&self) -> &dyn Log {
        self.origin.as_ref()
    }

    /// The replay's own bus.
    #[must_use]
    pub fn scratch(&self) -> &dyn Log {
        &self.scratch
    }

    /// Where the output partitions ended when the replay was begun or gone on with.
    pub(crate) const fn earlier(&self) -> &BTreeMap<TopicPartition, u64> {
        &self.earlier
    }

    /// Whether all that was said is on the replay's own bus.
    pub(crate) const fn keeps(&self) -> bool {
        self.keeps
    }

    fn say(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), BusError> {
        let kept = match self.keeps {
            true => Cow::Borrowed(outputs),
            false => Cow::Owned(outputs.only(|to| to.topic == Topic::Epochs || !OUTPUTS.contains(&to.topic))),
        };
        self.scratch.commit(task, &kept, position)?;
        if let Some(observed) = &self.observed {
            observed.hear(outputs);
        }
        Ok(())
    }

    /// The decision at which the replay left the record, if it did.
    #[must_use]
    pub fn deviation(&self) -> Option<Deviation> {
        self.shared.lock().deviation.clone()
    }

    /// Whether all source partitions stand where they stood when they answered a question.
    pub(crate) fn stand_at(&self, question: usize) -> bool {
        let Some(question) = self.schedule.questions.get(question) else {
            return false;
        };
        let progress = self.shared.lock();
        let stands = |source| progress.stands.get(source).copied().unwrap_or(0);
        question
            .answers
            .0
            .iter()
            .all(|(source, offset)| stands(source) >= *offset)
    }
}

impl Progress {
    /// Takes note of a decision that the replay came to; whether it is the one on record.
    fn decide(&mut self, schedule: &Schedule, decision: &Decision) -> bool {
        if !schedule::counts(decision) {
            return true;
        }
        let recorded = schedule.decisions.get(self.decided);
        // A script that is shorter than an earlier one has nothing to say about the rest.
        if recorded.is_some_and(|recorded| recorded != decision) {
            self.deviation = Some(Deviation {
                number: self.decided,
                recorded: recorded.cloned(),
                replayed: decision.clone(),
            });
            return false;
        }
        self.decided += 1;
        self.questions += usize::from(schedule::is_outcome(decision));
        true
    }
}

impl Log for ReplayBus {
    fn identity(&self) -> &str {
        self.scratch.identity()
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, BusError> {
        match topic.kind() {
            TopicKind::Input if topic == Topic::Control => Ok(vec![0]),
            TopicKind::Input => {
                let found = self.schedule.sources().filter(|source| source.topic == topic);
                Ok(found.map(|source| source.partition).collect())
            }
            TopicKind::Output | TopicKind::Inner => self.scratch.partitions(topic),
        }
    }

    fn start(&self, partition: TopicPartition) -> Result<u64, BusError> {
        match partition.topic.kind() {
            TopicKind::Input => self.origin.start(partition),
            TopicKind::Output | TopicKind::Inner => self.scratch.start(partition),
        }
    }

    /// Of a source partition: how far it may be read as things stand. Of control nothing needs to be waited for: the same bounds see to it that no
    /// record is read before what was decided by then.
    fn readable_end(&self, partition: TopicPartition) -> Result<u64, BusError> {
        match partition.topic.kind() {
            TopicKind::Input if partition.topic == Topic::Control => Ok(0),
            TopicKind::Input => {
                let questions = self.shared.lock().questions;
                Ok(self.schedule.bound(partition, questions))
            }
            TopicKind::Output | TopicKind::Inner => self.scratch.readable_end(partition),
        }
    }

    /// What the source partition answered at the time.
    fn written_end(&self, partition: TopicPartition) -> Result<u64, BusError> {
        let questions = self.shared.lock().questions;
        let question = self
            .schedule
            .questions
            .get(questions)
            .filter(|question| question.is_close);
        match question.and_then(|question| question.answers.0.get(&partition)) {
            Some(cut) => Ok(*cut),
            None => self.readable_end(partition),
        }
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, BusError> {
        if partition.topic.kind() != TopicKind::Input {
            return self.scratch.open(partition, from);
        }
        Ok(Box::new(SourceReader {
            inner: self.origin.open(partition, from)?,
            origin: Arc::clone(&self.origin),
            partition,
            shared: Arc::clone(&self.shared),
        }))
    }

    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), BusError> {
        match partition.topic.kind() {
            TopicKind::Input => self.origin.check(partition, mark),
            TopicKind::Output | TopicKind::Inner => self.scratch.check(partition, mark),
        }
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, BusError> {
        self.scratch.committed(task)
    }

    fn version(&self) -> u64 {
        self.scratch.version() + self.origin.version() + self.shared.news.load(Ordering::Relaxed)
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, BusError> {
        if self.version() == seen {
            self.scratch.wait(self.scratch.version(), at_most)?;
        }
        Ok(self.version())
    }
}

impl Bus for ReplayBus {
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), BusError> {
        if task != TaskId::COORDINATE {
            return self.say(task, outputs, position);
        }
        let refused = |what: String| BusError::Refused {
            partition: DECISIONS,
            what,
        };
        let mut decided = Vec::new();
        for (to, _, value) in outputs.iter() {
            if to.topic == Topic::Decisions {
                decided.push(Decision::read(value).map_err(|fault| refused(fault.to_string()))?);
            }
        }
        // Before anybody can read them: whoever is asked by one of them is answered by what comes after the ones before it. Nobody reads too far
        // meanwhile, as a question is decided only once all that were asked wait for the outcome.
        let mut progress = self.shared.lock();
        for decision in &decided {
            if !progress.decide(&self.schedule, decision) {
                return Err(refused(
                    "the replay comes to another decision than the one on record".into(),
                ));
            }
        }
        drop(progress);
        self.say(task, outputs, position)?;
        self.shared.news.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// A reader of a source partition that tells where its task stands.
struct SourceReader {
    inner: Box<dyn Reader>,
    origin: Arc<dyn Log>,
    partition: TopicPartition,
    shared: Arc<Shared>,
}

impl Reader for SourceReader {
    fn read(&mut self, limit: usize, until: u64) -> Result<Batch, BusError> {
        // What lies below the bounds is there, or on its way.
        published::some(self.origin.as_ref(), self.partition, self.inner.as_mut(), limit, until)
    }

    /// It is asked before every read, when all that was read is applied.
    fn has_news(&mut self) -> Result<bool, BusError> {
        let at = self.inner.mark().offset;
        let mut progress = self.shared.lock();
        if progress.stands.insert(self.partition, at) != Some(at) {
            self.shared.news.fetch_add(1, Ordering::Relaxed);
        }
        // Whether there is any is told by the bounds.
        Ok(true)
    }

    fn mark(&self) -> &Mark {
        self.inner.mark()
    }

    fn recycle(&mut self, batch: Batch) {
        self.inner.recycle(batch);
    }
}
