//! The ingest task: it feeds the decisions and one source partition to the ingest fold.

use std::sync::Arc;

use crate::bus::{Batch, Log, Outputs, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::rejection::RejectionCounts;
use crate::core::ingest::{Ingest, MAX_UNLISTED, UnlistedPostings};
use crate::core::protocol::codec;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::offset::Offset;
use crate::store::{Changes, Store, tables};
use crate::task::error::TaskError;
use crate::task::fold::{Fold, FoldError, StepContext, load_state};
use crate::task::seen_events::{DedupWindow, StoredDedupIndex};
use crate::task::stats::Stats;

const DECISIONS: TopicPartition = Topic::Decisions.partition(0);
const CONTROL: TopicPartition = Topic::Control.partition(0);
/// The source is the second input. Decisions come first, so that every decision known by then applies to the source records that follow.
const SOURCE_INPUT: usize = 1;

/// The ingest task of a source partition.
pub struct IngestTask {
    ingest: Ingest,
    inputs: [TopicPartition; 2],
    dedup: StoredDedupIndex,
    window: Arc<DedupWindow>,
    stats: Arc<Stats>,
    /// An end of the source partition. All control records published before it was looked up are decided, and their decisions known.
    known_end: Option<Offset>,
    /// The rejections that are published.
    published: RejectionCounts,
    /// The first offset of the source partition, if a decision has just brought it and it is not 0.
    beginning: Option<Offset>,
}

impl IngestTask {
    /// Restores the fold from its store.
    pub fn new(
        source: TopicPartition,
        dedup_days: u64,
        partitions: Partitions,
        store: &dyn Store,
        window: Arc<DedupWindow>,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let state = load_state(store, "the state of an ingest task")?.unwrap_or_default();
        let unlisted = load_unlisted(store).map_err(|error| error.at(&TaskId::ingest(source).to_string()))?;
        let ingest = Ingest::new(source, dedup_days, partitions, state, unlisted);
        stats.note(source, ingest.state().counts);
        window.set(ingest.oldest_kept());
        Ok(Self {
            ingest,
            inputs: [DECISIONS, source],
            dedup: StoredDedupIndex::default(),
            window,
            stats,
            known_end: None,
            published: RejectionCounts::NONE,
            beginning: None,
        })
    }

    fn apply_decisions(
        &mut self,
        batch: &Batch,
        first: usize,
        context: &mut StepContext<'_>,
    ) -> Result<usize, FoldError> {
        let source = self.ingest.source();
        let mut offset = context.position.offset(source);
        for record in batch.iter().skip(first).filter(|record| !record.value.is_empty()) {
            let decision = Decision::read(record.value)?;
            let bound = match &decision {
                _ if context.recovering => None,
                Decision::CloseAccepted { .. } => Some(context.log.written_end(source)?),
                Decision::LossProposed { loss, .. } if loss.source() == source => Some(context.log.start(source)?),
                _ => None,
            };
            // An answer or a barrier speaks for all records before it, so they must still be there after the end was looked up.
            let speaks_for_all = matches!(
                decision,
                Decision::CloseAccepted { .. }
                    | Decision::ListingProposed { .. }
                    | Decision::LossProposed { .. }
                    | Decision::Cut { .. }
            );
            if speaks_for_all && !context.recovering {
                context.log.verify(source)?;
            }
            self.ingest.apply_decision(&decision, offset, bound, context.outputs)?;
            if let Decision::SourcesAdded { starts, .. } = &decision
                && let Some(start) = starts.0.get(&source)
            {
                offset = offset.max(*start);
                self.beginning = Some(offset);
            }
        }
        Ok(batch.len())
    }

    fn apply_source(&mut self, batch: &Batch, context: &mut StepContext<'_>) -> Result<usize, FoldError> {
        let source = self.ingest.source();
        if !context.recovering && self.ingest.reaches_cut(batch.next.offset) {
            context.log.verify(source)?;
        }
        self.ingest.begin_batch(context.position.offset(source));
        let decoded: Vec<Decoded<'_>> = batch.iter().map(|record| Decoded::read(record.value)).collect();
        self.dedup
            .load(decoded.iter().filter_map(Decoded::identity), context.store)?;
        let had_nameless = self.ingest.has_nameless();
        for (record, decoded) in batch.iter().zip(&decoded) {
            self.ingest
                .apply_record(record.offset, record.value, decoded, &mut self.dedup, context.outputs)?;
        }
        self.ingest.end_batch(batch.next.offset, context.outputs)?;
        if !context.recovering {
            if !had_nameless && self.ingest.has_nameless() {
                tracing::warn!(
                    "{source} has postings of more than {MAX_UNLISTED} assets that are not listed, which is hardly right: look for the producer of such \
                     names; from here on, further names are only known together, so the first listing of one of them, or of an asset without any \
                     posting, is rejected (listing_too_late) unless its anchor is later than the newest posting of all of them"
                );
            }
            Stats::add(&self.stats.records, batch.len() as u64);
        }
        self.stats.note(source, self.ingest.state().counts);
        Ok(batch.len())
    }
}

/// The ignored postings of assets that are not listed.
fn load_unlisted(store: &dyn Store) -> Result<Vec<(Option<Asset>, UnlistedPostings)>, FoldError> {
    let (from, to) = tables::all_unlisted();
    let mut scan = store.scan(&from, &to)?;
    let mut all = Vec::new();
    while let Some((key, value)) = scan.next()? {
        all.push((tables::unlisted_asset(key)?, codec::decode(value, "an unlisted asset")?));
    }
    Ok(all)
}

impl Fold for IngestTask {
    fn inputs(&self) -> &[TopicPartition] {
        &self.inputs
    }

    fn read_limit(&mut self, input: usize, offset: Offset, log: &dyn Log) -> Result<Offset, FoldError> {
        if input != SOURCE_INPUT {
            return Ok(Offset::NO_LIMIT);
        }
        let known = self.known_end.unwrap_or(offset);
        let mut end = known;
        if known <= offset {
            // First the end of the source, then control: so the task waits for a listing that was published before these records.
            end = log.readable_end(self.ingest.source())?;
            if self.ingest.control_read() < log.readable_end(CONTROL)? {
                return Ok(end.min(self.ingest.limit_while_undecided(offset)));
            }
            Stats::add(&self.stats.known, end.since(known));
            self.known_end = Some(end);
        }
        Ok(end.min(self.ingest.limit(offset)))
    }

    fn apply(
        &mut self,
        input: usize,
        batch: &Batch,
        first: usize,
        context: &mut StepContext<'_>,
    ) -> Result<usize, FoldError> {
        if input == SOURCE_INPUT {
            self.apply_source(batch, context)
        } else {
            self.apply_decisions(batch, first, context)
        }
    }

    fn knows_start(&self, input: usize) -> bool {
        input != SOURCE_INPUT || self.ingest.is_announced()
    }

    fn take_beginning(&mut self) -> Option<(usize, Offset)> {
        self.beginning.take().map(|offset| (SOURCE_INPUT, offset))
    }

    fn next_skip(&self, input: usize) -> Option<(Offset, Offset)> {
        self.ingest.next_skip().filter(|_| input == SOURCE_INPUT)
    }

    fn skip(&mut self, _: usize, context: &mut StepContext<'_>) -> Result<(), FoldError> {
        let source = self.ingest.source();
        let offset = context.position.offset(source);
        if !context.recovering {
            context.log.verify(source)?;
        }
        Ok(self.ingest.skip(offset, context.outputs)?)
    }

    fn begin_work(&mut self) {
        self.published = self.ingest.state().counts.dead_letters;
    }

    fn published(&mut self, outputs: &Outputs) {
        let counts = self.ingest.state().counts.dead_letters;
        if let Some(announcer) = &self.stats.announcer {
            announcer.tell_source_rejections(counts.since(self.published), outputs);
        }
        self.published = counts;
    }

    fn unwritten_bytes(&self) -> usize {
        self.dedup.unwritten_bytes()
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        self.dedup.write(changes);
        for (asset, unlisted) in self.ingest.take_unlisted() {
            changes.put(&tables::unlisted(asset), &codec::encode(&unlisted)?);
        }
        changes.put(&tables::STATE, &codec::encode(self.ingest.state())?);
        self.window.set(self.ingest.oldest_kept());
        Ok(())
    }
}
