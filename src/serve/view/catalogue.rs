//! What the decisions and the seals tell of assets and epochs. It is small, so all of it is in memory.

use std::collections::{BTreeMap, BTreeSet};

use crate::core::contract::control::CloseRates;
use crate::core::contract::decision::Decision;
use crate::core::contract::gate::GateLimit;
use crate::core::contract::listing::AssetTerms;
use crate::core::contract::programme::{Programme, in_force, schedule};
use crate::core::values::amount::SignedAmount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::rate::Rate;

/// Where an epoch is on its way to its seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PublishedState {
    /// Its close is not accepted yet.
    Open,
    /// Its close is accepted.
    Closing,
    /// The gate holds it.
    Held,
    /// It was void, and is not closed again.
    Void,
    Sealed,
}

impl PublishedState {
    /// The state as answers have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closing => "closing",
            Self::Held => "held",
            Self::Void => "void",
            Self::Sealed => "sealed",
        }
    }
}

/// The figures of an epoch that the gate holds. Amounts are in the reward asset.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldBack {
    pub limit: GateLimit,
    /// The largest distribution.
    pub largest: String,
    /// The sum of the distributions.
    pub total: String,
    /// The change of the rewards against the epoch before, if there is one.
    pub change: Option<String>,
}

/// What the gate decided on an epoch.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
enum GateCourseOnRecord {
    #[default]
    None,
    Held(HeldBack),
    Void,
}

/// What the decisions tell of one epoch.
#[derive(Debug, Clone, Default)]
struct EpochOnRecord {
    is_closed: bool,
    is_last: bool,
    rates: CloseRates,
    reward_pool: SignedAmount,
    /// Validators' rewards and pool adjustments.
    added: SignedAmount,
    gate: GateCourseOnRecord,
}

/// A listing of an asset, as it is on record.
#[derive(Debug, Clone)]
pub struct ListingOnRecord {
    pub terms: AssetTerms,
    /// Ascending by their first epochs.
    pub programmes: Vec<Programme>,
    /// If it was withdrawn: the first epoch that there is not.
    pub withdrawn: Option<Epoch>,
    /// The oldest epoch whose close was not accepted.
    pub oldest_open: Epoch,
    epochs: BTreeMap<Epoch, EpochOnRecord>,
}

impl ListingOnRecord {
    /// The epochs of the listing that exist: those whose close was accepted, and the oldest open one unless the listing has ended.
    #[must_use]
    pub fn has(&self, epoch: Epoch) -> bool {
        epoch >= self.terms.calendar.first()
            && epoch <= self.oldest_open
            && self.withdrawn.is_none_or(|end| epoch < end)
    }

    /// The oldest open epoch, unless the listing has none any more.
    #[must_use]
    pub fn open_epoch(&self) -> Option<Epoch> {
        self.has(self.oldest_open).then_some(self.oldest_open)
    }

    #[must_use]
    pub fn programme(&self, epoch: Epoch) -> Option<&Programme> {
        in_force(&self.programmes, epoch)
    }

    /// What the close of an epoch ordered: the rates, and whether it is the last one.
    #[must_use]
    pub fn closed_as(&self, epoch: Epoch) -> (CloseRates, bool) {
        let on_record = self.epochs.get(&epoch);
        on_record.map_or((CloseRates::default(), false), |on_record| {
            (on_record.rates, on_record.is_last)
        })
    }

    /// P of an epoch so far: the pool of the close, validators' rewards and adjustments. `None` if nothing was put in.
    #[must_use]
    pub fn pool(&self, epoch: Epoch) -> Option<String> {
        let on_record = self.epochs.get(&epoch)?;
        on_record.reward_pool.plus(on_record.added).map(|pool| pool.to_string())
    }

    /// The figures of an epoch that is held now.
    #[must_use]
    pub fn held(&self, epoch: Epoch) -> Option<&HeldBack> {
        match &self.epochs.get(&epoch)?.gate {
            GateCourseOnRecord::Held(held) => Some(held),
            _ => None,
        }
    }

    /// The epochs whose close was accepted, from one on, ascending.
    pub fn closed_from(&self, first: Epoch) -> impl Iterator<Item = Epoch> {
        let closed = self.epochs.range(first.min(self.oldest_open)..self.oldest_open);
        closed
            .filter(|(_, on_record)| on_record.is_closed)
            .map(|(epoch, _)| *epoch)
    }

    fn epoch_mut(&mut self, epoch: Epoch) -> &mut EpochOnRecord {
        self.epochs.entry(epoch).or_default()
    }
}

/// All listings, and which epochs are sealed.
#[derive(Debug, Clone, Default)]
pub struct ViewCatalogue {
    /// The index is the number of the listing.
    listings: Vec<ListingOnRecord>,
    sealed: BTreeSet<(Asset, Epoch)>,
    /// The version of the contract's rules.
    rules: u64,
}

impl ViewCatalogue {
    pub(in crate::serve) fn seal(&mut self, asset: Asset, epoch: Epoch) {
        self.sealed.insert((asset, epoch));
        // Gate and pool are in the seal now.
        if let Some(listing) = self.listing_of_mut(asset, epoch) {
            listing.epoch_mut(epoch).gate = GateCourseOnRecord::None;
        }
    }

    /// Adds a decision. One that tells nothing of listings and epochs changes nothing.
    pub(in crate::serve) fn add(&mut self, decision: &Decision) {
        match decision {
            Decision::Rules { version, .. } => self.rules = *version,
            Decision::ListingAccepted { listing, .. } => self.listings.push(ListingOnRecord {
                terms: listing.terms.clone(),
                programmes: vec![listing.programme.clone()],
                withdrawn: None,
                oldest_open: listing.terms.calendar.first(),
                epochs: BTreeMap::new(),
            }),
            Decision::ProgrammeChanged { number, listing, .. } => {
                if let Some(listed) = self.numbered(*number) {
                    schedule(&mut listed.programmes, listing.programme.clone());
                }
            }
            Decision::WithdrawalAccepted { number, epoch, .. } => {
                if let Some(listed) = self.numbered(*number) {
                    listed.withdrawn = Some(*epoch);
                    listed.epochs.retain(|at, _| at < epoch);
                }
            }
            Decision::PoolAdjusted {
                asset, epoch, amount, ..
            }
            | Decision::RewardAdded {
                asset, epoch, amount, ..
            } => {
                let Some(amount) = SignedAmount::parse(amount) else {
                    return;
                };
                if let Some(listed) = self.listing_of_mut(*asset, *epoch) {
                    let on_record = listed.epoch_mut(*epoch);
                    on_record.added = on_record.added.plus(amount).unwrap_or(on_record.added);
                }
            }
            decision => self.add_course(decision),
        }
    }

    /// Adds a decision on the course of one epoch.
    fn add_course(&mut self, decision: &Decision) {
        match decision {
            Decision::CloseAccepted {
                number,
                epoch,
                reward_pool,
                apr,
                reward_rate,
                is_last,
                again,
                ..
            } => {
                let rate = |text: &Option<String>| text.as_deref().and_then(|text| Rate::parse(text, u32::MAX).ok());
                let Some(listed) = self.numbered(*number) else { return };
                if !again {
                    listed.oldest_open = epoch.saturating_add(1);
                }
                let on_record = listed.epoch_mut(*epoch);
                on_record.is_closed = true;
                on_record.is_last = *is_last;
                on_record.rates = CloseRates {
                    apr: rate(apr),
                    reward_rate: rate(reward_rate),
                };
                on_record.reward_pool = SignedAmount::parse(reward_pool).unwrap_or_default();
                on_record.gate = GateCourseOnRecord::None;
            }
            Decision::EpochHeld {
                number,
                epoch,
                limit,
                largest,
                total,
                change,
                ..
            } => {
                let held = HeldBack {
                    limit: *limit,
                    largest: largest.clone(),
                    total: total.clone(),
                    change: change.clone(),
                };
                self.set_gate(*number, *epoch, GateCourseOnRecord::Held(held));
            }
            Decision::EpochReleased { number, epoch, .. } => self.set_gate(*number, *epoch, GateCourseOnRecord::None),
            Decision::EpochVoid { number, epoch, .. } => self.set_gate(*number, *epoch, GateCourseOnRecord::Void),
            _ => {}
        }
    }

    fn set_gate(&mut self, number: u16, epoch: Epoch, gate: GateCourseOnRecord) {
        if let Some(listed) = self.numbered(number) {
            listed.epoch_mut(epoch).gate = gate;
        }
    }

    fn numbered(&mut self, number: u16) -> Option<&mut ListingOnRecord> {
        self.listings.get_mut(usize::from(number))
    }

    fn listing_of_mut(&mut self, asset: Asset, epoch: Epoch) -> Option<&mut ListingOnRecord> {
        let number = self.listing_of(asset, epoch)?.0;
        self.numbered(number)
    }

    /// All listings with their numbers.
    pub fn listings(&self) -> impl DoubleEndedIterator<Item = (u16, &ListingOnRecord)> {
        self.listings
            .iter()
            .enumerate()
            .filter_map(|(number, listed)| Some((u16::try_from(number).ok()?, listed)))
    }

    /// The assets that are listed or were, by name.
    #[must_use]
    pub fn assets(&self) -> BTreeSet<Asset> {
        self.listings.iter().map(|listed| listed.terms.asset).collect()
    }

    /// The listings of an asset, in their order.
    pub fn listings_of(&self, asset: Asset) -> impl DoubleEndedIterator<Item = (u16, &ListingOnRecord)> {
        self.listings().filter(move |(_, listed)| listed.terms.asset == asset)
    }

    /// The listing that an epoch of an asset is of.
    #[must_use]
    pub fn listing_of(&self, asset: Asset, epoch: Epoch) -> Option<(u16, &ListingOnRecord)> {
        self.listings_of(asset)
            .rfind(|(_, listed)| listed.terms.calendar.first() <= epoch)
    }

    #[must_use]
    pub fn is_sealed(&self, asset: Asset, epoch: Epoch) -> bool {
        self.sealed.contains(&(asset, epoch))
    }

    /// The newest sealed epoch of an asset.
    #[must_use]
    pub fn newest_sealed(&self, asset: Asset) -> Option<Epoch> {
        let all = (asset, Epoch::FIRST)..=(asset, Epoch::new(u64::MAX));
        self.sealed.range(all).next_back().map(|(_, epoch)| *epoch)
    }

    #[must_use]
    pub const fn rules(&self) -> u64 {
        self.rules
    }

    /// Where an epoch is on its way; `None` if the asset has no such epoch yet.
    #[must_use]
    pub fn state(&self, asset: Asset, epoch: Epoch) -> Option<PublishedState> {
        if self.is_sealed(asset, epoch) {
            return Some(PublishedState::Sealed);
        }
        let (_, listed) = self.listing_of(asset, epoch)?;
        if !listed.has(epoch) {
            return None;
        }
        let on_record = listed.epochs.get(&epoch);
        Some(
            match on_record.map(|on_record| (&on_record.gate, on_record.is_closed)) {
                Some((GateCourseOnRecord::Held(_), _)) => PublishedState::Held,
                Some((GateCourseOnRecord::Void, _)) => PublishedState::Void,
                Some((GateCourseOnRecord::None, true)) => PublishedState::Closing,
                _ => PublishedState::Open,
            },
        )
    }

    /// The older epoch of the same listing that an epoch waits for, because it is held or void.
    #[must_use]
    pub fn waits_for(&self, asset: Asset, epoch: Epoch) -> Option<(Epoch, PublishedState)> {
        let (_, listed) = self.listing_of(asset, epoch)?;
        let earlier = listed.epochs.range(..epoch);
        earlier
            .filter(|(_, on_record)| on_record.gate != GateCourseOnRecord::None)
            .find_map(|(earlier, _)| Some((*earlier, self.state(asset, *earlier)?)))
    }

    /// All held epochs with their figures.
    pub fn held(&self) -> impl Iterator<Item = (&ListingOnRecord, Epoch, &HeldBack)> {
        self.listings.iter().flat_map(|listed| {
            listed
                .epochs
                .keys()
                .filter_map(move |epoch| Some((listed, *epoch, listed.held(*epoch)?)))
        })
    }
}
