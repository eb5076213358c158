//! `softstake check --bus` foretells what a run rejects: no more, no less, with the same reasons.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use softstake::generate::Synthetic;

use crate::common::events::{close, deposit, event, listing, pool};
use crate::common::records::text;
use crate::common::{Place, on_bus, succeed};

const DAY: u32 = 86_400;
const DAY_MS: i64 = 86_400_000;

/// What `check` says would be rejected: the number of records by code, by topic, and its examples with their reasons.
fn foretold(place: &Place) -> Value {
    let output = on_bus("check", &place.bus())
        .arg("--json")
        .output()
        .expect("the program starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let refused = report["refused"].as_object().expect("codes");
    assert_eq!(
        output.status.code(),
        Some(i32::from(!refused.is_empty())),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    report
}

/// Runs the bus, and compares all dead letters with the forecast. Returns the number of dead letters by code.
fn run_as_foretold(place: &Place) -> BTreeMap<String, u64> {
    let report = foretold(place);
    place.run(Some(2));
    let dead_letters = place.records("softstake.dead-letters");
    let mut by_code: BTreeMap<String, u64> = BTreeMap::new();
    let mut by_topic: BTreeMap<String, u64> = BTreeMap::new();
    for record in &dead_letters {
        *by_code.entry(text(&record["data"]["code"]).to_owned()).or_default() += 1;
        *by_topic.entry(text(&record["data"]["topic"]).to_owned()).or_default() += 1;
    }
    let refused = report["refused"].as_object().expect("codes");
    let codes: BTreeMap<String, u64> = refused
        .iter()
        .map(|(code, refused)| (code.clone(), refused["count"].as_u64().expect("a number")))
        .collect();
    assert_eq!(codes, by_code);
    for topic in report["topics"].as_array().expect("topics") {
        let expected = by_topic.get(text(&topic["topic"])).copied().unwrap_or(0);
        assert_eq!(topic["refused"], expected, "{topic}");
    }
    for example in refused
        .values()
        .flat_map(|refused| refused["examples"].as_array().expect("examples"))
    {
        let is_same = |record: &&Value| {
            let data = &record["data"];
            let file = format!("{}/{}.jsonl", text(&data["topic"]), data["partition"]);
            example["file"] == *file && example["line"] == json!(data["offset"].as_u64().map(|offset| offset + 1))
        };
        let dead_letter = dead_letters.iter().find(is_same).expect("its dead letter");
        assert_eq!(example["reason"], dead_letter["data"]["reason"]);
    }
    by_code
}

/// All closes of a bus that no run has read are decided before its first source record. So no epoch is closed while its events are read, and
/// events more than 400 days after the first one are too far ahead.
#[test]
fn a_run_over_five_hundred_epochs_rejects_what_was_foretold() {
    let place = Place::new();
    let control = (0..500).map(|epoch| close("ATOM", epoch, DAY, "1"));
    let control: Vec<String> = [listing("ATOM", 6, DAY, &pool())].into_iter().chain(control).collect();
    place.append("softstake.control", 0, control);
    let deposits = (0..500).map(|day| deposit(&format!("d-{day}"), day * DAY_MS, "ann", "ATOM", "1"));
    place.append("exchange.deposits", 0, deposits);
    assert_eq!(run_as_foretold(&place), BTreeMap::from([("too_far_ahead".into(), 99)]));
}

/// Stage by stage, and all at once: late, old, doubled and bad records of every kind.
#[test]
fn generated_buses_reject_what_was_foretold() {
    for seed in 1..=3 {
        let spec = Synthetic {
            events: 3_000,
            accounts: 40,
            assets: 3,
            epochs: 12,
            seed,
            bad: 0.1,
            late: 0.1,
            duplicates: 0.1,
            ..Synthetic::default()
        };
        let at_once = Place::new();
        at_once.bring_all(&spec);
        assert!(run_as_foretold(&at_once).len() > 5);
        let staged = Place::new();
        for stage in 0..spec.epochs {
            staged.bring(&spec, stage);
            run_as_foretold(&staged);
        }
    }
}

/// After a run, its cuts decide which records of new files are late or too old, and its ignored postings which listings are too late.
#[test]
fn a_second_run_rejects_what_was_foretold() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    place.append(
        "exchange.deposits",
        0,
        [
            deposit("d-1", 0, "ann", "ATOM", "1"),
            deposit("d-2", 5, "ann", "DOGE", "1"),
            event(
                "o-1",
                "exchange.opening_balance.v1",
                5,
                &json!({"account": "ann", "asset": "SOL", "amount": "1"}),
            ),
        ],
    );
    let closes = (0..9).map(|epoch| close("ATOM", epoch, DAY, "1"));
    place.append("softstake.control", 0, closes);
    assert!(run_as_foretold(&place).is_empty());
    place.append(
        "softstake.control",
        0,
        ["DOGE", "SOL", "XRP"].map(|asset| listing(asset, 6, DAY, &pool())),
    );
    let days = (0..12).map(|day| deposit(&format!("n-{day}"), day * DAY_MS, "ben", "ATOM", "1"));
    place.append("exchange.deposits", 1, days);
    place.append("exchange.deposits", 0, [deposit("d-1", 0, "ann", "ATOM", "1")]);
    place.append("softstake.control", 0, [close("ATOM", 9, DAY, "1")]);
    let expected = [("listing_too_late", 2), ("too_old", 3)];
    let expected = expected.map(|(code, number)| (code.to_owned(), number));
    assert_eq!(run_as_foretold(&place), BTreeMap::from(expected));
    // What is foretold now is what was published.
    assert_eq!(run_as_foretold(&place).len(), 2);
}

#[test]
fn the_window_of_duplicates_is_that_of_the_run() {
    let place = Place::new();
    place.append("softstake.control", 0, [listing("ATOM", 6, DAY, &pool())]);
    place.append("exchange.deposits", 0, [deposit("d-1", 0, "ann", "ATOM", "1")]);
    place.append(
        "softstake.control",
        0,
        [close("ATOM", 0, DAY, "1"), close("ATOM", 1, DAY, "1")],
    );
    succeed(place.command(Some(2)).args(["--dedup-days", "1"]));
    place.append("exchange.deposits", 0, [deposit("d-2", 0, "ann", "ATOM", "1")]);
    let report = foretold(&place);
    assert_eq!((&report["dedup_days"], &report["has_run"]), (&json!(1), &json!(true)));
    assert_eq!(report["refused"]["too_old"]["count"], 1);
}
