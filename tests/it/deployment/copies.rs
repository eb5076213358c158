//! Copies of a bus that go their own way, and other deployments: no store or snapshot of theirs may change what is paid.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use softstake::bus::memory::MemoryBus;
use softstake::bus::{Access, Bus, Log, Mark, Outputs, TaskId, Topic, TopicPartition};
use softstake::core::values::offset::Offset;
use softstake::deployment::state_directory::MemoryStores;
use softstake::deployment::{Deployment, RunMode, run};
use softstake::task::stats::Stats;

use crate::common::events::{close, deposit, listing, pool};
use crate::common::files::files_below;
use crate::common::{OUTPUTS, Place, copy, fail, on_bus, succeed};
use crate::judge::judge;

const DEPOSITS: &str = "exchange.deposits";
const CONTROL: &str = "softstake.control";
const OWN_PLACE: &str = "give each deployment a place of its own";

/// A bus with its state, a copy of both, and the place of the snapshots that both have.
struct Copied {
    original: Place,
    copy: Place,
    snapshots: PathBuf,
}

impl Copied {
    /// Two deposits are read, and snapshots taken, before the copy is made.
    fn new() -> Self {
        let original = Place::new();
        original.append(CONTROL, 0, [listing("A", 6, 100, &pool())]);
        original.append(
            DEPOSITS,
            0,
            [deposit("1", 0, "ann", "A", "10"), deposit("2", 0, "ben", "A", "10")],
        );
        let snapshots = original.bus().with_file_name("snapshots");
        succeed(&mut with_snapshots(&original, &snapshots));
        let copied = Place::new();
        copy(&original.bus(), &copied.bus());
        copy(&original.state(), &copied.state());
        Self {
            original,
            copy: copied,
            snapshots,
        }
    }

    /// The original, with snapshots.
    fn command(&self) -> Command {
        with_snapshots(&self.original, &self.snapshots)
    }

    /// Deposits of `amount` go on the copy alone, and the copy takes snapshots.
    fn copy_goes_on(&self, amounts: &[&str]) -> String {
        append(&self.copy, "copy", amounts);
        said(&mut with_snapshots(&self.copy, &self.snapshots))
    }

    fn lose_state(&self) {
        fs::remove_dir_all(self.original.state()).expect("a state to lose");
    }

    /// Closes the epoch on the original, and runs. Everything published must be right. Returns the log.
    fn settle(&self) -> String {
        self.original.append(CONTROL, 0, [close("A", 0, 100, "1000")]);
        let all = self.run_again();
        assert_eq!(judge(&self.original).seals.len(), 1, "{all}");
        all
    }

    /// Runs the original until that works, at most five times. Returns the log.
    fn run_again(&self) -> String {
        let mut all = String::new();
        for _ in 0..5 {
            let output = self.command().output().expect("the program starts");
            all.push_str(&String::from_utf8_lossy(&output.stderr));
            if output.status.success() {
                return all;
            }
        }
        panic!("no success:\n{all}");
    }
}

fn with_snapshots(place: &Place, snapshots: &Path) -> Command {
    let mut command = place.command(Some(2));
    command.arg("--snapshots-place").arg(snapshots);
    command
}

/// Runs a command that must succeed. Returns its log.
fn said(command: &mut Command) -> String {
    String::from_utf8(succeed(command).stderr).expect("text")
}

fn append(place: &Place, id: &str, amounts: &[&str]) {
    let deposits = amounts
        .iter()
        .enumerate()
        .map(|(number, amount)| deposit(&format!("{id}-{number}"), 0, "mal", "A", amount));
    place.append(DEPOSITS, 0, deposits);
}

fn published(place: &Place) -> Vec<Vec<u8>> {
    let topics = OUTPUTS.iter().chain(&["softstake.decisions"]);
    topics
        .map(|topic| fs::read(place.bus().join(topic).join("0.jsonl")).unwrap_or_default())
        .collect()
}

#[test]
fn a_copys_snapshots_at_the_same_offsets_are_not_used() {
    let buses = Copied::new();
    buses.copy_goes_on(&["99"]);
    // As many records as the copy has, of the same length. Only one amount differs.
    append(&buses.original, "copy", &["10"]);
    let log = said(&mut buses.command());
    assert!(
        log.contains("ERROR") && log.contains("is not of this deployment's log") && log.contains(OWN_PLACE),
        "{log}"
    );
    assert!(log.contains("takes no more snapshots"), "{log}");
    buses.lose_state();
    let log = buses.settle();
    assert!(
        log.contains("it is not used") && log.contains("restored from the snapshot"),
        "{log}"
    );
    // Now the original is past the copy. It finds the same again, and pays nothing twice.
    buses.lose_state();
    buses.run_again();
    assert_eq!(judge(&buses.original).seals.len(), 1);
}

#[test]
fn a_copys_snapshots_that_are_behind_are_not_used() {
    let buses = Copied::new();
    buses.copy_goes_on(&["99"]);
    append(&buses.original, "original", &["10", "1"]);
    // Without a place for snapshots, nobody has compared them.
    buses.original.run(None);
    append(&buses.original, "later", &["1"]);
    buses.original.run(None);
    buses.lose_state();
    let log = buses.settle();
    assert!(
        log.contains("is not of this log: it has read other records of"),
        "{log}"
    );
    assert!(
        log.contains("a task that had recovered from it found that it has read other records"),
        "{log}"
    );
    let aside = fs::read_dir(buses.original.state().join("damaged")).expect("the stores that were moved away");
    assert!(aside.count() > 0, "{log}");
}

#[test]
fn a_copys_snapshots_that_are_ahead_are_refused() {
    let buses = Copied::new();
    buses.copy_goes_on(&["99", "98"]);
    buses.lose_state();
    append(&buses.original, "original", &["10"]);
    let before = published(&buses.original);
    let log = fail(&mut buses.command(), 1);
    for part in [
        "is past the committed position of its task",
        OWN_PLACE,
        "name another place in `snapshots.place`",
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert_eq!(published(&buses.original), before);
    // As the message says.
    let other = buses.snapshots.with_file_name("other-snapshots");
    said(&mut with_snapshots(&buses.original, &other));
    buses.original.append(CONTROL, 0, [close("A", 0, 100, "1000")]);
    said(&mut with_snapshots(&buses.original, &other));
    judge(&buses.original);
}

#[test]
fn a_copy_that_is_ahead_stops_the_uploads_of_the_original() {
    let buses = Copied::new();
    buses.copy_goes_on(&["99", "98"]);
    append(&buses.original, "original", &["10"]);
    let before: BTreeSet<PathBuf> = files_below(&buses.snapshots).into_iter().collect();
    let log = said(&mut buses.command());
    assert!(
        log.contains("it has read further than this process") && log.contains(OWN_PLACE),
        "{log}"
    );
    // The copy's snapshots stay: who of the two is right is for people to say.
    let after: BTreeSet<PathBuf> = files_below(&buses.snapshots).into_iter().collect();
    assert!(before.is_subset(&after), "{before:?} {after:?}");
    buses.settle();
}

#[test]
fn a_state_of_a_copy_is_rebuilt() {
    for (of_original, of_copy) in [(&["10"][..], &["99"][..]), (&["10", "1"], &["99"])] {
        let buses = Copied::new();
        append(&buses.copy, "copy", of_copy);
        buses.copy.run(None);
        append(&buses.original, "copy", of_original);
        buses.original.run(None);
        buses.lose_state();
        copy(&buses.copy.state(), &buses.original.state());
        fs::remove_dir_all(&buses.snapshots).expect("the snapshots");
        // The store of the ledger partition without the deposits is the same in both. That of the source is refused at once.
        let log = buses.settle();
        assert!(
            log.contains("is not of this log: it has read other records of exchange.deposits:0"),
            "{log}"
        );
        assert!(log.contains("moved to") && log.contains("rebuilt from"), "{log}");
        // A block of the copy ends where none of the original does.
        let within = log.contains("no record of the log begins at its position");
        assert_eq!(within, of_original.len() != of_copy.len(), "{log}");
    }
}

#[test]
fn a_second_deployment_at_a_place_is_refused() {
    let buses = Copied::new();
    let other = Place::new();
    other.append(CONTROL, 0, [listing("A", 6, 100, &pool()), close("A", 0, 100, "1")]);
    let log = fail(&mut with_snapshots(&other, &buses.snapshots), 1);
    let identity = |place: &Place| {
        let journal = fs::read(place.bus().join(".softstake/journal")).expect("a journal");
        let line = journal.split(|byte| *byte == b'\n').next().expect("a line");
        let line = String::from_utf8(line.to_vec()).expect("text");
        line.rsplit(' ').next().expect("an identity").to_owned()
    };
    for part in [
        "of another deployment",
        OWN_PLACE,
        &identity(&other),
        &identity(&buses.original),
        &buses.snapshots.display().to_string(),
    ] {
        assert!(log.contains(part), "{part}: {log}");
    }
    assert_eq!(published(&other).concat(), b"");
    // Each goes on, the second with a place of its own.
    said(&mut with_snapshots(&other, &buses.snapshots.with_file_name("others")));
    judge(&other);
    buses.settle();
}

#[test]
fn a_copys_snapshots_of_a_new_layout_are_not_used() {
    let buses = Copied::new();
    let repartition = |place: &Place| {
        let mut command = on_bus("repartition", &place.bus());
        command.arg("--state").arg(place.state()).args(["--to", "4"]);
        command.arg("--snapshots-place").arg(&buses.snapshots);
        command
    };
    buses.copy_goes_on(&["99"]);
    succeed(&mut repartition(&buses.copy));
    append(&buses.original, "copy", &["10"]);
    buses.original.run(None);
    // The stores of the new layout are made here, although the place has snapshots of stores with these names.
    let log = said(&mut repartition(&buses.original));
    assert!(log.contains("is not of this deployment's log"), "{log}");
    buses.lose_state();
    buses.original.append(CONTROL, 0, [close("A", 0, 100, "1000")]);
    let before = published(&buses.original);
    let mut run = on_bus("run", &buses.original.bus());
    run.arg("--until-idle").arg("--state").arg(buses.original.state());
    run.arg("--snapshots-place").arg(&buses.snapshots);
    let log = fail(&mut run, 1);
    assert!(
        log.contains("it is not used") && log.contains("run `softstake rebuild`"),
        "{log}"
    );
    assert_eq!(published(&buses.original), before);
    let mut rebuild = on_bus("rebuild", &buses.original.bus());
    succeed(rebuild.arg("--state").arg(buses.original.state()));
    buses.original.run(None);
    assert_eq!(judge(&buses.original).seals.len(), 1);
}

/// A bus in memory with a listing and a deposit, after a run that published what follows from them.
fn bus_in_memory(amount: &str) -> MemoryBus {
    let bus = MemoryBus::new();
    bus.append(Topic::Control.partition(0), listing("A", 6, 100, &pool()).as_bytes());
    let deposits = Topic::Deposits.partition(0);
    bus.append(deposits, deposit("1", 0, "ann", "A", amount).as_bytes());
    run_in_memory(&bus).expect("a run");
    bus
}

/// Runs until idle, with new stores. Returns the error.
fn run_in_memory(bus: &MemoryBus) -> Result<(), String> {
    let deployment = Deployment {
        bus: Access::ReadWrite(Arc::new(bus.clone())),
        stores: Arc::new(MemoryStores::default()),
        partitions: Some(1),
        dedup_days: 7,
        threads: 2,
        step_bytes: 1 << 20,
        mode: RunMode::Work,
        sequence: None,
    };
    let ran = run(&deployment, true, &AtomicBool::new(false), &Arc::new(Stats::default()));
    ran.map(drop).map_err(|error| error.to_string())
}

fn records(bus: &MemoryBus, partition: TopicPartition) -> Vec<Vec<u8>> {
    let mut reader = bus.open(partition, &Mark::default()).expect("a reader");
    let batch = reader.read(usize::MAX, Offset::NO_LIMIT).expect("records");
    batch.iter().map(|record| record.value.to_vec()).collect()
}

#[test]
fn a_topic_made_anew_with_as_many_records_is_refused_when_its_store_is_rebuilt() {
    let (bus, other) = (bus_in_memory("10"), bus_in_memory("99"));
    for changed in [Topic::Ledger, Topic::Deposits, Topic::Decisions] {
        let anew = MemoryBus::new();
        for topic in Topic::ALL {
            for partition in bus.partitions(topic).expect("partitions") {
                let partition = topic.partition(partition);
                let mut values = records(&bus, partition);
                if topic == changed {
                    match topic {
                        // A block with another amount.
                        Topic::Ledger => values = records(&other, partition),
                        Topic::Deposits => values = vec![deposit("2", 0, "ann", "A", "10").into_bytes()],
                        // The same decisions, written in another way.
                        _ => values.iter_mut().for_each(|value| value.push(b' ')),
                    }
                }
                values.iter().for_each(|value| _ = anew.append(partition, value));
                let end = |bus: &MemoryBus| bus.readable_end(partition).expect("an end");
                assert_eq!(end(&anew), end(&bus), "{partition}");
            }
        }
        let tasks = [
            TaskId::DEPLOYMENT,
            TaskId::SEQUENCE,
            TaskId::COORDINATE,
            TaskId::accrue(0),
        ];
        for task in tasks.into_iter().chain([TaskId::ingest(Topic::Deposits.partition(0))]) {
            let position = bus.committed(task).expect("a bus").expect("a position");
            anew.commit(task, &Outputs::default(), &position).expect("a position");
        }
        anew.append(Topic::Control.partition(0), close("A", 0, 100, "1000").as_bytes());
        let error = run_in_memory(&anew).expect_err("a refusal");
        let name = format!("topic {changed} ");
        assert!(
            error.contains(&name) && error.contains("has other records before offset"),
            "{error}"
        );
        assert!(records(&anew, Topic::Epochs.partition(0)).is_empty());
    }
    run_in_memory(&bus).expect("the original goes on");
}
