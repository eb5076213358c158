use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use ethnum::I256;
use proptest::prelude::*;
use tempfile::TempDir;

use crate::bus::{Mark, Topic};
use crate::core::accrue::row::Row;
use crate::core::values::offset::Offset;
use crate::store::memory::{MemoryContents, MemoryStore};
use crate::store::rocks::*;
use crate::store::row;

static RESOURCES: LazyLock<StoreResources> = LazyLock::new(|| {
    StoreResources::new(MemoryLimits {
        cache_bytes: 16 << 20,
        buffer_bytes: 8 << 20,
        ..MemoryLimits::default()
    })
    .unwrap()
});

fn settings(file_from: usize) -> StoreSettings {
    StoreSettings {
        file_from,
        ..StoreSettings::new(RESOURCES.clone(), "accrue 0 of bus test")
    }
}

/// A store in which a commit of two operations or more becomes a file.
fn open(path: &Path) -> RocksStore {
    RocksStore::open(path, StoreKind::Accrue, settings(2)).unwrap()
}

fn rejection(path: &Path, settings: StoreSettings) -> String {
    let Err(error) = RocksStore::open(path, StoreKind::Accrue, settings) else {
        panic!("the store was opened");
    };
    error.to_string()
}

fn at(offset: u64) -> Position {
    let mut position = Position::default();
    position.inputs.insert(
        Topic::Ledger.partition(3),
        Mark {
            evidence: vec![7; 5],
            ..Mark::at(Offset::new(offset))
        },
    );
    position
}

fn delta(delta: I256) -> Row {
    Row {
        delta,
        weighted: I256::ZERO,
    }
}

fn everything(store: &dyn Store) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut found = Vec::new();
    let mut scan = store.scan(&[], &[0xff; 4]).unwrap();
    while let Some((key, value)) = scan.next().unwrap() {
        found.push((key.to_vec(), value.to_vec()));
    }
    assert_eq!(scan.next().unwrap(), None, "the end stays the end");
    found
}

/// Commits `count` keys named by `number`, at position `number`.
fn commit(store: &mut RocksStore, number: u8, count: u8) {
    let mut changes = Changes::default();
    for key in 0..count {
        changes.put(&[1, number, key], &[number]);
    }
    changes.add(&[2], delta(I256::ONE));
    store.commit(&mut changes, &at(number.into())).unwrap();
    assert!(changes.is_empty());
}

/// Copies the directory, as if the machine had stopped now and the kernel had written everything.
fn copy(from: &Path) -> TempDir {
    let to = tempfile::tempdir().unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            fs::copy(entry.path(), to.path().join(entry.file_name())).unwrap();
        }
    }
    to
}

/// The write-ahead logs in `path`, by age.
fn logs(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let mut logs: Vec<_> = entries
        .filter(|path| path.extension().is_some_and(|extension| extension == "log"))
        .collect();
    logs.sort();
    logs
}

fn remove_logs(path: &Path) {
    for log in logs(path) {
        fs::remove_file(log).unwrap();
    }
}

#[test]
fn commits_survive_an_unclean_stop() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    assert_eq!(store.position(), &Position::default());
    for number in 1..6 {
        // Alternately through the log and as a file.
        commit(&mut store, number, if number % 2 == 0 { 10 } else { 0 });
        let stopped = copy(directory.path());
        let found = open(stopped.path());
        assert_eq!(found.position(), &at(number.into()));
        assert_eq!(everything(&found), everything(&store));
    }
}

#[test]
fn a_power_loss_keeps_all_commits_up_to_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    commit(&mut store, 1, 0);
    commit(&mut store, 2, 0);
    commit(&mut store, 3, 10);
    let at_three = everything(&store);
    let stopped = copy(directory.path());
    commit(&mut store, 4, 0);
    commit(&mut store, 5, 0);
    let later = copy(directory.path());

    // The log is never synced, so all of it may be lost. A file depends on nothing that can be lost.
    for directory in [stopped, later] {
        remove_logs(directory.path());
        let found = open(directory.path());
        assert_eq!(found.position(), &at(3));
        assert_eq!(everything(&found), at_three);
    }
}

#[test]
fn a_torn_log_ends_at_a_whole_commit() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = RocksStore::open(directory.path(), StoreKind::Accrue, settings(usize::MAX)).unwrap();
    let mut states = vec![everything(&store)];
    for number in 1..5 {
        commit(&mut store, number, 20);
        states.push(everything(&store));
    }
    let log = logs(directory.path()).pop().unwrap();
    let name = log.file_name().unwrap();
    let len = fs::metadata(&log).unwrap().len();
    for cut in (0..len).step_by(37) {
        let torn = copy(directory.path());
        let log = fs::OpenOptions::new().write(true).open(torn.path().join(name)).unwrap();
        log.set_len(cut).unwrap();
        let found = RocksStore::open(torn.path(), StoreKind::Accrue, settings(usize::MAX)).unwrap();
        let number = found.position().offset(Topic::Ledger.partition(3)).get();
        assert_eq!(
            everything(&found),
            states[usize::try_from(number).unwrap()],
            "cut at {cut}"
        );
    }
}

#[test]
fn another_format_or_owner_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    drop(open(path));
    let mut other = settings(2);
    other.owner = "accrue 1 of bus test".to_owned();
    let message = rejection(path, other);
    assert!(
        message.contains("\"accrue 0 of bus test\", not to \"accrue 1 of bus test\""),
        "{message}"
    );

    let store = open(path);
    let message = rejection(path, settings(2));
    assert!(message.contains("is in use by another softstake process"), "{message}");
    store.db.put(FORMAT, 9_u32.to_be_bytes()).unwrap();
    drop(store);
    let message = rejection(path, settings(2));
    assert!(
        message.contains("has format version 9, this softstake knows 6"),
        "{message}"
    );
    assert!(message.contains(&path.display().to_string()), "{message}");
}

#[test]
fn a_foreign_database_is_rejected() {
    let directory = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.create_if_missing(true);
    DB::open(&options, directory.path()).unwrap().put(b"a", b"b").unwrap();
    let message = rejection(directory.path(), settings(2));
    assert!(message.contains("it has keys but no format version"), "{message}");
}

#[test]
fn an_impossible_addition_fails_and_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let mut changes = Changes::default();
    for file_from in [0, usize::MAX] {
        let path = directory.path().join(file_from.to_string());
        let mut store = RocksStore::open(&path, StoreKind::Accrue, settings(file_from)).unwrap();
        // Within one commit: the commit fails.
        changes.add(&[1], delta(I256::MAX));
        changes.add(&[1], delta(I256::ONE));
        let error = store.commit(&mut changes, &at(1)).unwrap_err();
        assert!(matches!(error, StoreError::Sum { .. }), "{error}");
        assert_eq!((everything(&store), store.position()), (vec![], &Position::default()));
        changes.clear();

        // Over several commits: the read fails.
        for row in [delta(I256::MAX), delta(I256::ONE)] {
            changes.add(&[1], row);
            store.commit(&mut changes, &at(1)).unwrap();
        }
        changes.put(&[2], b"no row");
        store.commit(&mut changes, &at(2)).unwrap();
        changes.add(&[2], delta(I256::ONE));
        store.commit(&mut changes, &at(3)).unwrap();
        for key in [1, 2] {
            let error = store.get(&[key]).unwrap_err();
            assert!(matches!(error, StoreError::Rocks { .. }), "{error}");
            assert!(store.get_many(&[&[key]]).is_err());
            assert!(store.scan(&[key], &[key + 1]).unwrap().next().is_err());
        }
    }
}

#[test]
fn the_stores_own_keys_are_out_of_reach() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let mut changes = Changes::default();
    changes.put(&[1], b"x");
    changes.delete_range(&[], &[5]);
    let error = store.commit(&mut changes, &at(1)).unwrap_err();
    assert!(matches!(error, StoreError::ReservedKey { .. }), "{error}");
    assert_eq!(everything(&store), vec![]);
}

#[test]
fn left_over_files_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    drop(open(directory.path()));
    let file = directory.path().join(INCOMING).join("next.sst");
    fs::write(&file, b"torn").unwrap();
    commit(&mut open(directory.path()), 1, 10);
    assert!(!file.exists());
}

#[test]
fn a_store_of_a_version_without_runs_is_rejected_and_stays_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let db = DB::open_default(path).unwrap();
    db.put(b"\0format", 5u32.to_be_bytes()).unwrap();
    drop(db);
    let error = RocksStore::open(path, StoreKind::Ingest, settings(2)).err().unwrap();
    assert!(matches!(error, StoreError::Version { found: 5, .. }), "{error}");
    assert_eq!(DB::list_cf(&Options::default(), path).unwrap(), ["default"]);
    // A store whose creation was interrupted is completed.
    let other = tempfile::tempdir().unwrap();
    drop(DB::open_default(other.path()).unwrap());
    let store = RocksStore::open(other.path(), StoreKind::Ingest, settings(2)).unwrap();
    assert!(store.runs().unwrap().keep_only(&BTreeSet::new()).is_ok());
}

/// The blocks of a run, if the store has it.
fn blocks_of(store: &dyn Store, run: u32, count: u32) -> Option<Vec<Vec<u8>>> {
    let runs = store.runs().unwrap();
    (0..count).map(|block| runs.block(run, block).ok()).collect()
}

#[test]
fn runs_are_there_at_once_and_stay_until_they_are_removed() {
    let directory = tempfile::tempdir().unwrap();
    let blocks = |first: u8| vec![vec![first; 40_000], Vec::new(), vec![first + 1]];
    let mut store = open(directory.path());
    commit(&mut store, 1, 5);
    let before = everything(&store);
    let runs = store.runs().unwrap();
    for run in [0, 1, 7, u32::MAX] {
        runs.add(run, &mut blocks(run as u8 % 100).into_iter()).unwrap();
    }
    let error = runs.block(1, 3).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    drop((runs, store));

    let store = open(directory.path());
    assert_eq!((everything(&store), store.position()), (before, &at(1)));
    for run in [0, 1, 7, u32::MAX] {
        assert_eq!(blocks_of(&store, run, 3), Some(blocks(run as u8 % 100)), "{run}");
    }
    // A snapshot has them, and `verify` reads them.
    let keys = store.verify().unwrap();
    let copy = tempfile::tempdir().unwrap();
    store.checkpoint(&copy.path().join("copy")).unwrap();
    assert_eq!(open(&copy.path().join("copy")).verify().unwrap(), keys);
    store.runs().unwrap().keep_only(&BTreeSet::from([1, u32::MAX])).unwrap();
    drop(store);

    let store = open(directory.path());
    assert_eq!(store.verify().unwrap(), keys - 6);
    let found = [0, 1, 7, u32::MAX].map(|run| blocks_of(&store, run, 3).is_some());
    assert_eq!(found, [false, true, false, true]);
    // A number may be used again.
    store.runs().unwrap().add(7, &mut blocks(50).into_iter()).unwrap();
    assert_eq!(blocks_of(&store, 7, 3), Some(blocks(50)));
}

#[test]
fn reading_beside_a_writer() {
    let directory = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let reader = |name: &str| {
        RocksStore::open_for_reading(
            directory.path(),
            StoreKind::Accrue,
            &RESOURCES,
            &scratch.path().join(name),
        )
    };
    assert!(matches!(reader("0"), Err(StoreError::Missing { .. })));
    let mut store = open(directory.path());
    commit(&mut store, 1, 10);
    commit(&mut store, 2, 0);
    let mut found = reader("1").unwrap();
    let before = everything(&store);
    assert_eq!((found.position(), everything(&found)), (&at(2), before.clone()));
    assert_eq!(found.owner(), store.owner());

    commit(&mut store, 3, 10);
    commit(&mut store, 4, 10);
    store.compact();
    assert_eq!((found.position(), everything(&found)), (&at(2), before));
    assert_eq!(everything(&reader("2").unwrap()), everything(&store));
    let error = found.commit(&mut Changes::default(), &at(9)).unwrap_err();
    assert!(matches!(error, StoreError::ReadOnly { .. }), "{error}");
}

/// A reader opens the store again and again during commits of all sizes. It always sees all commits up to one.
#[test]
fn readers_see_complete_commits() {
    const COMMITS: u8 = 200;
    let directory = tempfile::tempdir().unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    commit(&mut store, 1, 0);
    std::thread::scope(|threads| {
        let writer = threads.spawn(|| {
            for number in 2..=COMMITS {
                // Files after files, files after logs, logs after both.
                commit(&mut store, number, if number % 8 < 3 { 10 } else { 0 });
            }
        });
        let mut opened = 0;
        loop {
            let last = writer.is_finished();
            let place = scratch.path().join("reader");
            match RocksStore::open_for_reading(directory.path(), StoreKind::Accrue, &RESOURCES, &place) {
                Err(StoreError::Busy { .. }) if !last => (),
                Err(error) => panic!("{error}"),
                Ok(found) => {
                    opened += 1;
                    let commits = found.position().offset(Topic::Ledger.partition(3)).get();
                    // No commit at all is a state, too: the one before the first commit is in a file.
                    let sum = found.get(&[2]).unwrap().map(|row| row::decode(&row).unwrap());
                    assert_eq!(sum.map_or(I256::ZERO, |sum| sum.delta), I256::from(commits));
                    if last {
                        assert_eq!(commits, u64::from(COMMITS));
                    }
                }
            }
            if last {
                println!("opened {opened} times");
                break;
            }
        }
    });
}

#[derive(Debug, Clone)]
enum StoreOperation {
    Put(Vec<u8>, Vec<u8>),
    PutRow(Vec<u8>, i8),
    Delete(Vec<u8>),
    Add(Vec<u8>, i8),
    DeleteRange(Vec<u8>, Vec<u8>),
    Commit,
    Reopen,
    Compact,
}

fn step() -> impl Strategy<Value = StoreOperation> {
    // As in the real schema, rows and other values are in different tables.
    let row_key = || (4_u8..9, 0_u8..3).prop_map(|(a, b)| vec![1, a, b]);
    let other_key = || (4_u8..9, 0_u8..3).prop_map(|(a, b)| vec![2, a, b]);
    let bound = || (1_u8..3, 4_u8..9, 0_u8..3).prop_map(|(table, a, b)| vec![table, a, b]);
    prop_oneof![
        3 => (other_key(), proptest::collection::vec(any::<u8>(), 0..4)).prop_map(|(key, value)| StoreOperation::Put(key, value)),
        2 => (row_key(), any::<i8>()).prop_map(|(key, delta)| StoreOperation::PutRow(key, delta)),
        2 => prop_oneof![row_key(), other_key()].prop_map(StoreOperation::Delete),
        8 => (row_key(), any::<i8>()).prop_map(|(key, delta)| StoreOperation::Add(key, delta)),
        1 => (bound(), bound()).prop_map(|(from, to)| StoreOperation::DeleteRange(from, to)),
        3 => Just(StoreOperation::Commit),
        1 => Just(StoreOperation::Reopen),
        1 => Just(StoreOperation::Compact),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn agrees_with_the_store_in_memory(
        steps in proptest::collection::vec(step(), 1..80),
        file_from in prop_oneof![Just(0), Just(4), Just(usize::MAX)],
    ) {
        let directory = tempfile::tempdir().unwrap();
        let open = || RocksStore::open(directory.path(), StoreKind::Accrue, settings(file_from)).unwrap();
        let contents = MemoryContents::default();
        let mut disk = open();
        let mut memory = MemoryStore::open(&contents);
        let mut both = [Changes::default(), Changes::default()];
        let mut commits = 0;
        for step in steps.into_iter().chain([StoreOperation::Commit]) {
            for changes in &mut both {
                match &step {
                    StoreOperation::Put(key, value) => changes.put(key, value),
                    StoreOperation::PutRow(key, number) => {
                        changes.put(key, &row::encoded(&delta(I256::from(*number))));
                    }
                    StoreOperation::Delete(key) => changes.delete(key),
                    StoreOperation::Add(key, number) => changes.add(key, delta(I256::from(*number))),
                    StoreOperation::DeleteRange(from, to) => changes.delete_range(from, to),
                    StoreOperation::Commit | StoreOperation::Reopen | StoreOperation::Compact => (),
                }
            }
            match step {
                StoreOperation::Commit => {
                    commits += 1;
                    disk.commit(&mut both[0], &at(commits)).unwrap();
                    memory.commit(&mut both[1], &at(commits)).unwrap();
                    let all = everything(&memory);
                    prop_assert_eq!(everything(&disk), all.clone());
                    let keys: Vec<_> = (1..3)
                        .flat_map(|table| (4..9).flat_map(move |a| (0..3).map(move |b| vec![table, a, b])))
                        .rev()
                        .collect();
                    let keys: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
                    let values = disk.get_many(&keys).unwrap();
                    prop_assert_eq!(&values, &memory.get_many(&keys).unwrap());
                    for (key, value) in keys.iter().zip(values) {
                        prop_assert_eq!(disk.get(key).unwrap(), value);
                    }
                }
                StoreOperation::Reopen => {
                    // Uncommitted changes are gone.
                    both.iter_mut().for_each(Changes::clear);
                    drop(disk);
                    disk = open();
                    memory = MemoryStore::open(&contents);
                }
                StoreOperation::Compact => disk.compact(),
                _ => (),
            }
            prop_assert_eq!(disk.position(), memory.position());
        }
    }
}

/// A library that was built elsewhere may be another version than the crate's headers. RocksDB writes its version into each store.
#[test]
fn the_linked_library_has_the_version_of_its_crate() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    drop(open(&path));
    let is_options = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("OPTIONS-");
    let file = fs::read_dir(&path).unwrap().map(Result::unwrap).find(is_options);
    let options = fs::read_to_string(file.expect("an options file").path()).unwrap();
    let linked = options
        .lines()
        .find_map(|line| line.trim().strip_prefix("rocksdb_version="));

    let (_, package) = include_str!("../../../Cargo.lock")
        .split_once("name = \"librocksdb-sys\"\nversion = \"")
        .unwrap();
    let (version, _) = package.split_once('"').unwrap();
    let (_, expected) = version.split_once('+').expect("the version of RocksDB");
    assert_eq!(linked, Some(expected));
}
