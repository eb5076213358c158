//! Applies a record of the control topic.

use std::collections::{BTreeMap, BTreeSet};

use ethnum::I256;

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::Decision;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::fields;
use crate::core::contract::listing::Listing;
use crate::core::contract::programme::schedule;
use crate::core::contract::records::DeadLetter;
use crate::core::contract::rejection::Rejection;
use crate::core::contract::rules;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::coordinate::listings::{Accepted, CloseOrder, ListedAssets, ListingFacts, judge};
use crate::core::coordinate::{ClosingEpoch, Coordinator, ListedAsset, PendingQuestion, SignedUnits, SourceQuestion};
use crate::core::dedup::{DedupIndex, SeenEvent, check_copy};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::SequencedRecord;
use crate::core::protocol::totals::signed_sum;
use crate::core::values::amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;
use crate::core::values::time::TimeMs;

impl ListedAssets for Coordinator {
    fn listings(&self, asset: Asset) -> Vec<ListingFacts<'_>> {
        let numbers = self.by_name.get(&asset).into_iter().flatten();
        let facts = |number: &u16| {
            let listed = self.assets.get(usize::from(*number))?;
            Some(ListingFacts {
                number: *number,
                terms: &listed.terms,
                misdated_from: listed.misdated_from,
                programmes: &listed.programmes,
                oldest_open: listed.oldest_open,
                withdrawn: listed.withdrawn,
                stopped: listed.stopped(),
            })
        };
        numbers.filter_map(facts).collect()
    }

    fn count(&self) -> usize {
        self.assets.len()
    }

    fn has_source(&self, source: TopicPartition) -> bool {
        self.sources.contains(&source)
    }

    fn rules(&self) -> u64 {
        self.rules
    }
}

impl Coordinator {
    /// Decides a control record, or asks the source partitions first.
    pub(super) fn apply_control(
        &mut self,
        record: SequencedRecord,
        seen_events: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let SequencedRecord {
            offset,
            bytes,
            known_rules,
        } = record;
        let (envelope, identity) = match Decoded::read(&bytes) {
            Decoded::Blank => return Ok(()),
            Decoded::Rejected(rejection) => return self.reject(offset, &bytes, &rejection, None, out),
            Decoded::Event(envelope, identity) => (envelope, identity),
        };
        let fingerprint = envelope.fingerprint;
        let judged = match seen_events.find(&identity, |_| true) {
            Some(seen) => match check_copy(seen.fingerprint, fingerprint) {
                Ok(()) => {
                    self.counts.duplicates = self.counts.duplicates.saturating_add(1);
                    return Ok(());
                }
                Err(rejection) => Err(rejection),
            },
            None => judge(&envelope, known_rules, self),
        };
        let accepted = match judged {
            Ok(accepted) => accepted,
            Err(rejection) => {
                let time = fields::time(envelope.time, "time").ok();
                return self.reject(offset, &bytes, &rejection, time, out);
            }
        };
        match self.accept(offset, accepted, out)? {
            None => self.keep_accepted(identity, fingerprint, seen_events),
            Some(question) => {
                self.pending = Some(PendingQuestion {
                    asked: match &question {
                        SourceQuestion::Loss(loss) => BTreeSet::from([loss.source()]),
                        _ => self.sources.clone(),
                    },
                    answers: BTreeMap::new(),
                    question,
                    control_offset: offset,
                    payload: bytes,
                    identity,
                    fingerprint,
                });
            }
        }
        Ok(())
    }

    /// Counts an accepted event, and keeps it to recognise copies of it.
    pub(super) fn keep_accepted(&mut self, identity: [u8; 16], fingerprint: u64, seen_events: &mut impl DedupIndex) {
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
            Accepted::ProgrammeChange { number, listing } => {
                self.change_programme(offset, number, listing, out).map(|()| None)
            }
            Accepted::Withdrawal { number, epoch } => self.propose_withdrawal(offset, number, epoch, out).map(Some),
            Accepted::PoolChange {
                number,
                epoch,
                units,
                is_adjustment,
            } => self
                .change_pool(offset, number, epoch, (units, is_adjustment), out)
                .map(|()| None),
            Accepted::Close {
                number,
                epoch,
                order,
                again,
            } => self.close(offset, AssetEpoch::new(number, epoch)?, order, again, out),
            Accepted::GateVerdict {
                number,
                epoch,
                is_release,
                by,
                reason,
            } => {
                let at = AssetEpoch::new(number, epoch)?;
                self.decide_held(offset, at, is_release, (by, reason), out)
                    .map(|()| None)
            }
            Accepted::Loss(loss) => {
                let proposed = Decision::LossProposed {
                    control_offset: offset,
                    loss: loss.clone(),
                };
                self.record_decision(&proposed, out)?;
                Ok(Some(SourceQuestion::Loss(loss)))
            }
            Accepted::Rules { version } => {
                // The sequencer may be of a newer program than this one.
                rules::check_known(version)?;
                let proposed = Decision::RulesProposed {
                    control_offset: offset,
                    version,
                };
                self.record_decision(&proposed, out)?;
                Ok(Some(SourceQuestion::Rules { version }))
            }
        }
    }

    fn propose(&mut self, offset: Offset, listing: Listing, out: &mut Outputs) -> Result<SourceQuestion, Fault> {
        let question = SourceQuestion::Listing {
            terms: listing.terms.clone(),
            misdated_from: listing.misdated_from,
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

    fn change_programme(
        &mut self,
        offset: Offset,
        number: u16,
        listing: Listing,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        schedule(&mut self.listed_mut(number)?.programmes, listing.programme.clone());
        self.record_decision(
            &Decision::ProgrammeChanged {
                control_offset: offset,
                number,
                listing: Box::new(listing),
            },
            out,
        )
    }

    fn propose_withdrawal(
        &mut self,
        offset: Offset,
        number: u16,
        epoch: Epoch,
        out: &mut Outputs,
    ) -> Result<SourceQuestion, Fault> {
        let asset = self.listed_mut(number)?.terms.asset;
        self.record_decision(
            &Decision::WithdrawalProposed {
                control_offset: offset,
                asset,
                number,
                epoch,
            },
            out,
        )?;
        Ok(SourceQuestion::Withdrawal { number, epoch })
    }

    /// Adds a reward or an adjustment to the pool of an open epoch, or of a void one.
    fn change_pool(
        &mut self,
        offset: Offset,
        number: u16,
        epoch: Epoch,
        (units, is_adjustment): (I256, bool),
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let listed = self.listed_mut(number)?;
        let pool = match listed.closing.get_mut(&epoch) {
            Some(void) => &mut void.added,
            None => listed.added.entry(epoch).or_insert(SignedUnits(I256::ZERO)),
        };
        pool.0 = signed_sum(pool.0, units)?;
        let (asset, control_offset) = (listed.terms.asset, offset);
        let amount = listed.reward_amount(units);
        let decision = if is_adjustment {
            Decision::PoolAdjusted {
                control_offset,
                asset,
                epoch,
                amount,
            }
        } else {
            Decision::RewardAdded {
                control_offset,
                asset,
                epoch,
                amount,
            }
        };
        self.record_decision(&decision, out)
    }

    /// Closes an epoch. One that was void has a cut, so nobody is asked.
    fn close(
        &mut self,
        offset: Offset,
        at: AssetEpoch,
        order: CloseOrder,
        again: bool,
        out: &mut Outputs,
    ) -> Result<Option<SourceQuestion>, Fault> {
        let (number, epoch) = (at.number(), at.epoch());
        let listed = self.listed_mut(number)?;
        if again {
            let closing = listed.closing.get_mut(&epoch);
            let closing = closing.ok_or_else(|| impossible("a new close of an epoch that is not void"))?;
            *closing = ClosingEpoch {
                cut: closing.cut.take(),
                ..ClosingEpoch::new(order, closing.added)
            };
        } else {
            let added = listed.added.remove(&epoch).unwrap_or_default();
            listed.oldest_open = epoch.next()?;
            listed.closing.insert(epoch, ClosingEpoch::new(order, added));
        }
        let decision = Decision::CloseAccepted {
            control_offset: offset,
            asset: listed.terms.asset,
            number,
            epoch,
            reward_pool: amount::format_units(order.reward_pool, listed.terms.reward_decimals()),
            apr: order.rates.apr.map(|rate| rate.to_string()),
            reward_rate: order.rates.reward_rate.map(|rate| rate.to_string()),
            is_last: order.is_last,
            again,
        };
        self.record_decision(&decision, out)?;
        if again {
            self.send_settlement(at, out)?;
            return Ok(None);
        }
        Ok(Some(SourceQuestion::Cut(at)))
    }

    pub(super) fn listed_mut(&mut self, number: u16) -> Result<&mut ListedAsset, Fault> {
        self.assets.get_mut(usize::from(number)).ok_or_else(|| {
            impossible(format!(
                "an accepted control event of listing {number}, which does not exist"
            ))
        })
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
