//! The fold over the source partitions: which postings and statuses count, and for which epoch (contract, sections 3
//! and 4).

use std::collections::BTreeMap;
use std::path::Path;

use num_bigint::BigInt;
use serde_json::{Value, json};

use super::control::{Asset, Cut, MOST_DAYS_AHEAD};
use super::event::{CONTROL_TYPES, Posting, SOURCE_TYPES, SourceEvent, Status, source_event};
use super::programme::LatePolicy;
use crate::model_parts::amount::plain;
use crate::model_parts::bus::{self, Partition, Position, SOURCE_TOPICS};
use crate::model_parts::fields::{Envelope, Rejection};
use crate::model_parts::time;

#[derive(Debug, Default)]
pub struct Ledger {
    /// By asset, then by the epoch into which they were applied.
    pub postings: BTreeMap<String, BTreeMap<u64, Vec<Applied>>>,
    /// By account.
    pub statuses: BTreeMap<String, Vec<StatusEvent>>,
    pub dead_letters: BTreeMap<String, Value>,
    pub late_postings: BTreeMap<String, Value>,
}

/// A posting as it enters the sum S.
#[derive(Debug, Clone)]
pub struct Applied {
    pub account: String,
    pub delta: BigInt,
    /// The time from which the delta earns: that of the posting, or with `forfeit` the start of the epoch.
    pub from_ms: i64,
}

#[derive(Debug, Clone)]
pub struct StatusEvent {
    pub time: i64,
    pub id: String,
    pub status: Status,
    pub position: Position,
}

impl StatusEvent {
    pub fn is_below(&self, cut: &Cut) -> bool {
        self.position.offset < cut_of(cut, self.position.topic, self.position.partition)
    }
}

fn cut_of(cut: &Cut, topic: &str, partition: u32) -> u64 {
    cut.get(&(topic.to_owned(), partition)).copied().unwrap_or(0)
}

pub fn fold(bus: &Path, assets: &BTreeMap<String, Asset>, dedup_days: u64) -> Result<Ledger, String> {
    let mut ledger = Ledger::default();
    let mut ends = BTreeMap::new();
    for topic in SOURCE_TOPICS {
        for (number, partition) in bus::read_topic(bus, topic)? {
            ends.insert((topic.to_owned(), number), partition.records.len() as u64);
            SourcePartition::new(topic, number, assets, dedup_days).fold(&partition, &mut ledger)?;
        }
    }
    for (name, asset) in assets {
        for (epoch, close) in asset.closes.iter().enumerate() {
            for (partition, offset) in &close.cut {
                if ends.get(partition).is_none_or(|end| offset > end) {
                    return Err(format!(
                        "seal {name}:{epoch}: the cut of {partition:?} is past the partition's end"
                    ));
                }
            }
        }
    }
    Ok(ledger)
}

struct SourcePartition<'a> {
    topic: &'static str,
    number: u32,
    assets: &'a BTreeMap<String, Asset>,
    /// By asset: this partition's offset in the cut of each closed epoch.
    cuts: BTreeMap<&'a str, Vec<u64>>,
    dedup_days: u64,
    /// By id and source.
    seen: BTreeMap<(String, String), Seen>,
}

struct Seen {
    envelope: Envelope,
    /// Asset and epoch, by the event's time, of the applied postings. A status has none.
    postings: Vec<(String, u64)>,
}

/// The effect of an event that is neither a duplicate nor rejected.
enum Effect {
    Postings(Vec<Placed>),
    Status { account: String, event: StatusEvent },
}

/// A posting that counts.
struct Placed {
    /// Its number among the event's postings, including ignored ones.
    index: usize,
    account: String,
    asset: String,
    delta: BigInt,
    time: i64,
    true_epoch: u64,
    applied_epoch: u64,
}

impl<'a> SourcePartition<'a> {
    fn new(topic: &'static str, number: u32, assets: &'a BTreeMap<String, Asset>, dedup_days: u64) -> Self {
        let cuts = assets
            .iter()
            .map(|(name, asset)| {
                (
                    name.as_str(),
                    asset
                        .closes
                        .iter()
                        .map(|close| cut_of(&close.cut, topic, number))
                        .collect(),
                )
            })
            .collect();
        SourcePartition {
            topic,
            number,
            assets,
            cuts,
            dedup_days,
            seen: BTreeMap::new(),
        }
    }

    fn fold(&mut self, partition: &Partition, ledger: &mut Ledger) -> Result<(), String> {
        for (offset, record) in (0..).zip(&partition.records) {
            if bus::is_blank(record) {
                continue;
            }
            let position = Position {
                topic: self.topic,
                partition: self.number,
                offset,
            };
            match self.judge(&position, record) {
                Ok(None) => {}
                Ok(Some((envelope, effect))) => self.apply(&position, envelope, effect, ledger)?,
                Err(rejection) => {
                    ledger
                        .dead_letters
                        .insert(position.id(), bus::dead_letter(&position, record, &rejection, None));
                }
            }
        }
        Ok(())
    }

    /// The oldest epoch that no cut has closed before this offset.
    fn oldest_open_epoch(&self, asset: &str, offset: u64) -> u64 {
        self.cuts
            .get(asset)
            .map_or(0, |cuts| cuts.iter().filter(|cut| **cut <= offset).count() as u64)
    }

    fn is_too_old(&self, asset: &str, epoch: u64, offset: u64) -> bool {
        let window = self
            .assets
            .get(asset)
            .map_or(0, |listed| listed.epochs_of_days(self.dedup_days));
        epoch.saturating_add(window) < self.oldest_open_epoch(asset, offset)
    }

    /// None for an identical duplicate.
    fn judge(&self, position: &Position, record: &[u8]) -> Result<Option<(Envelope, Effect)>, Rejection> {
        let envelope = Envelope::read(record)?;
        if let Some(first) = self.seen.get(&(envelope.id.clone(), envelope.source.clone())) {
            let forgotten = first
                .postings
                .iter()
                .any(|(asset, epoch)| self.is_too_old(asset, *epoch, position.offset));
            if !forgotten && first.envelope.is_same_event(&envelope) {
                return Ok(None);
            }
            if !forgotten {
                return Err(Rejection::new(
                    "conflicting_duplicate",
                    "the id and source were used by another event",
                ));
            }
        }
        envelope.check_type(&SOURCE_TYPES, &CONTROL_TYPES)?;
        let time = envelope.instant()?;
        let effect = match source_event(&envelope.kind, envelope.data())? {
            SourceEvent::Status { account, status } => {
                let event = StatusEvent {
                    time,
                    id: envelope.id.clone(),
                    status,
                    position: position.clone(),
                };
                Effect::Status { account, event }
            }
            SourceEvent::Postings(postings) => {
                let mut placed = Vec::new();
                for (index, posting) in postings.into_iter().enumerate() {
                    placed.extend(self.place(index, posting, time, position.offset)?);
                }
                Effect::Postings(placed)
            }
        };
        Ok(Some((envelope, effect)))
    }

    /// Where a posting counts. None if it is ignored.
    fn place(&self, index: usize, posting: Posting, event_time: i64, offset: u64) -> Result<Option<Placed>, Rejection> {
        let Some(asset) = self.assets.get(&posting.asset) else {
            return Ok(None);
        };
        let delta = posting.delta(asset.fixed.decimals)?;
        let time = if posting.at_anchor {
            asset.fixed.anchor_ms
        } else {
            event_time
        };
        let Some(true_epoch) = asset.epoch_of(time) else {
            return Ok(None);
        };
        let oldest_open = self.oldest_open_epoch(&posting.asset, offset);
        if true_epoch > oldest_open + asset.epochs_of_days(MOST_DAYS_AHEAD) {
            return Err(Rejection::new(
                "too_far_ahead",
                "the field time is more than 400 days ahead",
            ));
        }
        if self.is_too_old(&posting.asset, true_epoch, offset) {
            return Err(Rejection::new(
                "too_old",
                "the field time is further back than duplicates are recognised",
            ));
        }
        Ok(Some(Placed {
            index,
            account: posting.account,
            asset: posting.asset,
            delta,
            time,
            true_epoch,
            applied_epoch: true_epoch.max(oldest_open),
        }))
    }

    fn apply(
        &mut self,
        position: &Position,
        envelope: Envelope,
        effect: Effect,
        ledger: &mut Ledger,
    ) -> Result<(), String> {
        let mut postings = Vec::new();
        match effect {
            Effect::Status { account, event } => ledger.statuses.entry(account).or_default().push(event),
            // An event without applied postings is not in the dedup index.
            Effect::Postings(placed) if placed.is_empty() => return Ok(()),
            Effect::Postings(placed) => {
                for placed in placed {
                    postings.push((placed.asset.clone(), placed.true_epoch));
                    self.apply_posting(position, &envelope, placed, ledger)?;
                }
            }
        }
        self.seen.insert(
            (envelope.id.clone(), envelope.source.clone()),
            Seen { envelope, postings },
        );
        Ok(())
    }

    fn apply_posting(
        &self,
        position: &Position,
        envelope: &Envelope,
        placed: Placed,
        ledger: &mut Ledger,
    ) -> Result<(), String> {
        let asset = &self.assets[&placed.asset];
        let is_late = placed.true_epoch < placed.applied_epoch;
        let policy = asset.programme(placed.applied_epoch).late_policy;
        if is_late {
            let id = format!("{}:{}", position.id(), placed.index);
            let end = asset.start_of(placed.applied_epoch + 1)?;
            let data = json!({
                "event_id": envelope.id,
                "event_source": envelope.source,
                "account": placed.account,
                "asset": placed.asset,
                "delta": plain(&placed.delta, asset.fixed.decimals),
                "event_time": time::format(placed.time),
                "missed_epoch": placed.true_epoch,
                "applied_epoch": placed.applied_epoch,
                "policy": policy.name(),
            });
            let report = bus::output("softstake.late_posting.v1", &id, &time::format(end), data);
            ledger.late_postings.insert(id, report);
        }
        let from_ms = if is_late && policy == LatePolicy::Forfeit {
            asset.start_of(placed.applied_epoch)?
        } else {
            placed.time
        };
        ledger
            .postings
            .entry(placed.asset)
            .or_default()
            .entry(placed.applied_epoch)
            .or_default()
            .push(Applied {
                account: placed.account,
                delta: placed.delta,
                from_ms,
            });
        Ok(())
    }
}
