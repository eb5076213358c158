//! What an ingest task does with a decision.

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::Decision;
use crate::core::contract::listing::Listing;
use crate::core::contract::rejection::Code;
use crate::core::contract::topic::Topic;
use crate::core::fault::{Fault, impossible};
use crate::core::ingest::{Ingest, ListedAsset, Passed, Pending, listing_of};
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
use crate::core::values::ids::AssetEpoch;

impl Ingest {
    /// Applies a decision. `offset` is where the task stands in its source partition; `end` is the end of that partition, looked up after the
    /// decision was read, or `None` while what was said before is being gone through again and all answers are discarded.
    ///
    /// # Errors
    /// A fault.
    pub fn decide(
        &mut self,
        decision: &Decision,
        offset: u64,
        end: Option<u64>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        match decision {
            Decision::SourcesAdded { sources } => {
                if sources.contains(&self.source) {
                    self.state.announced = true;
                }
            }
            Decision::ControlRead { to } => self.state.control_read = *to,
            Decision::Refused { .. } | Decision::RewardAdded { .. } => {}
            Decision::ListingProposed {
                control_offset,
                listing,
            } if self.state.announced => {
                self.state.pending = Some(Pending::Listing);
                let passed = self.passed_of(&listing_of(listing)?);
                let answer = Inbox::ListingAnswer {
                    source: self.source,
                    control_offset: *control_offset,
                    from: offset,
                    newest_passed_ms: passed.newest(),
                    opening_passed: passed.opening(),
                };
                out.push(Topic::Inbox.partition(0), &[], &codec::encode(&answer)?);
            }
            Decision::CloseAccepted { number, epoch, .. } if self.state.announced => {
                let at = AssetEpoch {
                    number: *number,
                    epoch: *epoch,
                };
                // A source file that shrank is found out by its reader; a cut is never behind what was read.
                let answered = end.map(|end| end.max(offset));
                self.state.pending = Some(Pending::Cut { at, answered });
                let answer = Inbox::CutAnswer {
                    source: self.source,
                    at,
                    cut: answered.unwrap_or(offset),
                };
                out.push(Topic::Inbox.partition(0), &[], &codec::encode(&answer)?);
            }
            Decision::ListingProposed { .. } | Decision::CloseAccepted { .. } => {}
            Decision::ListingAccepted {
                number,
                listing,
                in_force_from,
                ..
            } => {
                self.state.pending = None;
                // A source that was not asked has read nothing yet.
                let from = in_force_from.0.get(&self.source).copied().unwrap_or(0);
                self.list(*number, &listing_of(listing)?, from)?;
            }
            Decision::ListingRefused {
                listing,
                code,
                answered_at,
                ..
            } => {
                self.state.pending = None;
                if *code == Code::ListingTooLate {
                    let terms = listing_of(listing)?.terms;
                    let at = answered_at.0.get(&self.source).copied().unwrap_or(0);
                    let passed = self.state.passed.entry(terms.asset).or_default();
                    let anchor = terms.calendar.anchor().get();
                    passed.refused = Some(
                        passed
                            .refused
                            .map_or((anchor, at), |(earlier, _)| (earlier.max(anchor), at)),
                    );
                    self.passed_changed.push(terms.asset);
                }
            }
            Decision::ProgrammeChanged { number, listing, .. } => {
                let programme = listing_of(listing)?.programme;
                self.listed(*number)?
                    .late_policies
                    .push((programme.from_epoch, programme.late_policy));
            }
            Decision::Cut { number, epoch, cut, .. } => {
                self.state.pending = None;
                let (source, epoch) = (self.source, *epoch);
                let listed = self.listed(*number)?;
                match cut.0.get(&source) {
                    Some(mine) => listed.cuts.push_back((*mine, epoch)),
                    // A source that is not in the cut came later: for it, the epoch has always been closed, and nobody waits for its barrier.
                    None if offset == 0 && epoch == listed.oldest_open => {
                        listed.oldest_open = epoch.checked_add(1).ok_or(Fault::Overflow("an epoch number"))?;
                    }
                    None => {
                        return Err(impossible(format!(
                            "a cut of epoch {epoch} without {source}, which is at {offset}"
                        )));
                    }
                }
                self.cross(offset, out)?;
            }
        }
        Ok(())
    }

    fn listed(&mut self, number: u16) -> Result<&mut ListedAsset, Fault> {
        self.state
            .assets
            .get_mut(usize::from(number))
            .ok_or_else(|| impossible(format!("a decision on asset number {number}, which is not listed")))
    }

    fn list(&mut self, number: u16, listing: &Listing, from: u64) -> Result<(), Fault> {
        if usize::from(number) != self.state.assets.len() {
            return Err(impossible(format!("asset number {number} is listed out of order")));
        }
        let terms = &listing.terms;
        self.state.by_name.insert(terms.asset, number);
        self.state.assets.push(ListedAsset {
            asset: terms.asset,
            decimals: terms.decimals,
            calendar: terms.calendar,
            late_policies: vec![(listing.programme.from_epoch, listing.programme.late_policy)],
            from,
            oldest_open: 0,
            cuts: std::collections::VecDeque::new(),
        });
        Ok(())
    }

    fn passed_of(&self, listing: &Listing) -> Passed {
        self.state.passed.get(&listing.terms.asset).copied().unwrap_or_default()
    }
}

impl Passed {
    /// The newest time passed over. An anchor that was refused counts: whatever made it too late still does, opening balances included.
    fn newest(&self) -> Option<i64> {
        self.newest_ms.max(self.refused.map(|(anchor, _)| anchor))
    }

    /// Whether an opening balance was passed over that has not counted at a refused anchor.
    fn opening(&self) -> bool {
        match (self.opening_at, self.refused) {
            (Some(opening), Some((_, refused))) => opening >= refused,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }
}
