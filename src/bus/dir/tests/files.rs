//! Output files, the lock, and damage that is found when a bus is opened.

use crate::bus::dir::journal::JournalReader;
use crate::bus::dir::layout::DirLayout;
use crate::bus::dir::tests::*;
use crate::bus::dir::writer::WriterOptions;
use crate::core::values::offset::Offset;

const EPOCHS: &str = "softstake.epochs/0.jsonl";
const LEDGER: &str = "softstake.ledger/0.log";
const JOURNAL: &str = ".softstake/journal";

fn epochs() -> TopicPartition {
    Topic::Epochs.partition(0)
}

fn ledger() -> TopicPartition {
    Topic::Ledger.partition(0)
}

/// A bus with two commits, closed or left as a killed process leaves it.
fn place(closed: bool) -> Place {
    let place = Place::quick();
    let disk = faulty::Faulty::new(place.path());
    let options = WriterOptions {
        sync: true,
        journal_bytes: 1 << 20,
    };
    let bus = DirBus::open_on(Box::new(disk.clone()), place.path(), options).unwrap();
    for value in [&b"first"[..], b"second"] {
        let mut outputs = Outputs::default();
        outputs.push(epochs(), b"", value);
        outputs.push(ledger(), b"", value);
        bus.commit(TaskId::COORDINATE, &outputs, &Position::default()).unwrap();
    }
    if !closed {
        disk.stop_after(0, 0);
    }
    drop(bus);
    place
}

#[test]
fn the_files_hold_what_was_committed() {
    let place = place(true);
    assert_eq!(fs::read_to_string(place.file(EPOCHS)).unwrap(), "first\nsecond\n");
    let bus = place.open().unwrap();
    assert_eq!(bus.readable_end(epochs()).unwrap(), Offset::new(2));
    assert_eq!(bus.readable_end(ledger()).unwrap(), Offset::new(13 + 14));
    assert_eq!(bus.partitions(Topic::Ledger).unwrap(), [0]);
    assert_eq!(bus.partitions(Topic::Inbox).unwrap(), [0u32; 0]);
    let expected = [(0, b"first".to_vec()), (13, b"second".to_vec())];
    assert_eq!(read_all(&bus, ledger()), expected);
    let mark = Mark::at(Offset::new(13));
    let mut reader = bus.open(ledger(), &mark).unwrap();
    assert_eq!(
        reader.read(1, Offset::NO_LIMIT).unwrap().iter().next().unwrap().value,
        b"second"
    );
    let mark = Mark::at(Offset::new(28));
    assert!(error(bus.open(ledger(), &mark)).contains("ends at byte 27, before offset 28"));
}

#[test]
fn refused_records() {
    let place = Place::new();
    let bus = place.open().unwrap();
    assert!(error(commit(&bus, epochs(), b"a\nb")).contains("line feed"));
    assert!(error(commit(&bus, Topic::Trades.partition(0), b"a")).contains("softstake only reads it"));
    commit(&bus, ledger(), b"a\nb").unwrap();
    assert_eq!(bus.partitions(Topic::Epochs).unwrap(), [0u32; 0]);
}

#[test]
fn one_process_at_a_time() {
    let place = Place::new();
    assert!(matches!(
        DirBus::open(&place.path().join("not there"), Options::default()),
        Err(OpenError::Missing { .. })
    ));
    let bus = place.open().unwrap();
    let before = fs::read(place.file(JOURNAL)).unwrap();
    assert!(matches!(place.open(), Err(OpenError::Locked { .. })));
    assert_eq!(fs::read(place.file(JOURNAL)).unwrap(), before);
    let identity = bus.identity().to_owned();
    let reading = ReadOnlyDir::open(place.path()).unwrap();
    assert_eq!(reading.identity(), identity);
    bus.close().unwrap();
    assert_eq!(place.open().unwrap().identity(), identity);
}

#[test]
fn reading_beside_a_running_process() {
    let place = Place::new();
    let reading = ReadOnlyDir::open(place.path()).unwrap();
    assert_eq!(reading.identity(), "");
    assert_eq!(reading.readable_end(epochs()).unwrap(), Offset::START);
    assert_eq!(reading.committed(TaskId::COORDINATE).unwrap(), None);
    assert!(
        fs::read_dir(place.path()).unwrap().next().is_none(),
        "something was written"
    );
    let bus = place.open().unwrap();
    let mut reader = reading.open(epochs(), &Mark::default()).unwrap();
    let seen = reading.version();
    for n in 1..4 {
        commit(&bus, epochs(), b"a line").unwrap();
        commit(&bus, ledger(), b"a frame").unwrap();
        assert_eq!(reader.read(100, Offset::NO_LIMIT).unwrap().len(), 1);
        assert_eq!(reading.readable_end(epochs()).unwrap(), Offset::new(n));
        assert_eq!(reading.readable_end(ledger()).unwrap(), Offset::new(n * 15));
        assert_eq!(
            reading.committed(TaskId::COORDINATE).unwrap(),
            Some(Position::default())
        );
    }
    assert!(reading.wait(seen, Duration::ZERO).unwrap() > seen);
    // The other process has written only a part of its records.
    place.append(EPOCHS, "half a li");
    place.append(LEDGER, [9, 0, 0, 0, 1, 2, 3, 4, 5]);
    assert!(reader.read(100, Offset::NO_LIMIT).unwrap().is_empty());
    assert_eq!(reading.readable_end(ledger()).unwrap(), Offset::new(45));
    assert_eq!(read_all(&reading, ledger()).len(), 3);
}

/// Each case changes the files of a bus, then opens it. It has the outcome for a closed bus and for a bus left by a killed process.
#[test]
fn damage_is_found_when_a_bus_is_opened() {
    type Change = fn(&Place);
    type Outcome = Result<(), &'static str>;
    fn cut(place: &Place, name: &str, by: u64) {
        let file = OpenOptions::new().write(true).open(place.file(name)).unwrap();
        let len = file.metadata().unwrap().len();
        file.set_len(len - by).unwrap();
    }
    fn flip(place: &Place, name: &str, at: usize) {
        let mut bytes = fs::read(place.file(name)).unwrap();
        bytes[at] ^= 1;
        place.write(name, bytes);
    }
    let cases: [(&str, Change, Outcome, Outcome); 12] = [
        ("nothing", |_| {}, Ok(()), Ok(())),
        (
            "a line added",
            |place| place.append(EPOCHS, "alien\n"),
            Err("0.jsonl is damaged at byte 13: it holds 6 bytes that softstake did not write"),
            Err("it holds 6 bytes that softstake did not write"),
        ),
        (
            "a file added",
            |place| place.write("softstake.ledger/7.log", "x"),
            Err("7.log is damaged at byte 0: it holds 1 bytes"),
            Err("7.log is damaged at byte 0: it holds 1 bytes"),
        ),
        (
            "other files added",
            |place| place.write("softstake.ledger/07.log", "x"),
            Ok(()),
            Ok(()),
        ),
        (
            "an output cut",
            |place| cut(place, EPOCHS, 1),
            Err("at byte 12: it ends here, but 13 bytes were committed"),
            Ok(()),
        ),
        (
            "an output removed",
            |place| fs::remove_file(place.file(EPOCHS)).unwrap(),
            Err("at byte 0: it ends here"),
            Ok(()),
        ),
        (
            "an output changed",
            |place| flip(place, EPOCHS, 8),
            Err("0.jsonl is damaged at byte 0: "),
            Err("at byte 8: its bytes are not the committed ones"),
        ),
        (
            "the journal removed",
            |place| fs::remove_file(place.file(JOURNAL)).unwrap(),
            Err("bytes that softstake did not write"),
            Err("bytes that softstake did not write"),
        ),
        (
            "the journal emptied",
            |place| place.write(JOURNAL, ""),
            Err("first line"),
            Err("first line"),
        ),
        (
            "the snapshot damaged",
            |place| flip(place, JOURNAL, 60),
            Err("journal is damaged at byte 57: the checksum of the snapshot is wrong"),
            Err("the checksum of the snapshot is wrong"),
        ),
        (
            "the identity changed",
            |place| flip(place, JOURNAL, 25),
            Err("journal is damaged"),
            Err("journal is damaged"),
        ),
        (
            "from the future",
            |place| flip(place, JOURNAL, 18),
            Err("format version 3, but this softstake reads version 2"),
            Err("format version 3, but this softstake reads version 2"),
        ),
    ];
    for (name, change, after_close, after_kill) in cases {
        for (closed, expected) in [(true, after_close), (false, after_kill)] {
            let place = place(closed);
            change(&place);
            let outcome = place.open().map(|bus| read_all(&bus, ledger()).len());
            match (outcome, expected) {
                (Ok(records), Ok(())) => assert_eq!(records, 2, "{name}"),
                (Err(error), Err(expected)) => {
                    let error = error.to_string();
                    assert!(error.contains(expected), "{name}, closed {closed}: {error}");
                }
                (outcome, _) => panic!("{name}, closed {closed}: {outcome:?}"),
            }
        }
    }
}

#[test]
fn a_journal_damaged_in_the_middle_is_not_a_torn_one() {
    let magic = b"\xf5SJ\n";
    let frames = |place: &Place| {
        let bytes = fs::read(place.file(JOURNAL)).unwrap();
        memchr::memmem::find_iter(&bytes, magic).collect::<Vec<_>>()
    };
    // The snapshot and two commits. Every byte of the first commit's frame:
    let [_, first, second] = frames(&place(false))[..] else {
        panic!()
    };
    for at in first..second {
        let place = place(false);
        let mut bytes = fs::read(place.file(JOURNAL)).unwrap();
        bytes[at] ^= 0x40;
        place.write(JOURNAL, bytes);
        let error = error(place.open());
        let expected =
            format!("journal is damaged at byte {first}: the checksum of a frame is wrong, but later frames are whole");
        assert!(error.contains(&expected), "{at}: {error}");
    }
    // The last frame may be torn. But the output files already have its records.
    let place = place(false);
    let mut bytes = fs::read(place.file(JOURNAL)).unwrap();
    bytes[second + 30] ^= 0x40;
    place.write(JOURNAL, bytes);
    assert!(error(place.open()).contains("bytes that softstake did not write"));
}

#[test]
fn each_changed_byte_of_what_was_written_is_found() {
    let place = place(true);
    for name in [EPOCHS, LEDGER] {
        let right = fs::read(place.file(name)).unwrap();
        for at in 0..right.len() {
            let mut bytes = right.clone();
            bytes[at] ^= 1 << (at % 8);
            place.write(name, bytes);
            assert!(error(place.open()).contains(" is damaged at byte "), "{name}, {at}");
            let compared = ReadOnlyDir::open(place.path()).unwrap().compare_written(&mut |_, _| {});
            let compared = compared.unwrap();
            assert_eq!(compared.damaged.len(), 1, "{name}, {at}");
            assert_eq!((compared.files, compared.bytes), (2, 40));
        }
        place.write(name, right);
    }
    place.open().unwrap();
}

/// Ends and checkpoints are the same whether a commit was written or redone, and whenever the journal began anew.
#[test]
fn digests_do_not_depend_on_restarts() {
    let snapshot_of = |kills: &[usize], journal_bytes: u64| {
        let place = Place::quick();
        let options = WriterOptions {
            sync: true,
            journal_bytes,
        };
        let disk = faulty::Faulty::new(place.path());
        let open = || DirBus::open_on(Box::new(disk.clone()), place.path(), options).unwrap();
        let mut bus = open();
        for n in 0..40 {
            if kills.contains(&n) {
                disk.stop_after(0, 0);
                drop(bus);
                disk.stop_after(usize::MAX, 0);
                bus = open();
            }
            let mut outputs = Outputs::default();
            for length in 0..30 {
                outputs.push(epochs(), b"", "x".repeat(1_000 + n * length).as_bytes());
                outputs.push(ledger(), b"", "y".repeat(2_000 + n * length).as_bytes());
            }
            bus.commit(TaskId::COORDINATE, &outputs, &Position::default()).unwrap();
        }
        bus.close().unwrap();
        let (_, snapshot) = JournalReader::open(&DirLayout::of(place.path()).unwrap())
            .unwrap()
            .unwrap();
        snapshot
    };
    let undisturbed = snapshot_of(&[], 1 << 30);
    assert!(
        undisturbed
            .checkpoints
            .values()
            .all(|checkpoints| checkpoints.all().len() > 10)
    );
    for (kills, journal_bytes) in [(&[][..], 200_000), (&[3, 4, 20, 39], 1 << 30), (&[1, 15, 38], 500_000)] {
        assert_eq!(
            snapshot_of(kills, journal_bytes),
            undisturbed,
            "{kills:?}, {journal_bytes}"
        );
    }
}

/// A file without a line feed, or with a frame that claims to be long, is not read into memory as a whole.
#[test]
fn records_longer_than_the_memory_for_them() {
    let place = Place::new();
    let bus = place.open().unwrap();
    let long = vec![b'x'; 900_000];
    for value in [&long[..], b"short", &long[..700_000], b""] {
        commit(&bus, epochs(), value).unwrap();
        commit(&bus, ledger(), value).unwrap();
    }
    bus.close().unwrap();
    let reading = ReadOnlyDir::open(place.path()).unwrap();
    let compared = reading.compare_written(&mut |_, _| {}).unwrap();
    assert!(compared.damaged.is_empty(), "{:?}", compared.damaged);
    place.open().unwrap();
    // The length of the third frame.
    let third = 8 + 900_000 + 8 + 5;
    let mut bytes = fs::read(place.file(LEDGER)).unwrap();
    bytes[third + 3] ^= 0x80;
    place.write(LEDGER, bytes);
    let mut bytes = fs::read(place.file(EPOCHS)).unwrap();
    bytes.fill(0);
    place.write(EPOCHS, bytes);
    let compared = reading.compare_written(&mut |_, _| {}).unwrap();
    let damaged: Vec<String> = compared.damaged.iter().map(ToString::to_string).collect();
    assert!(
        damaged[0].contains(&format!("0.log is damaged at byte {third}: the checksum")),
        "{damaged:?}"
    );
    assert!(
        damaged[1].contains("0.jsonl is damaged at byte 0: line 1 is not JSON"),
        "{damaged:?}"
    );
}

#[test]
fn the_error_of_a_damaged_frame_names_its_byte() {
    for at in 13..27 {
        let place = place(true);
        let bus = place.open().unwrap();
        let mut bytes = fs::read(place.file(LEDGER)).unwrap();
        bytes[at] ^= 1;
        place.write(LEDGER, bytes);
        let mut reader = bus.open(ledger(), &Mark::default()).unwrap();
        reader.read(13, Offset::NO_LIMIT).unwrap();
        let error = error(reader.read(13, Offset::NO_LIMIT));
        assert!(error.contains("0.log is damaged at byte 13"), "{at}: {error}");
    }
}

#[test]
fn many_threads_commit() {
    const THREADS: u32 = 8;
    const EACH: u32 = 50;
    let place = Place::new();
    let bus = DirBus::open(place.path(), Options::default()).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let bus = &bus;
            scope.spawn(move || {
                for n in 0..EACH {
                    let mut outputs = Outputs::default();
                    outputs.push(epochs(), b"", format!("{thread} {n}").as_bytes());
                    let mut position = Position::default();
                    position.cursor.job = n;
                    let task = TaskId::accrue(u16::try_from(thread).unwrap());
                    bus.commit(task, &outputs, &position).unwrap();
                    assert_eq!(bus.committed(task).unwrap(), Some(position));
                }
            });
        }
    });
    let lines = values(&bus, epochs());
    for thread in 0..THREADS {
        let prefix = format!("{thread} ");
        let ours: Vec<_> = lines.iter().filter_map(|line| line.strip_prefix(&prefix)).collect();
        let expected: Vec<_> = (0..EACH).map(|n| n.to_string()).collect();
        assert_eq!(ours, expected);
    }
    bus.close().unwrap();
    assert_eq!(values(&place.open().unwrap(), epochs()), lines);
}

#[test]
fn more_partitions_than_open_files() {
    let place = Place::new();
    let bus = place.open().unwrap();
    for value in [&b"a"[..], b"b"] {
        let mut outputs = Outputs::default();
        for partition in 0..600 {
            outputs.push(Topic::Ledger.partition(partition), b"", value);
        }
        bus.commit(TaskId::COORDINATE, &outputs, &Position::default()).unwrap();
    }
    bus.close().unwrap();
    let bus = place.open().unwrap();
    assert_eq!(bus.partitions(Topic::Ledger).unwrap(), (0..600).collect::<Vec<_>>());
    assert_eq!(values(&bus, Topic::Ledger.partition(599)), ["a", "b"]);
}
