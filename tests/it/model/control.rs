//! The fold over the control topic (contract, sections 3.2 and 4). Each event is decided before the next one is read.

use std::collections::BTreeMap;

use num_traits::ToPrimitive;
use serde_json::{Value, json};

use super::bus::{Bus, Offsets, Place};
use super::decisions::Recorded;
use super::event::{CONTROL_TYPES, SOURCE_TYPES};
use super::ledger::{Ledger, SourcePartition};
use super::listed::{Assets, Listed, State};
use super::programme::check_known;
use super::records::plain_rate;
use super::settle::{Held, Settlement, settle};
use super::{Expected, Settings};
use crate::model::parts::amount::plain;
use crate::model::parts::bus::{CONTROL_TOPIC, Position, dead_letter, is_blank};
use crate::model::parts::fields::{Envelope, Fields, Rejection};
use crate::model::parts::time;

/// Why an event has no effect: it is rejected, or what is on record is impossible.
pub enum Stop {
    Rejected(Rejection),
    Impossible(String),
}

impl From<Rejection> for Stop {
    fn from(rejection: Rejection) -> Stop {
        Stop::Rejected(rejection)
    }
}

impl From<String> for Stop {
    fn from(text: String) -> Stop {
        Stop::Impossible(text)
    }
}

/// All that was read so far.
pub struct World<'a> {
    bus: &'a Bus,
    recorded: &'a Recorded,
    settings: &'a Settings,
    rules: u64,
    pub assets: Assets,
    sources: BTreeMap<Place, SourcePartition>,
    pub ledger: Ledger,
    /// Records that may be gone.
    losses: Vec<(Place, u64, u64)>,
    /// By id and source.
    seen: BTreeMap<(String, String), Envelope>,
    expected: Expected,
}

/// A control event in the middle of its decision.
pub struct Event<'a> {
    pub offset: u64,
    pub time: i64,
    pub data: Fields<'a>,
}

impl Event<'_> {
    /// The data, if all its fields are among these.
    pub fn with_fields(&self, known: &[&str]) -> Result<Fields<'_>, Rejection> {
        check_known(self.data, known)?;
        Ok(self.data)
    }
}

impl<'a> World<'a> {
    pub fn new(bus: &'a Bus, recorded: &'a Recorded, settings: &'a Settings) -> Result<World<'a>, String> {
        if !settings.known_rules.contains(&recorded.rules) {
            return Err(format!("version {} of the rules is not known", recorded.rules));
        }
        let partition = |place: &Place| (*place, SourcePartition::new(*place, recorded, settings.dedup_days));
        Ok(World {
            bus,
            recorded,
            settings,
            rules: recorded.rules,
            assets: Assets::new(),
            sources: bus.sources.keys().map(partition).collect(),
            ledger: Ledger::default(),
            losses: Vec::new(),
            seen: BTreeMap::new(),
            expected: Expected {
                // Nothing is decided before there is anything.
                decisions: if bus.is_empty() {
                    Vec::new()
                } else {
                    vec![json!({"decision": "rules", "version": recorded.rules})]
                },
                ..Expected::default()
            },
        })
    }

    pub fn fold(mut self) -> Result<Expected, String> {
        for (offset, record) in &self.bus.control.records {
            if !is_blank(record) {
                self.decide(*offset, record)?;
            }
        }
        self.read_sources(&self.bus.ends())?;
        for asset in self.assets.keys().cloned().collect::<Vec<_>>() {
            self.settle_all(&asset)?;
        }
        self.check_losses()?;
        let mut expected = self.expected;
        expected.outputs.dead_letters.extend(self.ledger.dead_letters);
        expected.outputs.late_postings = self.ledger.late_postings;
        expected.ignored_postings = self.ledger.ignored_postings;
        let of_control = expected.verdicts.values().filter(|verdict| *verdict == "copy");
        expected.identical_copies = self.ledger.identical_copies + of_control.count() as u64;
        Ok(expected)
    }

    fn decide(&mut self, offset: u64, record: &[u8]) -> Result<(), String> {
        let envelope = Envelope::read(record);
        let time = envelope.as_ref().ok().and_then(|envelope| envelope.instant().ok());
        let verdict = match envelope
            .map_err(Stop::Rejected)
            .and_then(|envelope| self.judge(offset, envelope))
        {
            Ok(verdict) => verdict.to_owned(),
            Err(Stop::Impossible(text)) => return Err(text),
            Err(Stop::Rejected(rejection)) => {
                let position = Position {
                    topic: CONTROL_TOPIC,
                    partition: 0,
                    offset,
                };
                let time = time.map(time::format);
                let letter = dead_letter(&position, record, &rejection, time.as_deref());
                self.expected.outputs.dead_letters.insert(position.id(), letter);
                if rejection.code != "listing_too_late" {
                    self.record(json!({"decision": "refused", "control_offset": offset, "code": rejection.code}));
                }
                rejection.code.to_owned()
            }
        };
        self.expected.verdicts.insert(offset, verdict);
        Ok(())
    }

    fn judge(&mut self, offset: u64, envelope: Envelope) -> Result<&'static str, Stop> {
        let key = (envelope.id.clone(), envelope.source.clone());
        if let Some(first) = self.seen.get(&key) {
            return if first.is_same_event(&envelope) {
                Ok("copy")
            } else {
                let reason = "the id and source were used by another event";
                Err(Rejection::new("conflicting_duplicate", reason).into())
            };
        }
        envelope.check_type(&CONTROL_TYPES, &SOURCE_TYPES)?;
        let event = Event {
            offset,
            time: envelope.instant()?,
            data: envelope.data(),
        };
        match envelope.kind.as_str() {
            "softstake.asset.v1" => self.list(&event)?,
            "softstake.asset_withdrawn.v1" => self.withdraw(&event)?,
            "softstake.validator_reward.v1" => self.add_to_pool(&event, false)?,
            "softstake.pool_adjustment.v1" => self.add_to_pool(&event, true)?,
            "softstake.epoch_close.v1" => self.close(&event)?,
            "softstake.epoch_release.v1" => self.release(&event)?,
            "softstake.epoch_void.v1" => self.void(&event)?,
            "softstake.loss_accepted.v1" => self.accept_loss(&event)?,
            "softstake.rules.v1" => self.change_rules(&event)?,
            other => unreachable!("CONTROL_TYPES has a type without an arm: {other}"),
        }
        self.seen.insert(key, envelope);
        Ok("accepted")
    }

    /// The offsets on record for an event. Nothing before them may have been read further than that.
    pub fn offsets_of(&self, event: &Event) -> Result<Offsets, String> {
        let offsets = self.recorded.at(event.offset)?;
        for (place, source) in &self.sources {
            if offsets.of(*place) < source.position {
                let at = place.at(offsets.of(*place)).id();
                return Err(format!(
                    "softstake.control:0:{}: {at} on record was read earlier",
                    event.offset
                ));
            }
        }
        Ok(offsets.clone())
    }

    pub fn record(&mut self, decision: Value) {
        self.expected.decisions.push(decision);
    }

    /// Reads each source partition up to its offset, if it is not there yet.
    pub fn read_sources(&mut self, to: &Offsets) -> Result<(), String> {
        for (place, offset) in &to.0 {
            let (Some(source), Some(log)) = (self.sources.get_mut(place), self.bus.sources.get(place)) else {
                return Err(format!(
                    "{}: an offset on record is of no partition",
                    place.at(*offset).id()
                ));
            };
            source.advance(*offset, log, &self.assets, &mut self.ledger)?;
        }
        Ok(())
    }

    /// Settles the closed epochs of an asset up to one that the gate holds, or that is void.
    pub fn settle_all(&mut self, asset: &str) -> Result<(), String> {
        let listings = self.assets.get(asset).map_or(0, Vec::len);
        for number in 0..listings {
            for at in 0..self.assets[asset][number].closes.len() {
                let close = &self.assets[asset][number].closes[at];
                match close.state {
                    State::Sealed => continue,
                    State::Held(_) | State::Void => break,
                    State::Waiting => {}
                }
                let cut = close.cut.clone();
                self.read_sources(&cut)?;
                let listed = &self.assets[asset][number];
                let settlement = settle(asset, number, listed, &listed.closes[at], &self.ledger)?;
                let Some(held) = &settlement.held else {
                    self.seal(asset, number, at, settlement);
                    continue;
                };
                let decision = held_decision(asset, &settlement, held, listed.terms.reward_decimals());
                self.record(decision);
                self.listing_mut(asset, number)?.closes[at].state = State::Held(Box::new(settlement));
                break;
            }
        }
        Ok(())
    }

    /// Publishes an epoch.
    pub fn seal(&mut self, asset: &str, number: usize, at: usize, settlement: Settlement) {
        let outputs = &mut self.expected.outputs;
        outputs.distributions.extend(settlement.distributions.clone());
        outputs
            .seals
            .insert(format!("{asset}:{}", settlement.epoch), settlement.seal.clone());
        for (account, share) in &settlement.shares {
            let key = (asset.to_owned(), settlement.epoch, account.clone());
            self.expected.shares.insert(key, share.clone());
        }
        if let Ok(listed) = self.listing_mut(asset, number) {
            listed.closes[at].state = State::Sealed;
            listed.book.seal(settlement);
        }
    }

    pub fn listing_mut(&mut self, asset: &str, number: usize) -> Result<&mut Listed, String> {
        self.assets
            .get_mut(asset)
            .and_then(|listings| listings.get_mut(number))
            .ok_or_else(|| format!("{asset} has no listing {number}"))
    }

    fn accept_loss(&mut self, event: &Event) -> Result<(), Stop> {
        let data = event.with_fields(&["topic", "partition", "from_offset", "to_offset", "by", "reason"])?;
        let topic = data.text("topic")?;
        let partition = data.integer("partition")?.to_u32();
        let place = partition.and_then(|partition| Place::of(&topic, partition));
        let (from, to) = (data.integer("from_offset")?, data.integer("to_offset")?);
        words(data, "by")?;
        words(data, "reason")?;
        let Some(place) = place.filter(|place| self.bus.sources.contains_key(place)) else {
            return Err(Rejection::event("topic", "or partition is of no source partition").into());
        };
        if to <= from {
            return Err(Rejection::event("to_offset", "is not above from_offset").into());
        }
        self.losses.push((place, from, to));
        self.record(json!({
            "decision": "loss_accepted", "control_offset": event.offset, "topic": place.topic,
            "partition": place.partition, "from_offset": from, "to_offset": to,
        }));
        Ok(())
    }

    /// A record that is gone was skipped, and a loss must have been accepted.
    fn check_losses(&self) -> Result<(), String> {
        for (place, source) in &self.sources {
            for gone in &source.gone {
                let is_accepted = |(of, from, to): &(Place, u64, u64)| of == place && (from..to).contains(&gone);
                if !self.losses.iter().any(is_accepted) {
                    return Err(format!(
                        "{}: the record is gone, and no loss was accepted",
                        place.at(*gone).id()
                    ));
                }
            }
        }
        Ok(())
    }

    fn change_rules(&mut self, event: &Event) -> Result<(), Stop> {
        let version = event.with_fields(&["version"])?.integer("version")?;
        if version <= self.rules || !self.settings.known_rules.contains(&version) {
            return Err(Rejection::event("version", "is no known and higher version").into());
        }
        let in_force_from = self.offsets_of(event)?;
        self.rules = version;
        self.record(json!({
            "decision": "rules", "control_offset": event.offset, "version": version,
            "in_force_from": in_force_from.to_json(),
        }));
        Ok(())
    }
}

/// Who decided, and why. It is not blank.
pub fn words(data: Fields, name: &str) -> Result<(), Rejection> {
    if data.text(name)?.trim().is_empty() {
        Err(Rejection::event(name, "is blank"))
    } else {
        Ok(())
    }
}

fn held_decision(asset: &str, settlement: &Settlement, held: &Held, decimals: u32) -> Value {
    json!({
        "decision": "epoch_held",
        "asset": asset,
        "epoch": settlement.epoch,
        "limit": held.limit,
        "largest": plain(&held.largest, decimals),
        "total": plain(&held.total, decimals),
        "change": held.change.as_ref().map(plain_rate),
    })
}
