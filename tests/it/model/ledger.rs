//! The source partitions: which postings and statuses count, and for which epoch (contract, sections 3 and 4).

use std::collections::{BTreeMap, BTreeSet};

use num_bigint::BigInt;
use serde_json::{Value, json};

use super::bus::{Log, Offsets, Place};
use super::decisions::Recorded;
use super::event::{CONTROL_TYPES, Posting, SOURCE_TYPES, Sort, SourceEvent, Status, source_event};
use super::listed::{Assets, Listed, Owner, owner_of};
use super::programme::LatePolicy;
use crate::model::parts::amount::plain;
use crate::model::parts::bus::{self, Position};
use crate::model::parts::fields::{Envelope, Rejection};
use crate::model::parts::time;

/// How many days a posting may be ahead of the oldest open epoch.
pub const MOST_DAYS_AHEAD: u64 = 400;

/// An asset's name and the number of its listing.
pub type ListingKey = (String, usize);

#[derive(Debug, Default)]
pub struct Ledger {
    /// By listing, then by the epoch into which they were applied.
    pub entries: BTreeMap<ListingKey, BTreeMap<u64, Vec<Entry>>>,
    /// By account.
    pub statuses: BTreeMap<String, Vec<StatusEvent>>,
    /// By asset: all postings of events that were not rejected, ignored ones included.
    pub passed: BTreeMap<String, Vec<Passed>>,
    /// The same of assets whose names are not kept one by one.
    pub nameless: Vec<Passed>,
    /// The names of ignored postings of assets that are not listed.
    names: BTreeMap<Place, BTreeSet<String>>,
    pub dead_letters: BTreeMap<String, Value>,
    pub late_postings: BTreeMap<String, Value>,
    pub ignored_postings: u64,
    pub identical_copies: u64,
}

/// So many names of assets that are not listed a partition keeps one by one.
const MOST_NAMES: usize = 65_536;

impl Ledger {
    /// Whether the partition keeps the asset by its name.
    pub fn has_name(&self, place: Place, asset: &str) -> bool {
        self.names.get(&place).is_some_and(|names| names.contains(asset))
    }

    fn pass(&mut self, asset: &str, is_listed: bool, passed: Passed) {
        let names = self.names.entry(passed.place).or_default();
        if !is_listed && names.len() < MOST_NAMES {
            names.insert(asset.to_owned());
        }
        if is_listed || names.contains(asset) {
            self.passed.entry(asset.to_owned()).or_default().push(passed);
        } else {
            self.nameless.push(passed);
        }
    }
}

/// A posting as it counts in an epoch.
#[derive(Debug, Clone)]
pub struct Entry {
    pub account: String,
    pub delta: BigInt,
    pub counts: Counts,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Counts {
    /// In the sum S, from a time on.
    From(i64),
    /// In the sum S from the epoch's start on, and in the closed epochs from this one on, for which it is late.
    Resettled { time: i64, missed: u64 },
    /// In the account's due.
    Reward,
}

/// A posting that was read, for a listing that comes after it.
#[derive(Debug)]
pub struct Passed {
    pub place: Place,
    pub offset: u64,
    /// None for an opening balance of an asset that was not listed. It counts at the anchor of the next listing.
    pub time: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct StatusEvent {
    pub time: i64,
    pub id: String,
    pub asset: Option<String>,
    pub status: Status,
    pub place: Place,
    pub offset: u64,
}

impl StatusEvent {
    pub fn is_below(&self, cut: &Offsets) -> bool {
        self.offset < cut.of(self.place)
    }
}

/// One partition, read up to an offset.
pub struct SourcePartition {
    place: Place,
    pub position: u64,
    /// What was deleted before this offset is no part of the partition.
    start: u64,
    skipped: Vec<(u64, u64)>,
    /// The records that are gone.
    pub gone: Vec<u64>,
    dedup_days: u64,
    /// By id and source.
    seen: BTreeMap<(String, String), Seen>,
}

struct Seen {
    envelope: Envelope,
    /// Listing and epoch, by the event's time, of the applied postings. A status has none.
    postings: Vec<(ListingKey, u64)>,
}

/// The effect of an event that is neither a duplicate nor rejected.
enum Effect {
    Postings(Vec<Placed>),
    Status { account: String, event: StatusEvent },
}

struct Placed {
    /// Its number among the event's postings, including ignored ones.
    index: usize,
    posting: Posting,
    /// When it counts. None for an opening balance that no listing counts.
    time: Option<i64>,
    /// Whether a listing is in force that judges it.
    is_listed: bool,
    /// None if it is ignored.
    applied: Option<Applied>,
}

struct Applied {
    listing: usize,
    delta: BigInt,
    true_epoch: u64,
    epoch: u64,
}

impl SourcePartition {
    pub fn new(place: Place, recorded: &Recorded, dedup_days: u64) -> SourcePartition {
        let skipped = recorded.skipped.iter().filter(|(of, _, _)| *of == place);
        SourcePartition {
            place,
            position: 0,
            start: recorded.starts.of(place),
            skipped: skipped.map(|(_, from, to)| (*from, *to)).collect(),
            gone: Vec::new(),
            dedup_days,
            seen: BTreeMap::new(),
        }
    }

    /// Reads up to an offset.
    pub fn advance(&mut self, to: u64, log: &Log, assets: &Assets, ledger: &mut Ledger) -> Result<(), String> {
        if to > log.end {
            return Err(format!(
                "{}: an offset on record is past the partition's end",
                self.place.at(to).id()
            ));
        }
        while self.position < to {
            let position = self.place.at(self.position);
            self.position += 1;
            if self
                .skipped
                .iter()
                .any(|(from, to)| (*from..*to).contains(&position.offset))
            {
                continue;
            }
            let Some(record) = log.records.get(&position.offset) else {
                if position.offset >= self.start {
                    self.gone.push(position.offset);
                }
                continue;
            };
            if bus::is_blank(record) {
                continue;
            }
            let envelope = Envelope::read(record);
            let time = envelope.as_ref().ok().and_then(|envelope| envelope.instant().ok());
            match envelope.and_then(|envelope| {
                self.judge(&position, &envelope, assets)
                    .map(|effect| (envelope, effect))
            }) {
                Ok((_, None)) => ledger.identical_copies += 1,
                Ok((envelope, Some(effect))) => self.apply(&position, envelope, effect, assets, ledger)?,
                Err(rejection) => {
                    let time = time.map(time::format);
                    let dead_letter = bus::dead_letter(&position, record, &rejection, time.as_deref());
                    ledger.dead_letters.insert(position.id(), dead_letter);
                }
            }
        }
        Ok(())
    }

    fn is_too_old(&self, listed: &Listed, epoch: u64, offset: u64) -> bool {
        let window = listed.terms.epochs_of_days(self.dedup_days);
        epoch.saturating_add(window) < listed.oldest_open_at(self.place, offset)
    }

    fn has_expired(&self, seen: &Seen, assets: &Assets, offset: u64) -> bool {
        seen.postings
            .iter()
            .any(|((asset, listing), epoch)| self.is_too_old(&assets[asset][*listing], *epoch, offset))
    }

    /// None for an identical copy.
    fn judge(&self, position: &Position, envelope: &Envelope, assets: &Assets) -> Result<Option<Effect>, Rejection> {
        let first = self.seen.get(&(envelope.id.clone(), envelope.source.clone()));
        if let Some(first) = first.filter(|first| !self.has_expired(first, assets, position.offset)) {
            return if first.envelope.is_same_event(envelope) {
                Ok(None)
            } else {
                Err(Rejection::new(
                    "conflicting_duplicate",
                    "the id and source were used by another event",
                ))
            };
        }
        envelope.check_type(&SOURCE_TYPES, &CONTROL_TYPES)?;
        let time = envelope.instant()?;
        Ok(Some(match source_event(&envelope.kind, envelope.data())? {
            SourceEvent::Status { account, asset, status } => Effect::Status {
                account,
                event: StatusEvent {
                    time,
                    id: envelope.id.clone(),
                    asset,
                    status,
                    place: self.place,
                    offset: position.offset,
                },
            },
            SourceEvent::Postings(postings) => {
                let place = |(index, posting)| self.locate(index, posting, time, position.offset, assets);
                Effect::Postings(postings.into_iter().enumerate().map(place).collect::<Result<_, _>>()?)
            }
        }))
    }

    /// Where a posting counts.
    fn locate(
        &self,
        index: usize,
        posting: Posting,
        event_time: i64,
        offset: u64,
        assets: &Assets,
    ) -> Result<Placed, Rejection> {
        let is_opening = posting.sort == Sort::Opening;
        let ignored = |posting, time, is_listed| Placed {
            index,
            posting,
            time,
            is_listed,
            applied: None,
        };
        let (listing, listed) = match owner_of(assets, &posting.asset, self.place, offset, event_time, is_opening) {
            Owner::Nobody => return Ok(ignored(posting, Some(event_time).filter(|_| !is_opening), false)),
            Owner::Ended(listed) => return Ok(ignored(posting, Some(listed.terms.anchor_ms), true)),
            Owner::Listing(listing, listed) => (listing, listed),
        };
        let terms = &listed.terms;
        let decimals = match posting.sort {
            Sort::Reward => terms.reward_decimals(),
            Sort::Balance | Sort::Opening => terms.decimals,
        };
        let delta = posting.delta(decimals)?;
        let time = if is_opening { terms.anchor_ms } else { event_time };
        let Some(true_epoch) = terms.epoch_of(time) else {
            return Ok(ignored(posting, Some(time), true));
        };
        let oldest_open = listed.oldest_open_at(self.place, offset);
        let most = oldest_open.saturating_add(terms.epochs_of_days(MOST_DAYS_AHEAD));
        if true_epoch > most {
            return Err(Rejection::new(
                "too_far_ahead",
                "the field time is more than 400 days ahead",
            ));
        }
        if self.is_too_old(listed, true_epoch, offset) {
            return Err(Rejection::new(
                "too_old",
                "the field time is further back than duplicates are recognised",
            ));
        }
        Ok(Placed {
            index,
            posting,
            time: Some(time),
            is_listed: true,
            applied: Some(Applied {
                listing,
                delta,
                true_epoch,
                epoch: true_epoch.max(oldest_open),
            }),
        })
    }

    fn apply(
        &mut self,
        position: &Position,
        envelope: Envelope,
        effect: Effect,
        assets: &Assets,
        ledger: &mut Ledger,
    ) -> Result<(), String> {
        let mut postings = Vec::new();
        match effect {
            Effect::Status { account, event } => ledger.statuses.entry(account).or_default().push(event),
            Effect::Postings(placed) => {
                for placed in placed {
                    let passed = Passed {
                        place: self.place,
                        offset: position.offset,
                        time: placed.time,
                    };
                    ledger.pass(&placed.posting.asset, placed.is_listed, passed);
                    let (Some(time), Some(applied)) = (placed.time, &placed.applied) else {
                        ledger.ignored_postings += 1;
                        continue;
                    };
                    let key = (placed.posting.asset.clone(), applied.listing);
                    let listed = &assets[&key.0][key.1];
                    postings.push((key, applied.true_epoch));
                    apply_posting(position, &envelope, &placed, (time, applied), listed, ledger)?;
                }
                // An event of which nothing was applied is not in the dedup index.
                if postings.is_empty() {
                    return Ok(());
                }
            }
        }
        self.seen.insert(
            (envelope.id.clone(), envelope.source.clone()),
            Seen { envelope, postings },
        );
        Ok(())
    }
}

fn apply_posting(
    position: &Position,
    envelope: &Envelope,
    placed: &Placed,
    (time, applied): (i64, &Applied),
    listed: &Listed,
    ledger: &mut Ledger,
) -> Result<(), String> {
    let posting = &placed.posting;
    let policy = match posting.sort {
        Sort::Reward => LatePolicy::Carry,
        Sort::Balance | Sort::Opening => listed.programme(applied.epoch).late_policy,
    };
    let is_late = applied.true_epoch < applied.epoch;
    if is_late {
        let decimals = match posting.sort {
            Sort::Reward => listed.terms.reward_decimals(),
            Sort::Balance | Sort::Opening => listed.terms.decimals,
        };
        let id = format!("{}:{}", position.id(), placed.index);
        let end = instant(listed.terms.start_of(applied.epoch + 1))?;
        let data = json!({
            "event_id": envelope.id,
            "event_source": envelope.source,
            "account": posting.account,
            "asset": posting.asset,
            "delta": plain(&applied.delta, decimals),
            "event_time": time::format(time),
            "missed_epoch": applied.true_epoch,
            "applied_epoch": applied.epoch,
            "policy": policy.name(),
        });
        let report = bus::output("softstake.late_posting.v1", &id, &time::format(end), data);
        ledger.late_postings.insert(id, report);
    }
    let counts = match (posting.sort, is_late, policy) {
        (Sort::Reward, _, _) => Counts::Reward,
        (_, false, _) | (_, true, LatePolicy::Carry) => Counts::From(time),
        (_, true, LatePolicy::Forfeit) => Counts::From(instant(listed.terms.start_of(applied.epoch))?),
        (_, true, LatePolicy::Resettle) => Counts::Resettled {
            time,
            missed: applied.true_epoch,
        },
    };
    let key = (posting.asset.clone(), applied.listing);
    let entry = Entry {
        account: posting.account.clone(),
        delta: applied.delta.clone(),
        counts,
    };
    ledger
        .entries
        .entry(key)
        .or_default()
        .entry(applied.epoch)
        .or_default()
        .push(entry);
    Ok(())
}

/// A time that can be written.
pub fn instant(time: i128) -> Result<i64, String> {
    i64::try_from(time).map_err(|_| format!("{time} lies beyond all time"))
}
