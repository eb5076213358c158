//! Applies a record of the source partition.

use std::borrow::Cow;

use arrayvec::ArrayVec;

use crate::core::contract::appends::Outputs;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::envelope::Envelope;
use crate::core::contract::event::{MAX_LEGS, SourceEvent};
use crate::core::contract::fields;
use crate::core::contract::programme::LatePolicy;
use crate::core::contract::records::{DeadLetter, LatePosting};
use crate::core::contract::rejection::{Code, NotApplied, Rejection};
use crate::core::contract::topic::Topic;
use crate::core::dedup::{DedupIndex, PostingEpochs, SeenEvent, check_copy};
use crate::core::fault::Fault;
use crate::core::ingest::judge::{early_event, locate, read_event};
use crate::core::ingest::legs::{Leg, LegSort, visit_legs};
use crate::core::ingest::{Ingest, IngestAsset};
use crate::core::protocol::ledger::{Adjustment, LateEntry, Posting, StatusEntry};
use crate::core::values::account::AccountName;
use crate::core::values::amount;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;
use crate::core::values::time::{TimeMs, timestamp};

/// The legs of an event that are judged. They are written here, and not returned one by one: that would copy each several times.
#[derive(Default)]
struct JudgedLegs<'e> {
    accepted: ArrayVec<AcceptedLeg<'e>, MAX_LEGS>,
    ignored: ArrayVec<(&'e Asset, LegSort, IgnoredLeg), MAX_LEGS>,
    /// The last account, and its bucket. Most trades have two legs for each account, one after the other.
    last_bucket: Option<(&'e AccountName<'e>, u16)>,
}

impl<'e> JudgedLegs<'e> {
    /// The index of the leg that is judged next.
    const fn next_index(&self) -> usize {
        self.accepted.len() + self.ignored.len()
    }

    fn ignore(&mut self, leg: &Leg<'e>, why: IgnoredLeg) {
        self.ignored.push((leg.asset, leg.sort, why));
    }

    #[inline]
    fn bucket(&mut self, account: &'e AccountName<'e>) -> u16 {
        match self.last_bucket {
            Some((known, bucket)) if std::ptr::eq(known, account) => bucket,
            _ => self.last_bucket.insert((account, bucket(account.as_str()))).1,
        }
    }
}

/// Why a leg is ignored.
#[derive(Clone, Copy)]
enum IgnoredLeg {
    /// Its asset is not listed.
    Unlisted,
    /// It is an opening balance of the listing with this number, of which no epoch is open any more.
    Ended(u16),
    /// It lies before the anchor of the listing with this number.
    BeforeAnchor(u16),
}

/// The listing that a leg belongs to.
enum LegOwner<'a> {
    Nobody,
    /// It is an opening balance of this listing, of which no epoch is open any more.
    Ended(u16),
    Listing(u16, &'a IngestAsset),
}

/// A leg that counts.
struct AcceptedLeg<'e> {
    /// For a reward: in units of the reward asset, and without a time before the end.
    posting: Posting<'e>,
    kind: AcceptedKind,
    /// The time at which it counts.
    time: TimeMs,
    /// Few are late, and the others are copied less.
    late: Option<Box<Lateness>>,
}

/// Which entry of the ledger a leg becomes.
enum AcceptedKind {
    Posting,
    /// As the fields of [`LateEntry`].
    Late {
        missed: Epoch,
        before_missed_end_ms: u64,
    },
    Adjustment,
}

/// What the report of a late posting says.
struct Lateness {
    /// The index of its leg in the event.
    index: usize,
    asset: Asset,
    decimals: u8,
    missed_epoch: Epoch,
    /// `carry` for a reward, which has no policy.
    policy: LatePolicy,
    applied_end_ms: i128,
}

impl Ingest {
    /// Applies the record at `offset`. All records below it must have been applied, and `offset` must be below
    /// [`Ingest::limit`].
    ///
    /// # Errors
    /// A fault. A bad record is none: it becomes a dead letter.
    pub fn apply_record(
        &mut self,
        offset: Offset,
        value: &[u8],
        decoded: &Decoded<'_>,
        seen_events: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        if offset >= self.next_cut {
            self.cross_cuts(offset, out)?;
        }
        match decoded {
            Decoded::Blank => {
                self.state.counts.blank += 1;
                Ok(())
            }
            Decoded::Rejected(rejection) => self.write_dead_letter(offset, value, rejection, None, out),
            Decoded::Event(envelope, identity) => {
                match self.apply_event(offset, envelope, identity, seen_events, out) {
                    Ok(()) => Ok(()),
                    Err(NotApplied::Rejected(rejection)) => {
                        let time = fields::time(envelope.time, "time").ok();
                        self.write_dead_letter(offset, value, &rejection, time, out)
                    }
                    Err(NotApplied::Fault(fault)) => Err(fault),
                }
            }
        }
    }

    fn write_dead_letter(
        &mut self,
        offset: Offset,
        payload: &[u8],
        rejection: &Rejection,
        time: Option<TimeMs>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        self.state.counts.dead_letters.add(rejection.code);
        DeadLetter::new(self.source, offset, payload, rejection).append(time, out)
    }

    fn apply_event(
        &mut self,
        offset: Offset,
        envelope: &Envelope<'_>,
        identity: &[u8; 16],
        seen_events: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<(), NotApplied> {
        let fingerprint = envelope.fingerprint;
        if let Some(seen) = seen_events.find(identity, |seen| !self.is_expired(seen)) {
            check_copy(seen.fingerprint, fingerprint)?;
            self.state.counts.duplicates += 1;
            return Ok(());
        }
        let rules = self.rules_at(offset);
        let late;
        let (time, event) = match early_event(envelope, rules) {
            Some(early) => early,
            None => {
                late = read_event(envelope, rules)?;
                (late.0, late.1.as_ref())
            }
        };
        let mut seen = SeenEvent::without_postings(fingerprint);
        if let SourceEvent::AccountStatus { account, status, asset } = event {
            let bucket = bucket(account.as_str());
            self.block(bucket).status(&StatusEntry {
                bucket,
                account: account.borrowed(),
                offset,
                time_ms: time.get(),
                id: &envelope.id,
                status: *status,
                asset: *asset,
            });
        } else {
            self.apply_legs(offset, envelope, time, event, &mut seen.postings, out)?;
            if seen.postings.is_empty() {
                self.state.counts.ignored += 1;
                return Ok(());
            }
        }
        self.state.counts.applied += 1;
        seen_events.insert(*identity, seen);
        Ok(())
    }

    /// Whether a seen event is too old to be recognised. A copy of it is then rejected because of its age.
    fn is_expired(&self, seen: &SeenEvent) -> bool {
        seen.postings.iter().any(|at| {
            self.state
                .assets
                .get(usize::from(at.number()))
                .is_some_and(|asset| at.epoch() < asset.oldest_kept())
        })
    }

    /// Judges all legs of an event, then applies those that count, and adds their epochs.
    fn apply_legs(
        &mut self,
        offset: Offset,
        envelope: &Envelope<'_>,
        time: TimeMs,
        event: &SourceEvent<'_>,
        epochs: &mut PostingEpochs,
        out: &mut Outputs,
    ) -> Result<(), NotApplied> {
        let mut judged = JudgedLegs::default();
        visit_legs(event, |leg| self.judge_leg(offset, &leg, time, &mut judged))?;
        // From here on, nothing is rejected.
        for (asset, sort, why) in &judged.ignored {
            self.note_ignored(**asset, *sort, *why, time, offset);
        }
        for leg in &judged.accepted {
            let mut at = leg.posting.at;
            if let Some(late) = &leg.late {
                self.report_late(offset, envelope, leg, late, out)?;
                self.state.counts.late += 1;
                // A second copy is judged by the epoch of its time, not by the epoch it was applied to.
                at = AssetEpoch::new(at.number(), late.missed_epoch)?;
            }
            self.state.counts.postings += 1;
            self.passed.note_listed(at.number(), leg.time.get());
            self.add_leg(leg);
            if !epochs.contains(&at) {
                epochs.push(at);
            }
        }
        Ok(())
    }

    fn add_leg(&mut self, leg: &AcceptedLeg<'_>) {
        let posting = &leg.posting;
        let block = self.block(posting.bucket);
        match leg.kind {
            AcceptedKind::Posting => block.posting(posting),
            AcceptedKind::Late {
                missed,
                before_missed_end_ms,
            } => block.late(&LateEntry {
                posting: posting.clone(),
                missed,
                before_missed_end_ms,
            }),
            AcceptedKind::Adjustment => block.adjustment(&Adjustment {
                bucket: posting.bucket,
                account: posting.account.borrowed(),
                at: posting.at,
                delta: posting.delta,
            }),
        }
    }

    /// Finds out what becomes of one leg: a posting with its epoch, or a leg that is ignored.
    fn judge_leg<'e>(
        &self,
        offset: Offset,
        leg: &Leg<'e>,
        time: TimeMs,
        judged: &mut JudgedLegs<'e>,
    ) -> Result<(), Rejection> {
        let (number, listed) = match self.owner(leg, time, offset) {
            LegOwner::Nobody => {
                judged.ignore(leg, IgnoredLeg::Unlisted);
                return Ok(());
            }
            LegOwner::Ended(number) => {
                judged.ignore(leg, IgnoredLeg::Ended(number));
                return Ok(());
            }
            LegOwner::Listing(number, listed) => (number, listed),
        };
        let Some(located) = locate(leg, time, &listed.facts())? else {
            judged.ignore(leg, IgnoredLeg::BeforeAnchor(number));
            return Ok(());
        };
        let (asset, epoch, oldest) = (leg.asset, located.epoch, listed.oldest_open);
        if epoch < listed.oldest_kept() {
            return Err(Code::TooOld.because(format!(
                "`time` lies in epoch {epoch} of {asset}, more than {} days ({} epochs) behind epoch {oldest}, the oldest open: whether it \
                 was applied before is no longer known; send it as a balance adjustment with a time of today if it was not",
                self.dedup_days, listed.dedup_epochs
            )));
        }
        let applied = epoch.max(oldest);
        let end_ms = listed.calendar.end_ms(applied);
        let late = (epoch < oldest).then(|| {
            Box::new(Lateness {
                index: judged.next_index(),
                asset: *asset,
                decimals: match leg.sort {
                    LegSort::Reward => listed.reward_decimals,
                    LegSort::Balance | LegSort::Opening => listed.decimals,
                },
                missed_epoch: epoch,
                policy: match leg.sort {
                    LegSort::Reward => LatePolicy::Carry,
                    LegSort::Balance | LegSort::Opening => listed.late_policy(applied),
                },
                applied_end_ms: end_ms,
            })
        });
        let before = |end_ms: i128| {
            u64::try_from(end_ms - i128::from(located.time.get()))
                .map_err(|_| Code::InvalidTime.because("`time` lies beyond what can be counted"))
        };
        let at = AssetEpoch::new(number, applied).map_err(|_| {
            Code::TooFarAhead.because(format!("epoch {applied} of {asset} is beyond what can be counted"))
        })?;
        let (kind, before_end_ms) = if leg.sort == LegSort::Reward {
            (AcceptedKind::Adjustment, 0)
        } else {
            match late.as_ref().map(|late| late.policy) {
                None | Some(LatePolicy::Carry) => (AcceptedKind::Posting, before(end_ms)?),
                Some(LatePolicy::Forfeit) => (AcceptedKind::Posting, listed.calendar.length_ms()),
                Some(LatePolicy::Resettle) => {
                    let late = AcceptedKind::Late {
                        missed: epoch,
                        before_missed_end_ms: before(listed.calendar.end_ms(epoch))?,
                    };
                    (late, listed.calendar.length_ms())
                }
            }
        };
        let bucket = judged.bucket(leg.account);
        judged.accepted.push(AcceptedLeg {
            posting: Posting {
                bucket,
                account: leg.account.borrowed(),
                at,
                delta: located.delta,
                before_end_ms,
            },
            kind,
            time: located.time,
            late,
        });
        Ok(())
    }

    /// Whether a leg that is read at `offset`, of an event from `time`, belongs to a listing.
    #[must_use]
    pub fn lists(&self, leg: &Leg<'_>, time: TimeMs, offset: Offset) -> bool {
        matches!(self.owner(leg, time, offset), LegOwner::Listing(..))
    }

    /// The listing that a leg belongs to.
    fn owner(&self, leg: &Leg<'_>, time: TimeMs, offset: Offset) -> LegOwner<'_> {
        for number in self.state.by_name.get(leg.asset).into_iter().flatten() {
            let Some(listed) = self.state.assets.get(usize::from(*number)) else {
                break;
            };
            if offset < listed.from {
                break;
            }
            let Some((end, _)) = listed.withdrawn.filter(|(_, from)| *from <= offset) else {
                return LegOwner::Listing(*number, listed);
            };
            // A later date is for the next listing, and so is every date if this one had no epoch.
            let had_no_epoch = end <= listed.calendar.first();
            if had_no_epoch || i128::from(time.get()) >= listed.calendar.start_ms(end) {
                continue;
            }
            if listed.oldest_open < end {
                return LegOwner::Listing(*number, listed);
            }
            if leg.sort == LegSort::Opening {
                return LegOwner::Ended(*number);
            }
        }
        LegOwner::Nobody
    }

    /// Counts a leg that is ignored, and notes its time for a listing that comes later.
    fn note_ignored(&mut self, asset: Asset, sort: LegSort, why: IgnoredLeg, time: TimeMs, offset: Offset) {
        let (counts, passed) = (&mut self.state.counts, &mut self.passed);
        match why {
            IgnoredLeg::Unlisted => {
                counts.unlisted += 1;
                if sort == LegSort::Opening {
                    let proposed = self.state.proposed.get(&asset);
                    passed.note_opening(asset, offset, proposed.map_or(&[], Vec::as_slice));
                } else {
                    passed.note_unlisted(asset, time.get());
                }
            }
            IgnoredLeg::Ended(number) => {
                counts.unlisted += 1;
                if let Some(listed) = self.state.assets.get(usize::from(number)) {
                    passed.note_listed(number, listed.calendar.anchor().get());
                }
            }
            IgnoredLeg::BeforeAnchor(number) => {
                counts.before_anchor += 1;
                passed.note_listed(number, time.get());
            }
        }
    }

    fn report_late(
        &self,
        offset: Offset,
        envelope: &Envelope<'_>,
        leg: &AcceptedLeg<'_>,
        late: &Lateness,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let (posting, account) = (&leg.posting, &leg.posting.account);
        let report = LatePosting {
            event_id: Cow::Borrowed(&envelope.id),
            event_source: Cow::Borrowed(&envelope.source),
            account: account.as_str().into(),
            asset: late.asset,
            delta: amount::format_signed_units(posting.delta, late.decimals).into(),
            event_time: timestamp(i128::from(leg.time.get())).into(),
            missed_epoch: late.missed_epoch,
            applied_epoch: posting.at.epoch(),
            policy: late.policy.name().into(),
        };
        let id = format!("{}:{offset}:{}", self.source, late.index);
        let end = timestamp(late.applied_end_ms);
        let mut written = Ok(());
        out.push_with(
            Topic::LatePostings.partition(0),
            account.as_str().as_bytes(),
            |record| {
                written = report.write(record, &id, &end);
            },
        );
        written
    }
}
