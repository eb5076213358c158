//! The fold over one source partition: records in, ledger blocks, dead letters and late reports out.
//!
//! What an ingest task says is a function of its partition's records and of the decisions, and of nothing else: a listing is in force from a
//! recorded offset on, a cut is an offset, and the task never passes an offset that an undecided matter could concern ([`Ingest::limit`]).

mod apply;
mod decide;
pub mod posting;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::core::contract::appends::Outputs;
use crate::core::contract::listing::{LatePolicy, Listing};
use crate::core::contract::topic::{Topic, TopicPartition};
use crate::core::fault::{Fault, impossible};
use crate::core::protocol::ledger;
use crate::core::protocol::ledger::{BlockBuilder, Posting, StatusEntry};
use crate::core::protocol::messages::Notice;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::calendar::Calendar;
use crate::core::values::ids::AssetEpoch;

pub use crate::core::dedup::{DedupIndex, SeenEvent};
pub use apply::Decoded;

/// The most epochs a posting may lie ahead of the oldest open one (contract, section 4).
pub const MAX_EPOCHS_AHEAD: u64 = 400;

/// The state of an ingest task.
#[derive(Debug)]
pub struct Ingest {
    source: TopicPartition,
    dedup_epochs: u64,
    partitions: Partitions,
    state: State,
    /// Names of assets not listed whose postings were passed over since the last [`Ingest::take_passed`].
    passed_changed: Vec<Asset>,
    blocks: Vec<BlockBuilder>,
    touched: Vec<u16>,
    block_from: u64,
    /// The lowest offset at which a cut on record is reached.
    next_cut: u64,
}

/// What an ingest task keeps, but for the ids it has seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    announced: bool,
    control_read: u64,
    pending: Option<Pending>,
    /// By number; sources added later know all assets from their first offset on.
    assets: Vec<ListedAsset>,
    by_name: BTreeMap<Asset, u16>,
    #[serde(skip)]
    passed: BTreeMap<Asset, Passed>,
    /// What became of the records so far.
    pub counts: IngestCounts,
}

/// What became of the records and postings of a source partition.
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
    /// Records refused.
    pub dead_letters: u64,
    /// Postings ignored because their asset is not listed.
    pub unlisted: u64,
    /// Postings ignored because they lie before their asset's anchor.
    pub before_anchor: u64,
    /// Events of which all postings were ignored.
    pub ignored: u64,
    /// Blank lines.
    pub blank: u64,
}

impl IngestCounts {
    /// Both added up.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            applied: self.applied.saturating_add(other.applied),
            postings: self.postings.saturating_add(other.postings),
            late: self.late.saturating_add(other.late),
            duplicates: self.duplicates.saturating_add(other.duplicates),
            dead_letters: self.dead_letters.saturating_add(other.dead_letters),
            unlisted: self.unlisted.saturating_add(other.unlisted),
            before_anchor: self.before_anchor.saturating_add(other.before_anchor),
            ignored: self.ignored.saturating_add(other.ignored),
            blank: self.blank.saturating_add(other.blank),
        }
    }
}

/// A matter that the coordinator has opened and not yet decided.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Pending {
    /// A listing: nothing is read until it is decided, or the answer would no longer be true.
    Listing,
    /// A close: nothing at or past the cut this task answered is read until the cut is on record. After a restart the answer is not known,
    /// only that it is not behind where the task stands.
    Cut { at: AssetEpoch, answered: Option<u64> },
}

/// A listed asset, as this partition knows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct ListedAsset {
    asset: Asset,
    decimals: u8,
    calendar: Calendar,
    /// Late policies by the first epoch under them, ascending.
    late_policies: Vec<(u64, LatePolicy)>,
    /// The offset from which on the listing is in force here.
    from: u64,
    /// The oldest epoch open for this partition.
    oldest_open: u32,
    /// Cuts on record and not reached yet: the offset and the epoch it closes, ascending.
    cuts: VecDeque<(u64, u32)>,
}

/// What was passed over of an asset that is not listed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// The newest time of a posting, in milliseconds since 1970.
    newest_ms: Option<i64>,
    /// The offset of the newest opening balance.
    opening_at: Option<u64>,
    /// The latest anchor refused as too late, and the offset at which it was: opening balances before it counted at that anchor.
    refused: Option<(i64, u64)>,
}

impl ListedAsset {
    fn late_policy(&self, epoch: u64) -> LatePolicy {
        self.late_policies
            .iter()
            .rev()
            .find(|(from, _)| *from <= epoch)
            .map_or(LatePolicy::Carry, |(_, policy)| *policy)
    }

    fn forgets(&self, epoch: u64, dedup_epochs: u64) -> bool {
        epoch.saturating_add(dedup_epochs) < u64::from(self.oldest_open)
    }
}

impl Ingest {
    /// A task for `source` whose postings go to `partitions` ledger partitions, from the state and the passed-over assets that were kept.
    #[must_use]
    pub fn new(
        source: TopicPartition,
        dedup_epochs: u64,
        partitions: Partitions,
        state: State,
        passed: impl IntoIterator<Item = (Asset, Passed)>,
    ) -> Self {
        let mut blocks = Vec::new();
        blocks.resize_with(usize::from(partitions.count()), BlockBuilder::default);
        let mut ingest = Self {
            source,
            dedup_epochs,
            partitions,
            state,
            passed_changed: Vec::new(),
            blocks,
            touched: Vec::new(),
            block_from: 0,
            next_cut: u64::MAX,
        };
        ingest.state.passed.extend(passed);
        ingest.next_cut = ingest.first_cut();
        ingest
    }

    /// What to keep, but for ids and passed-over assets.
    #[must_use]
    pub const fn state(&self) -> &State {
        &self.state
    }

    /// What changed of the passed-over assets since the last call.
    pub fn take_passed(&mut self) -> Vec<(Asset, Passed)> {
        let mut changed = std::mem::take(&mut self.passed_changed);
        changed.sort_unstable();
        changed.dedup();
        changed
            .into_iter()
            .filter_map(|asset| Some((asset, *self.state.passed.get(&asset)?)))
            .collect()
    }

    /// The oldest epoch open here of each asset, by number: what an event is forgotten by.
    pub fn oldest_open(&self) -> impl Iterator<Item = u32> {
        self.state.assets.iter().map(|asset| asset.oldest_open)
    }

    /// The source partition.
    #[must_use]
    pub const fn source(&self) -> TopicPartition {
        self.source
    }

    /// The offset of the control topic below which all is decided and known here.
    #[must_use]
    pub const fn control_read(&self) -> u64 {
        self.state.control_read
    }

    /// The offset that may not be reached yet, from where the task stands at `offset`: records below it may be applied.
    #[must_use]
    pub fn limit(&self, offset: u64) -> u64 {
        if !self.state.announced {
            return offset;
        }
        match self.state.pending {
            None => u64::MAX,
            Some(Pending::Listing | Pending::Cut { answered: None, .. }) => offset,
            Some(Pending::Cut {
                answered: Some(cut), ..
            }) => cut,
        }
    }

    /// Takes the cuts at or below `offset`, where the task stands: from here on, their epochs are closed.
    fn cross(&mut self, offset: u64, out: &mut Outputs) -> Result<(), Fault> {
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
                asset.oldest_open = epoch.checked_add(1).ok_or(Fault::Overflow("an epoch number"))?;
                self.flush(offset, out);
                let number = u16::try_from(number).map_err(|_| Fault::Overflow("an asset number"))?;
                let at = AssetEpoch { number, epoch };
                self.broadcast(
                    &Notice::Barrier {
                        at,
                        source: self.source,
                    },
                    out,
                )?;
            }
        }
        self.next_cut = self.first_cut();
        Ok(())
    }

    fn first_cut(&self) -> u64 {
        self.state
            .assets
            .iter()
            .filter_map(|asset| asset.cuts.front())
            .map(|(cut, _)| *cut)
            .min()
            .unwrap_or(u64::MAX)
    }

    /// Begins a batch: the task stands at `offset`, and what is put out next covers the records from there on.
    pub const fn begin(&mut self, offset: u64) {
        self.block_from = offset;
    }

    /// Ends a batch: the task now stands at `offset`. Everything it has said is in `out` afterwards.
    ///
    /// # Errors
    /// A fault.
    pub fn finish(&mut self, offset: u64, out: &mut Outputs) -> Result<(), Fault> {
        self.cross(offset, out)?;
        self.flush(offset, out);
        Ok(())
    }

    /// Puts the blocks under construction out; they cover the records below `offset`.
    fn flush(&mut self, offset: u64, out: &mut Outputs) {
        self.touched.sort_unstable();
        for partition in self.touched.drain(..) {
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

    /// Puts a notice on every ledger partition.
    fn broadcast(&self, notice: &Notice, out: &mut Outputs) -> Result<(), Fault> {
        let record = ledger::notice(notice)?;
        for partition in 0..self.partitions.count() {
            out.push(Topic::Ledger.partition(u32::from(partition)), &[], &record);
        }
        Ok(())
    }

    /// The block that `bucket`'s entries go into.
    fn block(&mut self, bucket: u16) -> &mut BlockBuilder {
        let partition = self.partitions.of(bucket);
        // A bucket's partition is below their count, and there is a block for each.
        let block = &mut self.blocks[usize::from(partition)];
        if block.is_empty() {
            self.touched.push(partition);
        }
        block
    }

    fn post(&mut self, posting: &Posting<'_>) {
        self.block(posting.bucket).posting(posting);
    }

    fn note_status(&mut self, entry: &StatusEntry<'_>) {
        self.block(entry.bucket).status(entry);
    }
}

/// The listing that a decision carries.
fn listing_of(decision: &serde_json::Value) -> Result<Listing, Fault> {
    Listing::read(&decision.to_string()).map_err(|rejection| Fault::Undecodable {
        what: "the listing in a decision",
        why: rejection.to_string(),
    })
}
