//! The sequencer of a replay: puts records into the inbox in the order of the schedule.

use std::sync::Arc;

use crate::audit::replay::bus::ReplayBus;
use crate::audit::replay::schedule::{Schedule, ScheduleStep, ScheduledStep};
use crate::bus::scan::scan_range;
use crate::bus::{Bus, Log, Mark, Outputs, Position, TaskId, Topic, TopicPartition};
use crate::core::protocol::codec;
use crate::core::protocol::messages::{Inbox, SequencedRecord};
use crate::core::values::offset::Offset;
use crate::task::{Progress, Task, TaskError};

const CONTROL: TopicPartition = Topic::Control.partition(0);
const INBOX: TopicPartition = Topic::Inbox.partition(0);

/// Maps the control record at an offset to the records that the replay reads instead: none, one, or several.
pub type ControlRewrite = dyn Fn(Offset, &[u8]) -> Vec<Vec<u8>> + Send + Sync;

pub(crate) struct ReplaySequencer {
    bus: Arc<ReplayBus>,
    schedule: Arc<Schedule>,
    /// All control records with a decision, by offset, without blank lines.
    control: Vec<(Offset, Vec<u8>)>,
    /// The index of the next step.
    next: usize,
    /// The inbox has all control records below this offset.
    control_read: Offset,
}

impl ReplaySequencer {
    /// Resumes at the position on the replay's bus.
    ///
    /// # Errors
    /// A failure of the bus.
    pub(crate) fn new(
        bus: Arc<ReplayBus>,
        schedule: Arc<Schedule>,
        rewrite: &ControlRewrite,
    ) -> Result<Self, TaskError> {
        let mut control = Vec::new();
        scan_range(
            bus.origin(),
            CONTROL,
            &Mark::at(schedule.start(CONTROL)),
            schedule.control_read_end(),
            |record| {
                if !record.value.is_empty() {
                    let rewritten = rewrite(record.offset, record.value);
                    control.extend(rewritten.into_iter().map(|value| (record.offset, value)));
                }
                Ok::<_, TaskError>(())
            },
        )?;
        let position = bus.committed(TaskId::SEQUENCE)?.unwrap_or_default();
        Ok(Self {
            next: usize::try_from(position.cursor.job).unwrap_or(usize::MAX),
            control_read: position.offset(CONTROL),
            bus,
            schedule,
            control,
        })
    }

    fn commit(&mut self, message: &Inbox, control_read: Offset) -> Result<Progress, TaskError> {
        let mut outputs = Outputs::default();
        let record = codec::encode(message).map_err(|fault| TaskError::Fault {
            at: "the sequencer of the replay".into(),
            fault,
        })?;
        outputs.push(INBOX, &[], &record);
        let mut position = Position::default();
        let mark = Mark::at(control_read);
        position.inputs.insert(CONTROL, mark);
        position.cursor.job = u32::try_from(self.next + 1).unwrap_or(u32::MAX);
        self.bus.commit(TaskId::SEQUENCE, &outputs, &position)?;
        (self.next, self.control_read) = (self.next + 1, control_read);
        Ok(Progress::Worked)
    }

    fn record(&self, (offset, bytes): &(Offset, Vec<u8>)) -> SequencedRecord {
        SequencedRecord {
            offset: *offset,
            bytes: bytes.clone(),
            known_rules: self.schedule.known_rules(*offset),
        }
    }

    fn records(&self, to: Offset) -> Inbox {
        let from = self.control.partition_point(|(offset, _)| *offset < self.control_read);
        let until = self.control.partition_point(|(offset, _)| *offset < to);
        let records = self.control.get(from..until).unwrap_or_default().iter();
        let records = records.filter(|(offset, _)| !self.schedule.ahead.contains(offset));
        Inbox::Control {
            records: records.map(|record| self.record(record)).collect(),
            read_to: to,
        }
    }

    /// The control record at an offset, which comes before earlier ones.
    fn record_ahead(&self, at: Offset) -> Inbox {
        let records = self.control.iter().filter(|(offset, _)| *offset == at);
        Inbox::Control {
            records: records.map(|record| self.record(record)).collect(),
            read_to: self.control_read,
        }
    }
}

impl Task for ReplaySequencer {
    fn id(&self) -> TaskId {
        TaskId::SEQUENCE
    }

    fn step(&mut self) -> Result<Progress, TaskError> {
        let Some(ScheduledStep { after, step }) = self.schedule.steps.get(self.next).cloned() else {
            return Ok(Progress::Idle);
        };
        if self.bus.decided() < after {
            return Ok(Progress::Idle);
        }
        let waits_for = match step {
            ScheduleStep::Question { question, .. } => Some(question),
            ScheduleStep::Ahead { question, .. } => question,
            ScheduleStep::Begin { .. } | ScheduleStep::Sources(_) | ScheduleStep::Control { .. } => None,
        };
        if waits_for.is_some_and(|question| !self.bus.have_answered(question)) {
            return Ok(Progress::Idle);
        }
        match step {
            ScheduleStep::Begin { rules } => self.commit(&Inbox::Begin { rules }, self.control_read),
            ScheduleStep::Sources(sources) => self.commit(&Inbox::sources(sources), self.control_read),
            ScheduleStep::Control { to } | ScheduleStep::Question { to, .. } => self.commit(&self.records(to), to),
            ScheduleStep::Ahead { offset, .. } => self.commit(&self.record_ahead(offset), self.control_read),
        }
    }

    fn close(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}
