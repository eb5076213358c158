//! The state machine over one ledger partition: it adds up postings, and settles an epoch when the barriers of all sources are in.
//!
//! In the order in which money moves: [`row`] adds up postings, [`assess`] measures accounts and sums them, [`emit`] emits their distributions.
//! [`eligibility`] and [`settle`] hold the rules. [`resettle`] settles sealed epochs again for late postings. [`statuses`] tells which statuses are
//! needed no more.

pub mod assess;
pub mod eligibility;
pub mod emit;
pub mod resettle;
pub mod row;
pub mod settle;
pub mod statuses;
pub mod wide;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use ethnum::I256;
use ruint::aliases::U512;
use serde::{Deserialize, Serialize};

use crate::core::accrue::assess::Summing;
use crate::core::accrue::emit::{EmissionProgress, Emitting, Payments};
use crate::core::accrue::resettle::SealedEpoch;
use crate::core::accrue::row::Row;
use crate::core::accrue::statuses::AsideLimit;
use crate::core::contract::appends::Outputs;
use crate::core::contract::merkle::{EMPTY_ROOT, Hash, epoch_root};
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::codec;
use crate::core::protocol::ledger::{Entry, LedgerRecord, Posting, StatusEntry};
use crate::core::protocol::messages::{Inbox, Notice, Pot, Settlement};
use crate::core::protocol::totals::{Emitted, Subtotal};
use crate::core::values::account::AccountName;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::ids::{AssetEpoch, Epoch};

/// Stores what accrual adds up.
pub trait Rows {
    /// Adds `row` to the row of an account in an epoch.
    fn add(&mut self, at: AssetEpoch, bucket: u16, account: &AccountName<'_>, row: Row);
    /// Adds `row` to what an account's late postings into an epoch add to the closed epoch `missed`.
    fn add_late(&mut self, at: AssetEpoch, bucket: u16, account: &AccountName<'_>, missed: Epoch, row: Row);
    /// Adds to an account's reward adjustments in an epoch.
    fn adjust(&mut self, at: AssetEpoch, bucket: u16, account: &AccountName<'_>, delta: I256);
    /// Stores a status.
    fn keep(&mut self, source: TopicPartition, status: &StatusEntry<'_>);
}

/// The state of an accrue task, without its rows. The order of fields and variants, here and below, is part of the stored format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accrue {
    /// Epochs with a barrier or a settlement that are not yet emitted. Each is stored by itself ([`Accrue::take_changed`]): hundreds may wait for
    /// their turn, and what a settlement writes must not grow with them.
    #[serde(skip)]
    settling: BTreeMap<AssetEpoch, Settling>,
    /// Those that have changed since they were stored, or are gone.
    #[serde(skip)]
    changed: BTreeSet<AssetEpoch>,
    /// Up to where superseded statuses are set aside.
    set_aside: Option<AsideLimit>,
}

/// What is known of an epoch that is not yet emitted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settling {
    settlement: Option<Box<Settlement>>,
    barriers: BTreeSet<TopicPartition>,
    stage: SettlingStage,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
enum SettlingStage {
    #[default]
    AwaitsBarriers,
    /// The subtotal is sent; the total is not yet known.
    Summed { weight: U512 },
    /// The total is known; the gate wants to know first what would be published.
    Previewing { weight: U512, pot: Pot },
    /// The gate knows it. The epoch is emitted, or settled again.
    Previewed { weight: U512, pot: Pot },
    /// The total is known; distributions are being published.
    Emitting(Box<EmissionProgress>),
}

/// Work that must be done before the next record is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccrueJob {
    /// Sum the accounts of an epoch: [`Accrue::begin_sum`], then [`Accrue::send_subtotal`].
    Sum(AssetEpoch),
    /// Work out the distributions of an epoch for the gate: [`Accrue::begin_preview`], then [`Accrue::send_preview`].
    Preview(AssetEpoch),
    /// Emit the distributions of an epoch: [`Accrue::begin_emission`], [`Accrue::keep_chunk`] after each chunk, then
    /// [`Accrue::end_emission`].
    Emit(AssetEpoch),
}

fn add_posting(posting: &Posting<'_>, rows: &mut impl Rows) -> Result<(), Fault> {
    let row = Row::of_posting(posting.delta, posting.before_end_ms).ok_or(Fault::Overflow("a posting"))?;
    rows.add(posting.at, posting.bucket, &posting.account, row);
    Ok(())
}

impl Accrue {
    /// Applies a record of the ledger.
    ///
    /// # Errors
    /// An undecodable record, an overflow, or a notice that the protocol rules out.
    pub fn apply(&mut self, record: &[u8], rows: &mut impl Rows) -> Result<(), Fault> {
        match LedgerRecord::read(record)? {
            LedgerRecord::Block(mut block) => {
                while let Some(entry) = block.next_entry()? {
                    match entry {
                        Entry::Posting(posting) => add_posting(&posting, rows)?,
                        Entry::Late(late) => {
                            let posting = &late.posting;
                            add_posting(posting, rows)?;
                            let row = Row::of_posting(posting.delta, late.before_missed_end_ms)
                                .ok_or(Fault::Overflow("a posting"))?;
                            rows.add_late(posting.at, posting.bucket, &posting.account, late.missed, row);
                        }
                        Entry::Adjustment(adjustment) => {
                            let delta = I256::new(adjustment.delta);
                            rows.adjust(adjustment.at, adjustment.bucket, &adjustment.account, delta);
                        }
                        Entry::Status(status) => rows.keep(block.source, &status),
                    }
                }
                Ok(())
            }
            LedgerRecord::Notice(notice) => self.apply_notice(notice),
        }
    }

    fn apply_notice(&mut self, notice: Notice) -> Result<(), Fault> {
        match notice {
            Notice::Barrier { at, source } => {
                if !self.begin(at).barriers.insert(source) {
                    return Err(impossible(format!(
                        "a second barrier of {source} for epoch {}",
                        at.epoch()
                    )));
                }
            }
            Notice::Settle(settlement) => {
                let settling = self.begin(settlement.at);
                match settling.stage {
                    SettlingStage::AwaitsBarriers if settling.settlement.is_none() => {}
                    // A void epoch is settled again.
                    SettlingStage::Previewed { .. } => settling.stage = SettlingStage::AwaitsBarriers,
                    _ => return Err(impossible("a second settlement of an epoch that is not held")),
                }
                settling.settlement = Some(settlement);
            }
            Notice::Total { at, pot, is_preview } => {
                let settling = self
                    .change(at)
                    .ok_or_else(|| impossible("a total of an unknown epoch"))?;
                let SettlingStage::Summed { weight } = settling.stage else {
                    return Err(impossible("a total of an epoch that has not been summed"));
                };
                settling.stage = if is_preview {
                    SettlingStage::Previewing { weight, pot }
                } else {
                    SettlingStage::Emitting(Box::new(EmissionProgress::new(pot, weight)))
                };
            }
            Notice::Emit { at } => {
                let settling = self
                    .change(at)
                    .ok_or_else(|| impossible("an unknown epoch passes the gate"))?;
                let SettlingStage::Previewed { weight, pot } = settling.stage else {
                    return Err(impossible("an epoch passes the gate without a preview"));
                };
                settling.stage = SettlingStage::Emitting(Box::new(EmissionProgress::new(pot, weight)));
            }
        }
        Ok(())
    }

    /// An epoch that has or gets a barrier or a settlement, to be changed.
    fn begin(&mut self, at: AssetEpoch) -> &mut Settling {
        self.changed.insert(at);
        self.settling.entry(at).or_default()
    }

    /// An epoch that has a barrier or a settlement, to be changed.
    fn change(&mut self, at: AssetEpoch) -> Option<&mut Settling> {
        self.changed.insert(at);
        self.settling.get_mut(&at)
    }

    /// Restores an epoch that was stored.
    pub fn restore(&mut self, at: AssetEpoch, settling: Settling) {
        self.settling.insert(at, settling);
    }

    /// The epochs that have changed since the last call, to be stored; `None` for one that is emitted.
    pub fn take_changed(&mut self) -> impl Iterator<Item = (AssetEpoch, Option<&Settling>)> {
        let changed = std::mem::take(&mut self.changed);
        changed.into_iter().map(|at| (at, self.settling.get(&at)))
    }

    /// The epochs that are not yet emitted.
    pub fn settling(&self) -> impl Iterator<Item = (AssetEpoch, &Settling)> {
        self.settling.iter().map(|(at, settling)| (*at, settling))
    }

    /// The next work to do before another record is applied.
    #[must_use]
    pub fn job(&self) -> Option<AccrueJob> {
        // Settlements come in the order of their epochs, so only the first epoch of each asset counts, however many wait behind it. A barrier may come
        // before the settlement of an earlier epoch, but without its own settlement an epoch has no job.
        let mut after = Bound::Unbounded;
        loop {
            let (first, _) = self.settling.range((after, Bound::Unbounded)).next()?;
            let job = self.job_of(*first);
            if job.is_some() {
                return job;
            }
            after = Bound::Excluded(AssetEpoch::last_of(first.number()));
        }
    }

    /// The work to do on the next epoch of an asset.
    fn job_of(&self, at: AssetEpoch) -> Option<AccrueJob> {
        let settling = self.settling.get(&at)?;
        match &settling.stage {
            SettlingStage::AwaitsBarriers => {
                let cut = &settling.settlement.as_ref()?.cut;
                let complete = cut.0.keys().all(|source| settling.barriers.contains(source));
                complete.then_some(AccrueJob::Sum(at))
            }
            SettlingStage::Summed { .. } | SettlingStage::Previewed { .. } => None,
            SettlingStage::Previewing { .. } => Some(AccrueJob::Preview(at)),
            SettlingStage::Emitting(_) => Some(AccrueJob::Emit(at)),
        }
    }

    /// Whether every settlement still waits for barriers. If so, all partitions of a ledger that is read to its end have the same
    /// state.
    #[must_use]
    pub fn is_between_settlements(&self) -> bool {
        self.job().is_none()
            && self
                .settling
                .values()
                .all(|settling| settling.stage == SettlingStage::AwaitsBarriers)
    }

    fn settlement(&self, at: AssetEpoch) -> Result<&Settlement, Fault> {
        self.settling
            .get(&at)
            .and_then(|settling| settling.settlement.as_deref())
            .ok_or_else(|| impossible("work on an epoch without a settlement"))
    }

    /// What is kept of an epoch whose total is known, to settle it again after its seal.
    ///
    /// # Errors
    /// If its total is not known.
    pub fn sealed(&self, at: AssetEpoch) -> Result<SealedEpoch, Fault> {
        let settlement = self.settlement(at)?.clone();
        let stage = self.settling.get(&at).map(|settling| &settling.stage);
        let pot = match stage {
            Some(SettlingStage::Emitting(progress)) => progress.pot(),
            _ => return Err(impossible("an emission without a total")),
        };
        Ok(SealedEpoch { settlement, pot })
    }

    /// The asset of a settlement.
    ///
    /// # Errors
    /// If no settlement of the epoch is known.
    pub fn asset(&self, at: AssetEpoch) -> Result<Asset, Fault> {
        Ok(self.settlement(at)?.terms.asset)
    }

    /// Whether the settlement of an epoch needs statuses that were set aside.
    ///
    /// # Errors
    /// If no settlement of it is known.
    pub fn needs_set_aside(&self, at: AssetEpoch) -> Result<bool, Fault> {
        Ok(self.needs_set_aside_for(self.settlement(at)?))
    }

    /// Whether a settlement, which may be an assumed one, needs statuses that were set aside.
    #[must_use]
    pub fn needs_set_aside_for(&self, settlement: &Settlement) -> bool {
        let now = AsideLimit::after(settlement);
        self.set_aside.as_ref().is_some_and(|limit| !limit.is_before(&now))
    }

    /// Up to where statuses can be set aside while the distributions of an epoch are emitted; `None` if this was done further before.
    ///
    /// # Errors
    /// If no settlement of it is known.
    pub fn aside_limit(&self, at: AssetEpoch) -> Result<Option<AsideLimit>, Fault> {
        let now = AsideLimit::after(self.settlement(at)?);
        Ok((!self.needs_set_aside(at)?).then_some(now))
    }

    /// Begins to sum the accounts of an epoch.
    ///
    /// # Errors
    /// If no settlement of it is known.
    pub fn begin_sum(&self, at: AssetEpoch) -> Result<Summing, Fault> {
        Summing::new(self.settlement(at)?)
    }

    /// Sends the subtotal of ledger partition `partition`.
    ///
    /// # Errors
    /// If no settlement of it is known.
    pub fn send_subtotal(
        &mut self,
        at: AssetEpoch,
        partition: u32,
        sums: Subtotal,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let settling = self
            .change(at)
            .ok_or_else(|| impossible("a subtotal of an unknown epoch"))?;
        settling.stage = SettlingStage::Summed { weight: sums.weight };
        out.push(
            Topic::Inbox.partition(0),
            &[],
            &codec::encode(&Inbox::Subtotal { partition, at, sums })?,
        );
        Ok(())
    }

    /// Begins to work out the distributions of an epoch for the gate.
    ///
    /// # Errors
    /// If the gate does not ask for it.
    pub fn begin_preview(&self, at: AssetEpoch) -> Result<Payments, Fault> {
        match self.settling.get(&at).map(|settling| &settling.stage) {
            Some(SettlingStage::Previewing { pot, .. }) => Payments::new(self.settlement(at)?, *pot),
            _ => Err(impossible("a preview that nobody asked for")),
        }
    }

    /// Sends what ledger partition `partition` would publish.
    ///
    /// # Errors
    /// If the gate does not ask for it, or if the accounts are no longer those that were summed.
    pub fn send_preview(
        &mut self,
        at: AssetEpoch,
        partition: u32,
        payouts: Emitted,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let settling = self
            .change(at)
            .ok_or_else(|| impossible("a preview of an unknown epoch"))?;
        let SettlingStage::Previewing { weight, pot } = settling.stage else {
            return Err(impossible("a preview that nobody asked for"));
        };
        if payouts.weight != weight {
            return Err(impossible(format!(
                "the rows of closed epoch {} changed between the sum and the preview",
                at.epoch()
            )));
        }
        settling.stage = SettlingStage::Previewed { weight, pot };
        out.push(
            Topic::Inbox.partition(0),
            &[],
            &codec::encode(&Inbox::Preview { partition, at, payouts })?,
        );
        Ok(())
    }

    /// Begins the emission of an epoch's distributions, or continues it after the last chunk.
    ///
    /// # Errors
    /// If the total of the epoch is not known.
    pub fn begin_emission(&self, at: AssetEpoch) -> Result<Emitting, Fault> {
        let settlement = self.settlement(at)?;
        let Some(SettlingStage::Emitting(progress)) = self.settling.get(&at).map(|settling| &settling.stage) else {
            return Err(impossible("an emission without a total"));
        };
        Emitting::new(settlement, EmissionProgress::clone(progress))
    }

    /// Keeps the progress of an emission at the end of a chunk, which is the end of a bucket.
    ///
    /// # Errors
    /// If the shares so far exceed their part of the pot. Money would not be conserved, so nothing of this chunk may be published.
    pub fn keep_chunk(&mut self, emitting: &mut Emitting) -> Result<(), Fault> {
        let progress = emitting.end_chunk()?;
        let settling = self
            .change(emitting.at())
            .ok_or_else(|| impossible("an emission of an unknown epoch"))?;
        settling.stage = SettlingStage::Emitting(Box::new(progress));
        Ok(())
    }

    /// Ends an emission and sends the receipt of ledger partition `partition`. The epoch is then done on this partition.
    ///
    /// # Errors
    /// If the shares exceed the pot, or if the accounts are no longer those that were summed.
    pub fn end_emission(
        &mut self,
        emitting: Emitting,
        partitions: Partitions,
        partition: u16,
        out: &mut Outputs,
    ) -> Result<(), Fault> {
        let at = emitting.at();
        let (emitted, roots) = emitting.end()?;
        if let Some(limit) = self.aside_limit(at)? {
            self.set_aside = Some(limit);
        }
        self.changed.insert(at);
        self.settling
            .remove(&at)
            .ok_or_else(|| impossible("an emission of an unknown epoch"))?;
        let buckets = partitions.buckets(partition);
        let roots: BTreeMap<u16, Hash> = roots.into_iter().collect();
        let root = epoch_root(buckets.map(|bucket| roots.get(&bucket).copied().unwrap_or(EMPTY_ROOT)));
        let receipt = Inbox::Receipt {
            partition: u32::from(partition),
            at,
            emitted,
            root,
        };
        out.push(Topic::Inbox.partition(0), &[], &codec::encode(&receipt)?);
        Ok(())
    }
}
