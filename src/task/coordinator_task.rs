//! The coordinator task: it feeds the inbox to the coordinator's fold.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::bus::{Batch, Log, Outputs, TaskId, Topic, TopicPartition};
use crate::core::contract::rules;
use crate::core::coordinate::gate_state::GateState;
use crate::core::coordinate::waiting::WaitingEvent;
use crate::core::coordinate::{ControlCounts, Coordinator, ListedAsset};
use crate::core::protocol::codec;
use crate::core::values::asset::Asset;
use crate::core::values::ids::Epoch;
use crate::core::values::offset::Offset;
use crate::store::{Changes, Store, tables};
use crate::task::error::TaskError;
use crate::task::fold::{Fold, FoldError, StepContext, load_state};
use crate::task::seen_controls::SeenControls;
use crate::task::stats::Stats;

const INPUTS: [TopicPartition; 1] = [Topic::Inbox.partition(0)];

/// What is unfinished is noted at most this often while the task works. To note it takes the longer, the more closes wait.
const NOTE_EVERY: Duration = Duration::from_millis(250);

/// What the coordinator has not finished.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UnfinishedWork {
    /// Closed epochs without a seal, in words.
    pub unsealed: Vec<String>,
    /// Whether a control event is undecided.
    pub undecided: bool,
    /// Epochs that a failed check stopped, in words.
    pub alarms: Vec<String>,
    /// Control events that are not finished.
    pub waiting: Vec<WaitingEvent>,
    /// Epochs that the gate holds or that are void.
    pub stopped: Vec<(Asset, Epoch, GateState)>,
    /// Epochs that a failed check stopped.
    pub halted: Vec<(Asset, Epoch)>,
    /// How far each asset is sealed that has epochs to come.
    pub seals: Vec<SealedTo>,
    /// Whether the coordinator is at work in this process. If not, all of this is of the past.
    pub is_current: bool,
}

/// How far an asset is sealed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedTo {
    pub asset: Asset,
    /// The newest sealed epoch; `None` if there is none.
    pub epoch: Option<Epoch>,
    /// The end of that epoch, or the anchor of the listing, in milliseconds since 1970.
    pub ended_ms: i128,
    /// The length of an epoch, in milliseconds.
    pub length_ms: u64,
}

impl SealedTo {
    /// `None` if the asset is withdrawn, and all its epochs are sealed.
    fn of(listed: &ListedAsset) -> Option<Self> {
        let (calendar, next) = (&listed.terms.calendar, listed.next_seal);
        if listed.withdrawn.is_some_and(|end| next >= end) {
            return None;
        }
        Some(Self {
            asset: listed.terms.asset,
            epoch: (next > calendar.first()).then(|| next.saturating_sub(1)),
            ended_ms: calendar.start_ms(next),
            length_ms: calendar.length_ms(),
        })
    }
}

/// The coordinator's task.
pub struct CoordinatorTask {
    coordinator: Coordinator,
    dedup: SeenControls,
    unfinished: Arc<Mutex<UnfinishedWork>>,
    /// When it was noted last.
    noted: Instant,
    stats: Arc<Stats>,
    /// The counts of what is published, and of what is on its way.
    published: ControlCounts,
    sent: ControlCounts,
    /// Whether recovery is over.
    is_working: bool,
}

impl Drop for CoordinatorTask {
    fn drop(&mut self) {
        self.unfinished().is_current = false;
        if let Some(announcer) = &self.stats.announcer {
            announcer.forget_settlements();
        }
    }
}

impl CoordinatorTask {
    /// Restores the fold from its store. `partitions` is the number of ledger partitions, for a new store.
    pub fn new(
        partitions: u32,
        store: &dyn Store,
        unfinished: Arc<Mutex<UnfinishedWork>>,
        stats: Arc<Stats>,
    ) -> Result<Self, TaskError> {
        let coordinator: Coordinator =
            load_state(store, "the state of the coordinator")?.unwrap_or_else(|| Coordinator::new(partitions));
        rules::check_known(coordinator.rules())
            .map_err(|fault| FoldError::from(fault).at(&TaskId::COORDINATE.to_string()))?;
        let mut task = Self {
            coordinator,
            dedup: SeenControls::default(),
            unfinished,
            noted: Instant::now(),
            stats,
            published: ControlCounts::default(),
            sent: ControlCounts::default(),
            is_working: false,
        };
        task.update_unfinished();
        Ok(task)
    }

    fn unfinished(&self) -> MutexGuard<'_, UnfinishedWork> {
        self.unfinished.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn update_unfinished(&mut self) {
        self.noted = Instant::now();
        self.stats.note_control(self.coordinator.counts());
        let mut unfinished = UnfinishedWork {
            undecided: self.coordinator.is_undecided(),
            waiting: self.coordinator.waiting(),
            stopped: self.coordinator.stopped().collect(),
            seals: self.coordinator.assets().iter().filter_map(SealedTo::of).collect(),
            is_current: self.is_working,
            ..UnfinishedWork::default()
        };
        for (asset, epoch, alarm) in self.coordinator.unsealed() {
            match alarm {
                Some(alarm) => {
                    unfinished.alarms.push(alarm.to_owned());
                    unfinished.halted.push((asset, epoch));
                }
                None => unfinished.unsealed.push(format!("{asset} epoch {epoch}")),
            }
        }
        // Those who look wait for the swap alone.
        *self.unfinished() = unfinished;
    }
}

impl Fold for CoordinatorTask {
    fn inputs(&self) -> &[TopicPartition] {
        &INPUTS
    }

    fn read_limit(&mut self, _: usize, _: Offset, _: Option<Offset>, _: &dyn Log) -> Result<Offset, FoldError> {
        Ok(Offset::NO_LIMIT)
    }

    fn apply(
        &mut self,
        _: usize,
        batch: &Batch,
        first: usize,
        context: &mut StepContext<'_>,
    ) -> Result<usize, FoldError> {
        for record in batch.iter().skip(first) {
            self.coordinator.receive(record.value, context.outputs)?;
            loop {
                if let Some(identity) = self.coordinator.next_identity() {
                    self.dedup.load(&identity, context.store)?;
                }
                if !self.coordinator.take_turn(&mut self.dedup, context.outputs)? {
                    break;
                }
            }
        }
        for alarm in self.coordinator.take_alarms() {
            tracing::error!("{alarm}");
        }
        // What is not noted here is noted with the next persist: at the latest a second after the last record, and at a clean end.
        if self.noted.elapsed() >= NOTE_EVERY {
            self.update_unfinished();
        }
        Ok(batch.len())
    }

    fn begin_work(&mut self) {
        self.is_working = true;
        self.published = self.coordinator.counts();
        self.update_unfinished();
    }

    fn complete_outputs(&mut self, _: &mut Outputs) {
        self.sent = self.coordinator.counts();
    }

    fn published(&mut self, outputs: &Outputs) {
        let seals = outputs.iter().filter(|(to, ..)| to.topic == Topic::Epochs);
        Stats::add(&self.stats.seals, seals.count() as u64);
        self.stats.count_control(self.published, self.sent);
        self.published = self.sent;
        if let Some(announcer) = &self.stats.announcer {
            announcer.tell_control(outputs);
        }
    }

    fn unwritten_bytes(&self) -> usize {
        self.dedup.unwritten_bytes()
    }

    fn write_state(&mut self, changes: &mut Changes) -> Result<(), FoldError> {
        self.dedup.write(changes);
        changes.put(&tables::STATE, &codec::encode(&self.coordinator)?);
        self.update_unfinished();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::bus::memory::MemoryBus;
    use crate::bus::{Mark, Position};
    use crate::core::protocol::messages::{Inbox, SequencedRecord};
    use crate::store::memory::MemoryStore;
    use crate::store::{Scan, SortedRuns, StoreError};

    use super::*;

    /// A store that is never read as a whole.
    struct LookedUp(MemoryStore);

    impl Store for LookedUp {
        fn position(&self) -> &Position {
            self.0.position()
        }

        fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            self.0.get(key)
        }

        fn get_many(&self, keys: &[&[u8]]) -> Result<Vec<Option<Vec<u8>>>, StoreError> {
            assert!(keys.len() <= 1, "one control event at a time");
            self.0.get_many(keys)
        }

        fn scan(&self, _: &[u8], _: &[u8]) -> Result<Box<dyn Scan + '_>, StoreError> {
            panic!("the coordinator reads a whole table into memory")
        }

        fn runs(&self) -> Result<Arc<dyn SortedRuns>, StoreError> {
            self.0.runs()
        }

        fn commit(&mut self, changes: &mut Changes, position: &Position) -> Result<(), StoreError> {
            self.0.commit(changes, position)
        }
    }

    fn listing(id: &str, asset: &str, decimals: u32) -> Vec<u8> {
        format!(
            r#"{{"specversion":"1.0","id":"{id}","source":"/test","type":"softstake.asset.v1","time":"2026-11-01T00:00:00Z","data":{{
            "asset":"{asset}","decimals":{decimals},"anchor":"2026-11-01T00:00:00Z","epoch_seconds":100,
            "programme":{{"from_epoch":0,"mode":"pool"}}}}}}"#
        )
        .into_bytes()
    }

    const BEGIN: Inbox = Inbox::Begin {
        rules: rules::NEWEST_RULES,
    };

    fn task(store: &dyn Store) -> CoordinatorTask {
        CoordinatorTask::new(1, store, Arc::default(), Arc::default()).unwrap()
    }

    fn control(first: u64, records: &[Vec<u8>]) -> Inbox {
        let numbered = records.iter().zip(first..);
        Inbox::Control {
            records: numbered
                .map(|(record, offset)| SequencedRecord {
                    offset: Offset::new(offset),
                    bytes: record.clone(),
                    known_rules: rules::NEWEST_RULES,
                })
                .collect(),
            read_to: Offset::new(first + records.len() as u64),
        }
    }

    fn apply(task: &mut CoordinatorTask, store: &dyn Store, offset: u64, message: &Inbox) {
        try_apply(task, store, offset, message).unwrap();
    }

    fn try_apply(
        task: &mut CoordinatorTask,
        store: &dyn Store,
        offset: u64,
        message: &Inbox,
    ) -> Result<usize, FoldError> {
        let bytes = codec::encode(message).unwrap();
        let length = bytes.len();
        let batch = Batch::new(bytes, vec![(Offset::new(offset), 0..length)], Mark::default());
        let mut context = StepContext {
            log: &MemoryBus::new(),
            store,
            position: &Position::default(),
            recovering: false,
            changes: &mut Changes::default(),
            outputs: &mut Outputs::default(),
        };
        task.apply(0, &batch, 0, &mut context)
    }

    /// Lets the task read control records, and persists its state.
    fn read(task: &mut CoordinatorTask, store: &mut dyn Store, first: u64, records: &[Vec<u8>]) {
        apply(task, store, first, &control(first, records));
        let mut changes = Changes::default();
        task.write_state(&mut changes).unwrap();
        store.commit(&mut changes, &Position::default()).unwrap();
    }

    #[test]
    fn what_is_unfinished_is_not_noted_for_each_record_and_is_right_when_persisted() {
        let mut store = MemoryStore::default();
        let unfinished = Arc::<Mutex<UnfinishedWork>>::default();
        let mut task = CoordinatorTask::new(1, &store, Arc::clone(&unfinished), Arc::default()).unwrap();
        let is_noted = || unfinished.lock().unwrap().undecided;
        // Nobody answers, because the new source is not asked in this test.
        let sources = Inbox::Sources(vec![Topic::Deposits.partition(0)]);
        apply(&mut task, &store, 0, &BEGIN);
        task.noted = Instant::now() + Duration::from_secs(60);
        apply(&mut task, &store, 0, &sources);
        apply(&mut task, &store, 1, &control(1, &[listing("1", "A", 2)]));
        assert!(task.coordinator.is_undecided() && !is_noted());
        let mut changes = Changes::default();
        task.write_state(&mut changes).unwrap();
        store.commit(&mut changes, &Position::default()).unwrap();
        assert!(is_noted());
        // Later it is noted without a persist, too.
        unfinished.lock().unwrap().undecided = false;
        task.noted = Instant::now() + Duration::from_secs(60);
        apply(&mut task, &store, 2, &control(2, &[]));
        assert!(!is_noted());
        task.noted = Instant::now() - NOTE_EVERY;
        apply(&mut task, &store, 3, &control(3, &[]));
        assert!(is_noted());
    }

    #[test]
    fn a_state_under_rules_that_are_not_known_is_refused() {
        let mut state = codec::encode(&Coordinator::new(1)).unwrap();
        // The version of the encoding, the ledger partitions, the number of decisions, and the rules.
        assert_eq!(state[..4], [state[0], 1, 0, rules::FIRST_RULES as u8]);
        state[3] = 99;
        let mut store = MemoryStore::default();
        let mut changes = Changes::default();
        changes.put(&tables::STATE, &state);
        store.commit(&mut changes, &Position::default()).unwrap();
        let refused = CoordinatorTask::new(1, &store, Arc::default(), Arc::default())
            .err()
            .unwrap();
        let text = refused.to_string();
        assert!(
            text.contains("version 99") && text.contains("start a newer softstake"),
            "{text}"
        );
        assert_eq!(refused.reaction(), crate::bus::Reaction::EndProcess);
    }

    #[test]
    fn a_version_that_only_the_sequencer_knows_ends_the_process_before_it_is_proposed() {
        let store = MemoryStore::default();
        let mut task = task(&store);
        apply(&mut task, &store, 0, &BEGIN);
        let version = rules::NEWEST_RULES + 1;
        let event = format!(
            r#"{{"specversion":"1.0","id":"1","source":"/test","type":"softstake.rules.v1","time":"2026-11-01T00:00:00Z","data":{{"version":{version}}}}}"#
        );
        let known_to = |known_rules| Inbox::Control {
            records: vec![SequencedRecord {
                offset: Offset::START,
                bytes: event.clone().into_bytes(),
                known_rules,
            }],
            read_to: Offset::new(1),
        };
        apply(&mut task, &store, 1, &known_to(version - 1));
        assert_eq!(task.coordinator.counts().dead_letters.total(), 1, "nobody knows it");
        let failed = try_apply(&mut task, &store, 2, &known_to(version)).err().unwrap();
        let failed = failed.at("coordinate");
        assert!(failed.to_string().contains("start a newer softstake"), "{failed}");
        assert_eq!(failed.reaction(), crate::bus::Reaction::EndProcess);
    }

    #[test]
    fn applied_control_events_are_looked_up_and_not_held_in_memory() {
        let mut store = LookedUp(MemoryStore::default());
        let mut first = task(&store);
        apply(&mut first, &store, 0, &BEGIN);
        let listings = [listing("1", "A", 2), listing("2", "B", 2), listing("1", "A", 2)];
        read(&mut first, &mut store, 0, &listings);
        assert_eq!(
            (
                first.coordinator.counts().accepted,
                first.coordinator.counts().duplicates
            ),
            (2, 1)
        );
        // The same task after a persist, and a task that starts from the store.
        read(&mut first, &mut store, 3, &[listing("2", "B", 2)]);
        assert_eq!(first.coordinator.counts().duplicates, 2);
        let mut second = task(&store);
        read(
            &mut second,
            &mut store,
            4,
            &[listing("1", "A", 2), listing("2", "B", 3)],
        );
        let counts = second.coordinator.counts();
        assert_eq!(
            (counts.accepted, counts.duplicates, counts.dead_letters.total()),
            (2, 3, 1)
        );
        assert!(second.dedup.unwritten_bytes() == 0, "nothing stays in memory");
    }
}
