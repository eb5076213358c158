//! The state machine over one source partition: it reads records, and writes ledger blocks, dead letters and late postings.
//!
//! Its outputs are a function of the partition's records and of the decisions, and of nothing else. A listing is in force from a
//! recorded offset, and a cut is an offset. The task never passes an offset that an open question could concern
//! ([`Ingest::limit`]).
//!
//! [`apply`] applies a record: [`judge`] has the rules about it, and [`legs`] splits its event into legs. [`decide`] applies
//! decisions. [`passed`] keeps the times of the postings, for listings that come later.

mod apply;
mod decide;
pub mod judge;
pub mod legs;
mod passed;

pub use crate::core::ingest::passed::{AssetDay, DayTimes, MAX_UNLISTED, PassedChanges, UnlistedPostings, UtcDay};

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::core::contract::appends::Outputs;
use crate::core::contract::listing::Listing;
use crate::core::contract::programme::LatePolicy;
use crate::core::contract::rejection::RejectionCounts;
use crate::core::contract::rules;
use crate::core::contract::rules::FIRST_RULES;
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::{Fault, impossible};
use crate::core::ingest::judge::AssetFacts;
use crate::core::ingest::passed::{PassedPostings, Proposed};
use crate::core::protocol::ledger;
use crate::core::protocol::ledger::BlockBuilder;
use crate::core::protocol::messages::Notice;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::calendar::{Calendar, MAX_DAYS_AHEAD};
use crate::core::values::ids::{AssetEpoch, Epoch};
use crate::core::values::offset::Offset;

/// Blocks are written when they have this many bytes together. Brokers accept records up to a megabyte, and one batch may come on top.
const BLOCK_BYTES: usize = 256 << 10;

/// An ingest task.
#[derive(Debug)]
pub struct Ingest {
    source: TopicPartition,
    dedup_days: u64,
    partitions: Partitions,
    state: IngestState,
    passed: PassedPostings,
    /// The open block of each ledger partition.
    blocks: Vec<BlockBuilder>,
    /// The ledger partitions whose open block is not empty.
    filled: Vec<u16>,
    /// The offsets that the open blocks cover: the first, and the one after the last.
    block_from: Offset,
    block_to: Offset,
    /// The lowest offset of a recorded cut; [`Offset::NO_LIMIT`] if there is none.
    next_cut: Offset,
}

/// The state of an ingest task that is stored with its position. Seen events and the times of postings have entries of their own. The order
/// of fields and variants, here and below, is part of the stored format.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestState {
    /// Whether the coordinator has recorded this source partition.
    announced: bool,
    control_read: Offset,
    question: Option<OpenQuestion>,
    /// The offset of a release or void that waits for epochs that are closed.
    control_waits: Option<Offset>,
    /// By number. A source partition that is added later knows all assets from its first offset on.
    assets: Vec<IngestAsset>,
    /// The numbers of an asset's listings, in their order. Each but the last one was withdrawn.
    by_name: BTreeMap<Asset, Vec<u16>>,
    /// The listings that were proposed, of each asset in their order, as far as opening balances may still count at their anchors.
    proposed: BTreeMap<Asset, Vec<Proposed>>,
    /// The versions of the rules, ascending, each with the offset from which it is in force.
    rules: Vec<(Offset, u64)>,
    /// Offset ranges to skip that are not reached yet, ascending: the first offset, and the one after the last.
    skips: VecDeque<(Offset, Offset)>,
    pub counts: IngestCounts,
}

/// Counts of the records and postings of a source partition, by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IngestCounts {
    /// Events applied, in whole or in part.
    pub applied: u64,
    /// Postings applied.
    pub postings: u64,
    /// Postings applied late.
    pub late: u64,
    /// Identical copies dropped.
    pub duplicates: u64,
    /// Postings ignored because their asset is not listed, or not any more.
    pub unlisted: u64,
    /// Postings ignored because they lie before their asset's anchor.
    pub before_anchor: u64,
    /// Events of which all postings were ignored.
    pub ignored: u64,
    /// Blank lines.
    pub blank: u64,
    /// Records rejected.
    pub dead_letters: RejectionCounts,
}

impl IngestCounts {
    /// Adds both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            applied: self.applied.saturating_add(other.applied),
            postings: self.postings.saturating_add(other.postings),
            late: self.late.saturating_add(other.late),
            duplicates: self.duplicates.saturating_add(other.duplicates),
            unlisted: self.unlisted.saturating_add(other.unlisted),
            before_anchor: self.before_anchor.saturating_add(other.before_anchor),
            ignored: self.ignored.saturating_add(other.ignored),
            blank: self.blank.saturating_add(other.blank),
            dead_letters: self.dead_letters.plus(other.dead_letters),
        }
    }

    /// What was counted since the counts were `earlier`.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            applied: self.applied.saturating_sub(earlier.applied),
            postings: self.postings.saturating_sub(earlier.postings),
            late: self.late.saturating_sub(earlier.late),
            duplicates: self.duplicates.saturating_sub(earlier.duplicates),
            unlisted: self.unlisted.saturating_sub(earlier.unlisted),
            before_anchor: self.before_anchor.saturating_sub(earlier.before_anchor),
            ignored: self.ignored.saturating_sub(earlier.ignored),
            blank: self.blank.saturating_sub(earlier.blank),
            dead_letters: self.dead_letters.since(earlier.dead_letters),
        }
    }
}

/// A question of the coordinator that is answered but not yet decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum OpenQuestion {
    /// A listing, a withdrawal, or a version of the rules. No record is read until it is decided, or the answer would no longer be true.
    Position,
    /// A cut. Only records below the answered offset are read until it is decided. After a restart the answer is lost; it is only
    /// known that it is not behind the task's position.
    Cut { at: AssetEpoch, answered: Option<Offset> },
    /// A loss of records of this partition. Nothing is read until it is decided what is skipped.
    Loss,
}

/// A listed asset, as this source partition knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct IngestAsset {
    asset: Asset,
    decimals: u8,
    reward_decimals: u8,
    calendar: Calendar,
    /// Late policies with the first epoch of each, ascending.
    late_policies: Vec<(Epoch, LatePolicy)>,
    /// The offset from which the listing is in force on this partition.
    from: Offset,
    /// The oldest epoch open for this partition.
    oldest_open: Epoch,
    /// Recorded cuts that are not reached yet, ascending: the offset, and the epoch that it closes.
    cuts: VecDeque<(Offset, Epoch)>,
    /// So many epochs a posting may lie ahead of the oldest open one.
    epochs_ahead: u64,
    /// So many epochs behind the oldest open one, copies are recognised.
    dedup_epochs: u64,
    /// If it was withdrawn: the first epoch that there is not, and the offset from which that is in force on this partition.
    withdrawn: Option<(Epoch, Offset)>,
    /// The newest time of a posting that was judged by it, in milliseconds since 1970.
    newest_ms: Option<i64>,
}

impl IngestAsset {
    fn new(listing: &Listing, from: Offset, dedup_days: u64) -> Self {
        let (terms, programme) = (&listing.terms, &listing.programme);
        Self {
            asset: terms.asset,
            decimals: terms.decimals,
            reward_decimals: terms.reward_decimals(),
            calendar: terms.calendar,
            late_policies: vec![(programme.from_epoch, programme.late_policy)],
            from,
            oldest_open: terms.calendar.first(),
            cuts: VecDeque::new(),
            epochs_ahead: terms.calendar.epochs_of_days(MAX_DAYS_AHEAD),
            dedup_epochs: terms.calendar.epochs_of_days(dedup_days),
            withdrawn: None,
            newest_ms: None,
        }
    }

    fn facts(&self) -> AssetFacts {
        AssetFacts {
            decimals: self.decimals,
            reward_decimals: self.reward_decimals,
            calendar: self.calendar,
            oldest_open: self.oldest_open,
            epochs_ahead: self.epochs_ahead,
        }
    }

    fn late_policy(&self, epoch: Epoch) -> LatePolicy {
        self.late_policies
            .iter()
            .rev()
            .find(|(from, _)| *from <= epoch)
            .map_or(LatePolicy::Resettle, |(_, policy)| *policy)
    }

    /// The oldest epoch in the dedup window. An event with a posting in an earlier one is too old, or expired.
    const fn oldest_kept(&self) -> Epoch {
        self.oldest_open.saturating_sub(self.dedup_epochs)
    }
}

impl Ingest {
    /// The task for `source` over `partitions` ledger partitions, with its stored state and unlisted assets.
    #[must_use]
    pub fn new(
        source: TopicPartition,
        dedup_days: u64,
        partitions: Partitions,
        state: IngestState,
        unlisted: impl IntoIterator<Item = (Option<Asset>, UnlistedPostings)>,
    ) -> Self {
        let mut blocks = Vec::new();
        blocks.resize_with(usize::from(partitions.count()), BlockBuilder::default);
        let mut ingest = Self {
            source,
            dedup_days,
            partitions,
            state,
            passed: PassedPostings::new(unlisted),
            blocks,
            filled: Vec::new(),
            block_from: Offset::START,
            block_to: Offset::START,
            next_cut: Offset::NO_LIMIT,
        };
        ingest.next_cut = ingest.lowest_cut();
        ingest
    }

    #[must_use]
    pub const fn state(&self) -> &IngestState {
        &self.state
    }

    /// Whether there were so many unlisted assets that some are only known together.
    #[must_use]
    pub fn has_nameless(&self) -> bool {
        self.passed.has_nameless()
    }

    /// The days that may have times in the store that are not known here, since the last call. A caller with a store answers each with
    /// [`Ingest::merge_day`], if the store has it.
    pub fn take_unmerged_days(&mut self) -> Vec<AssetDay> {
        self.passed.take_unmerged()
    }

    /// The days, from the first to the last of each pair, that a caller with a store merges before it applies the proposal of a listing.
    #[must_use]
    pub fn covered_days(&self, listing: &Listing) -> Vec<(AssetDay, AssetDay)> {
        self.passed.covered_days(listing)
    }

    /// Adds the times of a day that are in the store.
    pub fn merge_day(&mut self, day: AssetDay, stored: DayTimes) {
        self.passed.merge(day, stored);
    }

    /// Bytes that [`Ingest::take_passed`] would return, about.
    #[must_use]
    pub fn unwritten_bytes(&self) -> usize {
        self.passed.unwritten_bytes()
    }

    /// What changed of the times of postings since the last call. The caller stores it: some of it is in memory no more.
    pub fn take_passed(&mut self) -> PassedChanges {
        self.passed.take_changes()
    }

    /// Checks that this program knows every version of the contract's rules that is in force somewhere in the partition.
    ///
    /// # Errors
    /// [`Fault::UnknownRules`].
    pub fn check_rules(&self) -> Result<(), Fault> {
        let mut versions = self.state.rules.iter();
        versions.try_for_each(|(_, version)| rules::check_known(*version))
    }

    /// The version of the contract's rules in force at `offset`.
    #[must_use]
    pub fn rules_at(&self, offset: Offset) -> u64 {
        let in_force = self.state.rules.iter().rfind(|(from, _)| *from <= offset);
        in_force.map_or(FIRST_RULES, |(_, version)| *version)
    }

    /// The oldest epoch in the dedup window of each asset, by number.
    pub fn oldest_kept(&self) -> impl Iterator<Item = Epoch> {
        self.state.assets.iter().map(IngestAsset::oldest_kept)
    }

    /// Whether the coordinator has recorded this source partition.
    #[must_use]
    pub const fn is_announced(&self) -> bool {
        self.state.announced
    }

    #[must_use]
    pub const fn source(&self) -> TopicPartition {
        self.source
    }

    /// The offset of the control topic below which every record is decided, and the decision is known here.
    #[must_use]
    pub const fn control_read(&self) -> Offset {
        self.state.control_read
    }

    /// The offset below which records may be applied, for a task at `offset`.
    #[must_use]
    pub fn limit(&self, offset: Offset) -> Offset {
        if !self.state.announced {
            return offset;
        }
        match self.state.question {
            None => Offset::NO_LIMIT,
            Some(OpenQuestion::Position | OpenQuestion::Loss | OpenQuestion::Cut { answered: None, .. }) => offset,
            Some(OpenQuestion::Cut {
                answered: Some(cut), ..
            }) => cut,
        }
    }

    /// The offset below which records may be applied, for a task at `offset`, while control records are undecided. It is the newest recorded cut if they
    /// wait for it: without these records, no epoch is settled.
    #[must_use]
    pub fn limit_while_undecided(&self, offset: Offset) -> Offset {
        let cuts = self.state.assets.iter().filter_map(|asset| asset.cuts.back());
        let newest = cuts
            .map(|(cut, _)| *cut)
            .max()
            .filter(|_| self.state.control_waits.is_some());
        newest.unwrap_or(offset).max(offset).min(self.limit(offset))
    }

    /// Whether a cut is at or below `offset`, at which no barrier is sent yet.
    #[must_use]
    pub fn reaches_cut(&self, offset: Offset) -> bool {
        self.lowest_cut() <= offset
    }

    /// Closes the epochs whose cut is at or below `offset`, the task's position, and sends their barriers.
    fn cross_cuts(&mut self, offset: Offset, out: &mut Outputs) -> Result<(), Fault> {
        for number in 0..self.state.assets.len() {
            while let Some(asset) = self.state.assets.get_mut(number)
                && let Some((cut, epoch)) = asset.cuts.front().copied()
                && cut <= offset
            {
                if epoch != asset.oldest_open {
                    let open = asset.oldest_open;
                    return Err(impossible(format!(
                        "a cut of epoch {epoch} while epoch {open} is the oldest open"
                    )));
                }
                asset.cuts.pop_front();
                asset.oldest_open = epoch.next()?;
                self.flush(offset, out);
                let number = u16::try_from(number).map_err(|_| Fault::Overflow("an asset number"))?;
                let at = AssetEpoch::new(number, epoch)?;
                self.broadcast(
                    &Notice::Barrier {
                        at,
                        source: self.source,
                    },
                    out,
                )?;
            }
        }
        self.next_cut = self.lowest_cut();
        Ok(())
    }

    fn lowest_cut(&self) -> Offset {
        self.state
            .assets
            .iter()
            .filter_map(|asset| asset.cuts.front())
            .map(|(cut, _)| *cut)
            .min()
            .unwrap_or(Offset::NO_LIMIT)
    }

    /// The next offset range to skip: its first offset, and the one after its last. Records are read up to the first.
    #[must_use]
    pub fn next_skip(&self) -> Option<(Offset, Offset)> {
        self.state.skips.front().copied()
    }

    /// Skips the range that begins at `offset`, the task's position. Cuts within it are reached.
    ///
    /// # Errors
    /// If nothing is to be skipped there, or a cut that the protocol rules out.
    pub fn skip(&mut self, offset: Offset, out: &mut Outputs) -> Result<(), Fault> {
        match self.state.skips.pop_front() {
            Some((from, to)) if from <= offset && offset < to => {
                self.begin_batch(offset);
                self.end_batch(to, out)
            }
            _ => Err(impossible(format!(
                "{} has nothing to skip at offset {offset}",
                self.source
            ))),
        }
    }

    /// For a caller that applied all decisions before the first record: skips what lies before `offset`. Returns whether the record at `offset` is
    /// skipped itself, because it was gone when it was to be read.
    ///
    /// # Errors
    /// As [`Self::skip`].
    pub fn skips(&mut self, offset: Offset, out: &mut Outputs) -> Result<bool, Fault> {
        while let Some((from, to)) = self.next_skip().filter(|(from, _)| *from <= offset) {
            if offset < to {
                return Ok(true);
            }
            self.skip(from, out)?;
        }
        Ok(false)
    }

    /// Begins a batch at `offset`. Blocks that are open stay open; others cover the records from there.
    pub const fn begin_batch(&mut self, offset: Offset) {
        if self.filled.is_empty() {
            self.block_from = offset;
        }
    }

    /// Ends a batch at `offset`. All its outputs are then in `out`, but for the blocks that are open: see [`Self::finish_blocks`].
    ///
    /// # Errors
    /// A cut that the protocol rules out.
    pub fn end_batch(&mut self, offset: Offset, out: &mut Outputs) -> Result<(), Fault> {
        self.cross_cuts(offset, out)?;
        self.block_to = offset;
        if self.open_bytes() >= BLOCK_BYTES {
            self.flush(offset, out);
        }
        self.keep_times(offset);
        Ok(())
    }

    /// The bytes of the blocks that are open.
    #[must_use]
    pub fn open_bytes(&self) -> usize {
        let open = self
            .filled
            .iter()
            .filter_map(|partition| self.blocks.get(usize::from(*partition)));
        open.map(BlockBuilder::bytes).sum()
    }

    /// Writes the blocks that are open, between two batches. Their postings are on the ledger only then, so this comes before each commit.
    pub fn finish_blocks(&mut self, out: &mut Outputs) {
        self.flush(self.block_to, out);
    }

    /// Adds the times of a batch that ends at `offset` to what is kept of the postings.
    fn keep_times(&mut self, offset: Offset) {
        let assets = &mut self.state.assets;
        let asset_of = |number: u16| assets.get(usize::from(number)).map(|listed| listed.asset);
        for (number, newest_ms) in self.passed.end_batch(asset_of) {
            if let Some(listed) = assets.get_mut(usize::from(number)) {
                listed.newest_ms = listed.newest_ms.max(Some(newest_ms));
            }
        }
        self.state.proposed.retain(|_, proposed| {
            proposed.retain(|(at, _)| *at > offset);
            !proposed.is_empty()
        });
    }

    /// Writes the open blocks, which cover the records below `offset`.
    fn flush(&mut self, offset: Offset, out: &mut Outputs) {
        self.filled.sort_unstable();
        for partition in self.filled.drain(..) {
            if let Some(block) = self.blocks.get_mut(usize::from(partition)) {
                let offsets = (self.block_from, offset);
                let source = self.source;
                out.push_with(Topic::Ledger.partition(u32::from(partition)), &[], |record| {
                    block.finish(record, source, offsets);
                });
            }
        }
        self.block_from = offset;
    }

    /// Writes a notice to every ledger partition.
    fn broadcast(&self, notice: &Notice, out: &mut Outputs) -> Result<(), Fault> {
        let record = ledger::notice(notice)?;
        for partition in 0..self.partitions.count() {
            out.push(Topic::Ledger.partition(u32::from(partition)), &[], &record);
        }
        Ok(())
    }

    /// The open block for entries of `bucket`.
    fn block(&mut self, bucket: u16) -> &mut BlockBuilder {
        let partition = self.partitions.of(bucket);
        // A bucket's partition is below their count, and there is a block for each.
        let block = &mut self.blocks[usize::from(partition)];
        if block.is_empty() {
            self.filled.push(partition);
        }
        block
    }
}

#[cfg(test)]
mod tests;
