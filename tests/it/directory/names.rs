//! Names in a bus directory that look as if they should be read, but are not: a start is refused, and the right name is said.

use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::common::events::{close, deposit, listing, pool};
use crate::common::files::files_below;
use crate::common::process::{Process, until};
use crate::common::{Place, fail, on_bus, succeed};

const CONTROL: &str = "softstake.control";
const DEPOSITS: &str = "exchange.deposits";

/// A bus with a listing and a close, and deposits under `topic`.
fn with_deposits_in(topic: &str) -> Place {
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool()), close("A", 0, 100, "5")]);
    place.append(topic, 0, [deposit("1", 0, "ann", "A", "1")]);
    place
}

fn rename(place: &Place, from: &str, to: &str) {
    fs::rename(place.bus().join(from), place.bus().join(to)).expect("another name");
}

/// A run ends with status 1 before it writes anything, and says this. So does `check`.
fn refused(place: &Place, expected: &str) {
    let before = files_below(&place.bus());
    let said = fail(&mut place.command(None), 1);
    assert!(said.contains(expected), "{said}");
    assert!(said.contains("nothing was started"), "{said}");
    assert_eq!(files_below(&place.bus()), before, "it wrote to the bus");
    assert!(!place.state().exists(), "it wrote to the state");
    let output = on_bus("check", &place.bus()).output().expect("the program starts");
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("\nProblems:\n") && said.contains(expected), "{said}");
}

#[test]
fn a_misspelt_topic_is_refused_and_the_right_name_is_said() {
    for (wrong, right) in [
        ("exchange.deposit", DEPOSITS),
        ("Exchange.Deposits", DEPOSITS),
        ("exchange-deposits", DEPOSITS),
        ("exchange.deposits.v1", DEPOSITS),
        ("exhange.deposits", DEPOSITS),
        ("deposits", DEPOSITS),
        ("exchange.withdrawl", "exchange.withdrawals"),
        ("exchange.trade", "exchange.trades"),
        ("exchange.acounts", "exchange.accounts"),
    ] {
        let place = with_deposits_in(wrong);
        refused(&place, &format!("{wrong} is not a topic: did you mean {right}? "));
    }
    let place = with_deposits_in(DEPOSITS);
    rename(&place, CONTROL, "softstake.controls");
    refused(
        &place,
        "softstake.controls is not a topic: did you mean softstake.control? ",
    );
    let place = with_deposits_in("exchange.orders");
    refused(&place, "exchange.orders is not a topic, though it begins like one: ");
    let place = with_deposits_in(DEPOSITS);
    rename(&place, "exchange.deposits/0.jsonl", "exchange.withdrawals.jsonl");
    refused(&place, "move its records to exchange.withdrawals/0.jsonl");
    rename(&place, "exchange.withdrawals.jsonl", "exchange.withdrawals");
    refused(
        &place,
        "exchange.withdrawals is a file, but topic exchange.withdrawals is a folder",
    );
}

#[test]
fn a_misspelt_partition_is_refused_and_the_right_name_is_said() {
    for (wrong, right) in [
        ("0.json", "0.jsonl"),
        ("00.jsonl", "0.jsonl"),
        ("0.JSONL", "0.jsonl"),
        ("0.ndjson", "0.jsonl"),
        ("0", "0.jsonl"),
        ("partition-12.jsonl", "12.jsonl"),
    ] {
        let place = with_deposits_in(DEPOSITS);
        rename(&place, "exchange.deposits/0.jsonl", &format!("{DEPOSITS}/{wrong}"));
        let expected = format!("{DEPOSITS}/{wrong} is not a partition: did you mean {DEPOSITS}/{right}? ");
        refused(&place, &expected);
    }
    let place = with_deposits_in(DEPOSITS);
    place.append(CONTROL, 1, [close("A", 1, 100, "5")]);
    refused(
        &place,
        "softstake.control/1.jsonl is not read: softstake.control has one partition, 0.jsonl. ",
    );
    let place = with_deposits_in(DEPOSITS);
    fs::create_dir(place.bus().join(DEPOSITS).join("1.jsonl")).expect("a folder");
    refused(&place, "exchange.deposits/1.jsonl is a folder; a partition is a file");
}

/// All wrong names are said at once, and none of their characters reaches the terminal.
#[test]
fn all_wrong_names_are_said_at_once() {
    let place = with_deposits_in("exchange.deposit");
    place.append("exchange.trades\u{1b}[2J", 0, [deposit("2", 0, "ann", "A", "1")]);
    fs::write(place.bus().join(CONTROL).join("0.json"), "").expect("a file");
    let said = fail(&mut place.command(None), 1);
    assert!(!said.contains('\u{1b}'), "{said}");
    for expected in [
        "exchange.deposit is not a topic: did you mean exchange.deposits? ",
        "exchange.trades\\u{1b}[2J is not a topic: did you mean exchange.trades? ",
        "softstake.control/0.json is not a partition: did you mean softstake.control/0.jsonl? ",
    ] {
        assert!(said.contains(expected), "{said}");
    }
}

#[test]
fn notes_copies_and_names_of_others_are_ignored() {
    let place = with_deposits_in(DEPOSITS);
    for name in [
        ".gitkeep",
        ".git/HEAD",
        "README",
        "README.md",
        "notes.txt",
        "softstake.toml",
        "run.log",
        "exchange.deposits.bak/0.jsonl",
        "backup/exchange.deposits/0.jsonl",
        "state/lock",
        "exchange.deposits/.gitkeep",
        "exchange.deposits/.0.jsonl.swp",
        "exchange.deposits/0.jsonl~",
        "exchange.deposits/#0.jsonl#",
        "exchange.deposits/0.jsonl.bak",
        "exchange.deposits/1.jsonl.tmp",
        "exchange.deposits/README.md",
        "softstake.distributions/0.offset",
    ] {
        let path = place.bus().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).expect("a folder");
        fs::write(path, deposit("9", 0, "eve", "A", "1") + "\n").expect("a file");
    }
    place.run(None);
    let paid: Vec<_> = place
        .records("softstake.epochs")
        .iter()
        .map(|seal| seal["data"]["accounts_paid"].clone())
        .collect();
    assert_eq!(paid.len(), 1);
    succeed(&mut on_bus("check", &place.bus()));
    let distributions = fs::read_to_string(place.bus().join("softstake.distributions/0.jsonl")).expect("the file");
    assert!(
        distributions.contains("\"ann\"") && !distributions.contains("\"eve\""),
        "{distributions}"
    );
}

#[test]
fn a_wrong_name_that_appears_during_work_is_told_once() {
    let place = with_deposits_in(DEPOSITS);
    let log = place.state().with_file_name("log");
    let mut command = on_bus("run", &place.bus());
    command.arg("--state").arg(place.state()).stdout(Stdio::null());
    command.stderr(fs::File::create(&log).expect("a log"));
    let process = Process::of(command.spawn().expect("the program starts"));
    until("the epoch is sealed", || place.records("softstake.epochs").len() == 1);
    place.append("exchange.trade", 0, [deposit("2", 0, "ann", "A", "1")]);
    let said = || fs::read_to_string(&log).expect("the log");
    until("it is told", || said().contains("did you mean exchange.trades? "));
    // It goes on, and does not say it again.
    place.append(CONTROL, 0, [close("A", 1, 100, "5")]);
    until("the next epoch is sealed", || {
        place.records("softstake.epochs").len() == 2
    });
    std::thread::sleep(std::time::Duration::from_secs(6));
    assert_eq!(
        said().matches("did you mean exchange.trades? ").count(),
        1,
        "{}",
        said()
    );
    assert_eq!(process.stop(), Some(0));
    fail(&mut place.command(None), 1);
}

#[test]
fn a_close_without_any_source_record_is_a_warning() {
    let warning = "epoch 0 of A is closed, but no source topic has ever had a record";
    let said = |place: &Place| {
        let output = succeed(&mut place.command(None));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool()), close("A", 0, 100, "5")]);
    let log = said(&place);
    assert_eq!(log.matches(warning).count(), 1, "{log}");
    assert!(
        log.contains("the source topics are exchange.deposits, exchange.withdrawals, "),
        "{log}"
    );
    // Not again at the next start, nor in a recovery.
    assert!(!said(&place).contains("is closed, but"));
    fs::remove_dir_all(place.state()).expect("the state goes");
    assert!(!said(&place).contains("is closed, but"));
    // Empty partitions are no records.
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool()), close("A", 0, 100, "5")]);
    place.append(DEPOSITS, 0, [""; 0]);
    assert_eq!(said(&place).matches(warning).count(), 1);
    // With any record there is no warning.
    let place = with_deposits_in(DEPOSITS);
    assert!(!said(&place).contains("is closed, but"));
}

fn make_fifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().expect("mkfifo").success());
}

/// A FIFO would block the reader for ever; a socket or a device is no log either.
#[test]
fn what_is_no_file_is_refused_at_once() {
    type Make = fn(&Path);
    let kinds: [(&str, Make); 3] = [
        ("a FIFO", make_fifo),
        ("a socket", |path| drop(UnixListener::bind(path).expect("a socket"))),
        ("a device", |path| symlink("/dev/zero", path).expect("a link")),
    ];
    for (kind, make) in kinds {
        for topic in [DEPOSITS, CONTROL, "softstake.distributions", "softstake.ledger"] {
            let place = with_deposits_in(DEPOSITS);
            let name = if topic == "softstake.ledger" {
                "0.log"
            } else {
                "0.jsonl"
            };
            let path = place.bus().join(topic).join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            let _ = fs::remove_file(&path);
            make(&path);
            let said = fail(&mut place.command(None), 1);
            assert!(
                said.contains(&format!("{topic}/{name} is {kind}; a partition is a file")),
                "{said}"
            );
            // Commands that only read do not look at all names, but do not hang either.
            for arguments in [&["check"][..], &["reconcile"], &["statement"], &["archive", "--out"]] {
                let mut command = on_bus(arguments[0], &place.bus());
                command.args(&arguments[1..]);
                if arguments.len() > 1 {
                    command.arg(place.state().with_file_name("archive"));
                }
                let output = command.output().expect("the program starts");
                // The others may not come as far as to this file.
                if arguments[0] == "check" {
                    assert_eq!(output.status.code(), Some(1), "{arguments:?}");
                    let said = [output.stdout, output.stderr].concat();
                    let said = String::from_utf8_lossy(&said);
                    assert!(said.contains(kind), "{arguments:?}: {said}");
                }
            }
        }
        for name in ["journal", "lock"] {
            let place = with_deposits_in(DEPOSITS);
            let path = place.bus().join(".softstake").join(name);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            make(&path);
            let said = fail(&mut place.command(None), 1);
            assert!(said.contains(&format!("{name} is {kind}")), "{said}");
        }
    }
}

#[test]
fn a_fifo_that_appears_during_work_stops_the_process() {
    let place = with_deposits_in(DEPOSITS);
    let child = on_bus("run", &place.bus())
        .arg("--state")
        .arg(place.state())
        .stderr(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("the program starts");
    until("the epoch is sealed", || place.records("softstake.epochs").len() == 1);
    let path = place.bus().join(DEPOSITS).join("1.jsonl");
    make_fifo(&path);
    let output = child.wait_with_output().expect("its end");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&format!("{} is a FIFO", path.display())), "{said}");
}
