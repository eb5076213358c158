//! Questions to all source partitions: collects the answers, and decides when all are in.

use std::collections::BTreeMap;

use ruint::aliases::U512;

use crate::core::contract::appends::Outputs;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::envelope::Envelope;
use crate::core::contract::fields;
use crate::core::contract::listing::{Listing, Programme, in_force};
use crate::core::contract::rejection::Rejection;
use crate::core::contract::topic::TopicPartition;
use crate::core::coordinate::listings::{ListingAnswer, check_in_time};
use crate::core::coordinate::{AnswerTo, Coordinator, ListedAsset, PendingQuestion, SourceAnswer, SourceQuestion};
use crate::core::dedup::DedupIndex;
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::messages::{Notice, Settlement};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;

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
            SourceQuestion::Listing { terms, programme, .. } => {
                let listing = Listing {
                    terms: terms.clone(),
                    programme: Programme::clone(programme),
                };
                if let Err(rejection) = check_in_time(terms, &pending.listing_answers()) {
                    return self.reject_listing(&pending, &rejection, listing, offsets, out);
                }
                self.keep_accepted(pending.identity, pending.fingerprint, seen_events);
                self.list(pending.control_offset, listing, offsets, out)
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
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let number = u16::try_from(self.assets.len()).map_err(|_| Fault::Overflow("an asset number"))?;
        self.by_name.insert(listing.terms.asset, number);
        self.assets.push(ListedAsset {
            terms: listing.terms.clone(),
            programmes: vec![listing.programme.clone()],
            oldest_open: Epoch::FIRST,
            next_seal: Epoch::FIRST,
            rewards: BTreeMap::new(),
            closing: BTreeMap::new(),
            carried: U512::ZERO,
            withheld: U512::ZERO,
        });
        self.record_decision(
            &Decision::ListingAccepted {
                control_offset,
                number,
                listing: Box::new(listing),
                in_force_from,
            },
            out,
        )
    }

    /// Records a cut, and sends the settlement of its epoch to every ledger partition.
    fn take_cut(&mut self, at: AssetEpoch, cut: Offsets, out: &mut Outputs) -> Result<(), Fault> {
        let listed = self
            .assets
            .get_mut(usize::from(at.number()))
            .ok_or_else(|| impossible("a cut of an asset that is not listed"))?;
        let terms = listed.terms.clone();
        let programme = in_force(&listed.programmes, at.epoch())
            .ok_or_else(|| impossible("an epoch without a programme"))?
            .clone();
        let closing = listed
            .closing
            .get_mut(&at.epoch())
            .ok_or_else(|| impossible("a cut of an epoch that is not closing"))?;
        closing.cut = Some(cut.clone());
        self.record_decision(
            &Decision::Cut {
                asset: terms.asset,
                number: at.number(),
                epoch: at.epoch(),
                cut: cut.clone(),
            },
            out,
        )?;
        let settlement = Settlement {
            at,
            terms,
            programme,
            cut,
        };
        self.broadcast(&Notice::Settle(Box::new(settlement)), out)
    }
}

impl PendingQuestion {
    fn listing_answers(&self) -> Vec<ListingAnswer> {
        let answers = self.answers.iter();
        answers
            .map(|(source, answer)| ListingAnswer {
                source: *source,
                from: answer.offset,
                newest_unlisted_ms: answer.newest_unlisted_ms,
                opening_unlisted: answer.opening_unlisted,
            })
            .collect()
    }
}
