//! Applies a record of the control topic.

use std::collections::{BTreeMap, BTreeSet};

use ruint::aliases::U512;

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::Decision;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::fields;
use crate::core::contract::listing::Listing;
use crate::core::contract::records::DeadLetter;
use crate::core::contract::rejection::Rejection;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::coordinate::listings::{Accepted, ListedAssets, ListingFacts, judge};
use crate::core::coordinate::{ClosingEpoch, Coordinator, ListedAsset, PendingQuestion, SourceQuestion};
use crate::core::dedup::{DedupIndex, SeenEvent, check_copy};
use crate::core::fault::{Fault, impossible};
use crate::core::values::amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;
use crate::core::values::time::TimeMs;

impl ListedAssets for Coordinator {
    fn find(&self, asset: Asset) -> Option<ListingFacts<'_>> {
        let number = *self.by_name.get(&asset)?;
        let listed = self.assets.get(usize::from(number))?;
        Some(ListingFacts {
            terms: &listed.terms,
            oldest_open: listed.oldest_open,
            newest_from: listed
                .programmes
                .last()
                .map_or(Epoch::FIRST, |programme| programme.from_epoch),
        })
    }

    fn count(&self) -> usize {
        self.assets.len()
    }

    fn has_source(&self, source: TopicPartition) -> bool {
        self.sources.contains(&source)
    }
}

impl Coordinator {
    /// Decides the control record at `offset`, or asks the source partitions first.
    pub(super) fn apply_control(
        &mut self,
        offset: Offset,
        record: Vec<u8>,
        seen_events: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let (envelope, identity) = match Decoded::read(&record) {
            Decoded::Blank => return Ok(()),
            Decoded::Rejected(rejection) => return self.reject(offset, &record, &rejection, None, out),
            Decoded::Event(envelope, identity) => (envelope, identity),
        };
        let fingerprint = envelope.fingerprint();
        let judged = match seen_events.get(&identity) {
            Some(seen) => match check_copy(seen.fingerprint, fingerprint) {
                Ok(()) => {
                    self.counts.duplicates = self.counts.duplicates.saturating_add(1);
                    return Ok(());
                }
                Err(rejection) => Err(rejection),
            },
            None => judge(&envelope, self),
        };
        let accepted = match judged {
            Ok(accepted) => accepted,
            Err(rejection) => {
                let time = fields::time(envelope.time, "time").ok();
                return self.reject(offset, &record, &rejection, time, out);
            }
        };
        match self.accept(offset, accepted, out)? {
            None => self.keep_accepted(identity, fingerprint, seen_events),
            Some(question) => {
                self.pending = Some(PendingQuestion {
                    asked: match &question {
                        SourceQuestion::Loss(loss) => BTreeSet::from([loss.source()]),
                        SourceQuestion::Listing { .. } | SourceQuestion::Cut(_) => self.sources.clone(),
                    },
                    answers: BTreeMap::new(),
                    question,
                    control_offset: offset,
                    payload: record,
                    identity,
                    fingerprint,
                });
            }
        }
        Ok(())
    }

    /// Counts an accepted event, and keeps it to recognise copies of it.
    pub(super) fn keep_accepted(&mut self, identity: [u8; 16], fingerprint: u128, seen_events: &mut impl DedupIndex) {
        self.counts.accepted = self.counts.accepted.saturating_add(1);
        seen_events.insert(identity, SeenEvent::without_postings(fingerprint));
    }

    /// Writes a dead letter for the control record at `offset`, and records the decision.
    fn reject(
        &mut self,
        offset: Offset,
        payload: &[u8],
        rejection: &Rejection,
        time: Option<TimeMs>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        self.write_dead_letter(offset, payload, rejection, time, out)?;
        self.record_decision(
            &Decision::Refused {
                control_offset: offset,
                code: rejection.code,
            },
            out,
        )
    }

    /// Applies an accepted control event. Returns the question to ask before it is decided, if there is one.
    fn accept(
        &mut self,
        offset: Offset,
        accepted: Accepted,
        out: &mut Outputs,
    ) -> Result<Option<SourceQuestion>, Fault> {
        match accepted {
            Accepted::FirstListing(listing) => self.propose(offset, listing, out).map(Some),
            Accepted::ProgrammeChange(listing) => self.change_programme(offset, listing, out).map(|()| None),
            Accepted::Reward { asset, epoch, units } => {
                self.add_reward(offset, asset, epoch, units, out).map(|()| None)
            }
            Accepted::Close { asset, epoch, pool } => self.close(offset, asset, epoch, pool, out).map(Some),
            Accepted::Loss(loss) => {
                let proposed = Decision::LossProposed {
                    control_offset: offset,
                    loss: loss.clone(),
                };
                self.record_decision(&proposed, out)?;
                Ok(Some(SourceQuestion::Loss(loss)))
            }
        }
    }

    fn propose(&mut self, offset: Offset, listing: Listing, out: &mut Outputs) -> Result<SourceQuestion, Fault> {
        let question = SourceQuestion::Listing {
            json: listing.to_value().to_string(),
            terms: listing.terms.clone(),
            programme: Box::new(listing.programme.clone()),
        };
        self.record_decision(
            &Decision::ListingProposed {
                control_offset: offset,
                listing: Box::new(listing),
            },
            out,
        )?;
        Ok(question)
    }

    fn change_programme(&mut self, offset: Offset, listing: Listing, out: &mut Outputs) -> Result<(), Fault> {
        let (number, listed) = self.listed_mut(listing.terms.asset)?;
        listed.programmes.push(listing.programme.clone());
        self.record_decision(
            &Decision::ProgrammeChanged {
                control_offset: offset,
                number,
                listing: Box::new(listing),
            },
            out,
        )
    }

    fn add_reward(
        &mut self,
        offset: Offset,
        asset: Asset,
        epoch: Epoch,
        units: u128,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let (_, listed) = self.listed_mut(asset)?;
        let pool = listed.rewards.entry(epoch).or_default();
        *pool = pool
            .checked_add(U512::from(units))
            .ok_or(Fault::Overflow("a reward pool"))?;
        let amount = amount::format_units(units, listed.terms.decimals);
        self.record_decision(
            &Decision::RewardAdded {
                control_offset: offset,
                asset,
                epoch,
                amount,
            },
            out,
        )
    }

    fn close(
        &mut self,
        offset: Offset,
        asset: Asset,
        epoch: Epoch,
        given: u128,
        out: &mut Outputs,
    ) -> Result<SourceQuestion, Fault> {
        let (number, listed) = self.listed_mut(asset)?;
        let rewards = listed.rewards.remove(&epoch).unwrap_or_default();
        let pool = U512::from(given)
            .checked_add(rewards)
            .ok_or(Fault::Overflow("a reward pool"))?;
        listed.oldest_open = epoch.next()?;
        listed.closing.insert(epoch, ClosingEpoch::new(pool));
        self.record_decision(
            &Decision::CloseAccepted {
                control_offset: offset,
                asset,
                number,
                epoch,
            },
            out,
        )?;
        Ok(SourceQuestion::Cut(AssetEpoch::new(number, epoch)?))
    }

    fn listed_mut(&mut self, asset: Asset) -> Result<(u16, &mut ListedAsset), Fault> {
        let number = self.by_name.get(&asset).copied();
        number
            .and_then(|number| Some((number, self.assets.get_mut(usize::from(number))?)))
            .ok_or_else(|| impossible(format!("an accepted control event of {asset}, which is not listed")))
    }

    /// Writes a dead letter for the control record at `offset`.
    pub(super) fn write_dead_letter(
        &mut self,
        offset: Offset,
        payload: &[u8],
        rejection: &Rejection,
        time: Option<TimeMs>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        self.counts.dead_letters.add(rejection.code);
        DeadLetter::new(Topic::Control.partition(0), offset, payload, rejection).append(time, out)
    }
}
