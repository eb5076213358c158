//! What an ingest task does with a record.

use arrayvec::ArrayVec;

use crate::core::contract::appends::Outputs;
use crate::core::contract::event::{Envelope, Event, Type};
use crate::core::contract::listing::LatePolicy;
use crate::core::contract::records::{DeadLetter, LatePosting, timestamp};
use crate::core::contract::rejection::{Code, Rejection};
use crate::core::contract::topic::Topic;
use crate::core::contract::{fields, fingerprint};
use crate::core::dedup::{DedupIndex, SeenEvent};
use crate::core::fault::Fault;
use crate::core::ingest::posting::{Leg, MAX_POSTINGS, legs};
use crate::core::ingest::{Ingest, MAX_EPOCHS_AHEAD};
use crate::core::protocol::ledger::{Posting, StatusEntry};
use crate::core::values::amount;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::bucket;
use crate::core::values::ids::AssetEpoch;
use crate::core::values::time::TimeMs;

/// A record as far as it can be read without knowing anything else.
#[derive(Debug)]
pub enum Decoded<'a> {
    /// A blank line.
    Blank,
    /// No envelope.
    Refused(Rejection),
    /// An envelope, and the identity under which the event would be remembered.
    Event(Envelope<'a>, [u8; 16]),
}

impl<'a> Decoded<'a> {
    /// Reads a record's bytes.
    #[must_use]
    pub fn read(value: &'a [u8]) -> Self {
        if value.is_empty() {
            return Self::Blank;
        }
        match Envelope::read(value) {
            Ok(envelope) => {
                let identity = fingerprint::identity(&envelope.id, &envelope.source);
                Self::Event(envelope, identity)
            }
            Err(rejection) => Self::Refused(rejection),
        }
    }

    /// The identity to look up before the record is applied.
    #[must_use]
    pub const fn identity(&self) -> Option<&[u8; 16]> {
        match self {
            Self::Event(_, identity) => Some(identity),
            Self::Blank | Self::Refused(_) => None,
        }
    }
}

/// A posting that may be applied.
struct Planned<'e> {
    /// Its place among the event's postings.
    index: usize,
    account: &'e str,
    asset: Asset,
    at: AssetEpoch,
    delta: i128,
    before_end_ms: u64,
    late: Option<Late>,
}

struct Late {
    missed_epoch: u64,
    /// When it counts: an opening balance at its asset's anchor.
    time: TimeMs,
    policy: LatePolicy,
    decimals: u8,
    applied_end_ms: i128,
}

/// What becomes of one posting.
enum Verdict<'e> {
    Apply(Planned<'e>),
    Unlisted,
    BeforeAnchor,
}

impl Ingest {
    /// Applies the record at `offset`. All records below it have been applied, and `offset` is below [`Ingest::limit`].
    ///
    /// # Errors
    /// A fault. A bad record is none: it becomes a dead letter.
    pub fn record(
        &mut self,
        offset: u64,
        value: &[u8],
        decoded: &Decoded<'_>,
        memory: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        if offset >= self.next_cut {
            self.cross(offset, out)?;
        }
        match decoded {
            Decoded::Blank => {
                self.state.counts.blank += 1;
                Ok(())
            }
            Decoded::Refused(rejection) => self.bury(offset, value, rejection, None, out),
            Decoded::Event(envelope, identity) => match self.event(offset, envelope, identity, memory, out)? {
                Ok(()) => Ok(()),
                Err(rejection) => {
                    let time = fields::time(envelope.time, "time").ok();
                    self.bury(offset, value, &rejection, time, out)
                }
            },
        }
    }

    /// Writes a dead letter.
    fn bury(
        &mut self,
        offset: u64,
        payload: &[u8],
        rejection: &Rejection,
        time: Option<TimeMs>,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        self.state.counts.dead_letters += 1;
        DeadLetter {
            from: self.source,
            offset,
            payload,
            rejection,
            time,
        }
        .bury(out)
    }

    /// Applies an event, or says why not; a fault is the outer error.
    fn event(
        &mut self,
        offset: u64,
        envelope: &Envelope<'_>,
        identity: &[u8; 16],
        memory: &mut impl DedupIndex,
        out: &mut Outputs,
    ) -> Result<Result<(), Rejection>, Fault> {
        let fingerprint = envelope.fingerprint();
        if let Some(seen) = memory.get(identity)
            && !self.forgotten(seen)
        {
            if seen.fingerprint == fingerprint {
                self.state.counts.duplicates += 1;
                return Ok(Ok(()));
            }
            return Ok(Err(Code::ConflictingDuplicate.because(
                "an event with this `id` and `source` was applied already, with another type, time or data; \
                 a correction needs an `id` of its own",
            )));
        }
        let (time, event) = match read(envelope) {
            Ok(read) => read,
            Err(rejection) => return Ok(Err(rejection)),
        };
        if let Event::Status { account, status } = &event {
            self.note_status(&StatusEntry {
                bucket: bucket(account),
                account,
                offset,
                time_ms: time.get(),
                id: &envelope.id,
                status: *status,
            });
            self.state.counts.applied += 1;
            memory.insert(
                *identity,
                SeenEvent {
                    fingerprint,
                    postings: ArrayVec::new(),
                },
            );
            return Ok(Ok(()));
        }

        let opening = matches!(event, Event::OpeningBalance(_));
        let legs = legs(&event);
        let mut planned: ArrayVec<Planned<'_>, MAX_POSTINGS> = ArrayVec::new();
        let mut passed: ArrayVec<Asset, MAX_POSTINGS> = ArrayVec::new();
        let mut before_anchor = 0;
        for (index, leg) in legs.iter().enumerate() {
            match self.judge(offset, index, leg, time, opening) {
                Ok(Verdict::Apply(posting)) => planned.push(posting),
                Ok(Verdict::Unlisted) => passed.push(leg.asset),
                Ok(Verdict::BeforeAnchor) => before_anchor += 1,
                Err(rejection) => return Ok(Err(rejection)),
            }
        }
        // From here on nothing is refused.
        self.state.counts.before_anchor += before_anchor;
        for asset in passed {
            self.pass_over(asset, time, opening, offset);
        }
        if planned.is_empty() {
            self.state.counts.ignored += 1;
            return Ok(Ok(()));
        }
        self.state.counts.applied += 1;
        let mut postings = ArrayVec::new();
        for posting in &planned {
            if let Some(late) = &posting.late {
                self.report_late(offset, envelope, posting, late, out)?;
                self.state.counts.late += 1;
            }
            self.state.counts.postings += 1;
            self.post(&Posting {
                bucket: bucket(posting.account),
                account: posting.account,
                at: posting.at,
                delta: posting.delta,
                before_end_ms: posting.before_end_ms,
            });
            // The epoch it belongs to by its time is what a second copy would be judged by.
            let epoch = match &posting.late {
                Some(late) => u32::try_from(late.missed_epoch).map_err(|_| Fault::Overflow("an epoch number"))?,
                None => posting.at.epoch,
            };
            let at = AssetEpoch {
                number: posting.at.number,
                epoch,
            };
            if !postings.contains(&at) {
                postings.push(at);
            }
        }
        memory.insert(*identity, SeenEvent { fingerprint, postings });
        Ok(Ok(()))
    }

    /// Whether a remembered event is too old to be recognised: a copy of it would be refused for its age.
    fn forgotten(&self, seen: &SeenEvent) -> bool {
        seen.postings.iter().any(|at| {
            self.state
                .assets
                .get(usize::from(at.number))
                .is_some_and(|asset| asset.forgets(u64::from(at.epoch), self.dedup_epochs))
        })
    }

    /// Decides on one posting.
    fn judge<'e>(
        &self,
        offset: u64,
        index: usize,
        leg: &Leg<'e>,
        time: TimeMs,
        opening: bool,
    ) -> Result<Verdict<'e>, Rejection> {
        let Some((number, listed)) = self
            .state
            .by_name
            .get(&leg.asset)
            .and_then(|number| Some((*number, self.state.assets.get(usize::from(*number))?)))
            .filter(|(_, listed)| listed.from <= offset)
        else {
            return Ok(Verdict::Unlisted);
        };
        let delta = leg.delta(listed.decimals)?;
        let calendar = &listed.calendar;
        let time = if opening { calendar.anchor() } else { time };
        let Some(epoch) = calendar.epoch_of(time) else {
            return Ok(Verdict::BeforeAnchor);
        };
        let oldest = u64::from(listed.oldest_open);
        let asset = leg.asset;
        if epoch > oldest + MAX_EPOCHS_AHEAD {
            return Err(Code::TooFarAhead.because(format!(
                "`time` lies in epoch {epoch} of {asset}, more than {MAX_EPOCHS_AHEAD} epochs ahead of epoch {oldest}, the oldest open; \
                 send it again with the right time"
            )));
        }
        if listed.forgets(epoch, self.dedup_epochs) {
            return Err(Code::TooOld.because(format!(
                "`time` lies in epoch {epoch} of {asset}, more than {} epochs behind epoch {oldest}, the oldest open: whether it was applied \
                 before is no longer known; send it as a balance adjustment with a time of today if it was not",
                self.dedup_epochs
            )));
        }
        let applied = epoch.max(oldest);
        let end_ms = calendar.end_ms(applied);
        let policy = listed.late_policy(applied);
        let late = (epoch < oldest).then_some(Late {
            missed_epoch: epoch,
            time,
            policy,
            decimals: listed.decimals,
            applied_end_ms: end_ms,
        });
        let before_end_ms = if late.is_some() && policy == LatePolicy::Forfeit {
            calendar.length_ms()
        } else {
            u64::try_from(end_ms - i128::from(time.get()))
                .map_err(|_| Code::InvalidTime.because("`time` lies beyond what can be counted"))?
        };
        let epoch = u32::try_from(applied).map_err(|_| {
            Code::TooFarAhead.because(format!("epoch {applied} of {asset} is beyond what can be counted"))
        })?;
        Ok(Verdict::Apply(Planned {
            index,
            account: leg.account,
            asset,
            at: AssetEpoch { number, epoch },
            delta,
            before_end_ms,
            late,
        }))
    }

    /// Notes that a posting of an asset that is not listed was ignored.
    fn pass_over(&mut self, asset: Asset, time: TimeMs, opening: bool, offset: u64) {
        self.state.counts.unlisted += 1;
        let passed = self.state.passed.entry(asset).or_default();
        let before = *passed;
        if opening {
            passed.opening_at = Some(offset);
        } else {
            passed.newest_ms = passed.newest_ms.max(Some(time.get()));
        }
        if *passed != before {
            self.passed_changed.push(asset);
        }
    }

    fn report_late(
        &self,
        offset: u64,
        envelope: &Envelope<'_>,
        posting: &Planned<'_>,
        late: &Late,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let report = LatePosting {
            event_id: &envelope.id,
            event_source: &envelope.source,
            account: posting.account,
            asset: posting.asset,
            delta: &amount::format_signed_units(posting.delta, late.decimals),
            event_time: &timestamp(i128::from(late.time.get())),
            missed_epoch: late.missed_epoch,
            applied_epoch: posting.at.epoch,
            policy: late.policy.name(),
        };
        let id = format!("{}:{offset}:{}", self.source, posting.index);
        let end = timestamp(late.applied_end_ms);
        let mut written = Ok(());
        out.push_with(Topic::LatePostings.partition(0), posting.account.as_bytes(), |record| {
            written = report.write(record, &id, &end);
        });
        written
    }
}

/// Reads the event in an envelope; the order of the checks is that of `docs/contract-notes.md`.
fn read<'a>(envelope: &Envelope<'a>) -> Result<(TimeMs, Event<'a>), Rejection> {
    let kind = Type::of(&envelope.kind)?;
    if kind.is_control() {
        return Event::read(kind, envelope.data).map(|event| (TimeMs::from(0), event));
    }
    let time = fields::time(envelope.time, "time")?;
    Ok((time, Event::read(kind, envelope.data)?))
}
