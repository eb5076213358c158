//! A bus or state that is in use, was changed from outside, or belongs to another deployment is refused. Harmless
//! changes are accepted, and a lost or older state recovers.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::SystemTime;

use crate::common::events::{close, deposit, listing, pool};
use crate::common::process::{Process, until};
use crate::common::{OUTPUTS, Place, copy, fail, on_bus};
use crate::judge::judge;

const DEPOSITS: &str = "exchange.deposits";
const CONTROL: &str = "softstake.control";
const DISTRIBUTIONS: &str = "softstake.distributions";

/// A bus with two settled epochs and an open one, a late posting, a dead letter, and several source partitions.
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

/// Appends one more event and one more close.
fn append_more(place: &Place) {
    place.append(DEPOSITS, 0, [deposit("6", 260_000, "ben", "A", "1")]);
    place.append(CONTROL, 0, [close("A", 2, 100, "3")]);
}

fn file(place: &Place, topic: &str, name: &str) -> PathBuf {
    place.bus().join(topic).join(name)
}

/// Every file below a folder, with its size and its time of change.
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

/// The bytes of all published topics.
fn published(place: &Place) -> Vec<Vec<u8>> {
    OUTPUTS
        .iter()
        .chain(&["softstake.decisions"])
        .map(|topic| fs::read(file(place, topic, "0.jsonl")).unwrap_or_default())
        .collect()
}

/// Runs. It must end with status 1, name a file or folder, and publish nothing.
fn refused(place: &Place, names: &str) -> String {
    let before = published(place);
    let said = fail(&mut place.command(None), 1);
    assert!(said.contains(names), "it does not name {names}:\n{said}");
    assert_eq!(published(place), before, "it published something");
    said
}

#[test]
fn a_second_process_on_the_same_bus_is_refused() {
    let place = settled();
    let process = Process::running(&place, None);
    // Wait until it has no more to write.
    append_more(&place);
    until("the third epoch is sealed", || {
        place.records("softstake.epochs").len() == 3
    });
    let bus = listing_of(&place.bus());
    let elsewhere = tempfile::tempdir().expect("a folder");
    let other = elsewhere.path().join("state");
    let mut command = on_bus("run", &place.bus());
    let said = fail(command.arg("--until-idle").arg("--state").arg(&other), 1);
    assert!(
        said.contains("in use by another softstake process") && said.contains(&*place.bus().to_string_lossy()),
        "{said}"
    );
    assert!(
        !other.exists() || listing_of(&other).is_empty(),
        "it wrote to the state"
    );
    assert_eq!(listing_of(&place.bus()), bus, "it wrote to the bus");
    // The first process goes on.
    place.append(CONTROL, 0, [close("A", 3, 100, "3")]);
    until("the fourth epoch is sealed", || {
        place.records("softstake.epochs").len() == 4
    });
    assert_eq!(process.stop(), Some(0));
    judge(&place);
}

#[test]
fn a_second_process_on_the_same_state_is_refused() {
    let place = settled();
    let process = Process::running(&place, None);
    append_more(&place);
    until("the third epoch is sealed", || {
        place.records("softstake.epochs").len() == 3
    });
    let other = Place::new();
    other.append(CONTROL, 0, [listing("A", 2, 100, &pool()), close("A", 0, 100, "1")]);
    let mut command = on_bus("run", &other.bus());
    let said = fail(command.arg("--until-idle").arg("--state").arg(place.state()), 1);
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
fn a_source_file_that_shrank_is_refused() {
    for (topic, keep) in [(DEPOSITS, 10), (DEPOSITS, 0), (CONTROL, 10)] {
        let place = settled();
        let path = file(&place, topic, "0.jsonl");
        let text = fs::read(&path).expect("the file");
        fs::write(&path, &text[..keep]).expect("a shorter file");
        refused(&place, &path.to_string_lossy());
        // With the original file it goes on.
        fs::write(&path, &text).expect("the file");
        append_more(&place);
        place.run(None);
        judge(&place);
    }
}

#[test]
fn a_source_file_that_was_changed_in_place_is_refused() {
    for topic in [DEPOSITS, CONTROL] {
        for grown in [false, true] {
            let place = settled();
            let path = file(&place, topic, "0.jsonl");
            let text = fs::read_to_string(&path).expect("the file");
            // One letter of the first record: still valid, but not the record that was read.
            fs::write(&path, text.replacen("/test", "/Test", 1)).expect("the file");
            if grown {
                append_more(&place);
            }
            refused(&place, &path.to_string_lossy());
        }
    }
}

#[test]
fn a_missing_source_file_is_refused() {
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
fn a_source_file_removed_during_work_stops_the_process() {
    let place = settled();
    let child = on_bus("run", &place.bus())
        .arg("--state")
        .arg(place.state())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    append_more(&place);
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
fn a_source_file_changed_after_the_state_was_lost_is_refused() {
    type Change = fn(&Path);
    let changes: [(&str, Change); 4] = [
        ("changed", |path| {
            let text = fs::read_to_string(path).expect("the file");
            fs::write(path, text.replacen("/test", "/Test", 1)).expect("the file");
        }),
        ("shrunk", |path| fs::write(path, "").expect("the file")),
        // As many lines as were read, but other ones.
        ("replaced", |path| {
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
        // The journal of the bus still has the position in the file and a hash of its records.
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
fn an_output_file_changed_from_outside_is_refused() {
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
fn the_state_of_another_bus_is_refused() {
    let (one, two) = (settled(), settled());
    let mut command = on_bus("run", &two.bus());
    let before = published(&two);
    let said = fail(command.arg("--until-idle").arg("--state").arg(one.state()), 1);
    assert!(
        said.contains(&*one.state().to_string_lossy()) && said.contains("--state"),
        "{said}"
    );
    assert_eq!(published(&two), before);
    // Both still work.
    for place in [one, two] {
        append_more(&place);
        place.run(None);
        judge(&place);
    }
}

#[test]
fn another_number_of_partitions_is_refused() {
    let place = settled();
    append_more(&place);
    let said = fail(&mut place.command(Some(8)), 2);
    assert!(
        said.contains("partitions is 8") && said.contains("begun with 4"),
        "{said}"
    );
    // Also without the state: the ledger on the bus has four partitions.
    fs::remove_dir_all(place.state()).expect("the state goes");
    fail(&mut place.command(Some(8)), 2);
    assert_eq!(place.records("softstake.epochs").len(), 2);
    place.run(Some(4));
    judge(&place);
}

#[test]
fn another_dedup_window_is_refused() {
    let place = settled();
    append_more(&place);
    let said = fail(place.command(None).args(["--dedup-days", "8"]), 2);
    assert!(
        said.contains("dedup_days is 8") && said.contains("begun with 7"),
        "{said}"
    );
    place.run(None);
    judge(&place);
}

#[test]
fn a_later_format_version_is_refused() {
    let place = settled();
    let store = place.state().join("coordinate");
    {
        let options = rocksdb::Options::default();
        let families = rocksdb::DB::list_cf(&options, &store).expect("its column families");
        let store = rocksdb::DB::open_cf(&options, &store, families).expect("the store");
        assert_eq!(
            store.get(b"\0format").expect("the version"),
            Some(6u32.to_be_bytes().to_vec()),
            "the key has moved"
        );
        store.put(b"\0format", 7u32.to_be_bytes()).expect("another version");
    }
    let said = refused(&place, &store.to_string_lossy());
    assert!(said.contains("format version 7"), "{said}");

    let place = settled();
    let journal = file(&place, ".softstake", "journal");
    let mut bytes = fs::read(&journal).expect("the journal");
    let at = b"softstake-journal ".len();
    assert_eq!(bytes[at], b'2');
    bytes[at] = b'3';
    fs::write(&journal, bytes).expect("the journal");
    let said = refused(&place, &journal.to_string_lossy());
    assert!(said.contains("format version 3"), "{said}");
}

#[test]
fn a_missing_bus_is_refused_and_not_created() {
    let place = Place::new();
    fs::remove_dir(place.bus()).expect("the bus goes");
    let said = fail(&mut place.command(None), 2);
    assert!(said.contains(&*place.bus().to_string_lossy()), "{said}");
    assert!(
        !place.bus().exists() && !place.state().exists(),
        "it created the bus or the state"
    );
    fs::write(place.bus(), "a file").expect("a file");
    fail(&mut place.command(None), 2);
    assert!(!place.state().exists(), "it created a state");
}

#[test]
fn an_empty_bus_is_accepted() {
    let place = Place::new();
    place.run(None);
    place.run(None);
    assert!(judge(&place).seals.is_empty());
}

#[test]
fn a_torn_last_line_is_not_read_yet() {
    let place = settled();
    let path = file(&place, DEPOSITS, "0.jsonl");
    let text = fs::read(&path).expect("the file");
    let line = deposit("6", 210_000, "ben", "A", "1").into_bytes();
    // Parts of a line, and a whole line without its line feed.
    for torn in [1, line.len() / 2, line.len()] {
        fs::write(&path, [&text[..], &line[..torn]].concat()).expect("the file");
        place.run(None);
        judge(&place);
        assert_eq!(place.records("softstake.dead-letters").len(), 1);
    }
    // The cut of the close is before it, so it is late.
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
fn blank_lines_are_skipped_and_count_as_offsets() {
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
fn unrelated_files_and_folders_are_ignored() {
    let place = settled();
    let outcome = place.outcome();
    let line = deposit("stray", 0, "eve", "A", "100") + "\n";
    for name in [
        "2.jsonl~",
        ".2.jsonl.swp",
        "#2.jsonl#",
        ".jsonl",
        "2.jsonl.bak",
        "README",
    ] {
        fs::write(file(&place, DEPOSITS, name), &line).expect("an unrelated file");
    }
    for topic in ["exchange.deposits.bak", "unknown", ".hidden"] {
        fs::create_dir(place.bus().join(topic)).expect("an unrelated topic");
        fs::write(file(&place, topic, "0.jsonl"), &line).expect("an unrelated file");
    }
    fs::write(place.bus().join("README"), "stray").expect("an unrelated file");
    place.run(None);
    assert_eq!(place.outcome(), outcome);
    append_more(&place);
    place.run(None);
    let outputs = judge(&place);
    assert_eq!(outputs.seals.len(), 3);
    assert!(outputs.distributions.keys().all(|id| !id.contains("eve")));
}

#[test]
fn a_lost_state_is_rebuilt() {
    let place = settled();
    let outcome = place.outcome();
    fs::remove_dir_all(place.state()).expect("the state goes");
    place.run(None);
    assert_eq!(place.outcome(), outcome);
    // With more records the output is that of a bus whose state was never lost.
    let other = settled();
    for place in [&place, &other] {
        append_more(place);
    }
    fs::remove_dir_all(place.state()).expect("the state goes");
    place.run(None);
    other.run(None);
    assert_eq!(place.outcome(), other.outcome());
    judge(&place);
    // The same for single stores.
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
    append_more(&place);
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
    append_more(&place);
    place.run(None);
    fs::remove_dir_all(place.bus()).expect("the bus goes");
    copy(&older.path().join("bus"), &place.bus());
    let before = published(&place);
    let said = fail(&mut place.command(None), 1);
    assert_eq!(published(&place), before, "it published something");
    assert!(
        said.contains("older copy") || said.contains("restore the original"),
        "{said}"
    );
    // Without the state it goes on, as the message says.
    fs::remove_dir_all(place.state()).expect("the state goes");
    append_more(&place);
    place.run(None);
    judge(&place);
}
