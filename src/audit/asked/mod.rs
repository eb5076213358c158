//! Whether the deployment has what a command is asked for: an asset, and some of its epochs.
//!
//! Every command that takes the name of an asset or the number of an epoch resolves it here. So a misspelt asset, an inverted period or an epoch
//! that is still open never gives an answer about nothing that looks right.

mod period;
mod resolved_period;

pub use period::AskedPeriod;
pub use resolved_period::ResolvedPeriod;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use crate::audit::error::AuditError;
use crate::audit::point_in_time::read_decisions;
use crate::audit::published::read_all;
use crate::bus::Log;
use crate::core::contract::decision::Decision;
use crate::core::contract::records::Seal;
use crate::core::values::asset::Asset;
use crate::core::values::calendar::Calendar;
use crate::core::values::ids::Epoch;
use crate::core::values::similar::meant;
use crate::core::values::time::{TimeMs, timestamp};

/// How many names or periods an error lists.
const NAMED: usize = 20;

/// The first moment after the years of four digits, in milliseconds since 1970.
const YEAR_10000_MS: i128 = 253_402_300_800_000;

/// What a command is asked for. The default is everything.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Asked {
    /// Only this asset.
    asset: Option<Asset>,
    /// From this epoch on.
    from: Option<Epoch>,
    /// Up to this epoch, included.
    to: Option<Epoch>,
}

/// Why a question is not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskedError {
    #[error("the period is inverted: it begins with epoch {from} and ends with epoch {to}; exchange the two")]
    Inverted { from: Epoch, to: Epoch },
    #[error("no moment is in the period: it begins at {from} and ends before {to}; name a later end")]
    EmptyPeriod { from: TimeMs, to: TimeMs },
    #[error("no epoch of {asked}")]
    NoEpoch { asked: AskedPeriod },
    #[error("{asset} is not listed{}", of_listed(*meant, listed))]
    NotListed {
        asset: Asset,
        /// The listed asset with a similar name.
        meant: Option<Asset>,
        listed: Vec<Asset>,
    },
    #[error("no asset is listed here: softstake has not run on this bus, or it has accepted no listing")]
    NoAssets,
    /// Nothing of what is asked for is there.
    #[error("nothing of what was asked for is there: {}", join(.0))]
    Nothing(Vec<MissingEpochs>),
    /// A part of what is asked for is not there.
    #[error("not everything that was asked for is there: {}", join(.0))]
    Incomplete(Vec<MissingEpochs>),
}

/// How far an epoch must be for a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EpochProgress {
    /// The asset has no such epoch: it is before the first one of its listing, or the asset was withdrawn.
    Absent,
    /// Its close is not accepted.
    Open,
    /// Its close is accepted, and it has no seal.
    Closed,
    Sealed,
}

/// Consecutive epochs of an asset that were asked for and are not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct MissingEpochs {
    pub asset: Asset,
    pub first_epoch: Epoch,
    pub last_epoch: Epoch,
    /// When the first one starts and the last one ends; `None` if the listing is not on the bus, or after the year 9999.
    pub dates: Option<(String, String)>,
    pub progress: EpochProgress,
    /// If they are closed, and the gate is why they are not sealed: the epoch that it holds.
    pub gate: Option<HeldEpoch>,
}

/// An epoch that keeps itself and all later ones from being sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct HeldEpoch {
    pub epoch: Epoch,
    /// Whether it is void, and has to be closed again; otherwise it has to be released.
    pub is_void: bool,
}

/// The answer to whether the epochs of a question are there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    asked: Asked,
    /// How many of the epochs that were asked for are there.
    there: u64,
    missing: Vec<MissingEpochs>,
}

/// The assets of a deployment, and how far their epochs are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory(BTreeMap<Asset, AssetProgress>);

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct AssetProgress {
    /// Its listings, in order; none if only a seal tells of the asset.
    listings: Vec<ListedPeriod>,
    /// The oldest epoch whose close is not accepted.
    oldest_open: Epoch,
    sealed: BTreeSet<Epoch>,
    /// The epochs that the gate holds, and whether each is void.
    held: BTreeMap<Epoch, bool>,
}

/// The epochs of a listing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ListedPeriod {
    number: u16,
    calendar: Calendar,
    /// If it was withdrawn: the first epoch that there is not.
    withdrawn: Option<Epoch>,
}

impl Asked {
    /// A question about the epochs of a period, both ends included.
    ///
    /// # Errors
    /// If the period is inverted.
    pub fn new(asset: Option<Asset>, from: Option<Epoch>, to: Option<Epoch>) -> Result<Self, AskedError> {
        match (from, to) {
            (Some(from), Some(to)) if from > to => Err(AskedError::Inverted { from, to }),
            _ => Ok(Self { asset, from, to }),
        }
    }

    /// A question about one epoch, if it is given.
    #[must_use]
    pub const fn epoch(asset: Option<Asset>, epoch: Option<Epoch>) -> Self {
        Self {
            asset,
            from: epoch,
            to: epoch,
        }
    }

    #[must_use]
    pub fn includes(&self, asset: Asset, epoch: Epoch) -> bool {
        self.asset.is_none_or(|wanted| wanted == asset)
            && self.from.is_none_or(|from| epoch >= from)
            && self.to.is_none_or(|to| epoch <= to)
    }

    /// Whether epochs are asked for by their numbers.
    const fn names_epochs(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

impl Inventory {
    /// Reads the decisions and the seals.
    ///
    /// # Errors
    /// A failure of the bus, or a decision that cannot be decoded. A seal that cannot be read tells of no epoch.
    pub fn read(bus: &dyn Log) -> Result<Self, AuditError> {
        let mut inventory = Self::default();
        for decision in read_decisions(bus)? {
            inventory.add_decision(&decision);
        }
        read_all::<Seal, AuditError>(bus, None, |_, seal| {
            if let Ok(seal) = seal {
                inventory.add_seal(seal.asset, seal.epoch);
            }
            Ok(())
        })?;
        Ok(inventory)
    }

    fn add_decision(&mut self, decision: &Decision) {
        match decision {
            Decision::ListingAccepted { listing, number, .. } => {
                self.0.entry(listing.terms.asset).or_default().list(ListedPeriod {
                    number: *number,
                    calendar: listing.terms.calendar,
                    withdrawn: None,
                });
            }
            Decision::WithdrawalAccepted {
                asset, number, epoch, ..
            } => self.0.entry(*asset).or_default().withdraw(*number, *epoch),
            Decision::CloseAccepted { asset, epoch, .. } => {
                let progress = self.0.entry(*asset).or_default();
                progress.close(*epoch);
                progress.held.remove(epoch);
            }
            Decision::EpochHeld { asset, epoch, .. } => {
                self.0.entry(*asset).or_default().held.insert(*epoch, false);
            }
            Decision::EpochVoid { asset, epoch, .. } => {
                self.0.entry(*asset).or_default().held.insert(*epoch, true);
            }
            Decision::EpochReleased { asset, epoch, .. } => {
                self.0.entry(*asset).or_default().held.remove(epoch);
            }
            _ => {}
        }
    }

    fn add_seal(&mut self, asset: Asset, epoch: Epoch) {
        let progress = self.0.entry(asset).or_default();
        progress.close(epoch);
        progress.sealed.insert(epoch);
    }

    /// Checks that an asset is listed.
    ///
    /// # Errors
    /// `NotListed`, with the asset that was probably meant; `NoAssets`.
    pub fn check_asset(&self, asset: Asset) -> Result<(), AskedError> {
        check_listed(asset, self.0.keys().copied())
    }

    /// The start and the end of an epoch, if the asset's listing is on the bus.
    #[must_use]
    pub fn dates(&self, asset: Asset, epoch: Epoch) -> Option<(String, String)> {
        self.0.get(&asset)?.dates(epoch, epoch)
    }

    /// The end of an epoch, if the asset's listing is on the bus.
    #[must_use]
    pub fn epoch_end(&self, asset: Asset, epoch: Epoch) -> Option<TimeMs> {
        let end_ms = self.0.get(&asset)?.calendar(epoch)?.end_ms(epoch);
        Some(TimeMs::from(i64::try_from(end_ms).unwrap_or(i64::MAX)))
    }

    /// Whether an epoch is the first one of a listing. Nothing is carried or withheld into it.
    #[must_use]
    pub fn begins_listing(&self, asset: Asset, epoch: Epoch) -> bool {
        let listings = self.0.get(&asset).map(|progress| progress.listings.as_slice());
        let mut listings = listings.unwrap_or_default().iter();
        listings.any(|listed| listed.calendar.first() == epoch)
    }

    /// The epoch that keeps a closed one from being sealed, if the gate does: that epoch itself, or the first one before it that is held.
    #[must_use]
    pub fn held(&self, asset: Asset, epoch: Epoch) -> Option<HeldEpoch> {
        self.0.get(&asset)?.held_up_to(epoch)
    }

    /// The oldest epoch of an asset whose close is not accepted.
    #[must_use]
    pub fn oldest_open(&self, asset: Asset) -> Epoch {
        self.0.get(&asset).map_or(Epoch::FIRST, |progress| progress.oldest_open)
    }

    /// Finds which epochs of a question are as far as `needed`, and which are not. Without a last epoch, the question is about all epochs that are
    /// closed.
    ///
    /// # Errors
    /// If the asset is not listed, or no asset is.
    pub fn resolve(&self, asked: Asked, needed: EpochProgress) -> Result<Resolved, AskedError> {
        match asked.asset {
            Some(asset) => self.check_asset(asset)?,
            None if self.0.is_empty() => return Err(AskedError::NoAssets),
            None => {}
        }
        let mut resolved = Resolved {
            asked,
            there: 0,
            missing: Vec::new(),
        };
        let wanted = |asset: &Asset| asked.asset.is_none_or(|wanted| wanted == *asset);
        for (asset, progress) in self.0.iter().filter(|(asset, _)| wanted(asset)) {
            progress.resolve(*asset, needed, &mut resolved);
        }
        Ok(resolved)
    }
}

/// Checks that an asset is among those that are listed.
///
/// # Errors
/// `NotListed`, with the asset that was probably meant; `NoAssets`.
pub fn check_listed(asset: Asset, listed: impl IntoIterator<Item = Asset>) -> Result<(), AskedError> {
    let listed: BTreeSet<Asset> = listed.into_iter().collect();
    if listed.is_empty() {
        return Err(AskedError::NoAssets);
    }
    if listed.contains(&asset) {
        return Ok(());
    }
    let meant = meant(asset.as_str(), listed.iter().map(Asset::as_str));
    Err(AskedError::NotListed {
        asset,
        meant: meant.and_then(|name| Asset::parse(name).ok()),
        listed: listed.into_iter().collect(),
    })
}

impl AssetProgress {
    fn list(&mut self, listed: ListedPeriod) {
        self.oldest_open = self.oldest_open.max(listed.calendar.first());
        self.listings.push(listed);
    }

    fn withdraw(&mut self, number: u16, epoch: Epoch) {
        let listed = self.listings.iter_mut().find(|listed| listed.number == number);
        if let Some(listed) = listed {
            listed.withdrawn = Some(epoch);
        }
    }

    fn close(&mut self, epoch: Epoch) {
        self.oldest_open = self.oldest_open.max(epoch.saturating_add(1));
    }

    fn held_up_to(&self, epoch: Epoch) -> Option<HeldEpoch> {
        let held = self.held.range(..=epoch).find(|(held, _)| !self.sealed.contains(held));
        held.map(|(epoch, is_void)| HeldEpoch {
            epoch: *epoch,
            is_void: *is_void,
        })
    }

    /// The calendar of the listing that has an epoch.
    fn calendar(&self, epoch: Epoch) -> Option<Calendar> {
        let begun = |listed: &&ListedPeriod| listed.calendar.first() <= epoch;
        Some(self.listings.iter().rev().find(begun)?.calendar)
    }

    fn dates(&self, first: Epoch, last: Epoch) -> Option<(String, String)> {
        let calendar = self.calendar(first)?;
        let end_ms = calendar.end_ms(last);
        let is_writable = end_ms <= YEAR_10000_MS;
        is_writable.then(|| (timestamp(calendar.start_ms(first)), timestamp(end_ms)))
    }

    /// The first and the last epoch of each listing that has epochs.
    fn periods(&self) -> Vec<(Epoch, Epoch)> {
        let (first, end) = (Epoch::FIRST, Epoch::new(u64::MAX));
        if self.listings.is_empty() {
            return vec![(first, end)];
        }
        let nexts = self.listings.iter().skip(1).map(|next| Some(next.calendar.first()));
        let periods = self.listings.iter().zip(nexts.chain([None]));
        let ends = periods.map(|(listed, next)| {
            let end = listed.withdrawn.or(next).map(|end| end.get().checked_sub(1));
            (listed.calendar.first(), end)
        });
        let with_epochs = ends.filter_map(|(first, last)| match last {
            None => Some((first, end)),
            Some(last) => last
                .map(Epoch::new)
                .filter(|last| *last >= first)
                .map(|last| (first, last)),
        });
        with_epochs.collect()
    }

    /// Finds which epochs are as far as `needed`. Those that the asset does not have are missing only if the question about it is about nothing else.
    fn resolve(&self, asset: Asset, needed: EpochProgress, resolved: &mut Resolved) {
        let asked = resolved.asked;
        let wanted = asked.from.unwrap_or(Epoch::FIRST);
        let before = (resolved.there, resolved.missing.len());
        for (first, last) in self.periods() {
            let from = wanted.max(first);
            if from <= last && asked.to.is_none_or(|to| from <= to) {
                self.resolve_period(asset, (from, last), needed, resolved);
            }
        }
        if asked.asset.is_some() && asked.names_epochs() && before == (resolved.there, resolved.missing.len()) {
            let last = asked.to.unwrap_or(wanted);
            self.miss(asset, (wanted, last), EpochProgress::Absent, resolved);
        }
    }

    /// Finds which epochs of a listing are as far as `needed`.
    fn resolve_period(
        &self,
        asset: Asset,
        (first, end): (Epoch, Epoch),
        needed: EpochProgress,
        resolved: &mut Resolved,
    ) {
        let Asked { from, to, .. } = resolved.asked;
        // The newest closed epoch, if there is one; at least the first epoch that is asked for.
        let newest = Epoch::new(self.oldest_open.get().saturating_sub(1)).min(end);
        let last = match to {
            Some(last) => last.min(end),
            None if from.is_none() && self.oldest_open <= first => return,
            None => newest.max(first),
        };
        if self.oldest_open > first {
            self.resolve_closed(asset, (first, newest.min(last)), needed, resolved);
        }
        if last >= self.oldest_open {
            self.miss(
                asset,
                (self.oldest_open.max(first), last),
                EpochProgress::Open,
                resolved,
            );
        }
    }

    /// Finds which of some closed epochs are as far as `needed`. It takes as long as there are seals, whatever numbers a damaged bus has.
    fn resolve_closed(
        &self,
        asset: Asset,
        (first, last): (Epoch, Epoch),
        needed: EpochProgress,
        resolved: &mut Resolved,
    ) {
        if needed != EpochProgress::Sealed {
            let epochs = last.get().saturating_sub(first.get()).saturating_add(1);
            resolved.there = resolved.there.saturating_add(epochs);
            return;
        }
        let mut next = Some(first);
        for sealed in self.sealed.range(first..=last) {
            if let Some(gap) = next.filter(|gap| gap < sealed) {
                let end = Epoch::new(sealed.get().saturating_sub(1));
                self.miss(asset, (gap, end), EpochProgress::Closed, resolved);
            }
            resolved.there = resolved.there.saturating_add(1);
            next = sealed.next().ok();
        }
        if let Some(gap) = next.filter(|gap| *gap <= last) {
            self.miss(asset, (gap, last), EpochProgress::Closed, resolved);
        }
    }

    /// Adds missing epochs, to those before them if they follow one another.
    fn miss(&self, asset: Asset, (first, last): (Epoch, Epoch), progress: EpochProgress, resolved: &mut Resolved) {
        let start = match resolved.missing.last() {
            Some(before)
                if before.asset == asset
                    && before.progress == progress
                    && before.last_epoch.saturating_add(1) == first =>
            {
                let start = before.first_epoch;
                resolved.missing.pop();
                start
            }
            _ => first,
        };
        resolved.missing.push(MissingEpochs {
            asset,
            first_epoch: start,
            last_epoch: last,
            dates: match progress {
                EpochProgress::Absent => None,
                _ => self.dates(start, last),
            },
            progress,
            gate: (progress == EpochProgress::Closed)
                .then(|| self.held_up_to(last))
                .flatten(),
        });
    }
}

impl Resolved {
    /// The epochs that were asked for and are not there.
    #[must_use]
    pub fn missing(&self) -> &[MissingEpochs] {
        &self.missing
    }

    /// Whether no epoch is there.
    #[must_use]
    pub const fn is_nothing(&self) -> bool {
        self.there == 0
    }

    /// Checks that the question can be answered in full. A question without numbers of epochs is about those that are there.
    ///
    /// # Errors
    /// `Nothing` or `Incomplete`.
    pub fn check(&self) -> Result<(), AskedError> {
        if self.is_nothing() {
            Err(AskedError::Nothing(self.missing.clone()))
        } else if self.asked.names_epochs() && !self.missing.is_empty() {
            Err(AskedError::Incomplete(self.missing.clone()))
        } else {
            Ok(())
        }
    }
}

impl fmt::Display for MissingEpochs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (asset, first, last) = (self.asset, self.first_epoch, self.last_epoch);
        if first == last {
            write!(f, "{asset} epoch {first}")?;
        } else {
            write!(f, "{asset} epochs {first} to {last}")?;
        }
        if let Some((start, end)) = &self.dates {
            write!(f, " ({start} to {end})")?;
        }
        if self.progress == EpochProgress::Absent {
            return f.write_str(if first == last {
                " does not exist"
            } else {
                " do not exist"
            });
        }
        f.write_str(if first == last { " is " } else { " are " })?;
        f.write_str(match self.progress {
            EpochProgress::Absent => "absent",
            EpochProgress::Open => "not closed",
            EpochProgress::Closed => "closed, but not sealed",
            EpochProgress::Sealed => "sealed",
        })?;
        match self.gate {
            Some(HeldEpoch { epoch, is_void: false }) => write!(f, ": epoch {epoch} is held until it is released"),
            Some(HeldEpoch { epoch, is_void: true }) => write!(f, ": epoch {epoch} is void until it is closed again"),
            None => Ok(()),
        }
    }
}

fn of_listed(meant: Option<Asset>, listed: &[Asset]) -> String {
    match meant {
        Some(meant) => format!("; did you mean {meant}?"),
        None => format!("; the listed assets are {}", first_of(listed)),
    }
}

fn join(missing: &[MissingEpochs]) -> String {
    if missing.is_empty() {
        return "no epoch is closed".into();
    }
    first_of(missing)
}

/// The first of some things, and the number of the others.
fn first_of<T: ToString>(all: &[T]) -> String {
    let mut names: Vec<String> = all.iter().take(NAMED).map(ToString::to_string).collect();
    let more = all.len().saturating_sub(NAMED);
    if more > 0 {
        names.push(format!("and {more} more"));
    }
    names.join(", ")
}

#[cfg(test)]
mod tests;
