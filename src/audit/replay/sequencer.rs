//! The sequencer of a replay: puts records into the inbox in the order of the schedule.

use std::sync::Arc;

use crate::audit::replay::bus::ReplayBus;
use crate::audit::replay::schedule::{Schedule, ScheduleStep};
use crate::bus::scan::scan_range;
use crate::bus::{Bus, Log, Mark, Outputs, Position, TaskId, Topic, TopicPartition};
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
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
            schedule.control_end,
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

    fn records(&self, to: Offset) -> Inbox {
        let from = self.control.partition_point(|(offset, _)| *offset < self.control_read);
        let until = self.control.partition_point(|(offset, _)| *offset < to);
        Inbox::Control {
            records: self.control.get(from..until).unwrap_or_default().to_vec(),
            read_to: to,
        }
    }
}

impl Task for ReplaySequencer {
    fn id(&self) -> TaskId {
        TaskId::SEQUENCE
    }

    fn step(&mut self) -> Result<Progress, TaskError> {
        match self.schedule.steps.get(self.next).cloned() {
            None => Ok(Progress::Idle),
            Some(ScheduleStep::Sources(sources)) => self.commit(&Inbox::sources(sources), self.control_read),
            Some(ScheduleStep::Control { to }) => self.commit(&self.records(to), to),
            Some(ScheduleStep::Question { question, .. }) if !self.bus.have_answered(question) => Ok(Progress::Idle),
            Some(ScheduleStep::Question { to, .. }) => self.commit(&self.records(to), to),
        }
    }

    fn close(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}
