//! `softstake what-if`: payouts under another programme must be those of a deployment that had it from the start.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use num_bigint::BigInt;
use serde_json::{Value, json};
use softstake::generate::Synthetic;

use crate::common::files::files_below;
use crate::common::records::{scaled, text};
use crate::common::{Place, fail, json_lines, on_bus, succeed};

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

/// A bus on which every epoch is settled. `change` may change the control events of each stage.
fn settled(change: impl Fn(Vec<Value>) -> Vec<Value>) -> Place {
    let place = Place::new();
    let mut done = 0;
    for stage in 0..STAGES {
        place.bring(&spec(), stage);
        let text = fs::read_to_string(control(&place)).expect("control records");
        let kept: String = text.lines().take(done).map(|line| format!("{line}\n")).collect();
        let new = text
            .lines()
            .skip(done)
            // A value cannot hold a field twice.
            .filter(|line| !line.contains("-twice-"))
            // A close that is rejected because its rate has no use would be accepted under another mode.
            .filter(|line| !line.contains("bad-close-"))
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
    let mut command = on_bus("what-if", &place.bus());
    command.arg("--programme").arg(file);
    command.arg("--csv").arg(folder.join("accounts.csv"));
    command
}

/// What each account was paid and would be paid, from the CSV file.
fn accounts(folder: &Path) -> BTreeMap<String, (String, String)> {
    let mut csv = csv::Reader::from_path(folder.join("accounts.csv")).expect("a CSV");
    csv.records()
        .map(|record| {
            let record = record.expect("a line");
            (record[0].to_owned(), (record[2].to_owned(), record[3].to_owned()))
        })
        .collect()
}

/// The sum of the distributions of each account from an epoch on.
fn paid(place: &Place, asset: &str, from_epoch: u64) -> BTreeMap<String, BigInt> {
    let mut sums: BTreeMap<String, BigInt> = BTreeMap::new();
    for record in place.records("softstake.distributions") {
        let data = &record["data"];
        if data["asset"] == asset && data["epoch"].as_u64() >= Some(from_epoch) {
            *sums.entry(text(&data["account"]).to_owned()).or_default() += scaled(text(&data["amount"]));
        }
    }
    sums
}

/// Every file of a bus with its contents.
fn contents(place: &Place) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = files_below(&place.bus()).into_iter();
    files
        .map(|path| (path.clone(), fs::read(path).expect("a file")))
        .collect()
}

/// Programmes that change the sums, the mode, the accounts or the late policy.
fn programmes(from_epoch: u64) -> Vec<Value> {
    vec![
        json!({"from_epoch": from_epoch, "mode": "pool", "commission_rate": "0.25", "min_payout": "0.5", "payout_decimals": 2,
               "tiers": [{"up_to": "10", "multiplier": "3"}, {"up_to": null, "multiplier": "0.5"}]}),
        json!({"from_epoch": from_epoch, "mode": "apr", "apr": "0.05", "max_balance": "1000", "late_policy": "forfeit"}),
        json!({"from_epoch": from_epoch, "mode": "pool", "enrolment": "opt_in", "min_balance": "1"}),
    ]
}

/// A deployment whose control topic has another programme where it could first be given.
fn settled_with(listing: &Value, data: &Value, from_epoch: u64) -> Place {
    let asset = text(&listing["data"]["asset"]);
    let mut new = listing.clone();
    new["id"] = json!("other rules");
    new["data"] = data.clone();
    let inserted = Cell::new(false);
    settled(|events| {
        let mut changed = Vec::new();
        for event in events {
            if !is_listing(&event, asset) {
                changed.push(event);
            } else if event == *listing && !inserted.replace(true) {
                // The generator changes this programme only from epoch 2 or later.
                changed.extend((from_epoch > 0).then_some(event));
                changed.push(new.clone());
            }
        }
        changed
    })
}

type Paid = BTreeMap<String, BigInt>;

/// The CSV file must have what accounts were paid and what they would be paid.
fn check_accounts(told: &BTreeMap<String, (String, String)>, was: &Paid, would_be: &Paid, programme: &Value) {
    let names: Vec<&String> = was.keys().chain(would_be.keys()).collect();
    for name in &names {
        let (told_was, told_would_be) = told.get(*name).map_or(("0", "0"), |(a, b)| (a, b));
        let paid = |paid: &Paid| paid.get(*name).cloned().unwrap_or_default();
        assert_eq!(scaled(told_was), paid(was), "{name} under {programme}");
        assert_eq!(scaled(told_would_be), paid(would_be), "{name} under {programme}");
    }
    assert!(told.keys().all(|name| names.contains(&name)));
}

/// The totals of the report must follow from the CSV file.
fn check_totals(found: &Value, told: &BTreeMap<String, (String, String)>) {
    let zero = BigInt::default();
    let differences: Vec<BigInt> = told
        .values()
        .map(|(was, would_be)| scaled(would_be) - scaled(was))
        .collect();
    let gain: BigInt = differences.iter().filter(|difference| **difference > zero).sum();
    let lose: BigInt = differences.iter().filter(|difference| **difference < zero).sum();
    assert_eq!(scaled(text(&found["gain"]["sum"])), gain);
    assert_eq!(scaled(text(&found["lose"]["sum"])), -lose.clone());
    assert_eq!(scaled(text(&found["difference"])), gain + lose);
    let count = |wanted: fn(&BigInt, &BigInt) -> bool| {
        differences
            .iter()
            .filter(|difference| wanted(difference, &zero))
            .count() as u64
    };
    assert_eq!(found["gain"]["accounts"], count(|a, b| a > b));
    assert_eq!(found["lose"]["accounts"], count(|a, b| a < b));
    assert_eq!(found["same"], count(|a, b| a == b));
}

/// The fields that the report has of seals must be those of the seals of both deployments.
fn check_seals(found: &Value, asset: &str, place: &Place, other: &Place, programme: &Value) {
    for told in found["epochs"].as_array().expect("epochs") {
        let id = format!("{asset}:{}", told["epoch"]);
        for (told, place) in [(&told["was"], place), (&told["would_be"], other)] {
            let seals = place.records("softstake.epochs");
            let seal = seals.iter().find(|seal| seal["id"] == id.as_str()).expect("a seal");
            for (field, value) in told.as_object().expect("an object") {
                assert_eq!(&seal["data"][field], value, "{field} under {programme}");
            }
        }
    }
}

#[test]
fn the_result_is_that_of_a_deployment_with_the_other_programme() {
    let place = settled(|events| events);
    let listing = first_listing(&place);
    let asset = text(&listing["data"]["asset"]);
    let before = contents(&place);
    let folder = tempfile::tempdir().expect("a folder");
    for from_epoch in [0, 2] {
        for programme in programmes(from_epoch) {
            let data = under(&listing, &programme);
            let output = succeed(what_if(&place, &data, folder.path()).arg("--json"));
            let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
            let other = settled_with(&listing, &data, from_epoch);
            let (was, would_be) = (paid(&place, asset, from_epoch), paid(&other, asset, from_epoch));
            assert!(was != would_be, "{programme} must change something");
            let told = accounts(folder.path());
            check_accounts(&told, &was, &would_be, &programme);
            check_totals(&found, &told);
            check_seals(&found, asset, &place, &other, &programme);
        }
    }
    assert!(contents(&place) == before, "something was published");
}

#[test]
fn the_same_programme_changes_nothing() {
    let place = settled(|events| events);
    let listing = first_listing(&place);
    let asset = text(&listing["data"]["asset"]);
    // The programme in force at the end, from the epoch on which it came into force, as the decisions have it.
    let last = place
        .records("softstake.decisions")
        .into_iter()
        .map(|decision| decision["data"].clone())
        .filter(|data| data["decision"] == "listing_accepted" || data["decision"] == "programme_changed")
        .rfind(|data| data["listing"]["asset"] == asset)
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
        said.contains("nothing was published") && said.contains("In total, the same sum would be paid."),
        "{said}"
    );
}

#[test]
fn an_invalid_programme_is_refused_with_its_reason() {
    let place = settled(|events| events);
    let listing = first_listing(&place);
    let folder = tempfile::tempdir().expect("a folder");
    let mut unknown = listing["data"].clone();
    unknown["asset"] = json!("NEVER");
    let said = fail(&mut what_if(&place, &unknown, folder.path()), 3);
    assert!(said.contains("NEVER is not listed"), "{said}");
    let mut other_terms = under(&listing, &json!({"from_epoch": 0, "mode": "pool"}));
    other_terms["decimals"] = json!(3);
    let said = fail(&mut what_if(&place, &other_terms, folder.path()), 2);
    assert!(said.contains("only the programme of a listing changes"), "{said}");
    let bad = under(&listing, &json!({"from_epoch": 0, "mode": "lottery"}));
    let said = fail(&mut what_if(&place, &bad, folder.path()), 2);
    assert!(said.contains("would be rejected") && said.contains("`mode`"), "{said}");
    let later = under(&listing, &json!({"from_epoch": 90, "mode": "pool"}));
    let said = fail(&mut what_if(&place, &later, folder.path()), 3);
    assert!(
        said.contains("epoch 90 (") && said.contains(") is not closed"),
        "{said}"
    );
}
