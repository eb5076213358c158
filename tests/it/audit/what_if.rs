//! Other rules for past epochs: what comes out is what would have come out, had they been in force.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Place, fail, json_lines, softstake, succeed};
use serde_json::{Value, json};
use softstake::generate::{Synthetic, write};

const STAGES: u32 = 5;

fn spec() -> Synthetic {
    Synthetic {
        events: 20_000,
        accounts: 500,
        assets: 3,
        epochs: STAGES,
        ..Synthetic::default()
    }
}

fn control(place: &Place) -> PathBuf {
    place.bus().join("softstake.control/0.jsonl")
}

/// A deployment that has settled everything. `change` may alter what a stage brought to the control topic: all of its lines, as events.
fn settled(change: impl Fn(Vec<Value>) -> Vec<Value>) -> Place {
    let place = Place::new();
    let mut done = 0;
    for stage in 0..STAGES {
        write(&place.bus(), &spec(), stage..stage + 1, &mut |_| {}).expect("a stage is written");
        let text = fs::read_to_string(control(&place)).expect("control records");
        let kept: String = text.lines().take(done).map(|line| format!("{line}\n")).collect();
        let new = text
            .lines()
            .skip(done)
            .filter_map(|line| serde_json::from_str(line).ok())
            .collect();
        let new: String = change(new).iter().map(|event| format!("{event}\n")).collect();
        let all = kept + &new;
        done = all.lines().count();
        fs::write(control(&place), all).expect("control records");
        place.run(Some(2));
    }
    place
}

fn is_listing(event: &Value, asset: &str) -> bool {
    event["type"] == "softstake.asset.v1" && event["data"]["asset"] == asset
}

/// The first listing of the first asset that is listed from the start.
fn first_listing(place: &Place) -> Value {
    let lines: Vec<Value> = json_lines(&control(place));
    let listed = lines
        .into_iter()
        .find(|event| event["type"] == "softstake.asset.v1" && event["data"]["programme"]["from_epoch"] == 0);
    listed.expect("a listing")
}

fn under(listing: &Value, programme: &Value) -> Value {
    let mut data = listing["data"].clone();
    data["programme"] = programme.clone();
    data
}

fn what_if(place: &Place, data: &Value, folder: &Path) -> Command {
    let file = folder.join("programme.json");
    fs::write(&file, data.to_string()).expect("a file");
    let mut command = softstake();
    command.arg("what-if").arg("--programme").arg(file).arg("--bus");
    command.arg(format!("dir:{}", place.bus().display()));
    command.arg("--csv").arg(folder.join("accounts.csv"));
    command
}

/// What accounts were paid and would be, as the CSV has it.
fn accounts(folder: &Path) -> BTreeMap<String, (String, String)> {
    let mut csv = csv::Reader::from_path(folder.join("accounts.csv")).expect("a CSV");
    csv.records()
        .map(|record| {
            let record = record.expect("a line");
            (record[0].to_owned(), (record[2].to_owned(), record[3].to_owned()))
        })
        .collect()
}

/// A plain decimal number, times 10 to the 18th.
fn exact(text: &str) -> num_bigint::BigInt {
    let negative = text.starts_with('-');
    let (whole, fraction) = text
        .trim_start_matches(['-', '+'])
        .split_once('.')
        .unwrap_or((text.trim_start_matches(['-', '+']), ""));
    let number: num_bigint::BigInt = format!("{whole}{fraction:0<18}").parse().expect("a number");
    if negative { -number } else { number }
}

fn paid(place: &Place, asset: &str, from_epoch: u64) -> BTreeMap<String, num_bigint::BigInt> {
    let mut sums: BTreeMap<String, num_bigint::BigInt> = BTreeMap::new();
    for record in place.records("softstake.distributions") {
        let data = &record["data"];
        if data["asset"] == asset && data["epoch"].as_u64() >= Some(from_epoch) {
            *sums
                .entry(data["account"].as_str().expect("an account").to_owned())
                .or_default() += exact(data["amount"].as_str().expect("an amount"));
        }
    }
    sums
}

fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            let contents = fs::read(&path).expect("a file");
            found.insert(path, contents);
        }
    }
    found
}

/// The rules to try: other sums, another mode, other accounts, other treatment of what is late.
fn programmes(from_epoch: u64) -> Vec<Value> {
    vec![
        json!({"from_epoch": from_epoch, "mode": "pool", "commission_rate": "0.25", "min_payout": "0.5", "payout_decimals": 2,
               "tiers": [{"up_to": "10", "multiplier": "3"}, {"up_to": null, "multiplier": "0.5"}]}),
        json!({"from_epoch": from_epoch, "mode": "apr", "apr": "0.05", "max_balance": "1000", "late_policy": "forfeit"}),
        json!({"from_epoch": from_epoch, "mode": "pool", "enrolment": "opt_in", "min_balance": "1"}),
    ]
}

#[test]
fn it_is_what_would_have_been() {
    let place = settled(|events| events);
    let listing = first_listing(&place);
    let asset = listing["data"]["asset"].as_str().expect("an asset").to_owned();
    let before = files(&place.bus());
    let folder = tempfile::tempdir().expect("a folder");
    for from_epoch in [0, 2] {
        for programme in programmes(from_epoch) {
            let data = under(&listing, &programme);
            let output = succeed(what_if(&place, &data, folder.path()).arg("--json"));
            let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            // The same deployment with these rules from the start: its control topic has them where they could first be given.
            let new = {
                let mut event = listing.clone();
                event["id"] = json!("other rules");
                event["data"] = data.clone();
                event
            };
            let inserted = std::cell::Cell::new(false);
            let other = settled(|events| {
                let mut changed = Vec::new();
                for event in events {
                    if !is_listing(&event, &asset) {
                        changed.push(event);
                    } else if event == listing && !inserted.replace(true) {
                        // No change that the generator makes of it comes before epoch 2.
                        changed.extend((from_epoch > 0).then_some(event));
                        changed.push(new.clone());
                    }
                }
                changed
            });
            let (was, would_be) = (paid(&place, &asset, from_epoch), paid(&other, &asset, from_epoch));
            let told = accounts(folder.path());
            assert!(
                was != would_be,
                "{programme}: a change that changes nothing shows nothing"
            );
            let names: Vec<&String> = was.keys().chain(would_be.keys()).collect();
            for name in &names {
                let (told_was, told_would_be) = told.get(*name).map_or(("0", "0"), |(a, b)| (a, b));
                assert_eq!(
                    exact(told_was),
                    was.get(*name).cloned().unwrap_or_default(),
                    "{name} under {programme}"
                );
                assert_eq!(
                    exact(told_would_be),
                    would_be.get(*name).cloned().unwrap_or_default(),
                    "{name} under {programme}"
                );
            }
            assert!(told.keys().all(|name| names.contains(&name)));
            let zero = num_bigint::BigInt::default();
            let differences: Vec<num_bigint::BigInt> = told
                .values()
                .map(|(was, would_be)| exact(would_be) - exact(was))
                .collect();
            let gain: num_bigint::BigInt = differences.iter().filter(|difference| **difference > zero).sum();
            let lose: num_bigint::BigInt = differences.iter().filter(|difference| **difference < zero).sum();
            let text = |value: &Value| value.as_str().expect("a text").to_owned();
            assert_eq!(exact(&text(&found["gain"]["sum"])), gain);
            assert_eq!(exact(&text(&found["lose"]["sum"])), -lose.clone());
            assert_eq!(exact(&text(&found["difference"])), gain + lose);
            let count = |wanted: fn(&num_bigint::BigInt, &num_bigint::BigInt) -> bool| {
                differences
                    .iter()
                    .filter(|difference| wanted(difference, &zero))
                    .count() as u64
            };
            assert_eq!(found["gain"]["accounts"], count(|a, b| a > b));
            assert_eq!(found["lose"]["accounts"], count(|a, b| a < b));
            assert_eq!(found["same"], count(|a, b| a == b));
            // The seals, too, but for their roots and cuts.
            for (told, seal) in found["epochs"].as_array().expect("epochs").iter().flat_map(|told| {
                let of = |place: &Place| {
                    let id = format!("{asset}:{}", told["epoch"]);
                    place
                        .records("softstake.epochs")
                        .into_iter()
                        .find(|seal| seal["id"] == id.as_str())
                        .expect("a seal")
                };
                [
                    (told["was"].clone(), of(&place)),
                    (told["would_be"].clone(), of(&other)),
                ]
            }) {
                for (field, value) in told.as_object().expect("an object") {
                    assert_eq!(&seal["data"][field], value, "{field} under {programme}");
                }
            }
        }
    }
    assert!(files(&place.bus()) == before, "something was published");
}

#[test]
fn the_same_rules_change_nothing() {
    let place = settled(|events| events);
    let listing = first_listing(&place);
    let asset = listing["data"]["asset"].as_str().expect("an asset").to_owned();
    // The rules that are in force in the end, from when they came into force, as the decisions have them.
    let last = place
        .records("softstake.decisions")
        .into_iter()
        .map(|decision| decision["data"].clone())
        .filter(|data| data["decision"] == "listing_accepted" || data["decision"] == "programme_changed")
        .rfind(|data| data["listing"]["asset"] == asset.as_str())
        .expect("a listing")["listing"]
        .clone();
    let folder = tempfile::tempdir().expect("a folder");
    let output = succeed(what_if(&place, &last, folder.path()).arg("--json"));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!(
        (&found["gain"]["accounts"], &found["lose"]["accounts"]),
        (&json!(0), &json!(0)),
        "{found:#}"
    );
    assert!(found["same"].as_u64() > Some(0));
    let said = String::from_utf8(succeed(&mut what_if(&place, &last, folder.path())).stdout).expect("text");
    assert!(
        said.contains("nothing was published") && said.contains("All together, as much would be paid."),
        "{said}"
    );
}

#[test]
fn what_cannot_be_tried_is_said() {
    let place = settled(|events| events);
    let listing = first_listing(&place);
    let folder = tempfile::tempdir().expect("a folder");
    let mut unknown = listing["data"].clone();
    unknown["asset"] = json!("NEVER");
    let said = fail(&mut what_if(&place, &unknown, folder.path()), 2);
    assert!(said.contains("NEVER was never listed there"), "{said}");
    let mut other_terms = under(&listing, &json!({"from_epoch": 0, "mode": "pool"}));
    other_terms["decimals"] = json!(3);
    let said = fail(&mut what_if(&place, &other_terms, folder.path()), 2);
    assert!(said.contains("never change: give the same"), "{said}");
    let bad = under(&listing, &json!({"from_epoch": 0, "mode": "lottery"}));
    let said = fail(&mut what_if(&place, &bad, folder.path()), 2);
    assert!(said.contains("would be refused") && said.contains("`mode`"), "{said}");
    let later = under(&listing, &json!({"from_epoch": 90, "mode": "pool"}));
    let said = fail(&mut what_if(&place, &later, folder.path()), 1);
    assert!(said.contains("from 90 on is sealed"), "{said}");
}
