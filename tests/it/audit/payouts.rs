//! `softstake reconcile payouts`: whether payouts were executed as published.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{distributed, report, settled, without_a_seal};
use crate::common::records::{acknowledgement, scaled, text};
use crate::common::{Place, fail, softstake, succeed};

/// A file of acknowledgements, which a payout service writes.
struct Acks(TempDir);

impl Acks {
    fn of(events: &[Value]) -> Self {
        let acks = Self(tempfile::tempdir().expect("a folder"));
        let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
        fs::write(acks.path(), lines).expect("acknowledgements");
        acks
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("acks.jsonl")
    }
}

fn acks(place: &Place) -> Vec<Value> {
    let distributions = place.records("softstake.distributions");
    let numbered = distributions.iter().enumerate();
    numbered
        .map(|(number, record)| acknowledgement(number, text(&record["id"]), text(&record["data"]["amount"])))
        .collect()
}

fn reconcile(place: &Place, acks: &Path) -> Command {
    let mut command = softstake();
    command
        .args(["reconcile", "payouts", "--bus"])
        .arg(format!("dir:{}", place.bus().display()));
    command.arg("--acks").arg(acks);
    command
}

#[test]
fn executed_payouts_reconcile() {
    let place = settled();
    let mut all = acks(&place);
    let number = all.len();
    // Some are delivered twice, in another order, and one of the others has a trailing zero in its amount.
    all.extend_from_within(..20);
    all.reverse();
    let amount = text(&all[23]["data"]["amount"]);
    let point = if amount.contains('.') { "" } else { "." };
    all[23]["data"]["amount"] = format!("{amount}{point}0").into();
    let right = report(&mut reconcile(&place, &Acks::of(&all).path()), 0);
    assert_eq!(
        (&right["sealed"], &right["credited_as_they_should_be"]),
        (&json!(number), &json!(number))
    );
    assert_eq!(right["redelivered"], 20);
    let sums = distributed(&place, "reward_asset");
    // The fifth asset is paid in another one.
    let assets: Vec<&String> = sums.keys().collect();
    assert_eq!(assets, ["ADA", "ATOM", "ETH", "SOL", "USDT"]);
    assert_eq!(right["totals"].as_object().expect("totals").len(), 5);
    for (asset, sum) in sums {
        let totals = &right["totals"][&asset];
        assert_eq!(scaled(text(&totals["distributed"])), sum, "{asset}");
        assert_eq!(totals["credited"], totals["distributed"]);
        assert_eq!((text(&totals["unpaid"]), text(&totals["overpaid"])), ("0", "0"));
    }
    let said = succeed(&mut reconcile(&place, &Acks::of(&all).path()));
    assert!(String::from_utf8(said.stdout).expect("text").starts_with("RIGHT: all "));
}

#[test]
fn every_kind_of_wrong_payout_is_found() {
    let place = settled();
    let mut all = acks(&place);
    let id = |number: usize, all: &[Value]| text(&all[number]["data"]["distribution"]).to_owned();
    let (over, under, twice) = (id(1, &all), id(2, &all), id(3, &all));
    let (late_amount, twice_amount) = (all[2]["data"]["amount"].clone(), all[3]["data"]["amount"].clone());
    all[1]["data"]["amount"] = "1000000".into();
    all[2]["data"]["amount"] = "0.000000000000000001".into();
    all.push(acknowledgement(900_001, &twice, text(&twice_amount)));
    all.push(acknowledgement(900_002, "ATOM:0:nobody", "1"));
    all.push(acknowledgement(900_003, "币安人生:0:nobody", "2"));
    all.push(acknowledgement(900_004, "币安人生:99:nobody", "3"));
    all.push(acknowledgement(900_005, "never listed:0:nobody", "4"));
    let unpaid = id(0, &all);
    all.remove(0);
    let acks = Acks::of(&all);
    let mut lines = fs::read_to_string(acks.path()).expect("acknowledgements");
    // Blank lines and Windows line ends are ignored. An invalid line is one finding.
    lines.push_str("\n\r\nnonsense\r\n");
    for (pointer, value) in [
        ("/data/amount", json!(1.5)),
        ("/data/amount", json!("-1")),
        ("/data/credited_at", json!("yesterday")),
        ("/type", json!("payout.executed.v2")),
        ("/data/distribution", Value::Null),
    ] {
        let mut bad = acknowledgement(5, &twice, "1");
        *bad.pointer_mut(pointer).expect("a field") = value;
        lines.push_str(&format!("{bad}\n"));
    }
    fs::write(acks.path(), &lines).expect("acknowledgements");
    let folder = tempfile::tempdir().expect("a folder");
    let table = folder.path().join("findings.csv");
    let found = report(reconcile(&place, &acks.path()).arg("--csv").arg(&table), 1);
    let of = |kind: &str| -> Vec<&str> {
        let findings = found["findings"].as_array().expect("findings").iter();
        findings
            .filter(|finding| finding["kind"] == kind)
            .map(|finding| text(&finding["distribution"]))
            .collect()
    };
    assert_eq!(of("overpaid"), [&over]);
    assert_eq!(of("underpaid"), [&under]);
    assert_eq!(of("paid_twice"), [&twice]);
    assert_eq!(of("unpaid"), [&unpaid]);
    assert_eq!(
        of("unknown"),
        [
            "ATOM:0:nobody",
            "币安人生:0:nobody",
            "币安人生:99:nobody",
            "never listed:0:nobody"
        ]
    );
    // Without a distribution, an amount is of what the asset's other epochs are paid in.
    let overpaid = |asset: &str| text(&found["totals"][asset]["overpaid"]);
    assert_eq!((overpaid("USDT"), overpaid("never listed")), ("5", "4"), "{found:#}");
    for finding in found["findings"].as_array().expect("findings") {
        let right = match text(&finding["distribution"]).split(':').next() {
            Some("币安人生") => "USDT",
            asset => asset.unwrap_or_default(),
        };
        assert_eq!(finding["reward_asset"], right, "{finding}");
    }
    assert_eq!(of("malformed").len(), 6, "{found:#}");
    let underpaid = found["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .find(|one| one["kind"] == "underpaid");
    let less = text(&underpaid.expect("underpaid")["note"])
        .trim_start_matches("by ")
        .to_owned();
    assert_eq!(scaled(&less) + 1, scaled(text(&late_amount)));
    let table = fs::read_to_string(table).expect("a table");
    assert_eq!(table.lines().count(), 15, "{table}");
    for what in [
        "`data.amount` is -1",
        "`data.credited_at` is yesterday",
        "`type` is payout.executed.v2",
        "`data.distribution` must be a JSON string, not null",
    ] {
        assert!(table.contains(what), "{what} is not in\n{table}");
    }
}

#[test]
fn two_contents_under_one_id_are_a_conflict() {
    let place = settled();
    let mut all = acks(&place);
    let number = all.len();
    let of = |asset: &str, all: &[Value]| {
        let is_of = |event: &Value| text(&event["data"]["distribution"]).starts_with(asset);
        all.iter().position(is_of).expect("a distribution")
    };
    let (atom, sol) = (of("ATOM:", &all), of("SOL:", &all));
    let changed = |index: usize, pointer: &str, value: &str, all: &[Value]| {
        let mut event = all[index].clone();
        *event.pointer_mut(pointer).expect("a field") = value.into();
        event
    };
    let conflicts = [
        changed(atom, "/data/amount", "999999", &all),
        changed(atom, "/data/distribution", "SOL:0:nobody", &all),
        changed(sol, "/data/credited_at", "2026-12-01T00:00:01Z", &all),
        changed(sol, "/time", "2026-12-01T00:00:01Z", &all),
    ];
    all.extend(conflicts);
    // Other attributes of the envelope may differ, and so may the spelling.
    let mut again = all[atom].clone();
    again["traceparent"] = "00-1".into();
    let acks = Acks::of(&all);
    let mut lines = fs::read_to_string(acks.path()).expect("acknowledgements");
    lines.push_str(&format!("{again}\n").replace("\":", "\" : "));
    fs::write(acks.path(), format!("\u{feff}{lines}")).expect("acknowledgements");
    let found = report(&mut reconcile(&place, &acks.path()), 1);
    assert_eq!(
        (&found["counts"], &found["redelivered"]),
        (&json!({"conflicting": 4}), &json!(1))
    );
    assert_eq!(found["credited_as_they_should_be"], number);
    for (finding, first) in found["findings"]
        .as_array()
        .expect("findings")
        .iter()
        .zip([atom, atom, sol, sol])
    {
        let note = text(&finding["note"]);
        assert!(
            note.starts_with(&format!("line {} has the same id", first + 1)),
            "{note}"
        );
    }
    // A conflict counts for an asset if either side is of that asset.
    for (asset, conflicts) in [("ATOM", 2), ("SOL", 3)] {
        let found = report(reconcile(&place, &acks.path()).args(["--asset", asset]), 1);
        assert_eq!(found["counts"], json!({"conflicting": conflicts}), "{asset}");
    }
    report(reconcile(&place, &acks.path()).args(["--asset", "ETH"]), 0);
    // A field that is given twice says two things as well.
    let twice = format!("{}\n", all[atom]).replace("\"amount\":", "\"amount\":\"1\",\"amount\":");
    fs::write(acks.path(), twice).expect("acknowledgements");
    let found = report(reconcile(&place, &acks.path()).args(["--asset", "ATOM"]), 1);
    assert_eq!(found["counts"]["malformed"], 1, "{found:#}");
    // Text in UTF-16 is no list of malformed lines.
    let wide: Vec<u8> = "\u{feff}{}\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    fs::write(acks.path(), wide).expect("acknowledgements");
    let said = fail(&mut reconcile(&place, &acks.path()), 2);
    assert!(said.contains("is UTF-16 text: save it as UTF-8"), "{said}");
}

#[test]
fn two_distributions_with_one_id_are_no_payout() {
    let place = settled();
    let right = Acks::of(&acks(&place));
    let file = place.bus().join("softstake.distributions/0.jsonl");
    let lines = fs::read_to_string(&file).expect("distributions");
    let first = lines.lines().next().expect("a distribution");
    let amount = text(&place.records("softstake.distributions")[0]["data"]["amount"]).to_owned();
    let other = first.replacen(&format!(r#""amount":"{amount}""#), r#""amount":"9""#, 1);
    fs::write(&file, format!("{other}\n{lines}")).expect("one distribution more");
    let said = fail(&mut reconcile(&place, &right.path()), 1);
    assert!(said.contains("an earlier distribution has the id"), "{said}");
    // Amounts of two assets have no sum.
    let other = first.replacen(r#""reward_asset":""#, r#""reward_asset":"X"#, 1);
    fs::write(&file, lines.replacen(first, &other, 1)).expect("another asset");
    let said = fail(&mut reconcile(&place, &right.path()), 1);
    assert!(
        said.contains("offset 0: no record of softstake (`reward_asset` is X")
            && said.contains("other records of its epoch"),
        "{said}"
    );
}

#[test]
fn payouts_of_an_epoch_without_a_seal_are_reported() {
    let place = settled();
    let tampered = without_a_seal(&place);
    let found = report(&mut reconcile(&tampered, &Acks::of(&acks(&place)).path()), 1);
    let unsealed = found["counts"]["unsealed"].as_u64().expect("a count");
    let of_epoch = place.records("softstake.distributions");
    let of_epoch = of_epoch
        .iter()
        .filter(|record| text(&record["id"]).starts_with("ATOM:3:"))
        .count();
    assert_eq!(unsealed, of_epoch as u64);
    // The other assets reconcile.
    report(
        reconcile(&tampered, &Acks::of(&acks(&place)).path()).args(["--asset", "SOL"]),
        0,
    );
    let said = fail(&mut reconcile(&place, &place.bus().join("missing")), 2);
    assert!(said.contains("cannot open"), "{said}");
}

/// On a directory bus, the topic is a folder of files.
#[test]
fn the_topic_may_be_a_folder_of_the_bus() {
    let place = settled();
    let on_topic = |topic: &str| {
        let mut command = softstake();
        command.args(["reconcile", "payouts", "--executions", topic, "--bus"]);
        command.arg(format!("dir:{}", place.bus().display()));
        command
    };
    let said = fail(&mut on_topic("payout.executions"), 3);
    assert!(said.contains("there is no topic payout.executions in "), "{said}");
    let all = acks(&place);
    let lines = |events: &[Value]| events.iter().map(|event| format!("{event}\n")).collect::<String>();
    let folder = place.bus().join("payout.executions");
    fs::create_dir(&folder).expect("a folder");
    let (first, second) = all.split_at(all.len() / 2);
    fs::write(folder.join("0.jsonl"), lines(first)).expect("a file");
    // The last line is not written completely, and notes are no partition.
    let torn = format!("\n{}{}", lines(second), all[0]);
    fs::write(folder.join("1.jsonl"), torn).expect("a file");
    fs::write(folder.join("notes.txt"), "nonsense\n").expect("a file");
    let right = report(&mut on_topic("payout.executions"), 0);
    assert_eq!(
        (&right["sealed"], &right["redelivered"]),
        (&json!(all.len()), &json!(0))
    );
    // The blank line has offset 0.
    let bad = format!("\n{}nonsense\n", lines(second));
    fs::write(folder.join("1.jsonl"), bad).expect("a file");
    let found = report(&mut on_topic("payout.executions"), 1);
    assert_eq!(found["counts"], json!({"malformed": 1}));
    let finding = &found["findings"][0];
    assert_eq!(
        (&finding["partition"], &finding["offset"]),
        (&json!(1), &json!(second.len() + 1))
    );
    // A run ignores the folder.
    place.run(None);

    // An archive does not have it.
    let archive = tempfile::tempdir().expect("a folder");
    let copy = archive.path().join("archive");
    let mut command = softstake();
    command
        .arg("archive")
        .arg("--bus")
        .arg(format!("dir:{}", place.bus().display()));
    succeed(command.arg("--out").arg(&copy));
    let mut command = softstake();
    command
        .args(["reconcile", "payouts", "--bus"])
        .arg(format!("dir:{}", copy.display()));
    let said = fail(&mut command, 2);
    assert!(said.contains("name a file of its events with --acks"), "{said}");
}
