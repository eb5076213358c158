//! What the recorded decisions tell of the assets: their terms, their programmes, and the cuts of their epochs.

use std::collections::BTreeMap;

use crate::audit::error::AuditError;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::listing::{AssetTerms, Programme, in_force};
use crate::core::protocol::messages::Settlement;
use crate::core::values::asset::Asset;
use crate::core::values::calendar::MAX_DAYS_AHEAD;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// A listed asset.
#[derive(Debug, Clone)]
pub struct AssetHistory {
    pub terms: AssetTerms,
    /// Sorted by their first epoch.
    pub programmes: Vec<Programme>,
}

/// The listed assets and the recorded cuts.
#[derive(Debug, Clone, Default)]
pub struct History {
    /// The index is the number of the asset.
    assets: Vec<AssetHistory>,
    cuts: BTreeMap<AssetEpoch, Offsets>,
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
                Decision::ListingAccepted { listing, .. } => {
                    history.assets.push(AssetHistory {
                        terms: listing.terms.clone(),
                        programmes: vec![listing.programme.clone()],
                    });
                }
                Decision::ProgrammeChanged { number, listing, .. } => {
                    let unlisted = || AuditError::Decisions(format!("asset number {number} is not listed"));
                    let asset = history.assets.get_mut(usize::from(*number)).ok_or_else(unlisted)?;
                    asset.programmes.push(listing.programme.clone());
                }
                Decision::Cut { number, epoch, cut, .. } => {
                    history.cuts.insert(AssetEpoch::new(*number, *epoch)?, cut.clone());
                }
                _ => {}
            }
        }
        Ok(history)
    }

    /// Finds an asset. Returns its number too.
    #[must_use]
    pub fn asset(&self, asset: Asset) -> Option<(u16, &AssetHistory)> {
        let number = self.assets.iter().position(|listed| listed.terms.asset == asset)?;
        Some((u16::try_from(number).ok()?, self.assets.get(number)?))
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
        newest.map_or(Epoch::FIRST, |at| at.epoch().saturating_add(1))
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
        Some(Settlement {
            at,
            terms: listed.terms.clone(),
            programme: in_force(&listed.programmes, at.epoch())?.clone(),
            cut: self.cuts.get(&at).cloned().unwrap_or_default(),
        })
    }

    /// Whether the cut of an epoch is recorded.
    #[must_use]
    pub fn is_cut(&self, at: AssetEpoch) -> bool {
        self.cuts.contains_key(&at)
    }
}
