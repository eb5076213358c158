//! The sequencer of a replay: it puts into the inbox what the deployment's own sequencer put there, in the order that the decisions tell.

use std::sync::Arc;

use crate::audit::published::scan_range;
use crate::audit::replay::bus::ReplayBus;
use crate::audit::replay::schedule::{CONTROL, Schedule, Step};
use crate::bus::{Bus, Log, Mark, Outputs, Position, TaskId, Topic, TopicPartition};
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
use crate::task::{Progress, Task, TaskError};

const INBOX: TopicPartition = Topic::Inbox.partition(0);

/// The task.
pub(crate) struct ReplaySequencer {
    bus: Arc<ReplayBus>,
    schedule: Arc<Schedule>,
    /// All control records that are decided, by offset: blank ones left out.
    control: Vec<(u64, Vec<u8>)>,
    /// The next step.
    next: usize,
    /// Up to which offset control was brought.
    fed: u64,
}

impl ReplaySequencer {
    /// Goes on where the replay's bus says it left off.
    ///
    /// # Errors
    /// What the bus says.
    pub(crate) fn new(bus: Arc<ReplayBus>, schedule: Arc<Schedule>, rewrite: &Rewrite) -> Result<Self, TaskError> {
        let mut control = Vec::new();
        scan_range(
            bus.origin(),
            CONTROL,
            &Mark::default(),
            schedule.control_end,
            |record| {
                if !record.value.is_empty() {
                    let becomes = rewrite(record.offset, record.value);
                    control.extend(becomes.into_iter().map(|value| (record.offset, value)));
                }
                Ok::<_, TaskError>(())
            },
        )?;
        let position = bus.committed(TaskId::SEQUENCE)?.unwrap_or_default();
        Ok(Self {
            next: usize::try_from(position.cursor.job).unwrap_or(usize::MAX),
            fed: position.offset(CONTROL),
            bus,
            schedule,
            control,
        })
    }

    fn commit(&mut self, message: &Inbox, fed: u64) -> Result<Progress, TaskError> {
        let mut outputs = Outputs::default();
        let record = codec::encode(message).map_err(|fault| TaskError::Fault {
            at: "the sequencer of the replay".into(),
            fault,
        })?;
        outputs.push(INBOX, &[], &record);
        let mut position = Position::default();
        let mark = Mark {
            offset: fed,
            evidence: Vec::new(),
        };
        position.inputs.insert(CONTROL, mark);
        position.cursor.job = u32::try_from(self.next + 1).unwrap_or(u32::MAX);
        self.bus.commit(TaskId::SEQUENCE, &outputs, &position)?;
        (self.next, self.fed) = (self.next + 1, fed);
        Ok(Progress::Worked)
    }

    fn records(&self, to: u64) -> Inbox {
        let from = self.control.partition_point(|(offset, _)| *offset < self.fed);
        let until = self.control.partition_point(|(offset, _)| *offset < to);
        Inbox::Control {
            records: self.control.get(from..until).unwrap_or_default().to_vec(),
            read_to: to,
        }
    }
}

/// What becomes of the control record at an offset before it is gone through again: it, another, several, or none.
pub type Rewrite = dyn Fn(u64, &[u8]) -> Vec<Vec<u8>> + Send + Sync;

impl Task for ReplaySequencer {
    fn id(&self) -> TaskId {
        TaskId::SEQUENCE
    }

    fn step(&mut self) -> Result<Progress, TaskError> {
        match self.schedule.steps.get(self.next).cloned() {
            None => Ok(Progress::Idle),
            Some(Step::Sources(sources)) => self.commit(&Inbox::Sources(sources), self.fed),
            Some(Step::Control { to }) => self.commit(&self.records(to), to),
            Some(Step::Listing { question, .. }) if !self.bus.stand_at(question) => Ok(Progress::Idle),
            Some(Step::Listing { to, .. }) => self.commit(&self.records(to), to),
        }
    }

    fn close(&mut self) -> Result<(), TaskError> {
        Ok(())
    }
}
