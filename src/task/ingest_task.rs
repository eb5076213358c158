//! The shell of the ingest fold: one source partition, and the decisions.

use std::sync::Arc;

use crate::bus::{Batch, Log, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::ingest::decode::Decoded;
use crate::core::ingest::{Ingest, UnlistedPostings};
use crate::core::protocol::codec;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::store::{Changes, Store, tables};
use crate::task::harness::{Context, Fold, Stop};
use crate::task::seen_events::{DedupWindow, SeenEvents};
use crate::task::stats::Stats;
use crate::task::{TaskError, seen_events};

const DECISIONS: TopicPartition = Topic::Decisions.partition(0);
const CONTROL: TopicPartition = Topic::Control.partition(0);
/// Decisions first: nothing is read from the source that a decision known by then concerns.
const FROM_SOURCE: usize = 1;

/// The ingest task of a source partition.
pub struct IngestTask {
    ingest: Ingest,
    inputs: [TopicPartition; 2],
    memory: SeenEvents,
    window: Arc<DedupWindow>,
    stats: Arc<Stats>,
    /// The end of the source partition that was looked up last, and after which all of control was found to be known.
    known_end: Option<u64>,
}

impl IngestTask {
    /// Takes the task up from its store.
    pub fn new(
        source: TopicPartition,
        dedup_epochs: u64,
        partitions: Partitions,
        store: &dyn Store,
        window: Arc<DedupWindow>,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let state = seen_events::state(store, "the state of an ingest task")?.unwrap_or_default();
        let passed = passed(store).map_err(|stop| stop.of(&TaskId::ingest(source).to_string()))?;
        let ingest = Ingest::new(source, dedup_epochs, partitions, state, passed);
        stats.note(source, ingest.state().counts);
        window.set(ingest.oldest_open());
        Ok(Self {
            ingest,
            inputs: [DECISIONS, source],
            memory: SeenEvents::default(),
            window,
            stats,
            known_end: None,
        })
    }
}

/// What was passed over of assets not listed.
fn passed(store: &dyn Store) -> Result<Vec<(Asset, UnlistedPostings)>, Stop> {
    let (from, to) = tables::all_passed();
    let mut scan = store.scan(&from, &to)?;
    let mut all = Vec::new();
    while let Some((key, value)) = scan.next()? {
        all.push((tables::passed_asset(key)?, codec::decode(value, "a passed-over asset")?));
    }
    Ok(all)
}

impl Fold for IngestTask {
    fn inputs(&self) -> &[TopicPartition] {
        &self.inputs
    }

    fn limit(&mut self, input: usize, offset: u64, log: &dyn Log) -> Result<u64, Stop> {
        if input != FROM_SOURCE {
            return Ok(u64::MAX);
        }
        let known = self.known_end.unwrap_or(offset);
        let mut published = known;
        if known <= offset {
            // What is published by now, and only then a look at control: a listing published before these records is waited for.
            published = log.readable_end(self.ingest.source())?;
            if self.ingest.control_read() < log.readable_end(CONTROL)? {
                return Ok(offset);
            }
            Stats::add(&self.stats.known, published.saturating_sub(known));
            self.known_end = Some(published);
        }
        Ok(published.min(self.ingest.limit(offset)))
    }

    fn apply(&mut self, input: usize, batch: &Batch, first: usize, context: &mut Context<'_>) -> Result<usize, Stop> {
        let source = self.ingest.source();
        if input != FROM_SOURCE {
            let offset = context.at.offset(source);
            for record in batch.iter().skip(first).filter(|record| !record.value.is_empty()) {
                let decision = Decision::read(record.value)?;
                let end = match &decision {
                    Decision::CloseAccepted { .. } if !context.recovering => Some(context.log.written_end(source)?),
                    _ => None,
                };
                self.ingest.apply_decision(&decision, offset, end, context.outputs)?;
            }
            return Ok(batch.len());
        }
        self.ingest.begin_batch(context.at.offset(source));
        let decoded: Vec<Decoded<'_>> = batch.iter().map(|record| Decoded::read(record.value)).collect();
        self.memory
            .look_up(decoded.iter().filter_map(Decoded::identity), context.store)?;
        for (record, decoded) in batch.iter().zip(&decoded) {
            self.ingest
                .apply_record(record.offset, record.value, decoded, &mut self.memory, context.outputs)?;
        }
        self.ingest.end_batch(batch.next.offset, context.outputs)?;
        if !context.recovering {
            Stats::add(&self.stats.records, batch.len() as u64);
        }
        self.stats.note(source, self.ingest.state().counts);
        Ok(batch.len())
    }

    fn unwritten(&self) -> usize {
        self.memory.bytes()
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), Stop> {
        self.memory.write(changes);
        for (asset, passed) in self.ingest.take_unlisted() {
            changes.put(&tables::passed(asset), &codec::encode(&passed)?);
        }
        changes.put(&tables::STATE, &codec::encode(self.ingest.state())?);
        self.window.set(self.ingest.oldest_open());
        Ok(())
    }
}
