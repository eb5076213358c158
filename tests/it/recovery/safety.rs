//! What the program refuses to work on: a bus or a state that somebody else has, that was changed behind its back, or that do not belong together.
//! And what it takes in its stride.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/events.rs"]
mod events;
mod model;
#[path = "common/program.rs"]
mod program;
#[path = "common/schemas.rs"]
mod schemas;
#[path = "common/watch.rs"]
mod watch;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use common::{Place, copy, fail, softstake};
use events::{close, deposit, listing, pool};
use program::judge;
use watch::{Process, until};

const DEPOSITS: &str = "exchange.deposits";
const CONTROL: &str = "softstake.control";
const DISTRIBUTIONS: &str = "softstake.distributions";

/// A bus on which two epochs are settled and the third has begun, with a late posting, a dead letter, and more than one source file.
fn settled() -> Place {
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool())]);
    place.append(
        DEPOSITS,
        0,
        [
            deposit("1", 0, "ann", "A", "1"),
            deposit("2", 0, "ann", "A", "0"),
            deposit("3", 0, "ben", "A", "1"),
        ],
    );
    place.append(DEPOSITS, 1, [deposit("1", 0, "cat", "A", "1")]);
    place.append(CONTROL, 0, [close("A", 0, 100, "3")]);
    place.run(Some(4));
    place.append(
        DEPOSITS,
        0,
        [
            deposit("4", 50_000, "ann", "A", "1"),
            deposit("5", 250_000, "ann", "A", "1"),
        ],
    );
    place.append(CONTROL, 0, [close("A", 1, 100, "3")]);
    place.run(Some(4));
    place
}

/// One more event and one more close, so that there is something to do.
fn go_on(place: &Place) {
    place.append(DEPOSITS, 0, [deposit("6", 260_000, "ben", "A", "1")]);
    place.append(CONTROL, 0, [close("A", 2, 100, "3")]);
}

fn file(place: &Place, topic: &str, name: &str) -> PathBuf {
    place.bus().join(topic).join(name)
}

/// Every file below a folder, with its size and the time it was changed.
fn listing_of(folder: &Path) -> BTreeMap<PathBuf, (u64, SystemTime)> {
    let mut files = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder") {
            let entry = entry.expect("an entry");
            let about = entry.metadata().expect("its size");
            if about.is_dir() {
                folders.push(entry.path());
            } else {
                files.insert(entry.path(), (about.len(), about.modified().expect("its time")));
            }
        }
    }
    files
}

/// The bytes of all that others read; what is refused adds nothing to it.
fn published(place: &Place) -> Vec<Vec<u8>> {
    common::OUTPUTS
        .iter()
        .chain(&["softstake.decisions"])
        .map(|topic| fs::read(file(place, topic, "0.jsonl")).unwrap_or_default())
        .collect()
}

/// Runs; it must end with status 1, name a file or folder, and publish nothing.
fn refused(place: &Place, names: &str) -> String {
    let before = published(place);
    let said = fail(&mut place.command(None), 1);
    assert!(said.contains(names), "it does not name {names}:\n{said}");
    assert_eq!(published(place), before, "it published something all the same");
    said
}

#[test]
fn a_second_process_on_the_same_bus() {
    let place = settled();
    let process = Process::watching(&place, None);
    // Not only started: at work, and with nothing more to write.
    go_on(&place);
    until("the third epoch is sealed", || {
        place.records("softstake.epochs").len() == 3
    });
    let bus = listing_of(&place.bus());
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = elsewhere.path().join("state");
    let mut command = softstake();
    command
        .arg("run")
        .arg("--until-idle")
        .arg("--bus")
        .arg(format!("dir:{}", place.bus().display()));
    let said = fail(command.arg("--state").arg(&other), 1);
    assert!(
        said.contains("in use by another softstake process") && said.contains(&*place.bus().to_string_lossy()),
        "{said}"
    );
    assert!(
        !other.exists() || listing_of(&other).is_empty(),
        "it wrote to its state"
    );
    assert_eq!(listing_of(&place.bus()), bus, "it wrote to the bus");
    // The first one goes on undisturbed.
    place.append(CONTROL, 0, [close("A", 3, 100, "3")]);
    until("the fourth epoch is sealed", || {
        place.records("softstake.epochs").len() == 4
    });
    assert_eq!(process.stop(), Some(0));
    judge(&place);
}

#[test]
fn a_second_process_on_the_same_state() {
    let place = settled();
    let process = Process::watching(&place, None);
    go_on(&place);
    until("the third epoch is sealed", || {
        place.records("softstake.epochs").len() == 3
    });
    let other = Place::new();
    other.append(CONTROL, 0, [listing("A", 2, 100, &pool()), close("A", 0, 100, "1")]);
    let mut command = softstake();
    command
        .arg("run")
        .arg("--until-idle")
        .arg("--bus")
        .arg(format!("dir:{}", other.bus().display()));
    let said = fail(command.arg("--state").arg(place.state()), 1);
    assert!(
        said.contains("in use by another softstake process") && said.contains(&*place.state().to_string_lossy()),
        "{said}"
    );
    let written: Vec<Vec<u8>> = published(&other)
        .into_iter()
        .filter(|bytes| !bytes.is_empty())
        .collect();
    assert_eq!(written, Vec::<Vec<u8>>::new(), "it wrote to its bus");
    assert_eq!(process.stop(), Some(0));
    judge(&place);
}

#[test]
fn a_source_file_that_shrank() {
    for (topic, keep) in [(DEPOSITS, 10), (DEPOSITS, 0), (CONTROL, 10)] {
        let place = settled();
        let path = file(&place, topic, "0.jsonl");
        let text = fs::read(&path).expect("the file");
        fs::write(&path, &text[..keep]).expect("a shorter file");
        refused(&place, &path.to_string_lossy());
        // Put back, it goes on as if nothing had been.
        fs::write(&path, &text).expect("the file");
        go_on(&place);
        place.run(None);
        judge(&place);
    }
}

#[test]
fn a_source_file_that_was_changed_in_place() {
    for topic in [DEPOSITS, CONTROL] {
        for grown in [false, true] {
            let place = settled();
            let path = file(&place, topic, "0.jsonl");
            let text = fs::read_to_string(&path).expect("the file");
            // One letter within the first record: still sound, only not what was read.
            fs::write(&path, text.replacen("/test", "/Test", 1)).expect("the file");
            if grown {
                go_on(&place);
            }
            refused(&place, &path.to_string_lossy());
        }
    }
}

#[test]
fn a_source_file_that_vanished() {
    for (topic, name) in [(DEPOSITS, "0.jsonl"), (DEPOSITS, "1.jsonl"), (CONTROL, "0.jsonl")] {
        let place = settled();
        let path = file(&place, topic, name);
        fs::remove_file(&path).expect("the file goes");
        refused(&place, &path.to_string_lossy());
    }
    let place = settled();
    fs::remove_dir_all(place.bus().join(DEPOSITS)).expect("the topic goes");
    refused(&place, DEPOSITS);
}

#[test]
fn a_source_file_that_vanishes_while_it_works() {
    let place = settled();
    let mut command = softstake();
    command
        .arg("run")
        .arg("--bus")
        .arg(format!("dir:{}", place.bus().display()))
        .arg("--state")
        .arg(place.state());
    let child = command
        .stderr(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("the program starts");
    go_on(&place);
    until("the third epoch is sealed", || {
        place.records("softstake.epochs").len() == 3
    });
    let path = file(&place, DEPOSITS, "1.jsonl");
    fs::remove_file(&path).expect("the file goes");
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&*path.to_string_lossy()), "{said}");
}

#[test]
fn a_source_file_that_changed_while_the_state_was_lost() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("changed", |path| {
            let text = fs::read_to_string(path).expect("the file");
            fs::write(path, text.replacen("/test", "/Test", 1)).expect("the file");
        }),
        ("shrunk", |path| fs::write(path, "").expect("the file")),
        // As many lines as were read, but other ones: they must not pass for what was read.
        ("begun anew", |path| {
            let count = fs::read_to_string(path).expect("the file").lines().count();
            let lines: String = (0..count)
                .map(|id| deposit(&format!("new-{id}"), 260_000, "eve", "A", "1") + "\n")
                .collect();
            fs::write(path, lines).expect("the file");
        }),
        ("gone", |path| fs::remove_file(path).expect("the file goes")),
    ];
    for (what, change) in changes {
        let place = settled();
        // The journal of the bus still knows how far the file was read, and what it was.
        fs::remove_dir_all(place.state()).expect("the state goes");
        let path = file(&place, DEPOSITS, "0.jsonl");
        change(&path);
        let output = place.command(None).output().expect("the program starts");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{what}: {said}");
        assert!(said.contains(&*path.to_string_lossy()), "{what}: {said}");
    }
}

#[test]
fn an_output_file_that_was_tampered_with() {
    type Tamper = fn(&[u8]) -> Vec<u8>;
    let tampers: [(&str, Tamper); 3] = [
        ("grown", |bytes| [bytes, b"{}\n"].concat()),
        ("cut", |bytes| bytes[..bytes.len() - 1].to_vec()),
        ("emptied", |_| Vec::new()),
    ];
    for (topic, name) in [
        (DISTRIBUTIONS, "0.jsonl"),
        ("softstake.decisions", "0.jsonl"),
        ("softstake.ledger", "0.log"),
        ("softstake.inbox", "0.log"),
    ] {
        for (what, tamper) in tampers {
            let place = settled();
            let path = file(&place, topic, name);
            fs::write(&path, tamper(&fs::read(&path).expect("the file"))).expect("the file");
            let said = fail(&mut place.command(None), 1);
            assert!(said.contains(&*path.to_string_lossy()), "{what}: {said}");
        }
        let place = settled();
        fs::remove_file(file(&place, topic, name)).expect("the file goes");
        let said = fail(&mut place.command(None), 1);
        assert!(
            said.contains(&*file(&place, topic, name).to_string_lossy()),
            "removed: {said}"
        );
    }
}

#[test]
fn the_state_of_another_bus() {
    let (one, two) = (settled(), settled());
    let mut command = softstake();
    command
        .arg("run")
        .arg("--until-idle")
        .arg("--bus")
        .arg(format!("dir:{}", two.bus().display()));
    let before = published(&two);
    let said = fail(command.arg("--state").arg(one.state()), 1);
    assert!(
        said.contains(&*one.state().to_string_lossy()) && said.contains("--state"),
        "{said}"
    );
    assert_eq!(published(&two), before);
    // Neither has come to harm.
    for place in [one, two] {
        go_on(&place);
        place.run(None);
        judge(&place);
    }
}

#[test]
fn another_number_of_partitions_than_before() {
    let place = settled();
    go_on(&place);
    let said = fail(&mut place.command(Some(8)), 2);
    assert!(
        said.contains("partitions is 8") && said.contains("begun with 4"),
        "{said}"
    );
    // Without the state too: the ledger on the bus is laid out for 4.
    fs::remove_dir_all(place.state()).expect("the state goes");
    fail(&mut place.command(Some(8)), 2);
    assert_eq!(place.records("softstake.epochs").len(), 2);
    place.run(Some(4));
    judge(&place);
}

#[test]
fn another_dedup_window_than_before() {
    let place = settled();
    go_on(&place);
    let said = fail(place.command(None).args(["--dedup-epochs", "8"]), 2);
    assert!(
        said.contains("dedup_epochs is 8") && said.contains("begun with 7"),
        "{said}"
    );
    place.run(None);
    judge(&place);
}

#[test]
fn a_format_from_the_future() {
    let place = settled();
    let store = place.state().join("coordinate");
    {
        let store = rocksdb::DB::open(&rocksdb::Options::default(), &store).expect("the store");
        assert_eq!(
            store.get(b"\0format").expect("the version"),
            Some(1u32.to_be_bytes().to_vec()),
            "the key has moved"
        );
        store.put(b"\0format", 2u32.to_be_bytes()).expect("another version");
    }
    let said = refused(&place, &store.to_string_lossy());
    assert!(said.contains("format version 2"), "{said}");

    let place = settled();
    let journal = file(&place, ".softstake", "journal");
    let mut bytes = fs::read(&journal).expect("the journal");
    let at = b"softstake-journal ".len();
    assert_eq!(bytes[at], b'1');
    bytes[at] = b'2';
    fs::write(&journal, bytes).expect("the journal");
    let said = refused(&place, &journal.to_string_lossy());
    assert!(said.contains("format version 2"), "{said}");
}

#[test]
fn a_bus_that_is_not_there() {
    let place = Place::new();
    fs::remove_dir(place.bus()).expect("the bus goes");
    let said = fail(&mut place.command(None), 2);
    assert!(said.contains(&*place.bus().to_string_lossy()), "{said}");
    assert!(
        !place.bus().exists() && !place.state().exists(),
        "it made what was not there"
    );
    fs::write(place.bus(), "a file").expect("a file");
    fail(&mut place.command(None), 2);
    assert!(!place.state().exists(), "it made a state");
}

#[test]
fn an_empty_bus() {
    let place = Place::new();
    place.run(None);
    place.run(None);
    assert!(judge(&place).seals.is_empty());
}

#[test]
fn a_torn_last_line_is_not_there_yet() {
    let place = settled();
    let path = file(&place, DEPOSITS, "0.jsonl");
    let text = fs::read(&path).expect("the file");
    let line = deposit("6", 210_000, "ben", "A", "1").into_bytes();
    // Whatever part of it is there, and even all but the line feed.
    for torn in [1, line.len() / 2, line.len()] {
        fs::write(&path, [&text[..], &line[..torn]].concat()).expect("the file");
        place.run(None);
        judge(&place);
        assert_eq!(place.records("softstake.dead-letters").len(), 1);
    }
    // A close does not count it, so that it comes late.
    place.append(CONTROL, 0, [close("A", 2, 100, "3")]);
    place.run(None);
    let late = |place: &Place| place.records("softstake.late-postings").len();
    let before = late(&place);
    fs::write(&path, [&text[..], &line[..], b"\n"].concat()).expect("the file");
    place.run(None);
    judge(&place);
    assert_eq!(late(&place), before + 1);
}

#[test]
fn blank_lines_are_offsets_and_no_more() {
    let place = Place::new();
    place.append(CONTROL, 0, ["", " \t\r", &listing("A", 2, 100, &pool()), "\r"]);
    let crlf = format!("{}\r", deposit("1", 0, "ann", "A", "1"));
    place.append(DEPOSITS, 0, ["", "\r", "  ", "\t", &crlf, "", "refused"]);
    place.append(CONTROL, 0, ["", &close("A", 0, 100, "1"), ""]);
    place.run(None);
    let outputs = judge(&place);
    assert_eq!(
        outputs.dead_letters.keys().collect::<Vec<_>>(),
        ["exchange.deposits:0:6"]
    );
    assert_eq!(
        outputs.seals["A:0"]["data"]["cut"],
        serde_json::json!({"exchange.deposits": {"0": 7}})
    );
    assert_eq!(outputs.distributions["A:0:ann"]["data"]["amount"], "1");
}

#[test]
fn stray_files_and_folders_are_left_alone() {
    let place = settled();
    let outcome = place.outcome();
    let line = deposit("stray", 0, "eve", "A", "100") + "\n";
    for name in [
        "00.jsonl",
        "01.jsonl",
        "+1.jsonl",
        "-1.jsonl",
        "2.json",
        "2.jsonl~",
        ".2.jsonl.swp",
        "x.jsonl",
        "4294967296.jsonl",
        "2.log",
        ".jsonl",
        "1.0.jsonl",
    ] {
        fs::write(file(&place, DEPOSITS, name), &line).expect("a stray file");
    }
    fs::create_dir(file(&place, DEPOSITS, "backup")).expect("a stray folder");
    fs::write(file(&place, DEPOSITS, "backup/3.jsonl"), &line).expect("a stray file");
    for topic in [
        "exchange.deposit",
        "exchange.deposits.bak",
        "Exchange.Deposits",
        "unknown",
    ] {
        fs::create_dir(place.bus().join(topic)).expect("a stray topic");
        fs::write(file(&place, topic, "0.jsonl"), &line).expect("a stray file");
    }
    fs::write(place.bus().join("README"), "stray").expect("a stray file");
    // Only one partition of control is read.
    fs::write(file(&place, CONTROL, "1.jsonl"), close("A", 2, 100, "3") + "\n").expect("a stray file");
    place.run(None);
    assert_eq!(place.outcome(), outcome);
    go_on(&place);
    place.run(None);
    let outputs = judge(&place);
    assert_eq!(outputs.seals.len(), 3);
    assert!(outputs.distributions.keys().all(|id| !id.contains("eve")));
}

#[test]
fn a_state_that_is_gone_is_built_anew() {
    let place = settled();
    let outcome = place.outcome();
    fs::remove_dir_all(place.state()).expect("the state goes");
    place.run(None);
    assert_eq!(place.outcome(), outcome);
    // With more to do, the outcome is that of a place whose state was never lost.
    let other = settled();
    for place in [&place, &other] {
        go_on(place);
    }
    fs::remove_dir_all(place.state()).expect("the state goes");
    place.run(None);
    other.run(None);
    assert_eq!(place.outcome(), other.outcome());
    judge(&place);
    // One store of several is no worse.
    for part in [
        "coordinate",
        "ingest",
        "accrue",
        "accrue/4/0",
        "ingest/exchange.deposits/0",
    ] {
        fs::remove_dir_all(place.state().join(part)).expect("a store goes");
        place.append(DEPOSITS, 1, [deposit(part, 310_000, "cat", "A", "1")]);
        place.run(None);
        judge(&place);
    }
}

#[test]
fn an_older_state_catches_up() {
    let place = settled();
    let older = tempfile::tempdir().expect("a folder");
    copy(&place.state(), &older.path().join("state"));
    go_on(&place);
    place.run(None);
    place.append(DEPOSITS, 0, [deposit("7", 310_000, "ben", "A", "1")]);
    place.append(CONTROL, 0, [close("A", 3, 100, "3")]);
    place.run(None);
    let outcome = place.outcome();
    fs::remove_dir_all(place.state()).expect("the state goes");
    copy(&older.path().join("state"), &place.state());
    place.run(None);
    assert_eq!(place.outcome(), outcome);
    judge(&place);
}

#[test]
fn an_older_bus_is_refused_by_a_newer_state() {
    let place = settled();
    let older = tempfile::tempdir().expect("a folder");
    copy(&place.bus(), &older.path().join("bus"));
    go_on(&place);
    place.run(None);
    fs::remove_dir_all(place.bus()).expect("the bus goes");
    copy(&older.path().join("bus"), &place.bus());
    let before = published(&place);
    let said = fail(&mut place.command(None), 1);
    assert_eq!(published(&place), before, "it published something all the same");
    assert!(
        said.contains("older copy") || said.contains("put the original file back"),
        "{said}"
    );
    // As the message says: without the state it goes on.
    fs::remove_dir_all(place.state()).expect("the state goes");
    go_on(&place);
    place.run(None);
    judge(&place);
}
