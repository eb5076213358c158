//! Input files: lines that others append.

use crate::bus::dir::tests::*;
use crate::core::values::offset::Offset;

const TRADES: &str = "exchange.trades/0.jsonl";

fn trades() -> TopicPartition {
    Topic::Trades.partition(0)
}

#[test]
fn each_whole_line_is_a_record() {
    for (text, expected) in [
        ("", &[][..]),
        ("a\n", &["a"]),
        ("a", &[]),
        ("a\nb", &["a"]),
        ("a\r\nb \n", &["a\r", "b "]),
        ("\n\na\n", &["", "", "a"]),
        (" \t\r\na\n  ", &["", "a"]),
        ("\u{b}\n", &["\u{b}"]),
    ] {
        let place = Place::new();
        place.write(TRADES, text);
        let bus = place.open().unwrap();
        assert_eq!(values(&bus, trades()), expected, "{text:?}");
        assert_eq!(
            bus.readable_end(trades()).unwrap(),
            Offset::new(expected.len() as u64),
            "{text:?}"
        );
        let reading = ReadOnlyDir::open(place.path()).unwrap();
        assert_eq!(values(&reading, trades()), expected, "{text:?}");
    }
}

#[test]
fn follows_a_growing_file() {
    let place = Place::new();
    let bus = place.open().unwrap();
    let mut reader = bus.open(trades(), &Mark::default()).unwrap();
    let mut read = || {
        let batch = reader.read(100, Offset::NO_LIMIT).unwrap();
        assert_eq!(batch.next, *reader.mark());
        batch
            .iter()
            .map(|record| format!("{} {}", record.offset, String::from_utf8_lossy(record.value)))
            .collect::<Vec<_>>()
    };
    assert!(read().is_empty());
    place.append(TRADES, "on");
    assert!(read().is_empty());
    place.append(TRADES, "e\ntw");
    assert_eq!(read(), ["0 one"]);
    assert!(read().is_empty());
    place.append(TRADES, "o\n\nthree\n");
    assert_eq!(read(), ["1 two", "2 ", "3 three"]);
    assert!(read().is_empty());
    assert_eq!(bus.readable_end(trades()).unwrap(), Offset::new(4));
}

#[test]
fn until_and_limit() {
    let place = Place::new();
    place.write(TRADES, "one\ntwo\nthree\nfour\n");
    let bus = place.open().unwrap();
    let mut reader = bus.open(trades(), &Mark::default()).unwrap();
    for (limit, until, expected) in [(0, 0, 0), (0, 4, 1), (9, 4, 2), (10, 3, 3), (100, 2, 3), (5, 9, 4)] {
        reader.read(limit, Offset::new(until)).unwrap();
        assert_eq!(reader.mark().offset.get(), expected, "{limit} {until}");
    }
}

#[test]
fn a_huge_line_that_arrives_in_pieces() {
    let place = Place::new();
    let bus = place.open().unwrap();
    let mut reader = bus.open(trades(), &Mark::default()).unwrap();
    let piece = [b'x'; 50_001];
    for n in 0..60 {
        place.append(TRADES, piece);
        if n == 20 {
            // The writer is stopped, and writes the line again, longer.
            place.write(TRADES, "");
            place.append(TRADES, piece);
        }
        assert!(reader.read(1000, Offset::NO_LIMIT).unwrap().is_empty());
        assert_eq!(bus.readable_end(trades()).unwrap(), Offset::START);
    }
    place.append(TRADES, "end\nnext\n");
    let batch = reader.read(1000, Offset::NO_LIMIT).unwrap();
    assert_eq!(batch.len(), 1);
    assert_eq!(batch.iter().next().unwrap().value.len(), 40 * piece.len() + 3);
    assert_eq!(reader.read(1000, Offset::NO_LIMIT).unwrap().len(), 1);
    assert_eq!(values(&bus, trades()).len(), 2);
    assert_eq!(bus.readable_end(trades()).unwrap(), Offset::new(2));
}

#[test]
fn an_unfinished_line_written_again() {
    let place = Place::new();
    place.write(TRADES, "one\ntw");
    let bus = place.open().unwrap();
    let mut reader = bus.open(trades(), &Mark::default()).unwrap();
    assert_eq!(reader.read(1, Offset::NO_LIMIT).unwrap().len(), 1);
    assert!(reader.read(1, Offset::NO_LIMIT).unwrap().is_empty());
    assert_eq!(bus.readable_end(trades()).unwrap(), Offset::new(1));
    place.write(TRADES, "one\n2\n3\nfour");
    assert_eq!(bus.readable_end(trades()).unwrap(), Offset::new(3));
    assert_eq!(reader.read(100, Offset::NO_LIMIT).unwrap().len(), 2);
    place.write(TRADES, "one\n2\n3\n");
    assert!(reader.read(100, Offset::NO_LIMIT).unwrap().is_empty());
    assert_eq!(bus.readable_end(trades()).unwrap(), Offset::new(3));
}

/// A reader has read three lines. Then `change` happens to the file. Both that reader and a new one at its mark are checked.
#[test]
fn changes_behind_the_reader() {
    type Change = fn(&Place);
    let cases: [(&str, Change, Option<&str>); 8] = [
        ("nothing", |_| {}, None),
        ("appended", |place| place.append(TRADES, "4\n"), None),
        (
            "cut within",
            |place| place.write(TRADES, "one\n"),
            Some("shrank to 4 bytes (14 were read) before offset 3"),
        ),
        ("emptied", |place| place.write(TRADES, ""), Some("shrank to 0 bytes")),
        (
            "removed",
            |place| fs::remove_file(place.file(TRADES)).unwrap(),
            Some("is gone, with all lines before offset 3"),
        ),
        (
            "rewritten, longer",
            |place| place.write(TRADES, "One\ntwo\nthree\n4\n"),
            Some("was changed before offset 3"),
        ),
        (
            "another moved there",
            |place| {
                place.write("other", "one\nTwo\nthree\n");
                fs::rename(place.file("other"), place.file(TRADES)).unwrap();
            },
            Some("was changed before offset 3"),
        ),
        (
            "the same moved there",
            |place| {
                place.write("other", "one\ntwo\nthree\nfour\n");
                fs::rename(place.file("other"), place.file(TRADES)).unwrap();
            },
            None,
        ),
    ];
    for (name, change, expected) in cases {
        let place = Place::new();
        place.write(TRADES, "one\ntwo\nthree\n");
        let bus = place.open().unwrap();
        let mut reader = bus.open(trades(), &Mark::default()).unwrap();
        let mark = reader.read(100, Offset::new(3)).unwrap().next;
        assert!(reader.read(100, Offset::NO_LIMIT).unwrap().is_empty());
        change(&place);
        let outcomes = [
            reader.read(100, Offset::NO_LIMIT).map(|_| ()),
            bus.open(trades(), &mark).map(|_| ()),
        ];
        for outcome in outcomes {
            match (outcome, expected) {
                (Ok(()), None) => {}
                (Err(error @ ReadError::SourceChanged { .. }), Some(expected)) => {
                    let message = error.to_string();
                    assert!(message.contains(expected), "{name}: {message}");
                }
                (outcome, _) => panic!("{name}: {outcome:?}"),
            }
        }
    }
}

#[test]
fn a_change_far_before_the_end_is_noticed_on_return() {
    let place = Place::new();
    let text: String = (0..100_000).map(|n| format!("{n}\n")).collect();
    place.write(TRADES, &text);
    let bus = place.open().unwrap();
    let mut reader = bus.open(trades(), &Mark::default()).unwrap();
    while !reader.read(100_000, Offset::new(90_000)).unwrap().is_empty() {}
    let mark = reader.mark().clone();
    assert_eq!(mark.offset, Offset::new(90_000));
    assert_eq!(bus.open(trades(), &mark).unwrap().mark(), &mark);
    place.write(TRADES, text.replacen("17\n", "71\n", 1));
    assert!(error(bus.open(trades(), &mark)).contains("was changed before offset 90000"));
    // A line more and one less, the length the same.
    place.write(TRADES, text.replacen("10\n", "1\n\n", 1));
    assert!(error(bus.open(trades(), &mark)).contains("was changed"));
}

#[test]
fn a_mark_without_evidence_counts_lines() {
    let place = Place::new();
    place.write(TRADES, "one\ntwo\nthree\nfour");
    let bus = place.open().unwrap();
    let mark = |offset: u64, evidence: &[u8]| Mark {
        evidence: evidence.to_vec(),
        ..Mark::at(Offset::new(offset))
    };
    let mut reader = bus.open(trades(), &mark(2, b"")).unwrap();
    let batch = reader.read(1, Offset::NO_LIMIT).unwrap();
    assert_eq!(batch.iter().next().unwrap().value, b"three");
    assert_eq!(batch.next, reader.mark().clone());
    assert!(bus.open(trades(), &batch.next).is_ok());
    assert!(error(bus.open(trades(), &mark(4, b""))).contains("ends at offset 3, before offset 4"));
    assert!(error(bus.open(trades(), &mark(3, b"else"))).contains("does not match the evidence"));
    assert!(error(bus.open(Topic::Trades.partition(1), &mark(1, b""))).contains("is gone"));
}

#[test]
fn the_end_of_a_file_that_shrank() {
    let place = Place::new();
    place.write(TRADES, "one\ntwo\n");
    let bus = place.open().unwrap();
    assert_eq!(bus.readable_end(trades()).unwrap(), Offset::new(2));
    place.write(TRADES, "one\n");
    assert!(error(bus.readable_end(trades())).contains("shrank to 4 bytes (8 were counted) before offset 2"));
}

#[test]
fn waiting() {
    let place = Place::new();
    let bus = place.open().unwrap();
    let long = Duration::from_secs(20);
    let seen = bus.version();
    assert_eq!(bus.wait(seen, Duration::from_millis(30)).unwrap(), seen);
    let check = |change: &(dyn Fn() + Sync)| {
        let seen = bus.version();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(30));
                change();
            });
            assert!(bus.wait(seen, long).unwrap() > seen);
        });
    };
    check(&|| place.append(TRADES, "a"));
    check(&|| place.append("exchange.trades/1.jsonl", ""));
    check(&|| commit(&bus, Topic::Epochs.partition(0), b"x").unwrap());
    place.append(TRADES, "\n");
    let seen = bus.version();
    assert!(bus.wait(seen, Duration::ZERO).unwrap() > seen);
}
