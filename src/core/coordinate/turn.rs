//! Whose turn it is: which queued input the coordinator decides next. A release or void waits for earlier epochs of its asset.

use crate::core::contract::appends::Outputs;
use crate::core::contract::control::ControlEvent;
use crate::core::contract::decision::Decision;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::event::EventType;
use crate::core::coordinate::{Coordinator, ListedAsset, QueuedInput};
use crate::core::fault::Fault;
use crate::core::values::asset::Asset;

impl Coordinator {
    /// The identity of the control event that the next turn decides. An event with the same identity must be in the dedup index by then, if there
    /// was one.
    #[must_use]
    pub fn next_identity(&self) -> Option<[u8; 16]> {
        match self.queue.get(self.next_input()?) {
            Some(QueuedInput::Control(record)) => Decoded::read(&record.bytes).identity().copied(),
            _ => None,
        }
    }

    /// The index of the queued input that is decided next; `None` if all have to wait.
    pub(super) fn next_input(&self) -> Option<usize> {
        if self.pending.is_some() {
            return None;
        }
        match self.queue.front()? {
            QueuedInput::Control(record) if self.waits_for(&record.bytes).is_some() => self.queue.iter().position(
                |input| matches!(input, QueuedInput::Control(record) if type_of(&record.bytes) == Some(EventType::LossAccepted)),
            ),
            _ => Some(0),
        }
    }

    /// Records that the next control event waits, if it does and that is not on record yet.
    pub(super) fn record_wait(&mut self, out: &mut Outputs) -> Result<bool, Fault> {
        let Some(QueuedInput::Control(record)) = self.queue.front() else {
            return Ok(false);
        };
        let control_offset = record.offset;
        let Some(asset) = self
            .waits_for(&record.bytes)
            .filter(|_| self.waits_at != Some(control_offset))
        else {
            return Ok(false);
        };
        self.waits_at = Some(control_offset);
        self.record_decision(&Decision::VerdictWaits { control_offset, asset }, out)?;
        Ok(true)
    }

    /// The asset of a release or void, if an epoch of it that was closed before is not yet sealed or held.
    fn waits_for(&self, record: &[u8]) -> Option<Asset> {
        let Decoded::Event(envelope, _) = Decoded::read(record) else {
            return None;
        };
        let event_type = EventType::of(&envelope.event_type).ok();
        let is_verdict = |one: &EventType| matches!(one, EventType::EpochRelease | EventType::EpochVoid);
        let Ok(ControlEvent::GateVerdict { asset, .. }) =
            ControlEvent::read(event_type.filter(is_verdict)?, envelope.data)
        else {
            return None;
        };
        let mut listings = self.by_name.get(&asset).into_iter().flatten();
        listings
            .any(|number| {
                let listed = self.assets.get(usize::from(*number));
                listed.is_some_and(ListedAsset::is_settling)
            })
            .then_some(asset)
    }
}

/// The type of a control record's event, if it has one.
fn type_of(record: &[u8]) -> Option<EventType> {
    match Decoded::read(record) {
        Decoded::Event(envelope, _) => EventType::of(&envelope.event_type).ok(),
        _ => None,
    }
}
