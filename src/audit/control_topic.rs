//! The control topic as an operator sees it: which events are on it, what was decided on them, and how far the epochs are that they name.

use crate::audit::error::AuditError;
use crate::audit::forecast::{Forecast, ForecastOutcome, source_partitions};
use crate::audit::history::{AssetHistory, History};
use crate::audit::published::read_all;
use crate::bus::scan::{CHUNK, scan_range};
use crate::bus::{Log, Mark, Reader, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::fields;
use crate::core::contract::records::{DeadLetter, Seal};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::time::timestamp;

const CONTROL: TopicPartition = Topic::Control.partition(0);
const DECISIONS: TopicPartition = Topic::Decisions.partition(0);

/// An event on the control topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlRecord {
    pub offset: Offset,
    pub event_type: String,
    pub time: String,
    pub data: serde_json::Value,
}

/// What became of a control event.
#[derive(Debug, Clone, PartialEq)]
pub enum ControlOutcome {
    /// There is no decision yet.
    Undecided,
    Accepted(Box<Decision>),
    Rejected(Rejection),
    /// It is an identical copy of an event that was accepted before.
    Copy,
}

/// How far an epoch is.
#[derive(Debug, Clone, PartialEq)]
pub enum EpochState {
    /// The asset has no such epoch, or is not listed.
    None,
    Open,
    /// Closed, and neither sealed nor before the gate.
    Settling,
    /// Held by the gate: the decision `epoch_held`.
    Held(Box<Decision>),
    /// Released, and not sealed yet.
    Released,
    Void,
    Sealed,
}

/// The decisions, read as they are published.
pub struct DecisionFeed {
    reader: Box<dyn Reader>,
    decisions: Vec<Decision>,
}

impl DecisionFeed {
    /// # Errors
    /// A failure of the bus.
    pub fn open(bus: &dyn Log) -> Result<Self, AuditError> {
        let mut feed = Self {
            reader: bus.open(DECISIONS, &Mark::default())?,
            decisions: Vec::new(),
        };
        let end = bus.readable_end(DECISIONS)?;
        while feed.reader.mark().offset < end {
            if !feed.read()? {
                bus.wait(bus.version(), std::time::Duration::from_millis(20))?;
            }
        }
        Ok(feed)
    }

    /// Reads what is new. Returns whether there was anything.
    ///
    /// # Errors
    /// A failure of the bus, or a record that is no decision.
    pub fn read(&mut self) -> Result<bool, AuditError> {
        let batch = self.reader.read(CHUNK, Offset::NO_LIMIT)?;
        for record in batch.iter().filter(|record| !record.value.is_empty()) {
            self.decisions.push(Decision::read(record.value)?);
        }
        Ok(!batch.is_empty())
    }

    /// All decisions that were read.
    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        &self.decisions
    }

    /// What was decided on the control record at `offset`.
    ///
    /// # Errors
    /// A failure of the bus, when the reason of a rejection is looked up.
    pub fn outcome(&self, bus: &dyn Log, offset: Offset) -> Result<ControlOutcome, AuditError> {
        let decided = self.decisions.iter().find(|decision| decides(decision, offset));
        match decided {
            Some(Decision::Refused { code, .. } | Decision::ListingRefused { code, .. }) => {
                Ok(ControlOutcome::Rejected(rejection(bus, offset, *code)?))
            }
            Some(decision) => Ok(ControlOutcome::Accepted(Box::new(decision.clone()))),
            None => {
                let mut read_to = self.decisions.iter();
                let is_read = read_to.any(|decision| matches!(decision, Decision::ControlRead { to } if *to > offset));
                Ok(if is_read {
                    ControlOutcome::Copy
                } else {
                    ControlOutcome::Undecided
                })
            }
        }
    }
}

/// Whether a decision is the outcome of the control record at `offset`. A proposal is none.
fn decides(decision: &Decision, offset: Offset) -> bool {
    match decision {
        Decision::ListingAccepted { control_offset, .. }
        | Decision::ListingRefused { control_offset, .. }
        | Decision::ProgrammeChanged { control_offset, .. }
        | Decision::WithdrawalAccepted { control_offset, .. }
        | Decision::PoolAdjusted { control_offset, .. }
        | Decision::RewardAdded { control_offset, .. }
        | Decision::CloseAccepted { control_offset, .. }
        | Decision::EpochReleased { control_offset, .. }
        | Decision::EpochVoid { control_offset, .. }
        | Decision::LossAccepted { control_offset, .. }
        | Decision::Rules {
            control_offset: Some(control_offset),
            ..
        }
        | Decision::Refused { control_offset, .. } => *control_offset == offset,
        Decision::SourcesAdded { .. }
        | Decision::Rules { .. }
        | Decision::RulesProposed { .. }
        | Decision::ListingProposed { .. }
        | Decision::WithdrawalProposed { .. }
        | Decision::LossProposed { .. }
        | Decision::EpochHeld { .. }
        | Decision::VerdictWaits { .. }
        | Decision::Cut { .. }
        | Decision::ControlRead { .. } => false,
    }
}

/// The rejection of a control record, with the reason in its dead letter.
fn rejection(bus: &dyn Log, offset: Offset, code: Code) -> Result<Rejection, AuditError> {
    let mut reason = None;
    read_all::<DeadLetter, AuditError>(bus, Some(Topic::Control.name()), |_, dead_letter| {
        if let Ok(dead_letter) = dead_letter
            && dead_letter.topic == Topic::Control
            && dead_letter.offset == offset
        {
            reason = Some(dead_letter.reason.into_owned());
        }
        Ok(())
    })?;
    Ok(code.because(reason.unwrap_or_else(|| "its dead letter is not on the bus".into())))
}

/// The control topic and the decisions on it.
pub struct ControlTopic<'a> {
    bus: &'a dyn Log,
    feed: DecisionFeed,
    history: History,
}

impl<'a> ControlTopic<'a> {
    /// Reads the decisions.
    ///
    /// # Errors
    /// A failure of the bus, or decisions that contradict one another.
    pub fn read(bus: &'a dyn Log) -> Result<Self, AuditError> {
        let feed = DecisionFeed::open(bus)?;
        let history = History::of(feed.decisions())?;
        Ok(Self { bus, feed, history })
    }

    #[must_use]
    pub const fn history(&self) -> &History {
        &self.history
    }

    #[must_use]
    pub fn decisions(&self) -> &[Decision] {
        self.feed.decisions()
    }

    /// For waiting for the next decisions.
    #[must_use]
    pub fn into_feed(self) -> DecisionFeed {
        self.feed
    }

    /// The events with this identity, in their order.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn find(&self, id: &str, source: &str) -> Result<Vec<ControlRecord>, AuditError> {
        let mut found = Vec::new();
        let start = Mark::at(self.bus.start(CONTROL)?);
        let end = self.bus.readable_end(CONTROL)?;
        scan_range(self.bus, CONTROL, &start, end, |record| {
            if let Decoded::Event(envelope, _) = Decoded::read(record.value)
                && envelope.id == id
                && envelope.source == source
            {
                let time = fields::time(envelope.time, "time");
                found.push(ControlRecord {
                    offset: record.offset,
                    event_type: envelope.event_type.clone().into_owned(),
                    time: time.map_or_else(|_| String::new(), |time| timestamp(i128::from(time.get()))),
                    data: serde_json::from_str(envelope.data).unwrap_or_default(),
                });
            }
            Ok::<_, AuditError>(())
        })?;
        Ok(found)
    }

    /// The offset of the last record with these bytes.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn offset_of(bus: &dyn Log, bytes: &[u8]) -> Result<Option<Offset>, AuditError> {
        let mut found = None;
        let start = Mark::at(bus.start(CONTROL)?);
        scan_range(bus, CONTROL, &start, bus.readable_end(CONTROL)?, |record| {
            if record.value == bytes {
                found = Some(record.offset);
            }
            Ok::<_, AuditError>(())
        })?;
        Ok(found)
    }

    /// What was decided on the control record at `offset`.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn outcome(&self, offset: Offset) -> Result<ControlOutcome, AuditError> {
        self.feed.outcome(self.bus, offset)
    }

    /// What a run would do with one more control record. With `with_sources`, a new listing is compared with what the source partitions hold.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn judge(&self, record: &[u8], with_sources: bool) -> Result<ForecastOutcome, AuditError> {
        let sources = source_partitions(self.bus)?;
        Forecast::new(self.bus, &sources, None)?.judge_next(record, with_sources)
    }

    /// The listing of an asset that an epoch is of, if it has the epoch.
    #[must_use]
    pub fn listing_of(&self, asset: Asset, epoch: Epoch) -> Option<(u16, &AssetHistory)> {
        self.history.listing_of(asset, epoch).filter(|(_, listed)| {
            epoch >= listed.terms.calendar.first() && listed.withdrawn.is_none_or(|end| epoch < end)
        })
    }

    /// How far an epoch is.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn epoch_state(&self, asset: Asset, epoch: Epoch) -> Result<EpochState, AuditError> {
        let Some((number, _)) = self.listing_of(asset, epoch) else {
            return Ok(EpochState::None);
        };
        let mut state = EpochState::Open;
        for decision in self.decisions() {
            let is_meant = |of: &u16, at: &Epoch| *of == number && *at == epoch;
            state = match decision {
                Decision::CloseAccepted { number, epoch, .. } if is_meant(number, epoch) => EpochState::Settling,
                Decision::EpochHeld { number, epoch, .. } if is_meant(number, epoch) => {
                    EpochState::Held(Box::new(decision.clone()))
                }
                Decision::EpochReleased { number, epoch, .. } if is_meant(number, epoch) => EpochState::Released,
                Decision::EpochVoid { number, epoch, .. } if is_meant(number, epoch) => EpochState::Void,
                _ => continue,
            };
        }
        if matches!(state, EpochState::Settling | EpochState::Released) && self.seal(asset, epoch)?.is_some() {
            return Ok(EpochState::Sealed);
        }
        Ok(state)
    }

    /// The seal of an epoch.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn seal(&self, asset: Asset, epoch: Epoch) -> Result<Option<Seal<'static>>, AuditError> {
        let mut found = None;
        read_all::<Seal<'static>, AuditError>(self.bus, Some(asset.as_str()), |_, seal| {
            if let Ok(seal) = seal
                && seal.asset == asset
                && seal.epoch == epoch
            {
                found = Some(seal.into_owned());
            }
            Ok(())
        })?;
        Ok(found)
    }

    /// What was added to the pool of an epoch: each amount, and whether it is an adjustment.
    #[must_use]
    pub fn added(&self, asset: Asset, epoch: Epoch) -> Vec<(&str, bool)> {
        let added = self.decisions().iter().filter_map(|decision| match decision {
            Decision::RewardAdded {
                asset: of,
                epoch: at,
                amount,
                ..
            } if *of == asset && *at == epoch => Some((amount.as_str(), false)),
            Decision::PoolAdjusted {
                asset: of,
                epoch: at,
                amount,
                ..
            } if *of == asset && *at == epoch => Some((amount.as_str(), true)),
            _ => None,
        });
        added.collect()
    }
}
