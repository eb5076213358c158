//! Names, calendars, offsets, decisions on record, and the root.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use num_traits::One;
use serde_json::json;

use crate::model::bus::{Offsets, Place};
use crate::model::calendar::{Terms, owner};
use crate::model::decisions::Recorded;
use crate::model::history::History;
use crate::model::parts::amount::{Rational, power_of_ten};
use crate::model::parts::{differences, merkle, published};
use crate::model::records::plain_rate;
use crate::model::{Settings, expected, expected_on};

#[test]
fn the_owner_is_the_part_before_the_first_slash() {
    for (account, wanted) in [
        ("u-42/grid", "u-42"),
        ("u-42", "u-42"),
        ("u-42/a/b", "u-42"),
        ("u-42/", "u-42"),
        ("/u-42", "/u-42"),
        ("/u/42", "/u/42"),
        ("/", "/"),
    ] {
        assert_eq!(owner(account), wanted, "{account}");
    }
}

fn terms(epoch_seconds: i64, first_epoch: u64) -> Terms {
    Terms {
        decimals: 2,
        anchor_ms: 1000,
        epoch_ms: epoch_seconds * 1000,
        first_epoch,
        reward: None,
    }
}

#[test]
fn epochs_are_counted_from_the_anchor() {
    let terms = terms(100, 5);
    let epochs = [-1, 999, 1000, 100_999, 101_000].map(|time| terms.epoch_of(time));
    assert_eq!(epochs, [None, None, Some(5), Some(5), Some(6)]);
    assert_eq!(
        (terms.start_of(5), terms.start_of(7), terms.start_of(4)),
        (1000, 201_000, -99_000)
    );
}

#[test]
fn days_are_whole_epochs() {
    let windows = |seconds: i64| [7, 400].map(|days| terms(seconds, 0).epochs_of_days(days));
    assert_eq!(windows(3600), [168, 9600]);
    assert_eq!(windows(86_400), [7, 400]);
    assert_eq!(windows(86_399), [8, 401]);
    assert_eq!(windows(2_678_400), [1, 13]);
    assert_eq!(windows(60), [10_080, 576_000]);
}

#[test]
fn rates_are_written_with_at_most_18_decimals() {
    assert_eq!(plain_rate(&Rational::new(1.into(), 3.into())), "0.333333333333333333");
    assert_eq!(plain_rate(&Rational::new(5.into(), 2.into())), "2.5");
    assert_eq!(
        plain_rate(&(Rational::one() / power_of_ten(18))),
        "0.000000000000000001"
    );
    assert_eq!(
        plain_rate(&Rational::from_integer(BigInt::from(1_000_000_000))),
        "1000000000"
    );
}

#[test]
fn offsets_are_read_as_they_are_written() {
    let place = |topic, partition| Place::of(topic, partition).expect("a source topic");
    let offsets = Offsets(BTreeMap::from([
        (place("exchange.deposits", 3), 7),
        (place("exchange.accounts", 0), 0),
    ]));
    let json = json!({"exchange.deposits": {"3": 7}, "exchange.accounts": {"0": 0}});
    assert_eq!(offsets.to_json(), json);
    assert_eq!(Offsets::from_json(&json), Some(offsets.clone()));
    assert_eq!(offsets.of(place("exchange.deposits", 1)), 0);
    for wrong in [
        json!({"softstake.control": {"0": 1}}),
        json!({"exchange.trades": {"x": 1}}),
        json!([]),
    ] {
        assert_eq!(Offsets::from_json(&wrong), None, "{wrong}");
    }
}

#[test]
fn the_root_puts_sub_accounts_into_the_bucket_of_their_owner() {
    let leaves: BTreeMap<String, String> = ["u", "u/a"]
        .map(|account| (account.to_owned(), format!("A:0:{account}|1")))
        .into();
    let together = merkle::root(&leaves, owner);
    assert_ne!(together, merkle::root(&leaves, |account| account));
    // Two leaves in one bucket are a tree of their own.
    assert_eq!(together, merkle::root(&leaves, |_| "u"));
    assert_ne!(together, merkle::root(&leaves, |_| "v"));
}

/// A history with a refused listing, a held epoch, a withdrawal and a late posting.
fn history() -> History {
    let event = |id: &str, kind: &str, time: &str, data: serde_json::Value| {
        json!({"specversion": "1.0", "id": id, "source": "/test", "type": kind, "time": time, "data": data}).to_string()
    };
    let list = |id: &str, anchor: &str| {
        let programme = json!({"from_epoch": 0, "mode": "pool", "gate": "always"});
        let data = json!({
            "asset": "A", "decimals": 2, "anchor": anchor, "epoch_seconds": 60, "programme": programme,
        });
        event(id, "softstake.asset.v1", "2026-11-01T00:00:00Z", data)
    };
    let deposit = |id: &str, time: &str| {
        let data = json!({"account": "ann", "asset": "A", "amount": "1"});
        event(id, "exchange.deposit.v1", time, data)
    };
    let of_epoch = |id: &str, kind: &str, mut data: serde_json::Value| {
        data["asset"] = json!("A");
        event(id, kind, "2026-11-01T01:00:00Z", data)
    };
    let mut history = History::default();
    history.append("exchange.deposits", 0, &deposit("d-0", "2026-11-01T00:00:00Z"));
    history.run();
    history.append("softstake.control", 0, &list("l-0", "2026-11-01T00:00:00Z"));
    history.append("softstake.control", 0, &list("l-1", "2026-11-01T00:01:00Z"));
    history.run();
    history.append("exchange.deposits", 1, &deposit("d-1", "2026-11-01T00:01:00Z"));
    let close = json!({"epoch": 0, "reward_pool": "5"});
    history.append(
        "softstake.control",
        0,
        &of_epoch("c-0", "softstake.epoch_close.v1", close),
    );
    history.run();
    history.append("exchange.deposits", 1, &deposit("d-2", "2026-11-01T00:01:30Z"));
    history.run();
    let release = json!({"epoch": 0, "by": "x", "reason": "y"});
    history.append(
        "softstake.control",
        0,
        &of_epoch("r-0", "softstake.epoch_release.v1", release),
    );
    let withdrawn = json!({"epoch": 1, "reason": "z"});
    history.append(
        "softstake.control",
        0,
        &of_epoch("w-0", "softstake.asset_withdrawn.v1", withdrawn),
    );
    history
}

#[test]
fn a_bus_in_a_folder_and_its_decisions_give_the_same() {
    let mut history = history();
    let wanted = history.expected();
    assert_eq!(
        wanted
            .verdicts
            .values()
            .filter(|verdict| *verdict == "accepted")
            .count(),
        4
    );
    assert_eq!(wanted.verdicts[&0], "listing_too_late");
    assert_eq!((wanted.outputs.seals.len(), wanted.outputs.late_postings.len()), (1, 1));

    let folder = tempfile::tempdir().expect("a folder");
    history.save(folder.path());
    let topic = folder.path().join("softstake.decisions");
    std::fs::create_dir(&topic).expect("the topic of decisions");
    let line = |data: &serde_json::Value| format!("{}\n", json!({"type": "softstake.decision.v1", "data": data}));
    let lines: String = wanted.decisions.iter().map(line).collect();
    std::fs::write(topic.join("0.jsonl"), lines).expect("the decisions");
    let found = expected_on(folder.path(), &Settings::default()).expect("the model's outcome");
    assert_eq!(found.outputs, wanted.outputs);
    assert_eq!(found.decisions, wanted.decisions);
    assert_eq!(found.shares, wanted.shares);

    let nothing = published(folder.path()).expect("no output yet");
    assert_eq!(differences(&found.outputs, &wanted.outputs), Vec::<String>::new());
    assert_eq!(differences(&found.outputs, &nothing).len(), 4);
    // The time of a dead letter is that of its record.
    let mut other = found.outputs.clone();
    let letter = other
        .dead_letters
        .get_mut("softstake.control:0:0")
        .expect("a dead letter");
    assert_eq!(letter["time"], "2026-11-01T00:00:00.000Z");
    letter["time"] = json!("2026-11-01T00:00:00.001Z");
    assert_eq!(differences(&found.outputs, &other).len(), 1);
}

#[test]
fn decisions_that_cannot_be_are_errors() {
    let mut history = history();
    let decisions = history.expected().decisions;
    let fails = |decisions: &[serde_json::Value], wanted: &str| {
        let recorded = Recorded::read(decisions);
        let result = recorded.and_then(|recorded| expected(&history.bus, &recorded, &Settings::default()));
        let error = result.err().unwrap_or_else(|| panic!("no error: {wanted}"));
        assert!(error.contains(wanted), "{error}: not {wanted}");
    };
    // Only an empty bus has no decision.
    fails(&[], "no offsets are recorded");
    fails(&decisions[1..], "the first decision");
    let changed = |at: &dyn Fn(&serde_json::Value) -> bool, name: &str, value: serde_json::Value| {
        let mut decisions = decisions.clone();
        decisions.iter_mut().find(|one| at(one)).expect("such a decision")[name] = value;
        decisions
    };
    let is = |name: &'static str| move |one: &serde_json::Value| one["decision"] == name;
    fails(
        &changed(&is("rules"), "version", json!(3)),
        "version 3 of the rules is not known",
    );
    fails(&changed(&is("cut"), "cut", json!({})), "on record was read earlier");
    fails(
        &changed(&is("cut"), "cut", json!({"exchange.deposits": {"0": 1, "1": 3}})),
        "past the partition's end",
    );
    fails(
        &changed(
            &is("cut"),
            "cut",
            json!({"exchange.trades": {"0": 1}, "exchange.deposits": {"0": 1, "1": 1}}),
        ),
        "is of no partition",
    );
    let missing: Vec<_> = decisions
        .iter()
        .filter(|one| one["decision"] != "withdrawal_accepted")
        .cloned()
        .collect();
    fails(&missing, "no offsets are recorded");
    let in_force = json!({"exchange.deposits": {"0": 1}});
    fails(
        &changed(&is("withdrawal_accepted"), "in_force_from", in_force),
        "on record was read earlier",
    );
}

#[test]
fn a_gone_record_without_an_accepted_loss_is_an_error() {
    let mut history = history();
    let complete = history.expected();
    assert_eq!(complete.outputs.distributions.len(), 1);
    let whole = history.bus.clone();
    let deposits = Place::of("exchange.deposits", 1).expect("a source topic");
    let log = history.bus.sources.get_mut(&deposits).expect("a partition");
    log.records.remove(&0).expect("a record");
    let error = history.try_expected().expect_err("a record is gone");
    assert!(error.contains("exchange.deposits:1:0: the record is gone"), "{error}");
    // It needs no acceptance if it was deleted before the deployment began.
    let added =
        json!({"decision": "sources_added", "starts": {"exchange.deposits": {"1": 1}, "softstake.control": {"0": 0}}});
    let mut decisions = complete.decisions.clone();
    decisions.push(added);
    let recorded = Recorded::read(&decisions).expect("decisions");
    let found = expected(&history.bus, &recorded, &Settings::default()).expect("the model's outcome");
    assert_eq!(found.outputs.seals.len(), 1);
    assert!(found.outputs.distributions.is_empty());
    // What was skipped is skipped again, though an archive has the record.
    let skipped = json!({
        "decision": "loss_accepted", "loss": {"topic": "exchange.deposits", "partition": 1}, "skipped_from": 0,
        "skipped_to": 1,
    });
    decisions = complete.decisions;
    decisions.push(skipped);
    let recorded = Recorded::read(&decisions).expect("decisions");
    let again = expected(&whole, &recorded, &Settings::default()).expect("the model's outcome");
    assert_eq!(again.outputs, found.outputs);
}
