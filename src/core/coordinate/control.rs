//! Control events: what is accepted, what is refused, what has to be asked first.

use std::collections::BTreeMap;

use arrayvec::ArrayVec;
use ruint::aliases::U512;

use crate::core::contract::appends::Outputs;
use crate::core::contract::control::Control;
use crate::core::contract::decision::{Decision, Offsets};
use crate::core::contract::event::{Envelope, Type};
use crate::core::contract::fields;
use crate::core::contract::listing::{AssetTerms, Listing, Programme};
use crate::core::contract::records::{DeadLetter, timestamp};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::topic::Topic;
use crate::core::coordinate::{Closing, Coordinator, ListedAsset, Pending, Question};
use crate::core::dedup::{DedupIndex, SeenEvent};
use crate::core::fault::{Fault, impossible};
use crate::core::ingest::decode::Decoded;
use crate::core::values::amount;
use crate::core::values::asset::Asset;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::time::TimeMs;

/// What is remembered of an applied control event: it is never forgotten.
pub(super) const fn applied(fingerprint: u128) -> SeenEvent {
    SeenEvent {
        fingerprint,
        postings: ArrayVec::new_const(),
    }
}

/// What a control event that is in order leads to.
enum Outcome {
    Done,
    Ask(Question),
}

impl Coordinator {
    /// Deals with the control record at `offset`.
    pub(super) fn control(
        &mut self,
        offset: u64,
        record: Vec<u8>,
        memory: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let (envelope, identity) = match Decoded::read(&record) {
            Decoded::Blank => return Ok(()),
            Decoded::Rejected(rejection) => return self.reject(offset, &record, &rejection, None, out),
            Decoded::Event(envelope, identity) => (envelope, identity),
        };
        let fingerprint = envelope.fingerprint();
        if let Some(seen) = memory.get(&identity) {
            if seen.fingerprint == fingerprint {
                return Ok(());
            }
            let rejection = Code::ConflictingDuplicate
                .because("an event with this `id` and `source` was applied already, with another type, time or data");
            return self.reject(
                offset,
                &record,
                &rejection,
                fields::time(envelope.time, "time").ok(),
                out,
            );
        }
        match self.judge(offset, &envelope, out)? {
            Ok(Outcome::Done) => {
                memory.insert(identity, applied(fingerprint));
                Ok(())
            }
            Ok(Outcome::Ask(question)) => {
                self.pending = Some(Pending {
                    asked: self.sources.clone(),
                    answers: BTreeMap::new(),
                    question,
                    control_offset: offset,
                    identity,
                    fingerprint,
                    payload: record,
                });
                Ok(())
            }
            Err(rejection) => {
                let time = fields::time(envelope.time, "time").ok();
                self.reject(offset, &record, &rejection, time, out)
            }
        }
    }

    /// Writes a dead letter for the control record at `offset`, and the decision that says so.
    fn reject(
        &mut self,
        offset: u64,
        payload: &[u8],
        rejection: &Rejection,
        time: Option<TimeMs>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        self.bury(offset, payload, rejection, time, out)?;
        self.decide(
            &Decision::Refused {
                control_offset: offset,
                code: rejection.code,
            },
            out,
        )
    }

    fn bury(
        &self,
        offset: u64,
        payload: &[u8],
        rejection: &Rejection,
        time: Option<TimeMs>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        DeadLetter {
            from: Topic::Control.partition(0),
            offset,
            payload,
            rejection,
            time,
        }
        .bury(out)
    }

    fn judge(
        &mut self,
        offset: u64,
        envelope: &Envelope<'_>,
        out: &mut Outputs,
    ) -> Result<Result<Outcome, Rejection>, Fault> {
        let read = || {
            let kind = Type::of(&envelope.kind)?;
            if !kind.is_control() {
                return Ok((TimeMs::from(0), Control::read(kind, envelope.data)?));
            }
            let time = fields::time(envelope.time, "time")?;
            Ok((time, Control::read(kind, envelope.data)?))
        };
        let (time, control) = match read() {
            Ok(read) => read,
            Err(rejection) => return Ok(Err(rejection)),
        };
        match control {
            Control::Listing(listing) => self.judge_listing(offset, *listing, out),
            Control::ValidatorReward { asset, amount, .. } => {
                let Some(listed) = self.listed(asset) else {
                    return Ok(Err(unknown(asset)));
                };
                let units = match amount.units(listed.terms.decimals) {
                    Ok(units) => units,
                    Err(error) => return Ok(Err(fields::bad_amount("amount", &error))),
                };
                let oldest = listed.oldest_open;
                let epoch = listed
                    .terms
                    .calendar
                    .epoch_of(time)
                    .map_or(oldest, |epoch| epoch.max(oldest));
                let amount = amount::format_units(units, listed.terms.decimals);
                let pot = listed.rewards.entry(epoch).or_default();
                *pot = pot
                    .checked_add(U512::from(units))
                    .ok_or(Fault::Overflow("a reward pool"))?;
                let added = Decision::RewardAdded {
                    control_offset: offset,
                    asset,
                    epoch,
                    amount,
                };
                self.decide(&added, out)?;
                Ok(Ok(Outcome::Done))
            }
            Control::EpochClose {
                asset,
                epoch,
                reward_pool,
            } => {
                let Some(number) = self.by_name.get(&asset).copied() else {
                    return Ok(Err(unknown(asset)));
                };
                let Some(listed) = self.listed(asset) else {
                    return Ok(Err(unknown(asset)));
                };
                let given = match reward_pool.map(|pool| pool.units(listed.terms.decimals)).transpose() {
                    Ok(given) => U512::from(given.unwrap_or(0)),
                    Err(error) => return Ok(Err(fields::bad_amount("reward_pool", &error))),
                };
                let closed = match close(listed, epoch, time) {
                    Ok(closed) => closed,
                    Err(rejection) => return Ok(Err(rejection)),
                };
                let rewards = listed.rewards.remove(&epoch).unwrap_or_default();
                let pool = given.checked_add(rewards).ok_or(Fault::Overflow("a reward pool"))?;
                listed.oldest_open = closed.next()?;
                listed.closing.insert(
                    closed,
                    Closing {
                        pool,
                        cut: None,
                        subtotals: BTreeMap::new(),
                        total: None,
                        receipts: BTreeMap::new(),
                        halted: None,
                    },
                );
                self.decide(
                    &Decision::CloseAccepted {
                        control_offset: offset,
                        asset,
                        number,
                        epoch: closed,
                    },
                    out,
                )?;
                Ok(Ok(Outcome::Ask(Question::Cut(AssetEpoch::new(number, closed)?))))
            }
        }
    }

    fn listed(&mut self, asset: Asset) -> Option<&mut ListedAsset> {
        let number = *self.by_name.get(&asset)?;
        self.assets.get_mut(usize::from(number))
    }

    fn judge_listing(
        &mut self,
        offset: u64,
        listing: Listing,
        out: &mut Outputs,
    ) -> Result<Result<Outcome, Rejection>, Fault> {
        let written = listing.to_value();
        let Listing { terms, programme } = listing;
        let from = programme.from_epoch;
        let refused = |reason: String| Ok(Err(Code::InvalidProgramme.because(reason)));
        let Some(number) = self.by_name.get(&terms.asset).copied() else {
            if from != Epoch::FIRST {
                return refused(format!(
                    "`from_epoch` of the first listing of {} must be 0, it is {from}",
                    terms.asset
                ));
            }
            if self.assets.len() > usize::from(u16::MAX) {
                return refused("no more than 65536 assets can be listed".into());
            }
            self.decide(
                &Decision::ListingProposed {
                    control_offset: offset,
                    listing: written.clone(),
                },
                out,
            )?;
            let question = Question::Listing {
                written: written.to_string(),
                terms,
                programme: Box::new(programme),
            };
            return Ok(Ok(Outcome::Ask(question)));
        };
        let listed = self
            .assets
            .get_mut(usize::from(number))
            .ok_or_else(|| impossible("a listed asset without a number"))?;
        if listed.terms != terms {
            return refused(format!(
                "{} is listed already; `decimals`, `anchor` and `epoch_seconds` never change",
                terms.asset
            ));
        }
        let newest = listed
            .programmes
            .last()
            .map_or(Epoch::FIRST, |programme| programme.from_epoch);
        if from <= listed.oldest_open || from <= newest {
            return refused(format!(
                "`from_epoch` is {from}; it must be later than epoch {}, the oldest open, and than epoch {newest}, from which the newest \
                 programme of {} is in force",
                listed.oldest_open, terms.asset
            ));
        }
        listed.programmes.push(programme);
        self.decide(
            &Decision::ProgrammeChanged {
                control_offset: offset,
                number,
                listing: written,
            },
            out,
        )?;
        Ok(Ok(Outcome::Done))
    }

    /// All source partitions have said whether they passed over postings of the asset.
    #[allow(clippy::too_many_arguments, reason = "the parts of one question and its answers")]
    pub(super) fn conclude_listing(
        &mut self,
        pending: &Pending,
        written: &str,
        terms: AssetTerms,
        programme: Programme,
        offsets: Offsets,
        memory: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let listing = serde_json::from_str(written).map_err(|error| Fault::Undecodable {
            what: "a pending listing",
            why: error.to_string(),
        })?;
        let anchor = terms.calendar.anchor();
        let late = pending.answers.iter().find(|(_, answer)| {
            answer.opening_passed || answer.newest_passed_ms.is_some_and(|newest| newest >= anchor.get())
        });
        let control_offset = pending.control_offset;
        if let Some((source, answer)) = late {
            let newest = answer.newest_passed_ms.map_or_else(
                || "opening balances".into(),
                |newest| format!("postings up to {}", timestamp(i128::from(newest))),
            );
            let rejection = Code::ListingTooLate.because(format!(
                "{newest} of {} were passed over on {source}, as it was not listed; list it again with a later `anchor`, and send opening balances \
                 for that anchor after the listing",
                terms.asset
            ));
            let time = Envelope::read(&pending.payload)
                .ok()
                .and_then(|envelope| fields::time(envelope.time, "time").ok());
            self.bury(control_offset, &pending.payload, &rejection, time, out)?;
            let code = rejection.code;
            return self.decide(
                &Decision::ListingRefused {
                    control_offset,
                    listing,
                    code,
                    answered_at: offsets,
                },
                out,
            );
        }
        memory.insert(pending.identity, applied(pending.fingerprint));
        let number = u16::try_from(self.assets.len()).map_err(|_| Fault::Overflow("an asset number"))?;
        self.by_name.insert(terms.asset, number);
        self.assets.push(ListedAsset {
            terms,
            programmes: vec![programme],
            oldest_open: Epoch::FIRST,
            next_seal: Epoch::FIRST,
            rewards: BTreeMap::new(),
            closing: BTreeMap::new(),
            carried: U512::ZERO,
            withheld: U512::ZERO,
        });
        self.decide(
            &Decision::ListingAccepted {
                control_offset,
                number,
                listing,
                in_force_from: offsets,
            },
            out,
        )
    }
}

fn unknown(asset: Asset) -> Rejection {
    Code::UnknownAsset.because(format!("`asset` is {asset}, which is not listed; list it first"))
}

/// The epoch that a close closes, if it may.
fn close(listed: &ListedAsset, epoch: Epoch, time: TimeMs) -> Result<Epoch, Rejection> {
    let asset = listed.terms.asset;
    let open = listed.oldest_open;
    if epoch < open {
        return Err(Code::EpochAlreadyClosed.because(format!(
            "`epoch` {epoch} of {asset} is closed already; the oldest open is {open}"
        )));
    }
    if epoch > open {
        return Err(Code::EpochOutOfOrder.because(format!(
            "`epoch` is {epoch}, but epoch {open} of {asset} has to be closed first"
        )));
    }
    let end = listed.terms.calendar.end_ms(epoch);
    if i128::from(time.get()) < end {
        return Err(Code::EpochNotOver.because(format!(
            "`time` is before the end of epoch {epoch} of {asset}, which is {}",
            timestamp(end)
        )));
    }
    Ok(listed.oldest_open)
}
