//! What the recorded decisions tell of the assets: their terms, their programmes, and the closes and cuts of their epochs.

use std::collections::BTreeMap;

use crate::audit::error::AuditError;
use crate::core::contract::control::CloseRates;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::listing::AssetTerms;
use crate::core::contract::programme::{Programme, in_force, schedule};
use crate::core::protocol::messages::Settlement;
use crate::core::values::asset::Asset;
use crate::core::values::calendar::MAX_DAYS_AHEAD;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::rate::Rate;

/// A listing of an asset.
#[derive(Debug, Clone)]
pub struct AssetHistory {
    pub terms: AssetTerms,
    /// Sorted by their first epoch.
    pub programmes: Vec<Programme>,
    /// If it was withdrawn: the first epoch that there is not.
    pub withdrawn: Option<Epoch>,
}

/// What the newest close of an epoch ordered, as far as its settlement depends on it.
#[derive(Debug, Clone, Copy, Default)]
struct ClosedAs {
    rates: CloseRates,
    is_last: bool,
    rules: u64,
}

/// The listed assets and the recorded cuts.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The index is the number of the listing.
    assets: Vec<AssetHistory>,
    closes: BTreeMap<AssetEpoch, ClosedAs>,
    cuts: BTreeMap<AssetEpoch, Offsets>,
    /// The newest version of the contract's rules.
    rules: u64,
}

impl History {
    /// Collects the history from all decisions.
    ///
    /// # Errors
    /// If a programme changes for an asset that was never listed.
    pub fn of(decisions: &[Decision]) -> Result<Self, AuditError> {
        let mut history = Self::default();
        for decision in decisions {
            match decision {
                Decision::Rules { version, .. } => history.rules = *version,
                Decision::ListingAccepted { listing, .. } => {
                    history.assets.push(AssetHistory {
                        terms: listing.terms.clone(),
                        programmes: vec![listing.programme.clone()],
                        withdrawn: None,
                    });
                }
                Decision::ProgrammeChanged { number, listing, .. } => {
                    schedule(&mut history.listed_mut(*number)?.programmes, listing.programme.clone());
                }
                Decision::WithdrawalAccepted { number, epoch, .. } => {
                    history.listed_mut(*number)?.withdrawn = Some(*epoch);
                }
                Decision::CloseAccepted {
                    number,
                    epoch,
                    apr,
                    reward_rate,
                    is_last,
                    ..
                } => {
                    let closed = ClosedAs {
                        rates: CloseRates {
                            apr: apr.as_deref().map(rate).transpose()?,
                            reward_rate: reward_rate.as_deref().map(rate).transpose()?,
                        },
                        is_last: *is_last,
                        rules: history.rules,
                    };
                    history.closes.insert(AssetEpoch::new(*number, *epoch)?, closed);
                }
                Decision::Cut { number, epoch, cut, .. } => {
                    history.cuts.insert(AssetEpoch::new(*number, *epoch)?, cut.clone());
                }
                _ => {}
            }
        }
        Ok(history)
    }

    fn listed_mut(&mut self, number: u16) -> Result<&mut AssetHistory, AuditError> {
        let unlisted = || AuditError::Decisions(format!("there is no listing number {number}"));
        self.assets.get_mut(usize::from(number)).ok_or_else(unlisted)
    }

    /// The listings of an asset with their numbers, in their order.
    pub fn listings(&self, asset: Asset) -> impl DoubleEndedIterator<Item = (u16, &AssetHistory)> {
        let numbered = self.assets.iter().enumerate();
        numbered
            .filter(move |(_, listed)| listed.terms.asset == asset)
            .filter_map(|(number, listed)| Some((u16::try_from(number).ok()?, listed)))
    }

    /// Finds the newest listing of an asset. Returns its number too.
    #[must_use]
    pub fn asset(&self, asset: Asset) -> Option<(u16, &AssetHistory)> {
        self.listings(asset).next_back()
    }

    /// Finds the listing of an asset that an epoch is of. Returns its number too.
    #[must_use]
    pub fn listing_of(&self, asset: Asset, epoch: Epoch) -> Option<(u16, &AssetHistory)> {
        self.listings(asset)
            .rfind(|(_, listed)| listed.terms.calendar.first() <= epoch)
            .or_else(|| self.listings(asset).next())
    }

    /// The names of all assets.
    pub fn listed(&self) -> impl Iterator<Item = Asset> {
        self.assets.iter().map(|listed| listed.terms.asset)
    }

    /// The oldest epoch of an asset without a recorded cut.
    #[must_use]
    pub fn oldest_uncut(&self, number: u16) -> Epoch {
        let of_asset = |at: &&AssetEpoch| at.number() == number;
        let newest = self.cuts.keys().rev().find(of_asset);
        let first = || {
            self.assets
                .get(usize::from(number))
                .map_or(Epoch::FIRST, |listed| listed.terms.calendar.first())
        };
        newest.map_or_else(first, |at| at.epoch().saturating_add(1))
    }

    /// The last epoch of an asset in which an event is accepted now.
    #[must_use]
    pub fn last_accepted(&self, number: u16) -> Epoch {
        let listed = self.assets.get(usize::from(number));
        let ahead = listed.map_or(0, |listed| listed.terms.calendar.epochs_of_days(MAX_DAYS_AHEAD));
        self.oldest_uncut(number).saturating_add(ahead)
    }

    /// The name of an asset.
    #[must_use]
    pub fn name(&self, number: u16) -> Option<Asset> {
        self.assets.get(usize::from(number)).map(|listed| listed.terms.asset)
    }

    /// The anchor of an asset, in milliseconds since 1970.
    #[must_use]
    pub fn anchor_ms(&self, number: u16) -> Option<i64> {
        let listed = self.assets.get(usize::from(number))?;
        Some(listed.terms.calendar.anchor().get())
    }

    /// All that the settlement of an epoch depends on. Without a recorded cut, the cut is empty, so that no offset is below it.
    #[must_use]
    pub fn settlement(&self, at: AssetEpoch) -> Option<Settlement> {
        let listed = self.assets.get(usize::from(at.number()))?;
        let open = ClosedAs {
            rules: self.rules,
            ..ClosedAs::default()
        };
        let closed = self.closes.get(&at).copied().unwrap_or(open);
        Some(Settlement {
            at,
            rules: closed.rules,
            terms: listed.terms.clone(),
            programme: in_force(&listed.programmes, at.epoch())?.clone(),
            cut: self.cuts.get(&at).cloned().unwrap_or_default(),
            rates: closed.rates,
            is_last: closed.is_last,
        })
    }

    /// Whether the cut of an epoch is recorded.
    #[must_use]
    pub fn is_cut(&self, at: AssetEpoch) -> bool {
        self.cuts.contains_key(&at)
    }
}

fn rate(text: &str) -> Result<Rate, AuditError> {
    Rate::parse(text, u32::MAX).map_err(|error| AuditError::Decisions(format!("the rate {text} of a close {error}")))
}
