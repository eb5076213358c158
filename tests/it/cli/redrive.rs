//! `softstake redrive`: dead letters are listed, exported, corrected and published again, and each event counts once, whatever is killed or repeated.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::process::{Process, until};
use crate::common::records::text;
use crate::common::schemas::check_record;
use crate::common::{Place, softstake, succeed};

const DAY: u32 = 86_400;
const DEPOSITS: &str = "exchange.deposits";

/// A bus with a good deposit, and one whose amount has a comma.
fn place() -> Place {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    place.append(
        DEPOSITS,
        0,
        [
            deposit("d-0", 1_000, "ann", "ATOM", "30"),
            deposit("d-1", 1_000, "ben", "ATOM", "10,0"),
        ],
    );
    place.run(Some(2));
    place
}

fn redrive(place: &Place, words: &[&str]) -> Command {
    let mut command = softstake();
    command.arg("redrive").args(words).arg("--bus");
    command.arg(format!("dir:{}", place.bus().display()));
    command
}

fn file(place: &Place) -> PathBuf {
    place.bus().with_file_name("letters.jsonl")
}

fn export(place: &Place, filters: &[&str]) -> Vec<Value> {
    let path = file(place).display().to_string();
    succeed(&mut redrive(place, &[&["export", "--out", &path], filters].concat()));
    let lines = fs::read_to_string(path).expect("a file");
    lines
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect()
}

fn write(place: &Place, lines: &[Value]) {
    let lines: Vec<String> = lines.iter().map(|line| line.to_string() + "\n").collect();
    fs::write(file(place), lines.concat()).expect("a file");
}

/// Exports what is open, and corrects commas in amounts.
fn correct_commas(place: &Place) {
    let mut lines = export(place, &[]);
    for line in &mut lines {
        let amount = text(&line["event"]["data"]["amount"]).replace(',', ".");
        line["event"]["data"]["amount"] = amount.into();
    }
    write(place, &lines);
}

fn apply_command(place: &Place, words: &[&str]) -> Command {
    let path = file(place).display().to_string();
    redrive(place, &[&["apply", &path, "--yes", "--timeout", "1"], words].concat())
}

fn apply(place: &Place, words: &[&str]) -> Output {
    apply_command(place, words).output().expect("the program starts")
}

#[track_caller]
fn assert_said(output: &Output, status: i32, expected: &[&str]) -> String {
    let [results, messages] = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned());
    let said = results + &messages;
    assert_eq!(output.status.code(), Some(status), "{said}");
    for expected in expected {
        assert!(said.contains(expected), "no `{expected}` in:\n{said}");
    }
    said
}

fn listed(place: &Place, words: &[&str]) -> Value {
    let output = succeed(redrive(place, &["list"]).args(words).arg("--json"));
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// Closes the first epoch, and returns what each account is paid of 4 ATOM.
fn paid(place: &Place) -> Vec<(String, String)> {
    place.append("softstake.control", 0, [close("ATOM", 0, DAY, "4")]);
    place.run(Some(2));
    let paid = place.records("softstake.distributions");
    let field = |record: &Value, name: &str| text(&record["data"][name]).to_owned();
    let mut paid: Vec<_> = paid
        .iter()
        .map(|one| (field(one, "account"), field(one, "amount")))
        .collect();
    paid.sort();
    paid
}

#[track_caller]
fn assert_both_paid(place: &Place) {
    let expected = [("ann", "3"), ("ben", "1")].map(|(account, amount)| (account.to_owned(), amount.to_owned()));
    assert_eq!(paid(place), expected);
}

/// From the dead letter to the payout, beside a running deployment.
#[test]
fn a_dead_letter_is_listed_corrected_and_counted() {
    let place = place();
    let table = succeed(&mut redrive(&place, &["list"]));
    assert_said(
        &table,
        0,
        &["invalid_amount", "exchange.deposits:0:1", "d-1", "amount", "open"],
    );
    let lines = export(&place, &["--code", "invalid_amount", "--topic", DEPOSITS]);
    assert_eq!(lines.len(), 1);
    assert_eq!(
        (&lines[0]["topic"], &lines[0]["partition"], &lines[0]["offset"]),
        (&json!(DEPOSITS), &json!(0), &json!(1))
    );
    assert_eq!(lines[0]["event"]["data"]["amount"], "10,0");
    // As it is, it would be rejected again.
    let said = apply(&place, &[]);
    assert_said(
        &said,
        1,
        &[
            "not published: it would be rejected again. invalid_amount: `amount`",
            "1 of 1 line",
        ],
    );
    assert_eq!(place.records(DEPOSITS).len(), 2);
    correct_commas(&place);
    let running = Process::running(&place, Some(2));
    let path = file(&place).display().to_string();
    let words = [
        "apply",
        &path,
        "--yes",
        "--timeout",
        "60",
        "--by",
        "j.doe",
        "--reason",
        "a comma",
    ];
    let applied = redrive(&place, &words).output().expect("the program starts");
    assert_said(
        &applied,
        0,
        &[
            "to publish on exchange.deposits:0, as exchange.deposits:0:1 of /softstake/redrive",
            "changed: data.amount was 10,0, and is 10.0",
            "counts: +10 ATOM for ben, in epoch 0",
            "record 2 of exchange.deposits:0 is accepted.",
        ],
    );
    let record = &place.records(DEPOSITS)[2];
    assert_eq!(
        (&record["id"], &record["source"], &record["redriveof"]),
        (
            &json!("exchange.deposits:0:1"),
            &json!("/softstake/redrive"),
            &json!("exchange.deposits:0:1")
        )
    );
    check_record(record).expect("the schema of a deposit");
    let note = &place.records("softstake.redrives")[0];
    check_record(note).expect("the schema of a redrive");
    assert_eq!(
        (&note["data"]["by"], &note["data"]["reason"]),
        (&json!("j.doe"), &json!("a comma"))
    );
    running.stop();
    let all = listed(&place, &["--all"]);
    assert_eq!(all["letters"][0]["state"], "redriven");
    assert_eq!(all["letters"][0]["redriven"]["by"], "j.doe");
    assert_eq!(all["counts"][0]["open"], 0);
    assert_eq!(listed(&place, &[])["letters"], json!([]));
    let none = redrive(&place, &["export", "--out", &path])
        .output()
        .expect("the program starts");
    assert_said(&none, 3, &["there is no such open dead letter"]);
    let again = apply(&place, &[]);
    assert_said(
        &again,
        0,
        &[
            "published before, as record 2 of exchange.deposits:0, at ",
            "nothing is published again",
        ],
    );
    assert_eq!(
        (place.records(DEPOSITS).len(), place.records("softstake.redrives").len()),
        (3, 1)
    );
    assert_both_paid(&place);
}

/// The line of another writer that is not complete holds up an append for two seconds. Meanwhile the command is killed.
fn killed_before_append_to(place: &Place, topic: &str, is_there: impl Fn() -> bool) {
    let folder = place.bus().join(topic);
    fs::create_dir_all(&folder).expect("a topic's folder");
    let path = folder.join("0.jsonl");
    let before = fs::read(&path).unwrap_or_default();
    fs::write(&path, [&before[..], b"{\"torn\""].concat()).expect("an incomplete line");
    let mut command = apply_command(place, &[]);
    let mut child = command
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program starts");
    let lock = place.bus().join("softstake.redrives/.lock");
    until("it is in the middle", || lock.exists() && is_there());
    std::thread::sleep(std::time::Duration::from_millis(200));
    child.kill().expect("SIGKILL");
    child.wait().expect("its end");
    fs::write(&path, &before).expect("the file without the line");
}

#[test]
fn a_kill_before_the_event_leaves_it_open() {
    let place = place();
    correct_commas(&place);
    killed_before_append_to(&place, DEPOSITS, || true);
    assert_eq!(listed(&place, &[])["letters"][0]["state"], "open");
    assert_said(&apply(&place, &[]), 3, &["1 event is published, but not processed yet"]);
    assert_eq!(
        (place.records(DEPOSITS).len(), place.records("softstake.redrives").len()),
        (3, 1)
    );
    assert_both_paid(&place);
}

/// The event is published, and its note is not. The next start finds it on its topic, and writes the note.
#[test]
fn a_kill_between_the_event_and_its_note_counts_it_once() {
    let place = place();
    correct_commas(&place);
    let deposits = place.bus().join("exchange.deposits/0.jsonl");
    let published = || fs::read_to_string(&deposits).is_ok_and(|text| text.contains("/softstake/redrive"));
    killed_before_append_to(&place, "softstake.redrives", published);
    assert_eq!(
        (place.records(DEPOSITS).len(), place.records("softstake.redrives").len()),
        (3, 0)
    );
    assert_eq!(listed(&place, &[])["letters"][0]["state"], "open");
    // Another correction of the same event is not published beside it.
    let corrected = fs::read_to_string(file(&place)).expect("a file");
    fs::write(file(&place), corrected.replace("10.0", "11")).expect("a file");
    assert_said(
        &apply(&place, &[]),
        1,
        &["not published: it was published before", "with other contents"],
    );
    fs::write(file(&place), corrected).expect("a file");
    place.run(Some(2));
    let again = apply(&place, &[]);
    assert_said(
        &again,
        0,
        &[
            "only the note about it is missing, and is written",
            "record 2 of exchange.deposits:0 is accepted",
        ],
    );
    assert_eq!(
        (place.records(DEPOSITS).len(), place.records("softstake.redrives").len()),
        (3, 1)
    );
    assert_eq!(listed(&place, &["--all"])["letters"][0]["state"], "redriven");
    assert_both_paid(&place);
}

/// A producer that retries a bad event makes two dead letters of one event. A copy that it sends itself, corrected, counts.
#[test]
fn an_event_that_is_sent_twice_counts_once() {
    let place = place();
    place.append(DEPOSITS, 0, [deposit("d-1", 1_000, "ben", "ATOM", "10,0")]);
    place.run(Some(2));
    let all = listed(&place, &["--all"]);
    assert_eq!(all["letters"][0]["rejected_again"], "exchange.deposits:0:2");
    assert_eq!(listed(&place, &[])["letters"].as_array().map(Vec::len), Some(1));
    correct_commas(&place);
    let mut older: Vec<Value> = export(&place, &["--all"]);
    older.truncate(1);
    let newest = fs::read_to_string(file(&place)).expect("a file");
    write(&place, &older);
    assert_said(
        &apply(&place, &[]),
        1,
        &["the same event was rejected again, as exchange.deposits:0:2"],
    );
    place.append(DEPOSITS, 0, [deposit("d-1", 1_000, "ben", "ATOM", "10")]);
    fs::write(file(&place), newest.replace("10,0", "10")).expect("a file");
    correct_commas(&place);
    assert_said(
        &apply(&place, &[]),
        1,
        &["its producer has sent the event again itself, as record 3 of exchange.deposits:0"],
    );
    assert!(place.records("softstake.redrives").is_empty());
    assert_both_paid(&place);
}

/// All attempts at one event have one identity, also when a redriven one is rejected again.
#[test]
fn a_redriven_event_that_is_rejected_again_is_open_again() {
    let place = place();
    correct_commas(&place);
    assert_said(&apply(&place, &[]), 3, &["not processed yet"]);
    // A second operator beside it, with other contents: the conflict shows.
    let record = place.records(DEPOSITS)[2].to_string().replace("10.0", "10,5");
    let path = place.bus().join("exchange.deposits/0.jsonl");
    let deposits = fs::read_to_string(&path).expect("a file");
    let lines: Vec<&str> = deposits.lines().collect();
    fs::write(&path, [lines[0], lines[1], &record, ""].join("\n")).expect("a file");
    place.run(Some(2));
    let all = listed(&place, &["--all"]);
    assert_eq!(
        (&all["letters"][0]["state"], &all["letters"][1]["state"]),
        (&json!("redriven"), &json!("open"))
    );
    assert_eq!(all["letters"][1]["source"], "/softstake/redrive");
    let old = fs::read_to_string(file(&place)).expect("a file");
    assert_said(&apply(&place, &[]), 1, &["rejected again, as exchange.deposits:0:2"]);
    let mut lines = export(&place, &[]);
    lines[0]["event"]["data"]["amount"] = "10".into();
    write(&place, &lines);
    assert_said(
        &apply(&place, &[]),
        3,
        &["as exchange.deposits:0:1 of /softstake/redrive"],
    );
    assert_eq!(place.records(DEPOSITS)[3]["redriveof"], "exchange.deposits:0:2");
    fs::write(file(&place), old).expect("a file");
    place.run(Some(2));
    assert_said(&apply(&place, &[]), 1, &["rejected again, as exchange.deposits:0:2"]);
    assert_both_paid(&place);
}

/// What a correction means is said: another account, a late posting, an event too old, an asset that is not listed.
#[test]
fn what_it_means_is_said_before() {
    let place = place();
    let ms = i64::from(DAY) * 1000;
    place.append(
        DEPOSITS,
        0,
        [
            deposit("d-2", 9 * ms, "cy", "ATOM", "1,1"),
            deposit("d-3", 1_000, "dan", "ATOM", "2,2"),
        ],
    );
    let closes = (0..9).map(|epoch| close("ATOM", epoch, DAY, "1"));
    place.append("softstake.control", 0, closes);
    place.run(Some(2));
    let mut lines = export(&place, &[]);
    assert_eq!(lines.len(), 3);
    for line in &mut lines {
        line["event"]["data"]["amount"] = "5".into();
    }
    lines[1]["event"]["data"]["account"] = "eve".into();
    lines[2]["event"]["time"] = "2026-11-09T23:00:00Z".into();
    write(&place, &lines);
    let said = apply(&place, &[]);
    assert_said(
        &said,
        1,
        &[
            "too_old: `time` lies in epoch 0 of ATOM, more than 7 days",
            "send it as a balance adjustment with a time of today",
            "changed: data.account was cy, and is eve: it counts for another account",
            "counts: +5 ATOM for eve, in epoch 9",
            "its time is in the closed epoch 8, so it counts in epoch 9 by policy resettle; the closed epochs that it missed are settled again",
            "1 of 3 lines",
        ],
    );
    assert_eq!(place.records(DEPOSITS).len(), 6);
    let mut lines = export(&place, &[]);
    assert_eq!(lines.len(), 1);
    lines[0]["event"]["data"]["amount"] = "5".into();
    lines[0]["event"]["data"]["asset"] = "DOGE".into();
    write(&place, &lines);
    assert_said(
        &apply(&place, &[]),
        1,
        &["nothing of it would count: DOGE is not listed"],
    );
    let early = listed(&place, &["--all", "--until", "2026-11-02"]);
    assert_eq!(early["letters"].as_array().map(Vec::len), Some(2));
    let two = listed(&place, &["--all", "--limit", "2"]);
    assert_eq!(
        (two["letters"].as_array().map(Vec::len), &two["left_out"]),
        (Some(2), &json!(1))
    );
}

/// Control events have commands of their own, and what is no JSON is written anew.
#[test]
fn control_events_and_broken_records_are_told_apart() {
    let place = place();
    place.append("softstake.control", 0, [close("ATMO", 0, DAY, "1")]);
    place.append(DEPOSITS, 0, [&b"{\"id\": \x1b[31m"[..], b"\xff\xfe\x00"]);
    place.run(Some(2));
    let mut lines = export(&place, &[]);
    let broken: Vec<&Value> = lines.iter().filter(|line| line["event"].is_null()).collect();
    assert_eq!(broken.len(), 2);
    assert_eq!(broken[0]["text"], "{\"id\": \u{1b}[31m");
    assert_eq!(broken[1]["base64"], "//4A");
    assert!(
        !fs::read(file(&place)).expect("a file").contains(&0x1b),
        "an escape reaches the terminal"
    );
    let missing = apply(&place, &[]);
    assert_said(
        &missing,
        2,
        &[
            "`event` is missing: write the whole event there",
            "nothing is published",
        ],
    );
    let written: Value = serde_json::from_str(&deposit("ours", 1_000, "cy", "ATOM", "4")).expect("an event");
    for line in lines.iter_mut().filter(|line| line["event"].is_null()) {
        line["event"] = written.clone();
    }
    lines.retain(|line| line["code"] != "invalid_amount");
    write(&place, &lines);
    let said = apply(&place, &[]);
    assert_said(
        &said,
        1,
        &[
            "it is a control event: write it anew with `softstake control close ASSET EPOCH`",
            "it is written anew: the rejected record is no JSON object",
            "counts: +4 ATOM for cy, in epoch 0",
        ],
    );
    assert_eq!(place.records("softstake.redrives").len(), 2);
}

/// A file that was edited into nonsense: each wrong line is named, and nothing is published.
#[test]
fn wrong_lines_are_named_and_nothing_is_published() {
    let place = place();
    correct_commas(&place);
    let right = fs::read_to_string(file(&place)).expect("a file");
    let cases = [
        (right.replace("\"event\"", "\"evnet\""), 2, "line 1 of "),
        (
            format!("{right}{right}"),
            2,
            "names the dead letter exchange.deposits:0:1 of line 1 again",
        ),
        (format!("{right}nonsense \u{1b}[2J\n"), 2, "line 2 of "),
        (
            right.replace("\"offset\":1", "\"offset\":0"),
            1,
            "there is no such dead letter on this bus",
        ),
        (
            right.replace("\"offset\":1", "\"offset\":99999999999"),
            1,
            "there is no such dead letter on this bus",
        ),
        ("\n \n".into(), 3, "there is no dead letter in "),
        (
            r#"{"topic":"exchange.deposits","partition":0,"offset":1,"event":[1]}"#.into(),
            1,
            "`event` must be a JSON object",
        ),
        (
            r#"{"topic":"exchange.deposits","partition":0,"offset":1,"event":{}}"#.into(),
            1,
            "invalid_event",
        ),
    ];
    for (text, status, expected) in cases {
        fs::write(file(&place), &text).expect("a file");
        let said = assert_said(&apply(&place, &[]), status, &[expected]);
        assert!(!said.contains('\u{1b}'), "{said}");
    }
    fs::write(file(&place), right).expect("a file");
    let mut unasked = redrive(&place, &["apply", &file(&place).display().to_string()]);
    assert_said(
        &unasked.output().expect("the program starts"),
        2,
        &["there is no terminal to ask on"],
    );
    assert_eq!(place.records(DEPOSITS).len(), 2);
    assert!(place.records("softstake.redrives").is_empty());
}

/// A record that is too large for a dead letter is not offered as if it were whole.
#[test]
fn a_cut_payload_has_to_be_written_anew() {
    let place = place();
    let huge = event(
        "huge",
        "exchange.deposit.v1",
        1_000,
        &json!({"account": "x".repeat(13 << 20), "asset": "ATOM", "amount": "1"}),
    );
    place.append(DEPOSITS, 0, [huge]);
    place.run(Some(2));
    let lines = export(&place, &["--code", "invalid_event"]);
    assert_eq!(lines.len(), 1);
    assert!(lines[0]["event"].is_null() && text(&lines[0]["hint"]).contains("too many for a dead letter"));
    assert!(fs::metadata(file(&place)).expect("a file").len() < 4_096);
}

/// An archive has the notes, so it tells the same, and nothing can be published to it.
#[test]
fn an_archive_tells_the_same_states() {
    let place = place();
    correct_commas(&place);
    assert_said(&apply(&place, &[]), 3, &["not processed yet"]);
    place.run(Some(2));
    let archive = place.bus().with_file_name("archive");
    let bus = format!("dir:{}", place.bus().display());
    succeed(softstake().args(["archive", "--bus", &bus, "--out"]).arg(&archive));
    let archive = format!("dir:{}", archive.display());
    let output = succeed(softstake().args(["redrive", "list", "--all", "--json", "--bus", &archive]));
    let states: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(states, listed(&place, &["--all"]));
    let mut refused = softstake();
    refused
        .args(["redrive", "apply"])
        .arg(file(&place))
        .args(["--yes", "--bus", &archive]);
    assert_said(&refused.output().expect("the program starts"), 2, &["is an archive"]);
    succeed(softstake().args(["reconcile", "--bus", &bus]).stdout(Stdio::null()));
}
