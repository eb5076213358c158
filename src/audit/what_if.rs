//! Settles past epochs under other rules: which accounts would gain or lose, and how much in total.
//!
//! A replay reads the log with another programme for one asset, on the control topic and in the expected decisions. Everything else stays: the cuts,
//! the pools, and which postings count for which epoch do not depend on programmes. The gate holds nothing: what it would say of other payouts was
//! never decided, so the asset's programmes lose their gates, and its releases are passed over.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use ethnum::I256;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::audit::error::AuditError;
use crate::audit::point_in_time::PointInTime;
use crate::audit::published::read_all;
use crate::audit::replay::schedule::Schedule;
use crate::audit::replay::sequencer::ControlRewrite;
use crate::bus::scan::scan_range;
use crate::bus::{Log, Mark, Position, Topic, TopicPartition};
use crate::core::accrue::row::Row;
use crate::core::contract::decision::Decision;
use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::EventType;
use crate::core::contract::listing::Listing;
use crate::core::contract::records::Distribution;
use crate::core::values::amount::ExactAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::store::rocks::{MemoryLimits, RocksStore, StoreKind, StoreResources, StoreSettings};
use crate::store::{Changes, Store, row};

const CONTROL: TopicPartition = Topic::Control.partition(0);

/// Other rules for an asset, and where in the log they take effect.
#[derive(Debug, Clone)]
pub struct Amendment {
    listing: Listing,
    /// The number of the asset.
    number: u16,
    /// The control offset of the listing that the new rules replace, or follow.
    at: Offset,
    /// The control offsets of the asset's listings that stay.
    kept: BTreeSet<Offset>,
    /// The control offsets of the accepted releases of its epochs.
    released: BTreeSet<Offset>,
    /// The control offsets of all rejected records. A rejected close stays so, also where the rate that it gives would have a use.
    refused: BTreeSet<Offset>,
}

impl Amendment {
    /// Finds where in the log of a deployment these rules take effect.
    ///
    /// # Errors
    /// A sentence, if the asset was never listed, or with other terms, or if one of its epochs was void.
    pub fn new(mut listing: Listing, point: &PointInTime) -> Result<Self, String> {
        listing.programme.gate = None;
        let asset = listing.terms.asset;
        let mut found: Option<Self> = None;
        let mut other: Option<&Listing> = None;
        for decision in &point.decisions {
            let (offset, number, listed, change) = match decision {
                Decision::ListingAccepted {
                    control_offset,
                    number,
                    listing,
                    ..
                } => (*control_offset, *number, listing, false),
                Decision::ProgrammeChanged {
                    control_offset,
                    number,
                    listing,
                } => (*control_offset, *number, listing, true),
                _ => continue,
            };
            if listed.terms.asset != asset {
                continue;
            }
            if listed.terms != listing.terms {
                other = Some(listed);
                continue;
            }
            match &mut found {
                None => {
                    found = Some(Self {
                        listing: listing.clone(),
                        number,
                        at: offset,
                        kept: BTreeSet::from([offset]),
                        released: BTreeSet::new(),
                        refused: BTreeSet::new(),
                    });
                }
                Some(found) if change && listed.programme.from_epoch < listing.programme.from_epoch => {
                    found.at = offset;
                    found.kept.insert(offset);
                }
                Some(_) => {}
            }
        }
        let mut found = found.ok_or_else(|| match other {
            Some(listed) => format!(
                "{asset} is listed with the terms in {}; only the programme of a listing changes: give the same terms",
                listed.to_value()
            ),
            None => format!("{asset} was never listed there, so it has no epochs to settle"),
        })?;
        for decision in &point.decisions {
            match decision {
                Decision::EpochVoid { asset: of, epoch, .. } if *of == asset => {
                    return Err(format!(
                        "epoch {epoch} of {asset} was void and closed again; what other rules would have paid then was never ordered"
                    ));
                }
                Decision::EpochReleased {
                    asset: of,
                    control_offset,
                    ..
                } if *of == asset => {
                    found.released.insert(*control_offset);
                }
                Decision::Refused { control_offset, .. } => {
                    found.refused.insert(*control_offset);
                }
                _ => {}
            }
        }
        // A rejected listing was asked about too. It stays, so that the questions of the schedule stay the same.
        for decision in &point.decisions {
            if let Decision::ListingRefused {
                control_offset,
                listing,
                ..
            } = decision
                && listing.terms.asset == asset
            {
                found.kept.insert(*control_offset);
            }
        }
        Ok(found)
    }

    #[must_use]
    pub fn asset(&self) -> Asset {
        self.listing.terms.asset
    }

    /// The first epoch under the new rules.
    #[must_use]
    pub fn from_epoch(&self) -> Epoch {
        self.listing.programme.from_epoch
    }

    /// Whether the new rules replace the asset's first listing.
    fn is_first(&self) -> bool {
        self.from_epoch() == self.listing.terms.calendar.first()
    }

    /// A decision on a listing of the asset, without its gate.
    fn without_gate(&self, mut decision: Decision) -> Decision {
        if let Decision::ListingProposed { listing, .. }
        | Decision::ListingAccepted { listing, .. }
        | Decision::ListingRefused { listing, .. }
        | Decision::ProgrammeChanged { listing, .. } = &mut decision
            && listing.terms.asset == self.asset()
        {
            listing.programme.gate = None;
        }
        decision
    }

    /// The schedule with the decisions that are expected under the new rules. `removed` is from [`Self::removed`].
    #[must_use]
    pub fn amend(&self, schedule: Schedule, removed: &BTreeSet<Offset>) -> Schedule {
        let asset = self.asset();
        let changed = Decision::ProgrammeChanged {
            control_offset: self.at,
            number: self.number,
            listing: Box::new(self.listing.clone()),
        };
        schedule.map_decisions(|decision| {
            let takes_effect = !self.is_first()
                && match &decision {
                    Decision::ListingAccepted { control_offset, .. }
                    | Decision::ProgrammeChanged { control_offset, .. } => *control_offset == self.at,
                    _ => false,
                };
            let kept = match decision {
                Decision::ListingProposed {
                    control_offset,
                    listing,
                } if self.is_first() && control_offset == self.at && listing.terms.asset == asset => {
                    Some(Decision::ListingProposed {
                        control_offset,
                        listing: Box::new(self.listing.clone()),
                    })
                }
                Decision::ListingAccepted {
                    control_offset,
                    number,
                    in_force_from,
                    newest_not_counted,
                    ..
                } if self.is_first() && control_offset == self.at => Some(Decision::ListingAccepted {
                    control_offset,
                    number,
                    listing: Box::new(self.listing.clone()),
                    in_force_from,
                    newest_not_counted,
                }),
                Decision::ProgrammeChanged {
                    control_offset, number, ..
                } if number == self.number && !self.kept.contains(&control_offset) => None,
                Decision::Refused { control_offset, .. } if removed.contains(&control_offset) => None,
                Decision::EpochReleased { control_offset, .. } if self.released.contains(&control_offset) => None,
                decision => Some(self.without_gate(decision)),
            };
            kept.into_iter().chain(takes_effect.then(|| changed.clone())).collect()
        })
    }

    /// The control offsets of the asset's listings and rejected closes that the replay does not read.
    ///
    /// # Errors
    /// A failure of the bus.
    pub fn removed(&self, bus: &dyn Log, schedule: &Schedule) -> Result<BTreeSet<Offset>, AuditError> {
        let mut removed = BTreeSet::new();
        let start = Mark::at(schedule.start(CONTROL));
        scan_range(bus, CONTROL, &start, schedule.control_read_end(), |record| {
            let is_other_listing =
                self.is_ours(EventType::Listing, record.value) && !self.kept.contains(&record.offset);
            if is_other_listing || self.is_rejected_close(record.offset, record.value) {
                removed.insert(record.offset);
            }
            Ok::<_, AuditError>(())
        })?;
        Ok(removed)
    }

    fn is_rejected_close(&self, offset: Offset, record: &[u8]) -> bool {
        self.refused.contains(&offset) && self.is_ours(EventType::EpochClose, record)
    }

    /// Whether a control record is of this type and about the asset, valid or not.
    fn is_ours(&self, wanted: EventType, record: &[u8]) -> bool {
        #[derive(Deserialize)]
        struct Named {
            asset: Option<String>,
        }
        Envelope::read(record).is_ok_and(|envelope| {
            EventType::of(&envelope.event_type).is_ok_and(|event_type| event_type == wanted)
                && serde_json::from_str::<Named>(envelope.data)
                    .is_ok_and(|named| named.asset.as_deref() == Some(self.asset().as_str()))
        })
    }

    /// Rewrites the control records for the replay.
    #[must_use]
    pub fn rewrite(&self) -> Arc<ControlRewrite> {
        let amendment = self.clone();
        Arc::new(move |offset, record| {
            if amendment.released.contains(&offset) || amendment.is_rejected_close(offset, record) {
                return Vec::new();
            }
            if !amendment.is_ours(EventType::Listing, record) {
                return vec![record.to_vec()];
            }
            if !amendment.kept.contains(&offset) {
                return Vec::new();
            }
            let Ok(mut event) = serde_json::from_slice::<Value>(record) else {
                return vec![record.to_vec()];
            };
            // One that is rejected stays as it is, or it might be accepted without its gate.
            if Listing::read(&event["data"].to_string()).is_err() {
                return vec![record.to_vec()];
            }
            if let Some(programme) = event.pointer_mut("/data/programme").and_then(Value::as_object_mut) {
                programme.remove("gate");
            }
            let record = event.to_string().into_bytes();
            if offset != amendment.at {
                return vec![record];
            }
            event["data"] = amendment.listing.to_value();
            if amendment.is_first() {
                return vec![event.to_string().into_bytes()];
            }
            event["source"] = json!("/softstake/what-if");
            vec![record, event.to_string().into_bytes()]
        })
    }
}

/// What an account was paid, and would have been paid, in all compared epochs.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct PayoutChange {
    /// Without sign.
    pub difference: ExactAmount,
    pub account: String,
    pub paid: ExactAmount,
    pub would_be: ExactAmount,
}

/// The accounts that gain, or those that lose.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AffectedAccounts {
    pub accounts: u64,
    /// The sum of their differences.
    pub sum: ExactAmount,
    /// Those with the largest differences, sorted.
    pub most: Vec<PayoutChange>,
}

/// The effect of other rules.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Effect {
    pub gain: AffectedAccounts,
    pub lose: AffectedAccounts,
    /// How many accounts would be paid the same.
    pub same: u64,
}

/// How many accounts are named among those that gain, and among those that lose.
const NAMED: usize = 10;
/// Bytes of changes that wait in memory.
const BATCH_BYTES: usize = 32 << 20;
/// The only table of the store.
const ACCOUNTS: u8 = 1;

/// Adds up the distributions of `asset` in `epochs` on both buses, by account. Calls `each` with every paid account, in the order of names.
///
/// # Errors
/// A failure of a bus or of the store, or a distribution that cannot be read.
pub fn compare<E: From<AuditError>>(
    (published, replayed): (&dyn Log, &dyn Log),
    asset: Asset,
    epochs: &BTreeSet<Epoch>,
    work: &Path,
    mut each: impl FnMut(&str, ExactAmount, ExactAmount) -> Result<(), E>,
) -> Result<Effect, E> {
    let store = sums((published, replayed), asset, epochs, work)?;
    let mut effect = Effect::default();
    let mut scan = store.scan(&[ACCOUNTS], &[ACCOUNTS + 1]).map_err(AuditError::from)?;
    while let Some((key, value)) = scan.next().map_err(AuditError::from)? {
        let account = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
        let sums = row::decode(value).unwrap_or_default();
        let exact = |sum: I256| ExactAmount::parse_units(&sum.to_string());
        let (Some(paid), Some(would_be)) = (exact(sums.delta), exact(sums.weighted)) else {
            return Err(impossible(format!("the sums of {account} do not fit into 256 bits")).into());
        };
        each(&account, paid, would_be)?;
        let (affected, difference) = match (would_be.minus(paid), paid.minus(would_be)) {
            (Some(_), Some(_)) | (None, None) => {
                effect.same += 1;
                continue;
            }
            (Some(more), None) => (&mut effect.gain, more),
            (None, Some(less)) => (&mut effect.lose, less),
        };
        affected.accounts += 1;
        affected.sum = affected
            .sum
            .plus(difference)
            .ok_or_else(|| impossible("the sum of all differences does not fit into 512 bits".into()))?;
        let change = PayoutChange {
            difference,
            account,
            paid,
            would_be,
        };
        let at = affected
            .most
            .partition_point(|other| other.difference >= change.difference);
        if at < NAMED {
            affected.most.insert(at, change);
            affected.most.truncate(NAMED);
        }
    }
    Ok(effect)
}

fn impossible(what: String) -> AuditError {
    AuditError::Record(crate::core::fault::impossible(what))
}

/// A store with the sums of each account: in `delta` what was paid, in `weighted` what would have been paid. It sorts and adds.
fn sums(
    (published, replayed): (&dyn Log, &dyn Log),
    asset: Asset,
    epochs: &BTreeSet<Epoch>,
    work: &Path,
) -> Result<RocksStore, AuditError> {
    let settings = StoreSettings::new(StoreResources::new(MemoryLimits::default())?, "sums by account");
    let mut store = RocksStore::open(&work.join("accounts"), StoreKind::Accrue, settings)?;
    let mut changes = Changes::default();
    let mut key = Vec::new();
    for (bus, is_published) in [(published, true), (replayed, false)] {
        read_all::<Distribution, AuditError>(bus, None, |place, distribution| {
            let wrong = |why: String| impossible(format!("{place}: {why}"));
            let distribution = distribution.map_err(|error| wrong(error.to_string()))?;
            if distribution.asset != asset || !epochs.contains(&distribution.epoch) {
                return Ok(());
            }
            let units = ExactAmount::parse(&distribution.amount)
                .and_then(|amount| amount.units().parse::<I256>().ok())
                .ok_or_else(|| wrong(format!("`amount` is {}", distribution.amount)))?;
            key.clear();
            key.push(ACCOUNTS);
            key.extend_from_slice(distribution.account.as_bytes());
            let (delta, weighted) = if is_published {
                (units, I256::ZERO)
            } else {
                (I256::ZERO, units)
            };
            changes.add(&key, Row { delta, weighted });
            if changes.bytes() > BATCH_BYTES {
                store.commit(&mut changes, &Position::default())?;
            }
            Ok(())
        })?;
    }
    store.commit(&mut changes, &Position::default())?;
    Ok(store)
}
