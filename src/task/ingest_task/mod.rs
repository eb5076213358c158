//! The ingest task: it feeds the decisions and one source partition to the ingest fold.

use std::sync::Arc;

use bumpalo::Bump;

use crate::bus::{Batch, Log, Outputs, PendingEnd, Record, TaskId, Topic, TopicPartition};
use crate::core::contract::decision::Decision;
use crate::core::contract::decoded::Decoded;
use crate::core::contract::fields;
use crate::core::contract::listing::Listing;
use crate::core::ingest::{Ingest, IngestCounts, MAX_UNLISTED, UnlistedPostings};
use crate::core::protocol::codec;
use crate::core::values::asset::Asset;
use crate::core::values::bucket::Partitions;
use crate::core::values::offset::Offset;
use crate::core::values::time::TimeMs;
use crate::store::{Changes, Store, tables};
use crate::task::error::TaskError;
use crate::task::fold::{Fold, FoldError, StepContext, load_state};
use crate::task::seen_ids::SeenIds;
use crate::task::stats::Stats;

const DECISIONS: TopicPartition = Topic::Decisions.partition(0);
const CONTROL: TopicPartition = Topic::Control.partition(0);
/// The source is the second input. Decisions come first, so that every decision known by then applies to the source records that follow.
const SOURCE_INPUT: usize = 1;
/// So many records are decoded, then looked up, then applied: few enough to stay in the processor's cache.
const DECODED_AT_ONCE: usize = 128;

/// The ingest task of a source partition.
pub struct IngestTask {
    ingest: Ingest,
    inputs: [TopicPartition; 2],
    seen: SeenIds,
    stats: Arc<Stats>,
    /// An end of the source partition. All control records published before it was looked up are decided, and their decisions known.
    known_end: Option<Offset>,
    /// A later end of the source partition, and the end of control that was looked up after it.
    ends: Option<(Offset, PendingEnd)>,
    /// The counts of what is published, and of what is on its way.
    published: IngestCounts,
    sent: IngestCounts,
    /// The first offset of the source partition, if a decision has just brought it and it is not 0.
    beginning: Option<Offset>,
}

impl IngestTask {
    /// Restores the fold from its store. The task may keep `changes_bytes` in memory, about.
    pub fn new(
        source: TopicPartition,
        dedup_days: u64,
        partitions: Partitions,
        changes_bytes: usize,
        store: &dyn Store,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let state = load_state(store, "the state of an ingest task")?.unwrap_or_default();
        let unlisted = load_unlisted(store).map_err(|error| error.at(&TaskId::ingest(source).to_string()))?;
        let ingest = Ingest::new(source, dedup_days, partitions, state, unlisted);
        ingest
            .check_rules()
            .map_err(|fault| FoldError::from(fault).at(&TaskId::ingest(source).to_string()))?;
        stats.note(source, ingest.state().counts);
        Ok(Self {
            ingest,
            inputs: [DECISIONS, source],
            seen: SeenIds::open(store, changes_bytes).map_err(|error| error.at(&TaskId::ingest(source).to_string()))?,
            stats,
            known_end: None,
            ends: None,
            published: IngestCounts::default(),
            sent: IngestCounts::default(),
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
                    | Decision::WithdrawalProposed { .. }
                    | Decision::RulesProposed { .. }
                    | Decision::LossProposed { .. }
                    | Decision::Cut { .. }
            );
            if speaks_for_all && !context.recovering {
                context.log.verify(source)?;
            }
            if let Decision::ListingProposed { listing, .. } = &decision {
                self.load_covered_days(listing, context.store)?;
            }
            self.ingest.apply_decision(&decision, offset, bound, context.outputs)?;
            self.merge_days(context.store)?;
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
        let had_nameless = self.ingest.has_nameless();
        let mut newest = None;
        let mut records = batch.iter();
        loop {
            let memory = Bump::new();
            let mut part = Vec::with_capacity(DECODED_AT_ONCE);
            part.extend(
                records
                    .by_ref()
                    .take(DECODED_AT_ONCE)
                    .map(|record| (record, Decoded::read_with_event(record.value, &memory))),
            );
            if part.is_empty() {
                break;
            }
            self.seen
                .load(part.iter().filter_map(|(_, decoded)| decoded.identity()))?;
            for (record, decoded) in &part {
                self.ingest
                    .apply_record(record.offset, record.value, decoded, &mut self.seen, context.outputs)?;
            }
            newest = newest_time(&part).or(newest);
        }
        self.ingest.end_batch(batch.next.offset, context.outputs)?;
        self.merge_days(context.store)?;
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
        if let Some(time) = newest {
            self.stats.note_event_time(source, time);
        }
        Ok(batch.len())
    }

    /// An end of the source partition past `offset`, then the end of control: so the task waits for a listing that was published before these records.
    /// `None` while the end of control is looked up.
    fn ends_after(
        &mut self,
        offset: Offset,
        arrived: Option<Offset>,
        log: &dyn Log,
    ) -> Result<Option<(Offset, Offset)>, FoldError> {
        let (end, mut control) = match self.ends.take() {
            Some(ends) if ends.0 > offset => ends,
            _ => {
                // At first the end that the bus has, for those who watch the progress. Later, what has arrived was written before now, without a question.
                let end = match arrived.filter(|_| self.known_end.is_some()) {
                    Some(arrived) => arrived,
                    None => log.readable_end(self.ingest.source())?,
                };
                (end, log.look_up_end(CONTROL)?)
            }
        };
        let found = match control.poll() {
            None => None,
            Some(Some(found)) => Some(found),
            // Asked for again, it tells why.
            Some(None) => {
                let found = log.readable_end(CONTROL)?;
                control = PendingEnd::Known(found);
                Some(found)
            }
        };
        self.ends = Some((end, control));
        Ok(found.map(|control| (end, control)))
    }

    /// Adds what the store has of the days whose times in it are not known.
    fn merge_days(&mut self, store: &dyn Store) -> Result<(), FoldError> {
        let days = self.ingest.take_unmerged_days();
        if days.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = days.iter().map(|day| tables::day(*day)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| key.as_slice()).collect();
        for (day, stored) in days.iter().zip(store.get_many(&keys)?) {
            if let Some(stored) = stored {
                self.ingest
                    .merge_day(*day, codec::decode(&stored, "a day of an asset")?);
            }
        }
        Ok(())
    }

    /// Loads what tells whether a proposed listing comes before what it covers.
    fn load_covered_days(&mut self, listing: &Listing, store: &dyn Store) -> Result<(), FoldError> {
        for (first, last) in self.ingest.covered_days(listing) {
            let (from, to) = tables::day_range(first, last);
            let mut scan = store.scan(&from, &to)?;
            while let Some((key, value)) = scan.next()? {
                let day = (first.0, tables::day_of_key(key)?);
                self.ingest.merge_day(day, codec::decode(value, "a day of an asset")?);
            }
        }
        Ok(())
    }
}

/// The time of the newest of these events. Only the last records are looked at: this is for each part of a batch, and not for each record.
fn newest_time(part: &[(Record<'_>, Decoded<'_>)]) -> Option<TimeMs> {
    part.iter().rev().take(4).find_map(|(_, decoded)| match decoded {
        Decoded::Event(envelope, _) => fields::time(envelope.time, "time").ok(),
        _ => None,
    })
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

    fn read_limit(
        &mut self,
        input: usize,
        offset: Offset,
        arrived: Option<Offset>,
        log: &dyn Log,
    ) -> Result<Offset, FoldError> {
        if input != SOURCE_INPUT {
            return Ok(Offset::NO_LIMIT);
        }
        let known = self.known_end.unwrap_or(offset);
        if known > offset {
            return Ok(known.min(self.ingest.limit(offset)));
        }
        let Some((end, control)) = self.ends_after(offset, arrived, log)? else {
            return Ok(offset);
        };
        if self.ingest.control_read() < control {
            return Ok(end.min(self.ingest.limit_while_undecided(offset)));
        }
        Stats::add(&self.stats.known, end.since(known));
        self.known_end = Some(end);
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
        self.published = self.ingest.state().counts;
    }

    fn held_back_bytes(&self) -> usize {
        self.ingest.open_bytes()
    }

    fn complete_outputs(&mut self, outputs: &mut Outputs) {
        self.ingest.finish_blocks(outputs);
        self.sent = self.ingest.state().counts;
    }

    fn published(&mut self, outputs: &Outputs) {
        let new = self.sent.since(self.published);
        self.stats.count_source(self.ingest.source().topic, new);
        if let Some(announcer) = &self.stats.announcer {
            announcer.tell_source_rejections(new.dead_letters, outputs);
        }
        self.published = self.sent;
    }

    fn unwritten_bytes(&self) -> usize {
        self.seen.unwritten_bytes() + self.ingest.unwritten_bytes()
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        self.seen.write(self.ingest.oldest_kept(), changes)?;
        let passed = self.ingest.take_passed();
        for (asset, unlisted) in passed.unlisted {
            changes.put(&tables::unlisted(asset), &codec::encode(&unlisted)?);
        }
        for (day, times) in passed.days {
            changes.put(&tables::day(day), &codec::encode(&times)?);
        }
        changes.put(&tables::STATE, &codec::encode(self.ingest.state())?);
        Ok(())
    }
}

#[cfg(test)]
mod read_limit_tests;

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crate::bus::memory::MemoryBus;
    use crate::bus::{Mark, Position, Reaction};
    use crate::core::contract::decision::Offsets;
    use crate::core::protocol::messages::{Inbox, UnlistedTimes};
    use crate::core::values::time::timestamp;
    use crate::store::memory::MemoryStore;

    use super::*;

    const SOURCE: TopicPartition = Topic::Deposits.partition(0);
    const DAY: i64 = 86_400_000;

    /// A task with its store.
    struct Run {
        task: IngestTask,
        store: MemoryStore,
        next: u64,
    }

    fn task(store: &dyn Store) -> Result<IngestTask, TaskError> {
        let one = Partitions::new(1).unwrap();
        IngestTask::new(SOURCE, 7, one, 0, store, Arc::default())
    }

    impl Run {
        fn new() -> Self {
            let store = MemoryStore::default();
            let task = task(&store).unwrap();
            let mut run = Self { task, store, next: 0 };
            let announced = Decision::SourcesAdded {
                sources: vec![SOURCE],
                starts: Offsets::default(),
            };
            run.decide(&announced).unwrap();
            run
        }

        fn apply(&mut self, input: usize, records: &[Vec<u8>], first: u64) -> Result<Outputs, FoldError> {
            let mut bytes = Vec::new();
            let mut numbered = Vec::new();
            for (record, offset) in records.iter().zip(first..) {
                let from = bytes.len();
                bytes.extend_from_slice(record);
                numbered.push((Offset::new(offset), from..bytes.len()));
            }
            let next = Mark::at(Offset::new(first + records.len() as u64));
            let mut position = Position::default();
            position.inputs.insert(SOURCE, Mark::at(Offset::new(self.next)));
            let mut outputs = Outputs::default();
            let mut context = StepContext {
                log: &MemoryBus::new(),
                store: &self.store,
                position: &position,
                recovering: true,
                changes: &mut Changes::default(),
                outputs: &mut outputs,
            };
            self.task
                .apply(input, &Batch::new(bytes, numbered, next), 0, &mut context)?;
            Ok(outputs)
        }

        fn decide(&mut self, decision: &Decision) -> Result<Outputs, FoldError> {
            self.apply(0, &[decision.write(0).unwrap()], 0)
        }

        /// Reads a deposit of A at each of these times.
        fn read(&mut self, times: impl Iterator<Item = i64>) {
            let records: Vec<Vec<u8>> = times
                .zip(self.next..)
                .map(|(at, id)| {
                    format!(
                        r#"{{"specversion":"1.0","id":"{id}","source":"/s","type":"exchange.deposit.v1","time":"{}",
                        "data":{{"account":"ann","asset":"A","amount":"1"}}}}"#,
                        timestamp(i128::from(at))
                    )
                    .into_bytes()
                })
                .collect();
            self.apply(SOURCE_INPUT, &records, self.next).unwrap();
            self.next += records.len() as u64;
        }

        /// The days in the store, as they are written.
        fn days(&self) -> BTreeSet<(Vec<u8>, Vec<u8>)> {
            let mut scan = self.store.scan(&[13], &[14]).unwrap();
            let mut days = BTreeSet::new();
            while let Some((key, value)) = scan.next().unwrap() {
                days.insert((key.to_vec(), value.to_vec()));
            }
            days
        }

        /// Writes the state, and returns the number of days that are new or different.
        fn persist(&mut self) -> usize {
            let before = self.days();
            let mut changes = Changes::default();
            self.task.write_state(&mut changes).unwrap();
            self.store.commit(&mut changes, &Position::default()).unwrap();
            self.days().difference(&before).count()
        }

        /// The answer to a listing of A.
        fn propose(&mut self, anchor: i64, misdated: &str) -> UnlistedTimes {
            let listing = format!(
                r#"{{"asset":"A","decimals":2,"anchor":"{}","epoch_seconds":100,{misdated}"programme":{{"from_epoch":0,"mode":"pool"}}}}"#,
                timestamp(i128::from(anchor))
            );
            let outputs = self
                .decide(&Decision::ListingProposed {
                    control_offset: Offset::START,
                    listing: Box::new(Listing::read(&listing).unwrap()),
                })
                .unwrap();
            let (_, _, answer) = outputs.iter().next().unwrap();
            match codec::decode(answer, "an answer").unwrap() {
                Inbox::ListingAnswer { unlisted, .. } => unlisted,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn days_that_are_not_in_memory_are_read_for_a_posting_or_a_listing() {
        let mut run = Run::new();
        // More days than stay in memory, each with a posting at noon.
        let days = 20_000;
        run.read((0..days).map(|day| day * DAY + DAY / 2));
        assert!(run.task.unwritten_bytes() > 0);
        assert_eq!(run.persist(), 20_000);
        assert_eq!(run.task.ingest.unwritten_bytes(), 0, "they are in memory no more");
        // One earlier, one later, and one that changes nothing.
        run.read([7 * DAY, 9 * DAY - 1, 9 * DAY + DAY / 2].into_iter());
        assert_eq!(run.persist(), 2);
        run.task = task(&run.store).unwrap();
        let misdated = |at: i64| format!(r#""misdated_from":"{}","#, timestamp(i128::from(at)));
        // From just after noon of day 6 to the first moment of day 7.
        let answer = run.propose(6 * DAY + DAY / 2 + 1, &misdated(7 * DAY));
        assert_eq!(answer.newest_counted_ms, None);
        assert_eq!(answer.newest_not_counted_ms, Some((days - 1) * DAY + DAY / 2));
        let answer = run.propose(6 * DAY + DAY / 2 + 1, &misdated(7 * DAY + 1));
        assert_eq!(answer.newest_counted_ms, Some(7 * DAY));
        let answer = run.propose(9 * DAY - 1, &misdated(9 * DAY));
        assert_eq!(answer.newest_counted_ms, Some(9 * DAY - 1));
        // 400 days and an epoch, without a bound of its own.
        let answer = run.propose((days - 100) * DAY, "");
        assert_eq!(answer.newest_counted_ms, Some((days - 1) * DAY + DAY / 2));
        assert_eq!(run.propose(days * DAY, ""), UnlistedTimes::default());
    }

    #[test]
    fn rules_that_are_not_known_end_the_process() {
        let mut run = Run::new();
        let in_force = Decision::Rules {
            control_offset: Some(Offset::new(7)),
            version: 99,
            in_force_from: Offsets::default(),
        };
        let refused = run.decide(&in_force).unwrap_err().at("ingest");
        assert!(refused.to_string().contains("version 99"), "{refused}");
        assert_eq!(refused.reaction(), Reaction::EndProcess);
    }
}
