//! What a run tells: every rejection, acceptance and seal, once; closes that are held up; and the totals at its end.

use std::fs;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::common::events::{close, deposit, event, listing, pool, time};
use crate::common::process::{Process, until};
use crate::common::{Place, on_bus, succeed};

/// The seconds of an epoch.
const EPOCH: u32 = 100;

/// A bus with ATOM listed, and two deposits in epoch 0.
fn place() -> Place {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, EPOCH, &pool())]);
    place.append(
        "exchange.deposits",
        0,
        [
            deposit("d1", 1_000, "ann", "ATOM", "10"),
            deposit("d2", 2_000, "ben", "ATOM", "30"),
        ],
    );
    place
}

/// A close whose time is before the end of its epoch.
fn early_close(epoch: u32) -> String {
    let data = json!({"asset": "ATOM", "epoch": epoch, "reward_pool": "1"});
    event(&format!("early-{epoch}"), "softstake.epoch_close.v1", 5_000, &data)
}

/// What a run until idle writes into a file, if `JOURNAL_STREAM` names a file with this many more inodes than it has.
fn journal(place: &Place, format: &str, off_by: u64) -> String {
    let path = place.bus().with_file_name("journal");
    let file = File::create(&path).expect("a file");
    let about = file.metadata().expect("its inode");
    let stream = format!("{}:{}", about.dev(), about.ino() + off_by);
    let mut command = place.command(None);
    command
        .args(["--log-format", format])
        .env("JOURNAL_STREAM", stream)
        .stderr(file);
    assert!(command.status().expect("it runs").success());
    fs::read_to_string(path).expect("the lines")
}

/// sd-daemon(3): a line for the journal begins with its level.
#[test]
fn the_journal_of_systemd_is_told_the_level_of_each_line() {
    for format in ["human", "json"] {
        let place = place();
        place.append("softstake.control", 0, [early_close(0)]);
        let lines = journal(&place, format, 0);
        // The totals at the end are no lines of the log.
        let logged = lines
            .lines()
            .filter(|line| line.contains("WARN") || line.contains("INFO"));
        let told: Vec<(&str, &str)> = logged.map(|line| line.split_at(3)).collect();
        assert!(told.iter().any(|(level, _)| *level == "<6>"), "{lines}");
        for (level, line) in &told {
            let expected = if line.contains("WARN") { "<4>" } else { "<6>" };
            assert_eq!(*level, expected, "{lines}");
        }
        let rejection = |(level, line): &(&str, &str)| *level == "<4>" && line.contains("epoch_not_over");
        assert!(told.iter().any(rejection), "{lines}");
        if format == "json" {
            let first: Value = serde_json::from_str(told[0].1).expect("JSON after the level");
            assert_eq!(first["level"], "INFO");
        }
    }
    // Another stream than the one that systemd has opened is no journal.
    let lines = journal(&place(), "human", 1);
    assert!(lines.contains("INFO") && !lines.contains("<6>"), "{lines}");
}

/// What a run until idle says.
fn said(place: &Place) -> String {
    String::from_utf8(succeed(&mut place.command(None)).stderr).expect("text")
}

/// The log of a run until idle, as JSON.
fn logged(place: &Place) -> Vec<Value> {
    let output = succeed(place.command(None).args(["--log-format", "json"]));
    let text = String::from_utf8(output.stderr).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn with_message<'a>(log: &'a [Value], message: &str) -> Vec<&'a Value> {
    let has = |line: &&Value| line["message"].as_str().is_some_and(|text| text.starts_with(message));
    log.iter().filter(has).collect()
}

#[test]
fn a_rejected_control_event_is_told_once_and_stays_in_the_totals() {
    let place = place();
    place.append("softstake.control", 0, [early_close(0)]);
    let total = "softstake.control: epoch_not_over 1";
    let log = said(&place);
    let line = log
        .lines()
        .find(|line| line.contains("early-0"))
        .expect("a line about it");
    for expected in [
        "WARN a control event was rejected: `time` is before the end of epoch 0",
        "send the close again, with a `time` at the end of the epoch or after it",
        r#"code="epoch_not_over""#,
        r#"id="early-0""#,
        "record=softstake.control:0:1",
    ] {
        assert!(line.contains(expected), "{expected}\n{line}");
    }
    assert_eq!(log.matches("early-0").count(), 1, "{log}");
    assert!(log.contains(total), "{log}");
    // Neither a second run, nor one that recovers, nor a replay tells it again.
    let again = said(&place);
    assert!(!again.contains("early-0") && again.contains(total), "{again}");
    fs::remove_dir_all(place.state()).expect("the stores");
    let recovered = said(&place);
    assert!(recovered.contains("recovering"), "{recovered}");
    assert!(
        !recovered.contains("early-0") && !recovered.contains("is listed"),
        "{recovered}"
    );
    assert!(recovered.contains(total), "{recovered}");
    place.append("softstake.control", 0, [close("ATOM", 0, EPOCH, "1")]);
    place.run(None);
    let replayed = succeed(&mut on_bus("reconcile", &place.bus()));
    let replayed = String::from_utf8_lossy(&replayed.stderr).into_owned();
    assert!(
        !replayed.contains("rejected") && !replayed.contains("sealed"),
        "{replayed}"
    );
}

#[test]
fn acceptances_and_seals_are_told_with_their_figures() {
    let place = place();
    let change = json!({
        "asset": "ATOM", "decimals": 6, "anchor": time(0), "epoch_seconds": EPOCH,
        "programme": {"from_epoch": 2, "mode": "apr", "apr": "0.05"},
    });
    place.append(
        "softstake.control",
        0,
        [
            event("change", "softstake.asset.v1", 0, &change),
            close("ATOM", 0, EPOCH, "4"),
        ],
    );
    let log = logged(&place);
    let [listed] = with_message(&log, "an asset is listed")[..] else {
        panic!("{log:?}");
    };
    assert_eq!((&listed["asset"], &listed["from_epoch"]), (&json!("ATOM"), &json!(0)));
    let [changed] = with_message(&log, "a change of programme is accepted")[..] else {
        panic!("{log:?}");
    };
    assert_eq!(changed["from_epoch"], 2);
    let programme = changed["programme"].as_str().expect("a programme");
    let programme: Value = serde_json::from_str(programme).expect("JSON");
    assert_eq!((&programme["mode"], &programme["apr"]), (&json!("apr"), &json!("0.05")));
    let [closed] = with_message(&log, "a close is accepted")[..] else {
        panic!("{log:?}");
    };
    assert_eq!((&closed["asset"], &closed["epoch"]), (&json!("ATOM"), &json!(0)));
    let [sealed] = with_message(&log, "an epoch is sealed")[..] else {
        panic!("{log:?}");
    };
    let seals = place.records("softstake.epochs");
    let seal = &seals[0]["data"];
    for name in [
        "asset",
        "epoch",
        "mode",
        "reward_pool",
        "commission",
        "rewarded",
        "distributed",
        "distributions",
        "carried_out",
        "root",
    ] {
        assert_eq!(sealed[name], seal[name], "{name}");
    }
    assert_eq!(
        (&sealed["ended"], &sealed["withheld"]),
        (&seal["epoch_end"], &seal["withheld_after"])
    );
    let levels: Vec<&Value> = [listed, changed, closed, sealed].map(|line| &line["level"]).into();
    assert_eq!(levels, ["INFO"; 4]);
}

#[test]
fn rejected_source_records_are_told_by_code_and_counted() {
    let place = place();
    let bad = |number: u32, amount: &str| deposit(&format!("bad-{number}"), 1_000, "ann", "ATOM", amount);
    place.append("exchange.deposits", 0, (0..30).map(|number| bad(number, "0")));
    place.append("exchange.deposits", 1, (30..50).map(|number| bad(number, "0.0000001")));
    place.append("exchange.trades", 0, ["{"; 7]);
    place.append("softstake.control", 0, [early_close(0)]);
    let log = logged(&place);
    let told = with_message(&log, "a source record was rejected");
    let codes: Vec<&Value> = told.iter().map(|line| &line["code"]).collect();
    let mut sorted: Vec<&str> = codes.iter().filter_map(|code| code.as_str()).collect();
    sorted.sort_unstable();
    assert_eq!(sorted, ["invalid_amount", "invalid_json"], "{told:?}");
    let totals = with_message(&log, "total of dead letters");
    let totals: Vec<(&str, &str, u64)> = totals
        .iter()
        .map(|line| {
            (
                line["topic"].as_str().expect("a topic"),
                line["code"].as_str().expect("a code"),
                line["total"].as_u64().expect("a number"),
            )
        })
        .collect();
    let expected = [
        ("exchange.deposits", "invalid_amount", 50),
        ("exchange.trades", "invalid_json", 7),
        ("softstake.control", "epoch_not_over", 1),
    ];
    assert_eq!(totals, expected);
    let [all] = with_message(&log, "totals")[..] else {
        panic!("{log:?}");
    };
    assert_eq!(
        (&all["total_dead_letters"], &all["total_control_dead_letters"]),
        (&json!(57), &json!(1))
    );
}

/// `softstake run` that waits for new records, with its log in a file.
fn watching(place: &Place, more: &[&str]) -> (Process, PathBuf) {
    let file = place.bus().with_file_name("run.log");
    let mut command = on_bus("run", &place.bus());
    command.arg("--state").arg(place.state()).args(more);
    (Process::logging(&mut command, &file), file)
}

fn until_it_says(file: &Path, text: &str) -> String {
    let mut log = String::new();
    until(&format!("the log says \"{text}\""), || {
        log = fs::read_to_string(file).expect("the log");
        log.contains(text)
    });
    log
}

#[test]
fn a_run_that_waits_for_records_tells_what_happens() {
    let place = place();
    let (process, file) = watching(&place, &[]);
    until_it_says(&file, "an asset is listed");
    place.append("softstake.control", 0, [early_close(0)]);
    until_it_says(&file, r#"id="early-0""#);
    place.append("softstake.control", 0, [close("ATOM", 0, EPOCH, "1")]);
    place.append("exchange.deposits", 0, ["{"]);
    until_it_says(&file, "an epoch is sealed");
    until_it_says(&file, r#"code="invalid_json""#);
    assert_eq!(process.stop(), Some(0));
    let log = fs::read_to_string(&file).expect("the log");
    for expected in [
        "exchange.deposits: invalid_json 1",
        "softstake.control: epoch_not_over 1",
    ] {
        assert!(log.contains(expected), "{expected}\n{log}");
    }
}

/// The folders below `folder` that have this name.
fn folders(folder: &Path, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(folders(&path, name));
            if path.ends_with(name) {
                found.push(path);
            }
        }
    }
    found
}

/// A source partition that cannot start holds up a close: here its store is lost, and its snapshots cannot be read.
#[test]
fn a_close_that_is_held_up_is_told_and_its_end_as_well() {
    let place = place();
    let snapshots = place.bus().with_file_name("snapshots");
    let flags = ["--snapshots-place", snapshots.to_str().expect("a path")];
    succeed(place.command(None).args(flags));
    let store = place.state().join("ingest/exchange.deposits/0");
    fs::remove_dir_all(&store).expect("its store");
    let all = folders(&snapshots, "snapshots");
    let kept = all
        .iter()
        .find(|path| path.to_string_lossy().contains("exchange.deposits"));
    let kept = kept.expect("its snapshots");
    let aside = kept.with_file_name("aside");
    fs::rename(kept, &aside).expect("moved");
    std::os::unix::fs::symlink("snapshots", kept).expect("a link to itself");
    place.append("softstake.control", 0, [close("ATOM", 0, EPOCH, "1")]);
    let (process, file) = watching(&place, &flags);
    let log = until_it_says(&file, "is held up");
    let line = log.lines().find(|line| line.contains("is held up")).expect("the line");
    for expected in [
        "WARN",
        "the close of ATOM epoch 0 is held up",
        "it waits for the answers of exchange.deposits:0",
    ] {
        assert!(line.contains(expected), "{expected}\n{line}");
    }
    assert!(!log.contains("sealed"), "{log}");
    fs::remove_file(kept).expect("the link");
    fs::rename(&aside, kept).expect("moved back");
    until_it_says(&file, "an epoch is sealed");
    until_it_says(&file, "the wait for the close of ATOM epoch 0 is over");
    assert_eq!(process.stop(), Some(0));
}
