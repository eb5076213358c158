//! Stops the disk at every step of opening, committing and replacing the journal, also during each recovery. Then compares the contents of the bus.

use std::path::Path;

use crate::bus::dir::tests::faulty::{Faulty, Loss};
use crate::bus::dir::tests::*;
use crate::bus::dir::writer::WriterOptions;

const COMMITS: usize = 5;
const TASKS: [TaskId; 2] = [TaskId::COORDINATE, TaskId::accrue(0)];

/// Small, so that the journal is replaced between the commits.
const OPTIONS: WriterOptions = WriterOptions {
    sync: true,
    journal_bytes: 400,
};

fn open(root: &Path, disk: &Faulty) -> Result<DirBus, OpenError> {
    DirBus::open_on(Box::new(disk.clone()), root, OPTIONS)
}

/// Commit number `n`: lines and frames, old partitions and new ones, once no output at all.
fn commit(bus: &DirBus, n: usize) -> Result<(), CommitError> {
    let mut outputs = Outputs::default();
    if n != 3 {
        let number = u32::try_from(n).unwrap();
        outputs.push(Topic::Epochs.partition(0), b"", format!("line {n}").as_bytes());
        outputs.push(Topic::Ledger.partition(number % 2), b"", &[7; 40]);
        outputs.push(Topic::Epochs.partition(0), b"", format!("another {n}").as_bytes());
        outputs.push(
            Topic::Decisions.partition(number),
            b"",
            b"{\"padding\":\"................................\"}",
        );
    }
    let mut position = Position::default();
    position.cursor.job = u32::try_from(n).unwrap();
    bus.commit(TASKS[n % 2], &outputs, &position)
}

/// The records of all partitions, and the positions of all tasks.
type Contents = (Vec<Vec<(u64, Vec<u8>)>>, Vec<Option<Position>>);

fn contents(bus: &dyn Log) -> Contents {
    let mut partitions = vec![
        Topic::Epochs.partition(0),
        Topic::Ledger.partition(0),
        Topic::Ledger.partition(1),
    ];
    partitions.extend((0..5).map(|number| Topic::Decisions.partition(number)));
    let logs = partitions
        .into_iter()
        .map(|partition| read_all(bus, partition))
        .collect();
    let positions = TASKS.iter().map(|task| bus.committed(*task).unwrap()).collect();
    (logs, positions)
}

/// The contents of a bus after 0, 1, ... commits.
fn expected() -> Vec<Contents> {
    let root = quick_folder();
    let bus = open(root.path(), &Faulty::new(root.path())).unwrap();
    let mut all = vec![contents(&bus)];
    for n in 0..COMMITS {
        commit(&bus, n).unwrap();
        all.push(contents(&bus));
    }
    all
}

/// Opens a bus, commits everything, and closes. Returns how many commits succeeded.
fn work(root: &Path, disk: &Faulty) -> usize {
    let Ok(bus) = open(root, disk) else { return 0 };
    let acknowledged = (0..COMMITS).take_while(|n| commit(&bus, *n).is_ok()).count();
    let _ = bus.close();
    acknowledged
}

/// `first` is what the first stop loses, `then` what a stop during recovery loses.
fn crash_at_every_step(first: Loss, then: Loss, quarters: usize) {
    let expected = expected();
    for step in 0.. {
        let folder = quick_folder();
        let root = folder.path();
        let disk = Faulty::new(root);
        disk.stop_after(step, quarters);
        let acknowledged = work(root, &disk);
        if !disk.stopped() {
            assert!(step > 50, "the steps are not all counted: {step}");
            return;
        }
        disk.lose(first);
        let what = format!("step {step}, {quarters}/4 written, {first:?}, {then:?}, {acknowledged} acknowledged");
        // Each attempt to recover is stopped one step later than the one before.
        let bus = (0..)
            .find_map(|step| {
                disk.stop_after(step, quarters);
                let result = open(root, &disk);
                if disk.stopped() {
                    drop(result);
                    disk.lose(then);
                    return None;
                }
                Some(result.unwrap_or_else(|error| panic!("{what}: {error}")))
            })
            .unwrap();
        disk.stop_after(usize::MAX, 0);
        let found = contents(&bus);
        let next = [acknowledged, acknowledged + 1]
            .into_iter()
            .find(|n| expected.get(*n) == Some(&found))
            .unwrap_or_else(|| panic!("{what}: {found:?}"));
        for n in next..COMMITS {
            commit(&bus, n).unwrap_or_else(|error| panic!("{what}: {error}"));
        }
        assert_eq!(contents(&bus), expected[COMMITS], "{what}");
        bus.close().unwrap();
        assert_eq!(contents(&open(root, &disk).unwrap()), expected[COMMITS], "{what}");
        assert_eq!(contents(&ReadOnlyDir::open(root).unwrap()), expected[COMMITS], "{what}");
    }
}

#[test]
fn killed_at_every_step() {
    for quarters in [0, 2, 4] {
        crash_at_every_step(Loss::Process, Loss::Process, quarters);
    }
}

#[test]
fn power_fails_at_every_step() {
    crash_at_every_step(Loss::Power, Loss::Power, 4);
    crash_at_every_step(Loss::Process, Loss::Power, 4);
    crash_at_every_step(Loss::Power, Loss::Process, 0);
}

#[test]
fn power_fails_at_every_step_and_some_unsynced_data_is_kept() {
    for seed in 1..=3 {
        crash_at_every_step(Loss::Some(seed), Loss::Some(seed + 100), 4);
    }
    crash_at_every_step(Loss::Process, Loss::Some(4), 2);
}

#[test]
fn no_commit_is_accepted_after_a_failed_one() {
    let folder = quick_folder();
    let disk = Faulty::new(folder.path());
    let bus = open(folder.path(), &disk).unwrap();
    commit(&bus, 0).unwrap();
    disk.stop_after(1, 0);
    assert!(matches!(commit(&bus, 1), Err(CommitError::File(FileError::Io { .. }))));
    disk.stop_after(usize::MAX, 0);
    assert!(matches!(commit(&bus, 2), Err(CommitError::Stopped { .. })));
    assert!(matches!(bus.close(), Err(CommitError::Stopped { .. })));
}
