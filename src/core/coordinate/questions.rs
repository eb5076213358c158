//! Questions to all source partitions: collects the answers, and decides when all are in.

use std::collections::BTreeMap;

use ethnum::I256;

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::envelope::Envelope;
use crate::core::contract::fields;
use crate::core::contract::listing::Listing;
use crate::core::contract::programme::Programme;
use crate::core::contract::rejection::Rejection;
use crate::core::contract::topic::TopicPartition;
use crate::core::coordinate::listings::{ListingAnswer, check_in_time};
use crate::core::coordinate::{AnswerTo, Coordinator, ListedAsset, PendingQuestion, SourceAnswer, SourceQuestion};
use crate::core::dedup::DedupIndex;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Notice, Settlement};
use crate::core::protocol::totals::signed_sum;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;
use crate::core::values::time::timestamp;

impl Coordinator {
    /// Keeps the answer of `source` to the pending question.
    pub(super) fn add_answer(
        &mut self,
        source: TopicPartition,
        to: AnswerTo,
        answer: SourceAnswer,
    ) -> Result<(), Fault> {
        let stray = || impossible(format!("{source} answers a question that it was not asked"));
        let pending = self.pending.as_mut().ok_or_else(stray)?;
        let is_meant = match (&pending.question, to) {
            (SourceQuestion::Listing { .. }, AnswerTo::Listing(offset)) => offset == pending.control_offset,
            (SourceQuestion::Withdrawal { .. } | SourceQuestion::Rules { .. }, AnswerTo::Position(offset)) => {
                offset == pending.control_offset
            }
            (SourceQuestion::Cut(asked), AnswerTo::Cut(at)) => *asked == at,
            (SourceQuestion::Loss(_), AnswerTo::Loss(offset)) => offset == pending.control_offset,
            _ => false,
        };
        if !is_meant || !pending.asked.contains(&source) || pending.answers.insert(source, answer).is_some() {
            return Err(stray());
        }
        Ok(())
    }

    /// Decides a question to which all answers are in.
    pub(super) fn conclude(
        &mut self,
        pending: PendingQuestion,
        seen_events: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let offsets = pending.offsets();
        match &pending.question {
            SourceQuestion::Listing {
                terms,
                misdated_from,
                programme,
            } => {
                let listing = Listing {
                    terms: terms.clone(),
                    misdated_from: *misdated_from,
                    programme: Programme::clone(programme),
                };
                let not_counted = match check_in_time(terms, &pending.listing_answers()) {
                    Ok(newest) => newest.map(|newest| timestamp(i128::from(newest))),
                    Err(rejection) => return self.reject_listing(&pending, &rejection, listing, offsets, out),
                };
                self.keep_accepted(pending.identity, pending.fingerprint, seen_events);
                self.list(pending.control_offset, listing, offsets, not_counted, out)
            }
            SourceQuestion::Withdrawal { number, epoch } => {
                self.keep_accepted(pending.identity, pending.fingerprint, seen_events);
                self.withdraw(pending.control_offset, *number, *epoch, offsets, out)
            }
            SourceQuestion::Rules { version } => {
                self.keep_accepted(pending.identity, pending.fingerprint, seen_events);
                self.rules = *version;
                let in_force = Decision::Rules {
                    control_offset: Some(pending.control_offset),
                    version: *version,
                    in_force_from: offsets,
                };
                self.record_decision(&in_force, out)
            }
            SourceQuestion::Cut(at) => {
                self.keep_accepted(pending.identity, pending.fingerprint, seen_events);
                self.take_cut(*at, offsets, out)
            }
            SourceQuestion::Loss(loss) => {
                let answer = pending.answers.get(&loss.source()).copied().unwrap_or_default();
                self.keep_accepted(pending.identity, pending.fingerprint, seen_events);
                self.record_decision(
                    &Decision::LossAccepted {
                        control_offset: pending.control_offset,
                        loss: loss.clone(),
                        skipped_from: answer.offset,
                        skipped_to: loss.skipped_to(answer.offset, answer.start),
                    },
                    out,
                )
            }
        }
    }

    fn reject_listing(
        &mut self,
        pending: &PendingQuestion,
        rejection: &Rejection,
        listing: Listing,
        answered_at: Offsets,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let time = Envelope::read(&pending.payload)
            .ok()
            .and_then(|envelope| fields::time(envelope.time, "time").ok());
        let control_offset = pending.control_offset;
        self.write_dead_letter(control_offset, &pending.payload, rejection, time, out)?;
        self.record_decision(
            &Decision::ListingRefused {
                control_offset,
                listing: Box::new(listing),
                code: rejection.code,
                answered_at,
            },
            out,
        )
    }

    fn list(
        &mut self,
        control_offset: Offset,
        listing: Listing,
        in_force_from: Offsets,
        newest_not_counted: Option<String>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let number = u16::try_from(self.assets.len()).map_err(|_| Fault::Overflow("the number of a listing"))?;
        let first = listing.terms.calendar.first();
        self.by_name.entry(listing.terms.asset).or_default().push(number);
        self.assets.push(ListedAsset {
            terms: listing.terms.clone(),
            misdated_from: listing.misdated_from,
            programmes: vec![listing.programme.clone()],
            oldest_open: first,
            next_seal: first,
            withdrawn: None,
            added: BTreeMap::new(),
            closing: BTreeMap::new(),
            carried: I256::ZERO,
            withheld: I256::ZERO,
            rewarded_before: None,
            gate_waits: false,
        });
        self.record_decision(
            &Decision::ListingAccepted {
                control_offset,
                number,
                listing: Box::new(listing),
                in_force_from,
                newest_not_counted,
            },
            out,
        )
    }

    /// Ends a listing.
    fn withdraw(
        &mut self,
        control_offset: Offset,
        number: u16,
        epoch: Epoch,
        in_force_from: Offsets,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let listed = self.listed_mut(number)?;
        listed.withdrawn = Some(epoch);
        let dropped = listed.added.split_off(&epoch);
        let dropped = dropped
            .values()
            .try_fold(I256::ZERO, |sum, units| signed_sum(sum, units.0))?;
        let decision = Decision::WithdrawalAccepted {
            control_offset,
            asset: listed.terms.asset,
            number,
            epoch,
            in_force_from,
            dropped: listed.reward_amount(dropped),
        };
        self.record_decision(&decision, out)
    }

    /// Records a cut, and sends the settlement of its epoch to every ledger partition.
    fn take_cut(&mut self, at: AssetEpoch, cut: Offsets, out: &mut Outputs) -> Result<(), Fault> {
        let listed = self.listed_mut(at.number())?;
        let asset = listed.terms.asset;
        let closing = listed
            .closing
            .get_mut(&at.epoch())
            .ok_or_else(|| impossible("a cut of an epoch that is not closing"))?;
        closing.cut = Some(cut.clone());
        let decision = Decision::Cut {
            asset,
            number: at.number(),
            epoch: at.epoch(),
            cut,
        };
        self.record_decision(&decision, out)?;
        self.send_settlement(at, out)
    }

    /// Sends the settlement of an epoch that has a cut to every ledger partition.
    pub(super) fn send_settlement(&mut self, at: AssetEpoch, out: &mut Outputs) -> Result<(), Fault> {
        let settlement = self.listed_mut(at.number())?.settlement(at)?;
        self.broadcast(&Notice::Settle(Box::new(settlement)), out)
    }
}

impl ListedAsset {
    /// The settlement of an epoch that has a cut.
    pub(super) fn settlement(&self, at: AssetEpoch) -> Result<Settlement, Fault> {
        let closing = self.closing.get(&at.epoch());
        let (Some(closing), Some(cut)) = (closing, closing.and_then(|closing| closing.cut.clone())) else {
            return Err(impossible("a settlement without a cut"));
        };
        Ok(Settlement {
            at,
            rules: closing.order.rules,
            terms: self.terms.clone(),
            programme: self.programme(at.epoch())?.clone(),
            cut,
            rates: closing.order.rates,
            is_last: closing.order.is_last,
        })
    }
}

impl PendingQuestion {
    fn listing_answers(&self) -> Vec<ListingAnswer> {
        let answers = self.answers.iter();
        answers
            .map(|(source, answer)| ListingAnswer {
                source: *source,
                from: answer.offset,
                unlisted: answer.unlisted,
            })
            .collect()
    }
}
