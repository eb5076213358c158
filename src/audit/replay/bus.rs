//! The bus of a replay: reads source and control records from the deployment's own bus, and writes everything else to a temporary one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::audit::error::AuditError;
use crate::audit::point_in_time::{OUTPUT_TOPICS, output_ends};
use crate::audit::replay::schedule::{Schedule, ScheduledQuestion, is_expected, is_outcome};
use crate::bus::dir::{DirBus, Options};
use crate::bus::scan::{next_batch, scan_range};
use crate::bus::{
    Batch, Bus, CommitError, Log, Mark, Outputs, Position, ReadError, Reader, TaskId, Topic, TopicKind, TopicPartition,
};
use crate::core::contract::decision::Decision;
use crate::core::values::offset::Offset;

const DECISIONS: TopicPartition = Topic::Decisions.partition(0);

/// A decision of the replay that differs from the recorded one.
#[derive(Debug, Clone, PartialEq)]
pub struct Deviation {
    /// Counts from 0 and leaves out `control_read`.
    pub number: usize,
    /// `None` if there are fewer recorded decisions.
    pub recorded: Option<Decision>,
    pub replayed: Decision,
}

/// Sees every output that a replay commits.
pub trait OutputObserver: Send + Sync {
    fn observe(&self, outputs: &Outputs);
}

/// The bus of a replay.
pub struct ReplayBus {
    origin: Arc<dyn Log>,
    scratch: DirBus,
    schedule: Arc<Schedule>,
    shared: Arc<SharedProgress>,
    /// The ends of the output partitions when this bus was opened. The outputs before them are from an interrupted replay.
    ends_at_open: BTreeMap<TopicPartition, Offset>,
    observer: Option<Arc<dyn OutputObserver>>,
    keeps_outputs: bool,
}

#[derive(Default)]
struct ReplayProgress {
    /// How many of the expected decisions were made again.
    decided: usize,
    /// How many questions were decided.
    questions: usize,
    deviation: Option<Deviation>,
    /// Per source partition: all records below this offset are applied.
    applied: BTreeMap<TopicPartition, Offset>,
}

#[derive(Default)]
struct SharedProgress {
    progress: Mutex<ReplayProgress>,
    /// Counts progress that wakes waiting tasks, but changes the version of neither bus.
    wakeups: AtomicU64,
}

impl SharedProgress {
    fn lock(&self) -> MutexGuard<'_, ReplayProgress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ReplayBus {
    /// Opens a replay of `origin` that writes to the folder `scratch`. A replay that was interrupted there resumes.
    ///
    /// # Errors
    /// A failure of one of the two buses, or decisions in `scratch` that are not the recorded ones.
    pub fn open(
        origin: Arc<dyn Log>,
        scratch: &Path,
        schedule: Arc<Schedule>,
        observer: Option<Arc<dyn OutputObserver>>,
        keeps_outputs: bool,
    ) -> Result<Self, AuditError> {
        // Without sync, a crash of the process loses nothing. After a crash of the machine, the replay starts again.
        let scratch = DirBus::open(scratch, Options { sync: false })?;
        let mut progress = ReplayProgress::default();
        scan_range(
            &scratch,
            DECISIONS,
            &Mark::default(),
            scratch.readable_end(DECISIONS)?,
            |record| {
                progress.decide(&schedule, &Decision::read(record.value)?);
                Ok::<_, AuditError>(())
            },
        )?;
        if let Some(deviation) = progress.deviation {
            return Err(AuditError::OtherReplay {
                number: deviation.number,
                replayed: serde_json::to_string(&deviation.replayed).unwrap_or_default(),
            });
        }
        Ok(Self {
            ends_at_open: output_ends(&scratch, &OUTPUT_TOPICS)?,
            observer,
            keeps_outputs,
            origin,
            scratch,
            schedule,
            shared: Arc::new(SharedProgress {
                progress: Mutex::new(progress),
                wakeups: AtomicU64::new(0),
            }),
        })
    }

    /// The bus that is replayed.
    pub(crate) fn origin(&self) -> &dyn Log {
        self.origin.as_ref()
    }

    /// The bus that the replay writes to.
    #[must_use]
    pub fn scratch(&self) -> &dyn Log {
        &self.scratch
    }

    /// The ends of the output partitions when the replay started or resumed. The observer did not see the outputs before them.
    pub(crate) const fn ends_at_open(&self) -> &BTreeMap<TopicPartition, Offset> {
        &self.ends_at_open
    }

    /// How many of the expected decisions were made again.
    pub(crate) fn decided(&self) -> usize {
        self.shared.lock().decided
    }

    /// Whether all outputs are kept. If not, only the seals are.
    pub(crate) const fn keeps_outputs(&self) -> bool {
        self.keeps_outputs
    }

    /// The first decision that differs from the recorded one.
    #[must_use]
    pub fn deviation(&self) -> Option<Deviation> {
        self.shared.lock().deviation.clone()
    }

    /// Whether each source partition has reached the offset of its answer to a question.
    pub(crate) fn have_answered(&self, question: usize) -> bool {
        let Some(question) = self.schedule.questions.get(question) else {
            return false;
        };
        let progress = self.shared.lock();
        let applied = |source| progress.applied.get(source).copied().unwrap_or(Offset::START);
        question
            .answers
            .0
            .iter()
            .all(|(source, offset)| applied(source) >= *offset)
    }

    /// The undecided question, if this source partition is asked.
    fn asked(&self, source: TopicPartition) -> Option<&ScheduledQuestion> {
        let decided = self.shared.lock().questions;
        let question = self.schedule.questions.get(decided)?;
        question.answers.0.contains_key(&source).then_some(question)
    }

    fn publish(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), CommitError> {
        let kept = if self.keeps_outputs {
            Cow::Borrowed(outputs)
        } else {
            Cow::Owned(outputs.only(|to| to.topic == Topic::Epochs || !OUTPUT_TOPICS.contains(&to.topic)))
        };
        self.scratch.commit(task, &kept, position)?;
        if let Some(observer) = &self.observer {
            observer.observe(outputs);
        }
        Ok(())
    }
}

impl ReplayProgress {
    /// Compares a decision of the replay with the recorded one. Returns `false` if they differ.
    fn decide(&mut self, schedule: &Schedule, decision: &Decision) -> bool {
        if matches!(decision, Decision::EpochHeld { .. })
            && let Some(recorded) = schedule.contradicts(decision)
        {
            self.deviation = Some(Deviation {
                number: self.decided,
                recorded: Some(recorded.clone()),
                replayed: decision.clone(),
            });
            return false;
        }
        if !is_expected(decision) {
            return true;
        }
        let recorded = schedule.decisions.get(self.decided);
        // A resumed replay may have made more decisions than a schedule for fewer epochs expects.
        if recorded.is_some_and(|recorded| recorded != decision) {
            self.deviation = Some(Deviation {
                number: self.decided,
                recorded: recorded.cloned(),
                replayed: decision.clone(),
            });
            return false;
        }
        self.decided += 1;
        self.questions += usize::from(is_outcome(decision));
        true
    }
}

impl Log for ReplayBus {
    fn identity(&self) -> &str {
        self.scratch.identity()
    }

    fn partitions(&self, topic: Topic) -> Result<Vec<u32>, ReadError> {
        match topic.kind() {
            TopicKind::Input if topic == Topic::Control => Ok(vec![0]),
            TopicKind::Input => {
                let found = self.schedule.sources().filter(|source| source.topic == topic);
                Ok(found.map(|source| source.partition).collect())
            }
            TopicKind::Output | TopicKind::Inner => self.scratch.partitions(topic),
        }
    }

    /// For a source partition that is asked about a loss: the recorded end of what was skipped, so that the replay skips the same, whatever records
    /// the origin has.
    fn start(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        match partition.topic.kind() {
            TopicKind::Input => match self.asked(partition) {
                Some(ScheduledQuestion {
                    skipped_to: Some(to), ..
                }) => Ok(*to),
                _ => self.origin.start(partition),
            },
            TopicKind::Output | TopicKind::Inner => self.scratch.start(partition),
        }
    }

    /// For a source partition: the current read limit. Control never makes a task wait: the read limits already keep a source record back until
    /// the decisions before it are made.
    fn readable_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        match partition.topic.kind() {
            TopicKind::Input if partition.topic == Topic::Control => Ok(Offset::START),
            TopicKind::Input => {
                let questions = self.shared.lock().questions;
                Ok(self.schedule.read_limit(partition, questions))
            }
            TopicKind::Output | TopicKind::Inner => self.scratch.readable_end(partition),
        }
    }

    /// For a source partition that is asked about a close: its recorded answer.
    fn written_end(&self, partition: TopicPartition) -> Result<Offset, ReadError> {
        let question = self.asked(partition).filter(|question| question.is_close);
        match question.and_then(|question| question.answers.0.get(&partition)) {
            Some(cut) => Ok(*cut),
            None => self.readable_end(partition),
        }
    }

    fn open(&self, partition: TopicPartition, from: &Mark) -> Result<Box<dyn Reader>, ReadError> {
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

    fn check(&self, partition: TopicPartition, mark: &Mark) -> Result<(), ReadError> {
        match partition.topic.kind() {
            TopicKind::Input => self.origin.check(partition, mark),
            TopicKind::Output | TopicKind::Inner => self.scratch.check(partition, mark),
        }
    }

    fn committed(&self, task: TaskId) -> Result<Option<Position>, ReadError> {
        self.scratch.committed(task)
    }

    fn version(&self) -> u64 {
        self.scratch.version() + self.origin.version() + self.shared.wakeups.load(Ordering::Relaxed)
    }

    fn wait(&self, seen: u64, at_most: Duration) -> Result<u64, ReadError> {
        if self.version() == seen {
            self.scratch.wait(self.scratch.version(), at_most)?;
        }
        Ok(self.version())
    }
}

impl Bus for ReplayBus {
    fn commit(&self, task: TaskId, outputs: &Outputs, position: &Position) -> Result<(), CommitError> {
        if task != TaskId::COORDINATE {
            return self.publish(task, outputs, position);
        }
        let refused = |what: String| CommitError::Rejected {
            partition: DECISIONS,
            what,
        };
        let mut decided = Vec::new();
        for (to, _, value) in outputs.iter() {
            if to.topic == Topic::Decisions {
                decided.push(Decision::read(value).map_err(|fault| refused(fault.to_string()))?);
            }
        }
        // The progress changes before the decisions are readable, because a task that reads a question answers it under the new read limits.
        // No task reads too far in between: a question is decided only when all tasks that it concerns wait for the outcome.
        let mut progress = self.shared.lock();
        for decision in &decided {
            if !progress.decide(&self.schedule, decision) {
                return Err(refused("the replay made another decision than the recorded one".into()));
            }
        }
        drop(progress);
        self.publish(task, outputs, position)?;
        self.shared.wakeups.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }
}

/// Reads a source partition, and notes how far its task has applied the records.
struct SourceReader {
    inner: Box<dyn Reader>,
    origin: Arc<dyn Log>,
    partition: TopicPartition,
    shared: Arc<SharedProgress>,
}

impl Reader for SourceReader {
    fn read(&mut self, limit: usize, until: Offset) -> Result<Batch, ReadError> {
        // All records below the read limit exist, so wait for them.
        next_batch(self.origin.as_ref(), self.partition, self.inner.as_mut(), limit, until)
    }

    /// The harness calls this before each read, when all records read so far are applied.
    fn has_news(&mut self) -> Result<bool, ReadError> {
        let at = self.inner.mark().offset;
        let mut progress = self.shared.lock();
        if progress.applied.insert(self.partition, at) != Some(at) {
            self.shared.wakeups.fetch_add(1, Ordering::Relaxed);
        }
        // The read limits tell whether there is anything to read.
        Ok(true)
    }

    fn mark(&self) -> &Mark {
        self.inner.mark()
    }

    fn recycle(&mut self, batch: Batch) {
        self.inner.recycle(batch);
    }
}
