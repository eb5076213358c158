//! Journals with right checksums and numbers that no bus can have: another program may have written them.

use crate::bus::dir::disk::RealDisk;
use crate::bus::dir::journal::{Journal, JournalAppend, JournalCommit, JournalReader, JournalSnapshot};
use crate::bus::dir::layout::DirLayout;
use crate::bus::dir::line_count::LineCount;
use crate::bus::dir::tests::*;
use crate::bus::scan::scan_range;

const IDENTITY: &str = "00000000-0000-0000-0000-000000000007";

fn epochs() -> TopicPartition {
    Topic::Epochs.partition(0)
}

/// A bus with a journal of one snapshot, and a commit if `append` is given.
fn forged(snapshot: &JournalSnapshot, sequence: u64, append: Option<JournalAppend<'_>>) -> Place {
    let place = Place::new();
    fs::create_dir(place.path().join(".softstake")).unwrap();
    place.write("softstake.epochs/0.jsonl", "first\n");
    let layout = DirLayout::of(place.path()).unwrap();
    let mut journal = Journal::start(&RealDisk, &layout, IDENTITY, sequence, snapshot).unwrap();
    if let Some(append) = append {
        let commit = JournalCommit {
            positions: Vec::new(),
            appends: vec![append],
        };
        journal.append(&RealDisk, &commit, false).unwrap();
    }
    place
}

/// The snapshot of a bus that has committed `first`.
fn whole() -> JournalSnapshot {
    let place = Place::new();
    let bus = place.open().unwrap();
    commit(&bus, epochs(), b"first").unwrap();
    bus.close().unwrap();
    let read = JournalReader::open(&DirLayout::of(place.path()).unwrap()).unwrap();
    read.unwrap().1
}

/// What each way to read the bus says. None of them may panic.
fn errors(place: &Place) -> [String; 3] {
    let reading = ReadOnlyDir::open(place.path());
    [
        error(place.open()),
        match &reading {
            Ok(reading) => error(reading.compare_written(&mut |_, _| {})),
            Err(error) => error.to_string(),
        },
        match &reading {
            Ok(reading) => error(reading.committed(TaskId::COORDINATE)),
            Err(error) => error.to_string(),
        },
    ]
}

#[test]
fn ends_that_no_file_can_have_are_refused() {
    let place = forged(&whole(), 7, None);
    place.open().unwrap();
    for (bytes, records) in [(u64::MAX, u64::MAX), (u64::MAX, 1), (6, u64::MAX), (6, 7), (1 << 62, 1)] {
        let mut snapshot = whole();
        let end = snapshot.committed.ends.get_mut(&epochs()).unwrap();
        (end.bytes, end.records) = (bytes, records);
        let end = *end;
        for error in errors(&forged(&snapshot, 7, None)) {
            assert!(error.contains("numbers that no bus can have"), "{error}");
        }
        let mut snapshot = whole();
        let mut checkpoints = snapshot.checkpoints.remove(&epochs()).unwrap_or_default();
        checkpoints.note(&end);
        snapshot.checkpoints.insert(epochs(), checkpoints);
        if bytes >= 1 << 62 {
            for error in errors(&forged(&snapshot, 7, None)) {
                assert!(error.contains("numbers that no bus can have"), "{error}");
            }
        }
    }
}

#[test]
fn a_sequence_never_ends() {
    for sequence in [u64::MAX, u64::MAX - 1, 1 << 63] {
        for error in errors(&forged(&whole(), sequence, None)) {
            assert!(error.contains("numbers that no bus can have"), "{error}");
        }
    }
}

#[test]
fn a_commit_appends_where_a_file_can_end() {
    let append = |at, records| JournalAppend {
        to: epochs(),
        at,
        records,
        bytes: b"second\n",
    };
    let right = forged(&whole(), 7, Some(append(6, 1)));
    assert_eq!(values(&right.open().unwrap(), epochs()), ["first", "second"]);
    for at in [u64::MAX, u64::MAX - 6, 1 << 62] {
        for error in errors(&forged(&whole(), 7, Some(append(at, 1)))) {
            assert!(error.contains("it appends where no file can end"), "{error}");
        }
    }
    let place = forged(&whole(), 7, Some(append(6, u64::MAX)));
    assert!(error(place.open()).contains("are not whole"));
}

#[test]
fn lines_that_a_position_counts_and_the_file_lacks_are_not_waited_for() {
    let lines = b"one\ntwo\nthree\n";
    // The third line is longer than it was, and the file has as many bytes, or one line less.
    for (changed, expected) in [
        (&b"one\nt\nthree and more\n"[..], None),
        (b"one two\nthree and more\n", Some("was changed")),
    ] {
        let place = Place::new();
        place.write("exchange.trades/0.jsonl", lines);
        let partition = Topic::Trades.partition(0);
        let bus = place.open().unwrap();
        let mut reader = bus.open(partition, &Mark::default()).unwrap();
        let batch = reader.read(8, Offset::new(2)).unwrap();
        assert_eq!(batch.next.offset, Offset::new(2));
        let mut position = Position::default();
        position.inputs.insert(partition, reader.mark().clone());
        let task = TaskId::ingest(partition);
        bus.commit(task, &Outputs::default(), &position).unwrap();
        bus.close().unwrap();
        place.write("exchange.trades/0.jsonl", changed);
        let reading = ReadOnlyDir::open(place.path()).unwrap();
        reading.committed(task).unwrap();
        let end = reading.readable_end(partition).unwrap();
        let scanned = scan_range(&reading, partition, &Mark::default(), end, |_| Ok::<_, ReadError>(()));
        match expected {
            None => scanned.unwrap(),
            Some(why) => assert!(error(scanned).contains(why)),
        }
    }
}

#[test]
fn a_position_cannot_have_more_lines_than_bytes() {
    let place = Place::new();
    place.write("exchange.trades/0.jsonl", "a\nb\n");
    let partition = Topic::Trades.partition(0);
    let path = place.file("exchange.trades/0.jsonl");
    for (bytes, lines) in [(2, u64::MAX), (2, 3), (0, u64::MAX)] {
        let mut count = LineCount::default();
        assert!(!count.reached(bytes, lines));
        assert_eq!(count.lines(partition, &path).unwrap(), 2);
    }
    let mut count = LineCount::default();
    assert!(count.reached(u64::MAX, u64::MAX));
    assert!(error(count.lines(partition, &path)).contains("shrank to 4 bytes"));
}
