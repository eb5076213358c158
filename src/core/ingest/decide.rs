//! Applies a decision of the coordinator.

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::listing::Listing;
use crate::core::contract::rejection::Code;
use crate::core::contract::rules;
use crate::core::contract::topic::Topic;
use crate::core::fault::{Fault, impossible};
use crate::core::ingest::{Ingest, IngestAsset, OpenQuestion};
use crate::core::protocol::codec;
use crate::core::protocol::messages::Inbox;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;

impl Ingest {
    /// Applies a decision. `offset` is the task's position in its source partition. `bound` is what it answers with, looked up after the decision:
    /// to a close the end of that partition, to a loss its first offset that exists. It is `None` during recovery, when all answers are suppressed.
    ///
    /// # Errors
    /// A decision that cannot be read, or that the protocol rules out.
    pub fn apply_decision(
        &mut self,
        decision: &Decision,
        offset: Offset,
        bound: Option<Offset>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        match decision {
            Decision::SourcesAdded { sources, .. } => {
                self.state.announced |= sources.contains(&self.source);
                Ok(())
            }
            Decision::ControlRead { to } => {
                self.state.control_read = *to;
                Ok(())
            }
            Decision::VerdictWaits { control_offset, .. } => {
                self.state.control_waits = Some(*control_offset);
                Ok(())
            }
            Decision::EpochReleased { control_offset, .. }
            | Decision::EpochVoid { control_offset, .. }
            | Decision::Refused { control_offset, .. } => {
                if self.state.control_waits == Some(*control_offset) {
                    self.state.control_waits = None;
                }
                Ok(())
            }
            Decision::RewardAdded { .. }
            | Decision::PoolAdjusted { .. }
            | Decision::EpochHeld { .. }
            // It has a cut.
            | Decision::CloseAccepted { again: true, .. } => Ok(()),
            Decision::ListingProposed { .. }
            | Decision::WithdrawalProposed { .. }
            | Decision::RulesProposed { .. }
            | Decision::CloseAccepted { .. }
                if !self.state.announced =>
            {
                Ok(())
            }
            Decision::WithdrawalProposed { control_offset, .. } | Decision::RulesProposed { control_offset, .. } => {
                self.answer_position(*control_offset, offset, out)
            }
            Decision::ListingProposed {
                control_offset,
                listing,
            } => self.answer_listing(*control_offset, listing, offset, out),
            Decision::CloseAccepted { number, epoch, .. } => {
                let (number, epoch) = (*number, *epoch);
                self.answer_close(AssetEpoch::new(number, epoch)?, offset, bound, out)
            }
            Decision::LossProposed { loss, .. } | Decision::LossAccepted { loss, .. }
                if loss.source() != self.source =>
            {
                Ok(())
            }
            Decision::LossProposed { control_offset, .. } => {
                self.answer_loss(*control_offset, offset, bound.unwrap_or(offset), out)
            }
            Decision::ProgrammeChanged { number, listing, .. } => {
                let programme = &listing.programme;
                let policies = &mut self.asset_mut(*number)?.late_policies;
                // A change replaces those that were scheduled for its first epoch or a later one.
                policies.retain(|(from, _)| *from < programme.from_epoch);
                policies.push((programme.from_epoch, programme.late_policy));
                Ok(())
            }
            Decision::ListingAccepted { .. }
            | Decision::ListingRefused { .. }
            | Decision::WithdrawalAccepted { .. }
            | Decision::Rules { .. }
            | Decision::LossAccepted { .. }
            | Decision::Cut { .. } => {
                self.state.question = None;
                self.apply_outcome(decision, offset, out)
            }
        }
    }

    /// Applies what a question led to.
    fn apply_outcome(&mut self, decision: &Decision, offset: Offset, out: &mut Outputs) -> Result<(), Fault> {
        match decision {
            Decision::ListingAccepted {
                number,
                listing,
                in_force_from,
                ..
            } => {
                let from = self.in_force_from(in_force_from);
                self.propose(listing, from);
                self.list(*number, listing, from)
            }
            Decision::ListingRefused {
                listing,
                code,
                answered_at,
                ..
            } => {
                if *code == Code::ListingTooLate {
                    self.propose(listing, self.in_force_from(answered_at));
                }
                Ok(())
            }
            Decision::WithdrawalAccepted {
                number,
                epoch,
                in_force_from,
                ..
            } => {
                let from = self.in_force_from(in_force_from);
                self.asset_mut(*number)?.withdrawn = Some((*epoch, from));
                Ok(())
            }
            Decision::Rules {
                version, in_force_from, ..
            } => {
                rules::check_known(*version)?;
                let from = self.in_force_from(in_force_from);
                self.state.rules.push((from, *version));
                Ok(())
            }
            Decision::LossAccepted {
                skipped_from,
                skipped_to,
                ..
            } => {
                if skipped_from < skipped_to {
                    self.state.skips.push_back((*skipped_from, *skipped_to));
                }
                Ok(())
            }
            Decision::Cut { number, epoch, cut, .. } => {
                self.add_cut(*number, *epoch, cut, offset)?;
                self.cross_cuts(offset, out)
            }
            // No other decision is the outcome of a question.
            _ => Ok(()),
        }
    }

    /// Answers a proposed listing, and stops before the next record until it is decided.
    fn answer_listing(
        &mut self,
        control_offset: Offset,
        listing: &Listing,
        offset: Offset,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        self.state.question = Some(OpenQuestion::Position);
        let asset = listing.terms.asset;
        let numbers = self.state.by_name.get(&asset).map_or(&[][..], Vec::as_slice);
        let listings = numbers
            .iter()
            .filter_map(|number| self.state.assets.get(usize::from(*number)));
        let newest_ms = listings.filter_map(|listed| listed.newest_ms).max();
        let answer = Inbox::ListingAnswer {
            source: self.source,
            control_offset,
            from: offset,
            unlisted: self.passed.times(listing, newest_ms),
        };
        out.push(Topic::Inbox.partition(0), &[], &codec::encode(&answer)?);
        Ok(())
    }

    /// Answers a proposed withdrawal or version of the rules, and stops before the next record until it is decided.
    fn answer_position(&mut self, control_offset: Offset, offset: Offset, out: &mut Outputs) -> Result<(), Fault> {
        self.state.question = Some(OpenQuestion::Position);
        let answer = Inbox::PositionAnswer {
            source: self.source,
            control_offset,
            from: offset,
        };
        out.push(Topic::Inbox.partition(0), &[], &codec::encode(&answer)?);
        Ok(())
    }

    /// Answers a close with the end of the partition, and reads no further than that until the cut is decided.
    fn answer_close(
        &mut self,
        at: AssetEpoch,
        offset: Offset,
        end: Option<Offset>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        // The reader detects a source file that shrank. A cut is never behind a record that was read.
        let answered = end.map(|end| end.max(offset));
        self.state.question = Some(OpenQuestion::Cut { at, answered });
        let answer = Inbox::CutAnswer {
            source: self.source,
            at,
            cut: answered.unwrap_or(offset),
        };
        out.push(Topic::Inbox.partition(0), &[], &codec::encode(&answer)?);
        Ok(())
    }

    /// Answers a loss of records of this partition, and reads nothing until it is decided.
    fn answer_loss(
        &mut self,
        control_offset: Offset,
        at: Offset,
        start: Offset,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        self.state.question = Some(OpenQuestion::Loss);
        let answer = Inbox::LossAnswer {
            source: self.source,
            control_offset,
            at,
            start,
        };
        out.push(Topic::Inbox.partition(0), &[], &codec::encode(&answer)?);
        Ok(())
    }

    fn asset_mut(&mut self, number: u16) -> Result<&mut IngestAsset, Fault> {
        self.state
            .assets
            .get_mut(usize::from(number))
            .ok_or_else(|| impossible(format!("a decision on asset number {number}, which is not listed")))
    }

    fn list(&mut self, number: u16, listing: &Listing, from: Offset) -> Result<(), Fault> {
        if usize::from(number) != self.state.assets.len() {
            return Err(impossible(format!("asset number {number} is listed out of order")));
        }
        self.state.by_name.entry(listing.terms.asset).or_default().push(number);
        self.state.assets.push(IngestAsset::new(listing, from, self.dedup_days));
        Ok(())
    }

    /// The offset of this partition in those of a decision. A source that was not asked has read nothing yet.
    fn in_force_from(&self, offsets: &Offsets) -> Offset {
        offsets.0.get(&self.source).copied().unwrap_or(Offset::START)
    }

    /// A proposed listing is decided, which this partition answered at offset `at`. The opening balances before it count at its anchor.
    fn propose(&mut self, listing: &Listing, at: Offset) {
        let (asset, anchor_ms) = (listing.terms.asset, listing.terms.calendar.anchor().get());
        self.passed.propose(asset, anchor_ms);
        self.state.proposed.entry(asset).or_default().push((at, anchor_ms));
    }

    /// Keeps this partition's part of a cut until its offset is reached.
    fn add_cut(&mut self, number: u16, epoch: Epoch, cut: &Offsets, offset: Offset) -> Result<(), Fault> {
        let source = self.source;
        let asset = self.asset_mut(number)?;
        match cut.0.get(&source) {
            Some(cut) => asset.cuts.push_back((*cut, epoch)),
            // A source that is not in the cut was added later. The epoch was always closed for it, and nobody waits for its barrier.
            None if offset == Offset::START && epoch == asset.oldest_open => {
                asset.oldest_open = epoch.next()?;
            }
            None => {
                return Err(impossible(format!(
                    "a cut of epoch {epoch} without {source}, which is at {offset}"
                )));
            }
        }
        Ok(())
    }
}
