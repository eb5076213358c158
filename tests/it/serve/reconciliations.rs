//! Results of `softstake reconcile`, as a scheduled job leaves them.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use super::reads::{assert_has, text};
use super::served::{Desk, Served};
use crate::common::events::{close, deposit, listing, pool, time};
use crate::common::records::acknowledgement;
use crate::common::{Place, softstake};

const DAY: u32 = 86_400;

fn world() -> Place {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    let deposits = ["ann", "ben"].map(|name| deposit(name, 1_000, name, "ATOM", "5"));
    place.append("exchange.deposits", 0, deposits);
    place.append("softstake.control", 0, [close("ATOM", 0, DAY, "4")]);
    place.run(Some(1));
    place
}

/// Runs a command as a scheduled job does: to a hidden file, which then gets its name.
fn scheduled(place: &Place, folder: &Path, name: &str, made_at: &str, line: &[&str]) -> i32 {
    let mut command = softstake();
    command.arg("reconcile").args(line);
    command
        .arg("--json")
        .arg("--bus")
        .arg(format!("dir:{}", place.bus().display()));
    command.env("SOURCE_DATE_EPOCH", made_at);
    let output = output(&mut command);
    let hidden = folder.join(format!(".{name}"));
    fs::write(&hidden, &output.stdout).expect("a result");
    fs::rename(hidden, folder.join(format!("{name}.json"))).expect("its name");
    output.status.code().expect("a status")
}

fn output(command: &mut Command) -> std::process::Output {
    command.output().expect("the program starts")
}

#[test]
fn results_of_every_kind_are_shown_and_what_is_none_is_named() {
    let (place, desk) = (world(), Desk::new());
    let folder = desk.path("results");
    fs::create_dir(&folder).expect("a folder");
    let acks = desk.path("acks.jsonl");
    fs::write(&acks, acknowledgement(0, "ATOM:0:ann", "1.5").to_string() + "\n").expect("credits");
    let ledger = desk.path("ledger.csv");
    let rows = format!(
        "account,asset,balance,time\nann,ATOM,5,{0}\nben,ATOM,6,{0}\n",
        time(2_000)
    );
    fs::write(&ledger, rows).expect("balances");
    let (acks, ledger) = (acks.display().to_string(), ledger.display().to_string());
    for (name, made_at, line, status) in [
        ("records", "1793520000", vec!["--asset", "ATOM"], 0),
        ("payouts", "1793600000", vec!["payouts", "--acks", &acks], 1),
        ("balances", "1793500000", vec!["balances", "--against", &ledger], 1),
    ] {
        assert_eq!(scheduled(&place, &folder, name, made_at, &line), status, "{name}");
    }
    fs::write(folder.join("torn.json"), "{\"kind\": \"records\"").expect("a torn file");
    let flags = [
        desk.flags(),
        vec!["--reconcile-results".into(), folder.display().to_string()],
    ]
    .concat();
    let served = Served::start(&place, &flags);
    let found = served.get("/v1/reconciliations", &desk.role("auditor"));
    assert_eq!(found.status, 200, "{found:?}");
    let found = found.json();
    let items = found["items"].as_array().expect("items");
    let files: Vec<&str> = items.iter().map(|item| text(item, "file")).collect();
    assert_eq!(files, ["payouts.json", "records.json", "balances.json"]);
    assert_has(
        &items[0],
        &json!({
            "kind": "payouts", "agrees": false, "disagreements": 2, "with": acks, "asset": null,
            "verdict": "NOT RIGHT: 1 unpaid, 1 underpaid; 0 of 2 sealed distributions are right.",
        }),
    );
    let first: Vec<&str> = items[0]["first_disagreements"]
        .as_array()
        .expect("disagreements")
        .iter()
        .map(|one| text(one, "of"))
        .collect();
    assert_eq!(first, ["ATOM:0:ann", "ATOM:0:ben"]);
    assert_has(
        &items[1],
        &json!({
            "kind": "records", "agrees": true, "disagreements": 0, "with": null, "asset": "ATOM", "epoch": null,
            "made_at": "2026-11-01T08:00:00.000Z", "first_disagreements": [],
        }),
    );
    assert!(text(&items[1], "verdict").starts_with("EQUAL: all "), "{found}");
    assert_has(
        &items[2]["first_disagreements"][0],
        &json!({"kind": "differs", "detail": "the ledger has 6, the log 5"}),
    );
    assert_eq!(
        found["unreadable"],
        json!([{"file": "torn.json", "reason": "it is torn: it ends in the middle"}])
    );
    assert_eq!((&found["is_set"], &found["left_out"]), (&json!(true), &json!(0)));
    // It names accounts, so it is in the audit log.
    let log = fs::read_to_string(desk.path("reads.jsonl")).expect("the log");
    let line: Value = serde_json::from_str(log.lines().next().expect("a line")).expect("JSON");
    assert_has(
        &line,
        &json!({"subject": "auditor", "right": "reconciliations", "allowed": true}),
    );
    served
        .get("/v1/reconciliations?by=day", &desk.role("finance"))
        .problem(400);
}

#[test]
fn without_a_folder_there_are_none_and_a_missing_one_is_told() {
    let place = Place::new();
    let served = Served::start(&place, &[]);
    assert_eq!(
        served.value("/v1/reconciliations"),
        json!({"is_set": false, "items": [], "unreadable": [], "left_out": 0})
    );
    served.process.stop();
    let none = place.bus().with_file_name("none").display().to_string();
    let served = Served::start(&place, &["--reconcile-results".into(), none]);
    let found = served.value("/v1/reconciliations");
    let reason = text(&found["unreadable"][0], "reason");
    assert!(reason.contains("the folder of `serve.reconcile_results`"), "{reason}");
}
