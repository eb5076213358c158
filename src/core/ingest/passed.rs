//! The times of the postings that were read of each asset, because a listing comes before what it covers (contract, section 3.2).
//!
//! A posting counts whether it was ignored or applied to an earlier listing. For each asset and UTC day, the oldest and the newest time are
//! kept. However hostile the times are, memory is bounded: a day is in memory only between two writes of the store, or while there are few.
//!
//! An opening balance of an asset that is not listed has no time of its own. It counts at the anchor of the next proposed listing.

use std::collections::BTreeMap;
use std::mem;

use serde::{Deserialize, Serialize};

use crate::core::contract::listing::Listing;
use crate::core::protocol::messages::UnlistedTimes;
use crate::core::values::asset::Asset;
use crate::core::values::calendar::MAX_DAYS_AHEAD;
use crate::core::values::offset::Offset;

/// How many names of unlisted assets a source partition keeps one by one. It is part of the rules: payouts depend on it once there are more names.
pub const MAX_UNLISTED: usize = 1 << 16;

/// So many days stay in memory when they are written.
const MAX_DAYS_IN_MEMORY: usize = 1 << 14;

/// Bytes of a day in memory, about.
const BYTES_PER_DAY: usize = 128;

const DAY_MS: i64 = 86_400_000;

/// A day of UTC, counted from 1970-01-01.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UtcDay(i64);

impl UtcDay {
    #[inline]
    const fn of(time_ms: i64) -> Self {
        Self(time_ms.div_euclid(DAY_MS))
    }

    /// Big-endian, so that bytes sort as days do.
    #[must_use]
    pub const fn to_be_bytes(self) -> [u8; 8] {
        (self.0 ^ i64::MIN).to_be_bytes()
    }

    /// Reads [`Self::to_be_bytes`].
    #[must_use]
    pub const fn from_be_bytes(bytes: [u8; 8]) -> Self {
        Self(i64::from_be_bytes(bytes) ^ i64::MIN)
    }
}

/// A day of an asset, or of all assets together for which there was no room.
pub type AssetDay = (Option<Asset>, UtcDay);

/// The oldest and the newest time of the postings of a day, in milliseconds since 1970. The order of the fields is part of the stored format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DayTimes {
    oldest_ms: i64,
    newest_ms: i64,
}

impl DayTimes {
    const fn of(time_ms: i64) -> Self {
        Self {
            oldest_ms: time_ms,
            newest_ms: time_ms,
        }
    }

    /// Adds the times of the same day. Returns whether that changed anything.
    fn add(&mut self, other: Self) -> bool {
        let before = *self;
        self.oldest_ms = self.oldest_ms.min(other.oldest_ms);
        self.newest_ms = self.newest_ms.max(other.newest_ms);
        *self != before
    }
}

/// The ignored postings of an asset that is not listed, or of several. The order of the fields is part of the stored format.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnlistedPostings {
    /// The newest time of a posting, in milliseconds since 1970.
    newest_ms: Option<i64>,
    /// Whether an opening balance has no time yet. It counts at the anchor of the next proposed listing, and those of several assets together at that of
    /// each.
    has_opening: bool,
}

/// A proposed listing that the source partitions answered: where this one was then, and the anchor in milliseconds since 1970.
pub(super) type Proposed = (Offset, i64);

/// The times of a batch, of one asset, that are not among the days yet.
#[derive(Debug, Clone, Copy)]
struct RecentTimes {
    day: UtcDay,
    times: DayTimes,
    /// The newest time, also of other days.
    newest_ms: i64,
}

/// Adds a time. Returns the times of another day that make room for it.
#[inline]
fn add_recent(recent: &mut Option<RecentTimes>, time_ms: i64) -> Option<(UtcDay, DayTimes)> {
    let day = UtcDay::of(time_ms);
    let times = DayTimes::of(time_ms);
    match recent {
        Some(recent) => {
            recent.newest_ms = recent.newest_ms.max(time_ms);
            if recent.day == day {
                recent.times.add(times);
                return None;
            }
            Some((
                mem::replace(&mut recent.day, day),
                mem::replace(&mut recent.times, times),
            ))
        }
        None => {
            *recent = Some(RecentTimes {
                day,
                times,
                newest_ms: time_ms,
            });
            None
        }
    }
}

#[derive(Debug, Default)]
struct UnlistedName {
    kept: UnlistedPostings,
    recent: Option<RecentTimes>,
}

/// A day in memory.
#[derive(Debug)]
struct KnownDay {
    times: DayTimes,
    /// Whether the times in the store, if there are any, are among them.
    is_merged: bool,
    /// Whether the store has other times.
    is_changed: bool,
}

/// What changed since the last write of the store.
#[derive(Debug, Default)]
pub struct PassedChanges {
    /// Under `None`: all assets together for which there was no room.
    pub unlisted: Vec<(Option<Asset>, UnlistedPostings)>,
    pub days: Vec<(AssetDay, DayTimes)>,
}

/// The times of the postings that a source partition has read.
#[derive(Debug, Default)]
pub(super) struct PassedPostings {
    /// The names of ignored postings. Under `None`: all assets together for which there was no room.
    names: BTreeMap<Option<Asset>, UnlistedName>,
    /// The days in memory.
    days: BTreeMap<AssetDay, KnownDay>,
    /// By number of a listing: its postings of this batch.
    recent: Vec<Option<RecentTimes>>,
    /// Other days of this batch, of listings.
    left: Vec<(u16, UtcDay, DayTimes)>,
    /// The listings and the names with times of this batch.
    with_recent: (Vec<u16>, Vec<Option<Asset>>),
    /// The names that changed since the last [`PassedPostings::take_changes`].
    changed: Vec<Option<Asset>>,
    /// The days that may have times in the store that are not known.
    unmerged: Vec<AssetDay>,
}

impl PassedPostings {
    /// With what is stored of unlisted assets.
    pub(super) fn new(unlisted: impl IntoIterator<Item = (Option<Asset>, UnlistedPostings)>) -> Self {
        let with_name = |(name, kept)| (name, UnlistedName { kept, recent: None });
        Self {
            names: unlisted.into_iter().map(with_name).collect(),
            ..Self::default()
        }
    }

    /// Whether there were so many unlisted assets that some are only known together.
    pub(super) fn has_nameless(&self) -> bool {
        self.names.contains_key(&None)
    }

    /// Notes a posting of a listing, applied or ignored. An opening balance is noted at its anchor.
    #[inline]
    pub(super) fn note_listed(&mut self, number: u16, time_ms: i64) {
        let index = usize::from(number);
        if self.recent.len() <= index {
            self.recent.resize(index + 1, None);
        }
        let recent = &mut self.recent[index];
        if recent.is_none() {
            self.with_recent.0.push(number);
        }
        if let Some((day, times)) = add_recent(recent, time_ms) {
            self.left.push((number, day, times));
        }
    }

    /// Notes a posting of an asset that is not listed.
    pub(super) fn note_unlisted(&mut self, asset: Asset, time_ms: i64) {
        let name = self.name_of(asset);
        self.note_named(name, time_ms);
    }

    fn note_named(&mut self, name: Option<Asset>, time_ms: i64) {
        let recent = &mut self.names.entry(name).or_default().recent;
        if recent.is_none() {
            self.with_recent.1.push(name);
        }
        if let Some((day, times)) = add_recent(recent, time_ms) {
            self.add_day((name, day), times);
        }
    }

    /// Notes an opening balance at `offset` of an asset that is not listed there. `proposed` are the proposed listings of the asset that are known, in
    /// their order.
    pub(super) fn note_opening(&mut self, asset: Asset, offset: Offset, proposed: &[Proposed]) {
        let name = self.name_of(asset);
        let next = proposed.iter().find(|(at, _)| offset < *at);
        if let (Some(_), Some((_, anchor_ms))) = (name, next) {
            return self.note_named(name, *anchor_ms);
        }
        let kept = &mut self.names.entry(name).or_default().kept;
        if !kept.has_opening {
            kept.has_opening = true;
            self.changed.push(name);
        }
    }

    /// The name under which an ignored posting of an asset is noted: its own, or none if there is no room.
    fn name_of(&self, asset: Asset) -> Option<Asset> {
        let has_room = self.names.len() < MAX_UNLISTED;
        Some(asset).filter(|_| has_room || self.names.contains_key(&Some(asset)))
    }

    /// A proposed listing was decided. The opening balances before it now have a time.
    pub(super) fn propose(&mut self, asset: Asset, anchor_ms: i64) {
        let name = Some(asset);
        if let Some(unlisted) = self.names.get_mut(&name)
            && mem::take(&mut unlisted.kept.has_opening)
        {
            unlisted.kept.newest_ms = unlisted.kept.newest_ms.max(Some(anchor_ms));
            self.changed.push(name);
            self.add_day((name, UtcDay::of(anchor_ms)), DayTimes::of(anchor_ms));
        }
    }

    /// Adds the times of a batch to the days. Returns the listings that had postings, each with their newest time.
    pub(super) fn end_batch(&mut self, asset_of: impl Fn(u16) -> Option<Asset>) -> Vec<(u16, i64)> {
        let (numbers, names) = mem::take(&mut self.with_recent);
        for name in names {
            let Some(unlisted) = self.names.get_mut(&name) else {
                continue;
            };
            if let Some(recent) = unlisted.recent.take() {
                let newest = Some(recent.newest_ms);
                if unlisted.kept.newest_ms < newest {
                    unlisted.kept.newest_ms = newest;
                    self.changed.push(name);
                }
                self.add_day((name, recent.day), recent.times);
            }
        }
        let mut left = mem::take(&mut self.left);
        let mut newest = Vec::with_capacity(numbers.len());
        for number in numbers {
            let recent = self.recent.get_mut(usize::from(number)).and_then(Option::take);
            if let Some(recent) = recent {
                newest.push((number, recent.newest_ms));
                left.push((number, recent.day, recent.times));
            }
        }
        for (number, day, times) in left.drain(..) {
            if let Some(asset) = asset_of(number) {
                self.add_day((Some(asset), day), times);
            }
        }
        self.left = left;
        newest
    }

    fn add_day(&mut self, key: AssetDay, times: DayTimes) {
        if let Some(known) = self.days.get_mut(&key) {
            known.is_changed |= known.times.add(times);
            return;
        }
        self.unmerged.push(key);
        let known = KnownDay {
            times,
            is_merged: false,
            is_changed: true,
        };
        self.days.insert(key, known);
    }

    /// The days that may have times in the store that are not known, since the last call.
    pub(super) fn take_unmerged(&mut self) -> Vec<AssetDay> {
        mem::take(&mut self.unmerged)
    }

    /// Adds the times of a day that are in the store.
    pub(super) fn merge(&mut self, key: AssetDay, stored: DayTimes) {
        let known = self.days.entry(key).or_insert(KnownDay {
            times: stored,
            is_merged: true,
            is_changed: false,
        });
        if !known.is_merged {
            known.times.add(stored);
            known.is_merged = true;
            known.is_changed = known.times != stored;
        }
    }

    /// Bytes that [`Self::take_changes`] would return, about.
    pub(super) fn unwritten_bytes(&self) -> usize {
        self.days.len().saturating_sub(MAX_DAYS_IN_MEMORY) * BYTES_PER_DAY
    }

    /// What changed since the last call, to be stored. All unmerged days must have been merged.
    pub(super) fn take_changes(&mut self) -> PassedChanges {
        let mut changed = mem::take(&mut self.changed);
        changed.sort_unstable();
        changed.dedup();
        let unlisted = changed.into_iter();
        let unlisted = unlisted.filter_map(|name| Some((name, self.names.get(&name)?.kept)));
        let unlisted = unlisted.collect();
        let mut days = Vec::new();
        for (key, known) in &mut self.days {
            known.is_merged = true;
            if mem::take(&mut known.is_changed) {
                days.push((*key, known.times));
            }
        }
        if self.days.len() > MAX_DAYS_IN_MEMORY {
            self.days.clear();
        }
        PassedChanges { unlisted, days }
    }

    /// The names under which postings of an asset may be noted.
    fn names_of(&self, asset: Asset) -> impl Iterator<Item = Option<Asset>> {
        let is_nameless = self.has_nameless() && !self.names.contains_key(&Some(asset));
        [Some(Some(asset)), is_nameless.then_some(None)].into_iter().flatten()
    }

    /// The days that tell whether a listing comes before what it covers: for each name, the first and the last.
    pub(super) fn covered_days(&self, listing: &Listing) -> Vec<(AssetDay, AssetDay)> {
        let Some((first, last)) = CoveredTimes::of(listing).days() else {
            return Vec::new();
        };
        let names = self.names_of(listing.terms.asset);
        names.map(|name| ((name, first), (name, last))).collect()
    }

    /// The answer to a proposed listing. `newest_listed_ms` is the newest time of the asset's earlier listings. All [`Self::covered_days`] must have been
    /// merged.
    pub(super) fn times(&self, listing: &Listing, newest_listed_ms: Option<i64>) -> UnlistedTimes {
        let asset = listing.terms.asset;
        let covered = CoveredTimes::of(listing);
        let mut answer = UnlistedTimes::default();
        let mut newest = newest_listed_ms;
        for name in self.names_of(asset) {
            let kept = self.names.get(&name).map(|unlisted| unlisted.kept).unwrap_or_default();
            newest = newest.max(kept.newest_ms);
            if kept.has_opening {
                newest = newest.max(Some(covered.from));
                answer.has_opening |= covered.has(covered.from);
            }
        }
        for (first, last) in self.covered_days(listing) {
            for known in self.days.range(first..=last).map(|(_, known)| known.times) {
                answer.newest_counted_ms = answer.newest_counted_ms.max(covered.newest_of(known));
            }
        }
        // If none counts, this one does not.
        answer.newest_not_counted_ms = newest.filter(|newest| *newest >= covered.from && !covered.has(*newest));
        answer
    }
}

/// The times, in milliseconds since 1970, at which a posting makes a listing too late.
#[derive(Debug, Clone, Copy)]
struct CoveredTimes {
    from: i64,
    /// The first time after them.
    to: i64,
}

impl CoveredTimes {
    fn of(listing: &Listing) -> Self {
        let calendar = &listing.terms.calendar;
        let last = calendar.first().saturating_add(calendar.epochs_of_days(MAX_DAYS_AHEAD));
        let ahead = i64::try_from(calendar.end_ms(last)).unwrap_or(i64::MAX);
        Self {
            from: calendar.anchor().get(),
            to: listing.misdated_from.map_or(ahead, |from| ahead.min(from.get())),
        }
    }

    const fn has(&self, time_ms: i64) -> bool {
        self.from <= time_ms && time_ms < self.to
    }

    /// The first and the last day; `None` if there are none.
    fn days(&self) -> Option<(UtcDay, UtcDay)> {
        let last = self.to.checked_sub(1).filter(|last| self.from <= *last)?;
        Some((UtcDay::of(self.from), UtcDay::of(last)))
    }

    /// A time up to which postings of a day count; `None` if none counts. If the oldest is before and the newest after all times that count, it is not known
    /// whether there is one between. Then it counts, so that nothing is lost in silence.
    fn newest_of(&self, day: DayTimes) -> Option<i64> {
        let may_count = self.from < self.to && self.from <= day.newest_ms && day.oldest_ms < self.to;
        may_count.then(|| day.newest_ms.min(self.to - 1))
    }
}
