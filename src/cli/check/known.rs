//! Judges records against the listings before them, by the rules of a run.
//!
//! A run knows more: the cuts, the answers of the source partitions, and how old an event is. Here, every listing is in force at
//! once, and every close is applied before the first source record.

use std::collections::BTreeMap;

use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::SourceEvent;
use crate::core::contract::listing::AssetTerms;
use crate::core::contract::rejection::Rejection;
use crate::core::coordinate::listings;
use crate::core::coordinate::listings::{Accepted, ListedAssets, ListingFacts};
use crate::core::ingest::judge::{AssetFacts, locate, read_event};
use crate::core::ingest::legs::legs;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;

struct KnownAsset {
    terms: AssetTerms,
    oldest_open: Epoch,
    /// The first epoch of its newest programme.
    newest_from: Epoch,
}

/// The assets that the control records so far have listed.
#[derive(Default)]
pub(super) struct KnownAssets(BTreeMap<Asset, KnownAsset>);

/// The outcome for a source record that is not rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum SourceVerdict {
    /// At least one posting would be applied, so a copy of the event would be recognised.
    Applied,
    /// All its postings would be ignored.
    Ignored,
}

impl ListedAssets for KnownAssets {
    fn find(&self, asset: Asset) -> Option<ListingFacts<'_>> {
        self.0.get(&asset).map(|known| ListingFacts {
            terms: &known.terms,
            oldest_open: known.oldest_open,
            newest_from: known.newest_from,
        })
    }

    fn count(&self) -> usize {
        self.0.len()
    }
}

impl KnownAssets {
    /// Applies a control event.
    ///
    /// # Errors
    /// The rejection that a run would give.
    pub(super) fn apply_control(&mut self, envelope: &Envelope<'_>) -> Result<(), Rejection> {
        match listings::judge(envelope, self)? {
            Accepted::FirstListing(listing) => {
                let known = KnownAsset {
                    terms: listing.terms,
                    oldest_open: Epoch::FIRST,
                    newest_from: listing.programme.from_epoch,
                };
                self.0.insert(known.terms.asset, known);
            }
            Accepted::ProgrammeChange(listing) => {
                if let Some(known) = self.0.get_mut(&listing.terms.asset) {
                    known.newest_from = listing.programme.from_epoch;
                }
            }
            Accepted::Reward { .. } => {}
            Accepted::Close { asset, epoch, .. } => {
                if let Some(known) = self.0.get_mut(&asset) {
                    known.oldest_open = epoch.saturating_add(1);
                }
            }
        }
        Ok(())
    }

    /// Judges a source event, and counts its postings of unlisted assets in `unlisted`.
    ///
    /// # Errors
    /// The rejection that a run would give.
    pub(super) fn judge_source(
        &self,
        envelope: &Envelope<'_>,
        unlisted: &mut BTreeMap<Asset, u64>,
    ) -> Result<SourceVerdict, Rejection> {
        let (time, event) = read_event(envelope)?;
        if matches!(event, SourceEvent::AccountStatus { .. }) {
            return Ok(SourceVerdict::Applied);
        }
        let mut verdict = SourceVerdict::Ignored;
        let mut ignored = Vec::new();
        for leg in legs(&event) {
            let Some(known) = self.0.get(&leg.asset) else {
                ignored.push(leg.asset);
                continue;
            };
            let facts = AssetFacts {
                decimals: known.terms.decimals,
                calendar: known.terms.calendar,
                oldest_open: known.oldest_open,
            };
            if locate(&leg, time, &facts)?.is_some() {
                verdict = SourceVerdict::Applied;
            }
        }
        for asset in ignored {
            *unlisted.entry(asset).or_default() += 1;
        }
        Ok(verdict)
    }
}
