//! A change to a file that the program wrote is found: near the end of the file by the next start, anywhere by `check --bus`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::process::{Process, until};
use crate::common::{Place, fail, on_bus, succeed};

const CONTROL: &str = "softstake.control";
const DEPOSITS: &str = "exchange.deposits";
const WRITTEN: [&str; 7] = [
    "softstake.distributions/0.jsonl",
    "softstake.epochs/0.jsonl",
    "softstake.decisions/0.jsonl",
    "softstake.dead-letters/0.jsonl",
    "softstake.late-postings/0.jsonl",
    "softstake.inbox/0.log",
    "softstake.ledger/0.log",
];

/// A settled bus with something in every output and inner topic, after a clean stop.
fn settled(accounts: usize) -> Place {
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool())]);
    place.append(
        DEPOSITS,
        0,
        (0..accounts).map(|n| deposit(&format!("d{n}"), 0, &format!("account-{n}"), "A", "7.25")),
    );
    place.append(DEPOSITS, 0, ["no event"]);
    place.append(CONTROL, 0, [close("A", 0, 100, "1000")]);
    place.run(Some(1));
    place.append(DEPOSITS, 0, [deposit("late", 5_000, "account-0", "A", "1")]);
    place.run(Some(1));
    place
}

fn check(place: &Place) -> Command {
    on_bus("check", &place.bus())
}

/// `check --bus` finds a difference. Returns what it says about it.
fn found_by_check(place: &Place, file: &Path) -> String {
    let output = check(place).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{}:\n{said}", file.display());
    let name = file.to_string_lossy();
    let line = said
        .lines()
        .find(|line| line.contains(&*name) && line.contains("damaged at byte"));
    line.unwrap_or_else(|| panic!("{name} is not named:\n{said}"))
        .to_owned()
}

/// A start finds it too, and says the same.
fn found_at_start(place: &Place, file: &Path, said: &str) {
    let error = fail(&mut place.command(None), 1);
    assert!(error.contains(said.trim()), "{}: {error}\n{said}", file.display());
}

/// Positions all over a file: its ends, and some between them.
fn positions(len: usize) -> impl Iterator<Item = usize> {
    (0..7).map(move |n| (len - 1) * n / 6)
}

/// The dead letter is the one rejection that `check` finds in the sources. Without it, the bus is right.
fn without_dead_letter(place: &Place) {
    let path = place.bus().join(DEPOSITS).join("0.jsonl");
    let text = fs::read_to_string(&path).expect("the file");
    assert!(text.contains("no event\n"));
    fs::write(&path, text.replace("no event\n", "        \n")).expect("the file");
}

#[test]
fn what_was_not_changed_is_right() {
    let place = settled(3);
    without_dead_letter(&place);
    let said = String::from_utf8(succeed(&mut check(&place)).stdout).expect("text");
    assert!(
        said.contains("\nWritten by softstake: ") && said.contains(", all as committed."),
        "{said}"
    );
    let json = succeed(check(&place).arg("--json")).stdout;
    let json: serde_json::Value = serde_json::from_slice(&json).expect("JSON");
    let bytes: u64 = WRITTEN
        .iter()
        .map(|file| fs::metadata(place.bus().join(file)).expect("a file").len())
        .sum();
    assert_eq!(
        json["written"],
        serde_json::json!({"files": WRITTEN.len(), "bytes": bytes, "damaged": 0})
    );
}

#[test]
fn a_changed_bit_anywhere_is_found_at_start_and_by_check() {
    let place = settled(3);
    for name in WRITTEN {
        let file = place.bus().join(name);
        let right = fs::read(&file).expect("the file");
        for (n, at) in positions(right.len()).enumerate() {
            let mut bytes = right.clone();
            bytes[at] ^= 1 << (n % 8);
            fs::write(&file, &bytes).expect("the file");
            let said = found_by_check(&place, &file);
            found_at_start(&place, &file, &said);
        }
        fs::write(&file, &right).expect("the file");
    }
    place.run(None);
}

#[test]
fn a_file_of_zeros_is_found_at_start_and_by_check() {
    let place = settled(3);
    for name in WRITTEN {
        let file = place.bus().join(name);
        let right = fs::read(&file).expect("the file");
        fs::write(&file, vec![0; right.len()]).expect("the file");
        let said = found_by_check(&place, &file);
        assert!(said.contains("damaged at byte 0: "), "{said}");
        found_at_start(&place, &file, &said);
        fs::write(&file, &right).expect("the file");
    }
}

#[test]
fn records_in_another_order_or_of_another_bus_are_found() {
    let place = settled(3);
    let file = place.bus().join(WRITTEN[0]);
    let right = fs::read_to_string(&file).expect("the file");
    let lines: Vec<&str> = right.lines().collect();
    let backwards: String = lines.iter().rev().flat_map(|line| [line, "\n"]).collect();
    // The same programme and the same balances, but another pool.
    let other = fs::read_to_string(settled(3).bus().join(WRITTEN[0])).expect("the file");
    assert_eq!(other.len(), right.len());
    let larger = other.replacen("\"account-0\"", "\"account-9\"", 1);
    for wrong in [backwards, larger] {
        assert_ne!(wrong, right);
        fs::write(&file, wrong).expect("the file");
        let said = found_by_check(&place, &file);
        assert!(
            said.contains("one of the records 1 to 3 is not the committed one"),
            "{said}"
        );
        found_at_start(&place, &file, &said);
    }
}

/// The byte of a digit of the amount in line `line`, from 0.
fn digit(text: &str, line: usize) -> usize {
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    start + text[start..].find(r#""amount":""#).expect("an amount") + r#""amount":""#.len()
}

#[test]
fn in_a_large_file_the_part_with_the_difference_is_named() {
    let place = settled(8_000);
    without_dead_letter(&place);
    succeed(&mut check(&place));
    let file = place.bus().join(WRITTEN[0]);
    let right = fs::read_to_string(&file).expect("the file");
    assert!(right.len() > 2_000_000, "{}", right.len());
    let count = right.lines().count();
    let near_end = right[..right.len() - 60_000].lines().count();
    for line in [0, 1, count / 3, count / 2, near_end, count - 1] {
        let mut bytes = right.clone().into_bytes();
        bytes[digit(&right, line)] ^= 1;
        fs::write(&file, &bytes).expect("the file");
        let said = found_by_check(&place, &file);
        // "... one of the records 1 to 2345 is not ..."
        let numbers: Vec<usize> = said
            .split_once("one of the records ")
            .and_then(|(_, rest)| rest.split_once(" is not"))
            .map(|(range, _)| {
                range
                    .split(" to ")
                    .map(|number| number.parse().expect("a number"))
                    .collect()
            })
            .unwrap_or_else(|| panic!("{said}"));
        assert!((numbers[0]..=numbers[1]).contains(&(line + 1)), "line {line}: {said}");
        assert!(numbers[1] - numbers[0] < count / 5, "of {count}: {said}");
        if line >= near_end {
            found_at_start(&place, &file, &said);
        }
        // What is no JSON any more is named itself.
        bytes[digit(&right, line) - 1] = b'x';
        fs::write(&file, &bytes).expect("the file");
        let said = found_by_check(&place, &file);
        assert!(said.contains(&format!("line {} is not JSON", line + 1)), "{said}");
    }
    fs::write(&file, &right).expect("the file");
    succeed(&mut check(&place));
}

#[test]
fn a_bus_at_work_and_one_after_a_kill_are_right() {
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool())]);
    let mut process = Process::running(&place, Some(2));
    for epoch in 0..10 {
        let lines = (0..50).map(|n| {
            deposit(
                &format!("{epoch}-{n}"),
                i64::from(epoch) * 100_000,
                &format!("a{n}"),
                "A",
                "1",
            )
        });
        place.append(DEPOSITS, 0, lines);
        place.append(CONTROL, 0, [close("A", epoch, 100, "5")]);
        for _ in 0..3 {
            succeed(&mut check(&place));
        }
    }
    until("all epochs are sealed", || {
        place.records("softstake.epochs").len() == 10
    });
    succeed(&mut check(&place));
    assert!(!process.ended());
    drop(process);
    succeed(&mut check(&place));
    // The journal still has these commits. A changed byte is not one that a power failure left.
    let file: PathBuf = place.bus().join(WRITTEN[0]);
    let right = fs::read(&file).expect("the file");
    let mut bytes = right.clone();
    bytes[right.len() / 2] ^= 4;
    fs::write(&file, &bytes).expect("the file");
    let said = found_by_check(&place, &file);
    found_at_start(&place, &file, &said);
    // Bytes that are missing are written by the next start.
    fs::write(&file, &right[..right.len() - 40]).expect("the file");
    let said = String::from_utf8(succeed(&mut check(&place)).stdout).expect("text");
    assert!(
        said.contains("the file of softstake.distributions:0 does not hold its last commits yet"),
        "{said}"
    );
    place.run(None);
    assert_eq!(fs::read(&file).expect("the file"), right);
    succeed(&mut check(&place));
}

#[test]
fn an_unknown_event_is_no_damage() {
    let place = settled(1);
    place.append(
        DEPOSITS,
        0,
        [event("odd", "exchange.odd.v1", 0, &serde_json::json!({}))],
    );
    place.run(None);
    let output = check(&place).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1));
    assert!(said.contains(", all as committed."), "{said}");
}
