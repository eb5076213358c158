//! The seen ids against a map, with runs so small that they are written and merged all the time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use crate::bus::Position;
use crate::core::contract::fingerprint::identity;
use crate::core::values::ids::AssetEpoch;
use crate::store::memory::{MemoryContents, MemoryStore};
use crate::task::seen_ids::*;

const SMALL: RunSizes = RunSizes {
    from: 16,
    fan_in: 3,
    merged: 300,
};

/// Ids in a store, and what they must be.
struct Tried {
    store: MemoryStore,
    ids: SeenIds,
    model: BTreeMap<Id, SeenEvent>,
    persisted: BTreeMap<Id, SeenEvent>,
    oldest: Vec<Epoch>,
}

fn id(number: u64) -> Id {
    identity(&number.to_string(), "/test")
}

fn seen(fingerprint: u64, epochs: &[(u16, u64)]) -> SeenEvent {
    let postings = epochs
        .iter()
        .map(|(number, epoch)| AssetEpoch::new(*number, Epoch::new(*epoch)).unwrap());
    SeenEvent {
        fingerprint,
        postings: postings.collect(),
    }
}

impl Tried {
    fn new(sizes: RunSizes) -> Self {
        let store = MemoryStore::default();
        Self {
            ids: SeenIds::with_sizes(&store, sizes).unwrap(),
            store,
            model: BTreeMap::new(),
            persisted: BTreeMap::new(),
            oldest: vec![Epoch::FIRST; 3],
        }
    }

    fn is_live(&self, seen: &SeenEvent) -> bool {
        seen.postings
            .iter()
            .all(|at| at.epoch() >= self.oldest[usize::from(at.number())])
    }

    fn find(&mut self, id: &Id) -> Option<SeenEvent> {
        self.ids.load(std::iter::once(id)).unwrap();
        self.ids.find(id, |seen| self.is_live(seen))
    }

    /// Applies an event, if it is none that was applied before.
    fn apply(&mut self, number: u64, event: SeenEvent) {
        let id = id(number);
        let expected = self.model.get(&id).filter(|seen| self.is_live(seen)).cloned();
        assert_eq!(self.find(&id), expected, "event {number}");
        if expected.is_none() {
            self.ids.insert(id, event.clone());
            self.model.insert(id, event);
        }
    }

    fn persist(&mut self) {
        let mut changes = Changes::default();
        self.ids.write(self.oldest.iter().copied(), &mut changes).unwrap();
        self.store.commit(&mut changes, &Position::default()).unwrap();
        self.persisted.clone_from(&self.model);
    }

    /// What was not persisted is lost.
    fn restart(&mut self) {
        self.ids = SeenIds::with_sizes(&self.store, self.ids.sizes).unwrap();
        self.model.clone_from(&self.persisted);
    }

    fn check_all(&mut self) {
        let model = self.model.clone();
        self.ids.load(model.keys()).unwrap();
        for (id, seen) in &model {
            let found = self.ids.find(id, |seen| self.is_live(seen));
            assert_eq!(found, self.is_live(seen).then(|| seen.clone()));
        }
        for number in 1_000_000..1_000_100 {
            assert_eq!(self.find(&id(number)), None);
        }
    }
}

#[derive(Debug, Clone)]
enum Step {
    Apply {
        number: u64,
        epochs: Vec<(u16, u64)>,
    },
    Persist,
    Restart,
    /// The oldest epoch of an asset in the window moves on by one.
    Expire(u16),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let epochs = prop::collection::vec((0u16..3, 0u64..6), 0..4);
    let step = prop_oneof![
        40 => (0u64..400, epochs).prop_map(|(number, epochs)| Step::Apply { number, epochs }),
        3 => Just(Step::Persist),
        1 => Just(Step::Restart),
        1 => (0u16..3).prop_map(Step::Expire),
    ];
    prop::collection::vec(step, 1..1_500)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn they_are_what_a_map_says(steps in steps()) {
        let mut tried = Tried::new(SMALL);
        for (step, fingerprint) in steps.into_iter().zip(0..) {
            match step {
                Step::Apply { number, epochs } => tried.apply(number, seen(fingerprint, &epochs)),
                Step::Persist => tried.persist(),
                Step::Restart => tried.restart(),
                Step::Expire(asset) => {
                    let oldest = &mut tried.oldest[usize::from(asset)];
                    *oldest = oldest.next().unwrap();
                }
            }
        }
        tried.check_all();
        tried.persist();
        tried.restart();
        tried.check_all();
    }
}

#[test]
fn runs_stay_few_and_go_with_their_epochs() {
    let mut tried = Tried::new(SMALL);
    let mut most = 0;
    for number in 0..4_000 {
        tried.apply(number, seen(number, &[(0, number / 1_000)]));
        if number % 16 == 15 {
            tried.persist();
            most = most.max(tried.ids.runs.len());
        }
    }
    // Of each size three at most; above 300 ids, runs are not merged: there are some 13 of those.
    assert!((4..=26).contains(&most), "{most} runs");
    tried.check_all();
    tried.oldest[0] = Epoch::new(3);
    tried.persist();
    tried.persist();
    let left: u64 = tried.ids.runs.iter().map(|run| run.contents.ids()).sum();
    assert!((1_000..1_700).contains(&left), "{left} ids are left of the last 1,000");
    tried.check_all();
    tried.oldest[0] = Epoch::new(4);
    tried.persist();
    assert!(tried.ids.runs.is_empty());
    // A run is removed when the commit that no longer names it is done.
    tried.persist();
    let on_disk = tried.store.runs().unwrap();
    assert!((0..tried.ids.next_run).all(|run| on_disk.block(run, 0).is_err()));
    tried.check_all();
}

#[test]
fn statuses_never_expire_and_keep_no_run_large() {
    let mut tried = Tried::new(SMALL);
    for number in 0..64 {
        let epochs: &[_] = if number == 5 { &[] } else { &[(0, 0)] };
        tried.apply(number, seen(number, epochs));
    }
    tried.persist();
    tried.oldest[0] = Epoch::new(1);
    tried.persist();
    let ids: Vec<u64> = tried.ids.runs.iter().map(|run| run.contents.ids()).collect();
    assert_eq!(ids, [1]);
    tried.restart();
    assert_eq!(tried.find(&id(5)), Some(seen(5, &[])));
    assert_eq!(tried.find(&id(6)), None);
}

#[test]
fn a_run_that_no_commit_names_is_removed_and_its_ids_are_still_recent() {
    let mut tried = Tried::new(SMALL);
    (0..10).for_each(|number| tried.apply(number, seen(number, &[(1, 2)])));
    tried.persist();
    (10..40).for_each(|number| tried.apply(number, seen(number, &[(1, 2)])));
    // The process dies between the write of the run and the commit.
    let mut changes = Changes::default();
    tried.ids.write(tried.oldest.iter().copied(), &mut changes).unwrap();
    let runs = tried.store.runs().unwrap();
    assert!(runs.block(0, 0).is_ok());
    tried.restart();
    assert!(runs.block(0, 0).is_err());
    tried.check_all();
    assert_eq!(tried.find(&id(20)), None);
    (10..40).for_each(|number| tried.apply(number, seen(number, &[(1, 2)])));
    tried.persist();
    tried.check_all();
}

#[test]
fn thousands_of_posting_epochs_take_wider_numbers() {
    for (kinds, sizes) in [(300, SMALL), (70_000, RunSizes::within(64 << 20)), (70_000, SMALL)] {
        let mut tried = Tried::new(sizes);
        tried.oldest = vec![Epoch::FIRST; 300];
        for number in 0..kinds {
            let epochs = [((number % 300) as u16, number / 300)];
            tried.ids.insert(id(number), seen(number, &epochs));
            tried.model.insert(id(number), seen(number, &epochs));
        }
        tried.persist();
        tried.restart();
        tried.check_all();
    }
}

#[test]
fn an_expired_id_is_applied_again_while_its_first_event_is_still_on_disk() {
    let mut tried = Tried::new(SMALL);
    (0..20).for_each(|number| tried.apply(number, seen(number, &[(0, 0)])));
    tried.persist();
    tried.oldest[0] = Epoch::new(1);
    // The window of the last persist is behind.
    (0..20).for_each(|number| tried.apply(number, seen(100 + number, &[(0, 1)])));
    tried.check_all();
    tried
        .ids
        .write(std::iter::repeat_n(Epoch::FIRST, 3), &mut Changes::default())
        .unwrap();
    assert_eq!(tried.ids.runs.len(), 2);
    tried.check_all();
}

#[test]
fn damaged_logs_and_runs_are_found() {
    let mut tried = Tried::new(SMALL);
    (0..12).for_each(|number| tried.apply(number, seen(number, &[(0, 0)])));
    tried.persist();
    let key = tables::id_log(0);
    let log = tried.store.get(&key).unwrap().unwrap();
    for bytes in [&log[..log.len() - 1], &log[..10], &[][..]] {
        let contents = MemoryContents::default();
        let mut store = MemoryStore::open(&contents);
        let mut changes = Changes::default();
        changes.put(&key, bytes);
        store.commit(&mut changes, &Position::default()).unwrap();
        assert!(SeenIds::open(&store, 0).is_err(), "{} bytes", bytes.len());
    }
    // A run that is named and missing.
    (12..40).for_each(|number| tried.apply(number, seen(number, &[(0, 0)])));
    tried.persist();
    tried
        .store
        .runs()
        .unwrap()
        .keep_only(&std::collections::BTreeSet::new())
        .unwrap();
    assert!(SeenIds::open(&tried.store, 0).is_err());
    assert!(tried.ids.load([id(20)].iter()).is_err());
}

/// With the sizes of real runs.
#[test]
fn an_id_takes_at_most_26_bytes_on_disk() {
    let sizes = RunSizes::within(64 << 20);
    let entries: Vec<_> = (0..sizes.from as u64)
        .map(|number| (id(number), seen(number, &[(0, 1), (1, number % 9)])))
        .collect();
    let mut tried = Tried::new(sizes);
    for (id, event) in &entries {
        tried.ids.insert(*id, event.clone());
    }
    tried.persist();
    assert_eq!(tried.ids.runs.len(), 1);
    let on_disk = tried.store.runs().unwrap();
    let blocks = (0..).map_while(|block| on_disk.block(0, block).ok());
    let bytes: usize = blocks.map(|block| block.len() + 8).sum();
    assert!(bytes <= 26 * entries.len(), "{} bytes for {} ids", bytes, entries.len());
}
