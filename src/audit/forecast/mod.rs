//! What a run would do with each input record of a bus, if it started now and nothing were added meanwhile.
//!
//! A run decides all control records before it reads another source record. So the decisions that are missing on the bus can be foretold: each
//! source partition answers at its position, and a cut is at its end. With all decisions, the ingest state machine judges every record as a run
//! does, from the first one on.

mod listing;
mod next;
mod recorded;
mod source;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::audit::error::AuditError;
use crate::audit::forecast::listing::{ForecastListing, begin_rules};
pub use crate::audit::forecast::next::{ForecastEffect, MissedEpoch, NextOutcome, NextRecords, source_partitions};
use crate::audit::forecast::recorded::RecordedOutcomes;
use crate::audit::forecast::source::ForecastIngest;
pub use crate::audit::forecast::source::ForecastOutcome;
use crate::audit::point_in_time::{first_mark, read_decisions};
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, TaskId, Topic, TopicPartition};
use crate::core::contract::control::ControlEvent;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::decoded::Decoded;
use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::EventType;
use crate::core::contract::listing::Listing;
use crate::core::contract::loss::RecordLoss;
use crate::core::contract::programme::{in_force, schedule};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::coordinate::gate_state::GateState;
use crate::core::coordinate::listings;
use crate::core::coordinate::listings::{Accepted, ListedAssets, ListingAnswer, ListingFacts};
use crate::core::dedup::{DEFAULT_DEDUP_DAYS, check_copy};
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::core::values::time::timestamp;
use crate::deployment::DeploymentError;
use crate::deployment::record::DeploymentRecord;

const CONTROL: TopicPartition = Topic::Control.partition(0);
const INBOX: TopicPartition = Topic::Inbox.partition(0);

/// A forecast for one bus.
pub struct Forecast<'a> {
    bus: &'a dyn Log,
    dedup_days: u64,
    /// Whether softstake has worked on the bus.
    is_deployed: bool,
    /// The source partitions, and how far each is read.
    sources: BTreeMap<TopicPartition, Offset>,
    /// Those that are not recorded yet. A question that was asked before is not for them.
    new_sources: BTreeSet<TopicPartition>,
    /// The recorded decisions, and those that would follow.
    decisions: Vec<Decision>,
    control: Vec<(Offset, ForecastOutcome)>,
    /// The state after the last control record.
    next: Option<ControlForecast>,
}

impl<'a> Forecast<'a> {
    /// Reads the control topic, and the decisions that are recorded. Without a deployment, `dedup_days` is the setting of its first run.
    ///
    /// # Errors
    /// A failure of the bus, or a record of Softstake that cannot be decoded.
    pub fn new(bus: &'a dyn Log, sources: &[TopicPartition], dedup_days: Option<u64>) -> Result<Self, AuditError> {
        let deployment = DeploymentRecord::read(bus).map_err(DeploymentError::from)?;
        let mut positions = BTreeMap::new();
        for source in sources {
            let position = bus.committed(TaskId::ingest(*source))?;
            let offset = position.map_or(Offset::START, |position| position.offset(*source));
            positions.insert(*source, offset);
        }
        let mut forecast = Self {
            bus,
            dedup_days: match &deployment {
                Some(deployment) => deployment.dedup_days,
                None => dedup_days.unwrap_or(DEFAULT_DEDUP_DAYS),
            },
            is_deployed: deployment.is_some(),
            sources: positions,
            new_sources: BTreeSet::new(),
            decisions: read_decisions(bus)?,
            control: Vec::new(),
            next: None,
        };
        forecast.decide_control()?;
        Ok(forecast)
    }

    /// For how many epochs duplicates are recognised.
    #[must_use]
    pub const fn dedup_days(&self) -> u64 {
        self.dedup_days
    }

    /// Whether softstake has worked on the bus, so that the number of these epochs is fixed.
    #[must_use]
    pub const fn is_deployed(&self) -> bool {
        self.is_deployed
    }

    /// The outcome of each control record.
    #[must_use]
    pub fn control(&self) -> &[(Offset, ForecastOutcome)] {
        &self.control
    }

    /// Calls `take` with the outcome of each record of a source partition. Counts in `unlisted` the ignored postings of assets that are not listed.
    ///
    /// # Errors
    /// A failure of the bus, or decisions that contradict one another.
    pub fn source(
        &self,
        source: TopicPartition,
        unlisted: &mut BTreeMap<Asset, u64>,
        mut take: impl FnMut(Offset, ForecastOutcome),
    ) -> Result<(), AuditError> {
        let mut ingest = ForecastIngest::new(source, self.dedup_days, &self.decisions)?;
        let end = self.bus.readable_end(source)?;
        scan_range(
            self.bus,
            source,
            &first_mark(self.bus, &self.decisions, source)?,
            end,
            |record| {
                take(record.offset, ingest.apply(record.offset, record.value, unlisted)?);
                Ok::<_, AuditError>(())
            },
        )
    }

    /// Judges the control records in order, and adds the decisions that are not recorded.
    fn decide_control(&mut self) -> Result<(), AuditError> {
        let rules = begin_rules(&mut self.decisions);
        let known = |decision: &Decision| match decision {
            Decision::SourcesAdded { sources, .. } => sources.clone(),
            _ => Vec::new(),
        };
        let known: Vec<TopicPartition> = self.decisions.iter().flat_map(known).collect();
        let new = self.sources.keys().filter(|source| !known.contains(source));
        let new: Vec<TopicPartition> = new.copied().collect();
        let mut control = ControlForecast {
            recorded: RecordedOutcomes::read(self.bus, &self.decisions)?,
            seen: HashMap::new(),
            listings: Vec::new(),
            rules,
            sources: self.sources.keys().copied().collect(),
        };
        if !new.is_empty() {
            self.new_sources = new.iter().copied().collect();
            let mut starts = BTreeMap::new();
            for source in &new {
                starts.insert(*source, self.bus.start(*source)?);
            }
            starts.retain(|_, start| *start > Offset::START);
            self.decisions.push(Decision::SourcesAdded {
                sources: new,
                starts: Offsets(starts),
            });
        }
        let end = self.bus.readable_end(CONTROL)?;
        let bus = self.bus;
        scan_range(bus, CONTROL, &Mark::default(), end, |record| {
            let outcome = control.judge(self, record.offset, record.value)?;
            self.control.push((record.offset, outcome));
            Ok::<_, AuditError>(())
        })?;
        self.next = Some(control);
        Ok(())
    }

    /// What a run would do with one more record at the end of the control topic. `with_sources`: the source partitions are read to find out whether a
    /// new listing comes too late; otherwise it is taken to be in time.
    ///
    /// # Errors
    /// A failure of the bus, or decisions that contradict one another.
    pub fn judge_next(mut self, record: &[u8], with_sources: bool) -> Result<ForecastOutcome, AuditError> {
        let Some(mut control) = self.next.take() else {
            return Err(AuditError::Decisions("the control topic was not read".into()));
        };
        let end = self.bus.readable_end(CONTROL)?;
        if !with_sources {
            // As if its source partitions had answered.
            control.recorded.listed.push(end);
        }
        control.judge(&mut self, end, record)
    }

    /// The source partitions that answer a question, and their positions. `is_recorded`: the question was asked before softstake stopped.
    fn asked(&self, is_recorded: bool) -> impl Iterator<Item = (TopicPartition, Offset)> {
        let is_asked = move |source: &&TopicPartition| !is_recorded || !self.new_sources.contains(source);
        let sources = self.sources.iter();
        sources
            .filter(move |(source, _)| is_asked(source))
            .map(|(source, position)| (*source, *position))
    }

    /// What the source partitions would answer to a listing at their positions.
    fn listing_answers(
        &self,
        control_offset: Offset,
        listing: &Listing,
        is_recorded: bool,
    ) -> Result<Vec<ListingAnswer>, AuditError> {
        let given = self.answers(is_recorded, |answer| match answer {
            Inbox::ListingAnswer {
                source,
                control_offset: asked,
                from,
                unlisted,
            } if asked == control_offset => Some(ListingAnswer { source, from, unlisted }),
            _ => None,
        })?;
        let mut answers = Vec::new();
        for (source, position) in self.asked(is_recorded) {
            if let Some(answer) = given.iter().find(|answer| answer.source == source) {
                answers.push(*answer);
                continue;
            }
            let mut ingest = ForecastIngest::new(source, self.dedup_days, &self.decisions)?;
            scan_range(
                self.bus,
                source,
                &first_mark(self.bus, &self.decisions, source)?,
                position,
                |record| {
                    ingest.apply(record.offset, record.value, &mut BTreeMap::new())?;
                    Ok::<_, AuditError>(())
                },
            )?;
            answers.extend(ingest.answer(control_offset, listing, position)?);
        }
        Ok(answers)
    }

    /// The cut of an epoch that would be closed now.
    fn cut(&self, asset: u16, epoch: Epoch, is_recorded: bool) -> Result<Offsets, AuditError> {
        let given = self.answers(is_recorded, |answer| match answer {
            Inbox::CutAnswer { source, at, cut } if at.number() == asset && at.epoch() == epoch => Some((source, cut)),
            _ => None,
        })?;
        let given: BTreeMap<TopicPartition, Offset> = given.into_iter().collect();
        let mut cut = BTreeMap::new();
        for (source, position) in self.asked(is_recorded) {
            let offset = match given.get(&source) {
                Some(given) => *given,
                None => self.bus.written_end(source)?.max(position),
            };
            cut.insert(source, offset);
        }
        Ok(Offsets(cut))
    }

    /// The answers to a question that was asked, but not decided, before softstake stopped.
    fn answers<T>(&self, is_recorded: bool, wanted: impl Fn(Inbox) -> Option<T>) -> Result<Vec<T>, AuditError> {
        let mut answers = Vec::new();
        if !is_recorded {
            return Ok(answers);
        }
        let start = Mark::at(self.bus.start(INBOX)?);
        scan_range(self.bus, INBOX, &start, self.bus.readable_end(INBOX)?, |record| {
            answers.extend(wanted(codec::decode(record.value, "a record of the inbox")?));
            Ok::<_, AuditError>(())
        })?;
        Ok(answers)
    }
}

/// The control topic up to a record.
struct ControlForecast {
    recorded: RecordedOutcomes,
    /// Fingerprints of the accepted events, by identity.
    seen: HashMap<[u8; 16], u64>,
    /// By number.
    listings: Vec<ForecastListing>,
    sources: BTreeSet<TopicPartition>,
    /// The version of the rules.
    rules: u64,
}

impl ListedAssets for ControlForecast {
    fn listings(&self, asset: Asset) -> Vec<ListingFacts<'_>> {
        let numbered = (0..).zip(&self.listings);
        numbered
            .filter(|(_, known)| known.terms.asset == asset)
            .map(|(number, known)| ListingFacts {
                number,
                terms: &known.terms,
                misdated_from: known.misdated_from,
                programmes: &known.programmes,
                oldest_open: known.oldest_open,
                withdrawn: known.withdrawn,
                stopped: known.void.map(|epoch| (epoch, GateState::Void)),
            })
            .collect()
    }

    fn count(&self) -> usize {
        self.listings.len()
    }

    fn rules(&self) -> u64 {
        self.rules
    }

    fn has_source(&self, source: TopicPartition) -> bool {
        self.sources.contains(&source)
    }
}

impl ControlForecast {
    fn judge(
        &mut self,
        forecast: &mut Forecast<'_>,
        offset: Offset,
        value: &[u8],
    ) -> Result<ForecastOutcome, AuditError> {
        let (envelope, identity) = match Decoded::read(value) {
            Decoded::Blank => return Ok(ForecastOutcome::Blank),
            Decoded::Rejected(rejection) => return Ok(ForecastOutcome::Rejected(rejection)),
            Decoded::Event(envelope, identity) => (envelope, identity),
        };
        let fingerprint = envelope.fingerprint;
        if let Some(seen) = self.seen.get(&identity) {
            return Ok(match check_copy(*seen, fingerprint) {
                Ok(()) => ForecastOutcome::Duplicate,
                Err(rejection) => ForecastOutcome::Rejected(rejection),
            });
        }
        let rejection = self.decide(forecast, offset, &envelope)?;
        Ok(match rejection {
            Some(rejection) => ForecastOutcome::Rejected(rejection),
            None => {
                self.seen.insert(identity, fingerprint);
                ForecastOutcome::Applied
            }
        })
    }

    /// Decides an event that is no copy. Returns why it is rejected, if it is.
    fn decide(
        &mut self,
        forecast: &mut Forecast<'_>,
        offset: Offset,
        envelope: &Envelope<'_>,
    ) -> Result<Option<Rejection>, AuditError> {
        let accepted = match listings::judge(envelope, self.recorded.known_rules(offset), self) {
            Ok(accepted) => accepted,
            Err(rejection) if rejection.code == Code::EpochNotHeld => {
                return Ok(Some(rejection).filter(|_| !self.is_held(offset, envelope)));
            }
            Err(rejection) => return Ok(Some(rejection)),
        };
        match accepted {
            Accepted::FirstListing(listing) => return self.list(forecast, offset, listing),
            Accepted::ProgrammeChange { number, listing } => self.change_programme(forecast, offset, number, listing),
            Accepted::Withdrawal { number, epoch } => self.withdraw(forecast, offset, number, epoch)?,
            Accepted::PoolChange { .. } | Accepted::GateVerdict { .. } => {}
            Accepted::Close {
                number, epoch, again, ..
            } => self.close(forecast, offset, (number, epoch), again)?,
            Accepted::Loss(loss) => self.accept_loss(forecast, offset, loss)?,
            Accepted::Rules { version } => {
                self.rules = version;
                let in_force_from = self.positions(forecast, offset)?;
                forecast
                    .decisions
                    .extend(in_force_from.map(|in_force_from| Decision::Rules {
                        control_offset: Some(offset),
                        version,
                        in_force_from,
                    }));
            }
        }
        Ok(None)
    }

    fn list(
        &mut self,
        forecast: &mut Forecast<'_>,
        offset: Offset,
        listing: Listing,
    ) -> Result<Option<Rejection>, AuditError> {
        if let Some(rejection) = self.recorded.late.get(&offset) {
            return Ok(Some(rejection.clone()));
        }
        let number = u16::try_from(self.listings.len()).unwrap_or(u16::MAX);
        let known = ForecastListing {
            terms: listing.terms.clone(),
            misdated_from: listing.misdated_from,
            programmes: vec![listing.programme.clone()],
            oldest_open: listing.terms.calendar.first(),
            withdrawn: None,
            void: None,
        };
        if !self.recorded.listed.contains(&offset) {
            let answers = forecast.listing_answers(offset, &listing, offset < self.recorded.decided)?;
            let offsets = answers.iter().map(|answer| (answer.source, answer.from));
            let answered_at = Offsets(offsets.collect());
            let listing = Box::new(listing);
            let newest = match listings::check_in_time(&listing.terms, &answers) {
                Ok(newest) => newest,
                Err(rejection) => {
                    forecast.decisions.push(Decision::ListingRefused {
                        control_offset: offset,
                        listing,
                        code: rejection.code,
                        answered_at,
                    });
                    return Ok(Some(rejection));
                }
            };
            forecast.decisions.push(Decision::ListingAccepted {
                control_offset: offset,
                number,
                listing,
                in_force_from: answered_at,
                newest_not_counted: newest.map(|newest| timestamp(i128::from(newest))),
            });
        }
        self.listings.push(known);
        Ok(None)
    }

    fn change_programme(&mut self, forecast: &mut Forecast<'_>, offset: Offset, number: u16, listing: Listing) {
        let Some(known) = self.listings.get_mut(usize::from(number)) else {
            return;
        };
        schedule(&mut known.programmes, listing.programme.clone());
        if offset >= self.recorded.decided {
            forecast.decisions.push(Decision::ProgrammeChanged {
                control_offset: offset,
                number,
                listing: Box::new(listing),
            });
        }
    }

    /// The positions of the source partitions when they answer a withdrawal or a version of the rules; `None` if its outcome is recorded.
    fn positions(&self, forecast: &Forecast<'_>, offset: Offset) -> Result<Option<Offsets>, AuditError> {
        if self.recorded.answered.contains(&offset) {
            return Ok(None);
        }
        let is_recorded = offset < self.recorded.decided;
        let given = forecast.answers(is_recorded, |answer| match answer {
            Inbox::PositionAnswer {
                source,
                control_offset,
                from,
            } if control_offset == offset => Some((source, from)),
            _ => None,
        })?;
        let mut positions: BTreeMap<TopicPartition, Offset> = forecast.asked(is_recorded).collect();
        positions.extend(given);
        Ok(Some(Offsets(positions)))
    }

    fn withdraw(
        &mut self,
        forecast: &mut Forecast<'_>,
        offset: Offset,
        number: u16,
        epoch: Epoch,
    ) -> Result<(), AuditError> {
        let in_force_from = self.positions(forecast, offset)?;
        let Some(known) = self.listings.get_mut(usize::from(number)) else {
            return Ok(());
        };
        known.withdrawn = Some(epoch);
        let asset = known.terms.asset;
        forecast
            .decisions
            .extend(in_force_from.map(|in_force_from| Decision::WithdrawalAccepted {
                control_offset: offset,
                asset,
                number,
                epoch,
                in_force_from,
                // No source partition needs to know it.
                dropped: String::new(),
            }));
        Ok(())
    }

    /// Whether a release or void concerns an epoch that the gate holds. If it is not decided yet, it is foretold for a closed epoch that has a gate.
    fn is_held(&mut self, offset: Offset, envelope: &Envelope<'_>) -> bool {
        let event_type = EventType::of(&envelope.event_type);
        let event = event_type.and_then(|event_type| ControlEvent::read(event_type, envelope.data));
        let Ok(ControlEvent::GateVerdict {
            asset,
            epoch,
            is_release,
            ..
        }) = event
        else {
            return false;
        };
        let is_decided = offset < self.recorded.decided;
        let is_accepted = self.recorded.verdicts.contains(&offset);
        let mut listings = self.listings.iter_mut();
        let listed = listings.find(|known| {
            let has_gate = in_force(&known.programmes, epoch).is_some_and(|programme| programme.gate.is_some());
            known.terms.asset == asset && known.terms.calendar.first() <= epoch && epoch < known.oldest_open && has_gate
        });
        let Some(listed) = listed.filter(|_| !is_decided || is_accepted) else {
            return false;
        };
        if !is_release {
            listed.void = Some(epoch);
        }
        true
    }

    fn accept_loss(
        &self,
        forecast: &mut Forecast<'_>,
        offset: Offset,
        loss: Box<RecordLoss>,
    ) -> Result<(), AuditError> {
        if self.recorded.answered.contains(&offset) {
            return Ok(());
        }
        let source = loss.source();
        let given = forecast.answers(offset < self.recorded.decided, |answer| match answer {
            Inbox::LossAnswer {
                control_offset,
                at,
                start,
                ..
            } if control_offset == offset => Some((at, start)),
            _ => None,
        })?;
        let (at, start) = match given.first() {
            Some(answer) => *answer,
            None => {
                let at = forecast.sources.get(&source).copied().unwrap_or_default();
                (at, forecast.bus.start(source)?)
            }
        };
        forecast.decisions.push(Decision::LossAccepted {
            control_offset: offset,
            skipped_from: at,
            skipped_to: loss.skipped_to(at, start),
            loss,
        });
        Ok(())
    }

    fn close(
        &mut self,
        forecast: &mut Forecast<'_>,
        offset: Offset,
        (number, epoch): (u16, Epoch),
        again: bool,
    ) -> Result<(), AuditError> {
        let Some(known) = self.listings.get_mut(usize::from(number)) else {
            return Ok(());
        };
        if again {
            known.void = None;
            return Ok(());
        }
        known.oldest_open = epoch.next()?;
        let asset = known.terms.asset;
        if self.recorded.cuts.contains(&(number, epoch)) {
            return Ok(());
        }
        if offset >= self.recorded.decided {
            forecast.decisions.push(Decision::CloseAccepted {
                control_offset: offset,
                asset,
                number,
                epoch,
                // No source partition needs to know what is ordered.
                reward_pool: String::new(),
                apr: None,
                reward_rate: None,
                is_last: false,
                again: false,
            });
        }
        let cut = forecast.cut(number, epoch, offset < self.recorded.decided)?;
        forecast.decisions.push(Decision::Cut {
            asset,
            number,
            epoch,
            cut,
        });
        Ok(())
    }
}
