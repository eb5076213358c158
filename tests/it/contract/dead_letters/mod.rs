//! What the real program refuses, with which code, where, and naming what; and what it takes, however it is spelled.

#![allow(clippy::expect_used, reason = "a test that cannot go on fails")]

mod common;
#[path = "common/events.rs"]
mod events;
mod model;
#[path = "common/program.rs"]
mod program;
#[path = "common/schemas.rs"]
mod schemas;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::Place;
use events::{close, deposit, event, listing, pool, time};
use program::judge;
use serde_json::{Value, json};

const DEPOSITS: &str = "exchange.deposits";
const TRADES: &str = "exchange.trades";
const ACCOUNTS: &str = "exchange.accounts";
const CONTROL: &str = "softstake.control";

/// A record that has to be refused.
struct Refused {
    topic: &'static str,
    partition: u32,
    record: Vec<u8>,
    code: &'static str,
    /// What the reason has to name.
    names: &'static str,
}

fn refused(topic: &'static str, record: impl AsRef<[u8]>, code: &'static str, names: &'static str) -> Refused {
    Refused {
        topic,
        partition: 0,
        record: record.as_ref().to_vec(),
        code,
        names,
    }
}

fn by_id(records: Vec<Value>) -> BTreeMap<String, Value> {
    records
        .into_iter()
        .map(|record| (record["id"].as_str().expect("an id").to_owned(), record))
        .collect()
}

/// Appends the records behind what is there, runs, and holds their dead letters, and no others, against what has to be in them.
fn check(place: &Place, cases: &[Refused]) {
    let before = by_id(place.records("softstake.dead-letters"));
    let mut expected = BTreeMap::new();
    for case in cases {
        let path = place.bus().join(case.topic).join(format!("{}.jsonl", case.partition));
        let text = std::fs::read(path).unwrap_or_default();
        let offset = text.iter().filter(|byte| **byte == b'\n').count();
        place.append(case.topic, case.partition, [&case.record]);
        expected.insert(format!("{}:{}:{offset}", case.topic, case.partition), (case, offset));
    }
    place.run(None);
    let letters = by_id(place.records("softstake.dead-letters"));
    for (id, letter) in &letters {
        let Some((case, offset)) = expected.remove(id) else {
            assert!(before.contains_key(id), "{letter} was not expected");
            continue;
        };
        let shown = String::from_utf8_lossy(&case.record);
        let mut data = letter["data"].clone();
        let reason = data["reason"].take();
        let reason = reason.as_str().expect("a reason");
        assert!(
            reason.contains(case.names),
            "{shown} was refused without naming {}: {reason}",
            case.names
        );
        let mut wanted = json!({
            "code": case.code, "reason": null, "topic": case.topic, "partition": case.partition, "offset": offset,
        });
        match std::str::from_utf8(&case.record) {
            Ok(text) => wanted["payload"] = text.into(),
            Err(_) => wanted["payload_base64"] = STANDARD.encode(&case.record).into(),
        }
        assert_eq!(data, wanted, "{shown}: {reason}");
        assert_eq!(letter["source"], "/softstake");
        assert_eq!(letter["type"], "softstake.dead_letter.v1");
        // The event's own time, where there is one that can be read.
        let Ok(record) = serde_json::from_slice::<Value>(&case.record) else {
            // A lone surrogate is JSON, if none that we could read here.
            assert!(case.code != "invalid_json" || letter.get("time").is_none(), "{shown}");
            continue;
        };
        let own = record["time"].as_str();
        if own.is_none() || (case.code == "invalid_time" && case.names == "`time`") {
            assert_eq!(letter.get("time"), None, "{shown}");
        }
        if case.code == "invalid_amount" {
            assert_eq!(letter["time"].as_str(), own, "{shown}");
        }
    }
    let missing: Vec<_> = expected
        .values()
        .map(|(case, _)| String::from_utf8_lossy(&case.record))
        .collect();
    assert!(missing.is_empty(), "not refused: {missing:?}");
    judge(place);
}

/// A bus on which asset A is listed: two decimals, epochs of a hundred seconds.
fn listed() -> Place {
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool())]);
    place
}

/// A sound deposit with one part replaced: `part` is a JSON pointer, `None` takes it out.
fn deposit_with(part: &str, value: Option<Value>) -> String {
    altered(&deposit("altered", 1000, "ann", "A", "1"), part, value)
}

fn altered(record: &str, part: &str, value: Option<Value>) -> String {
    let mut record: Value = serde_json::from_str(record).expect("JSON");
    let (parent, name) = part.rsplit_once('/').expect("a pointer");
    let parent = record
        .pointer_mut(parent)
        .and_then(Value::as_object_mut)
        .expect("an object");
    match value {
        Some(value) => drop(parent.insert(name.to_owned(), value)),
        None => drop(parent.remove(name)),
    }
    record.to_string()
}

fn trade() -> Value {
    json!({
        "base_asset": "A", "quote_asset": "USD", "price": "2.5", "quantity": "1", "quote_quantity": "2.5",
        "buyer": {"account": "ann", "fee": {"asset": "A", "amount": "0.01"}},
        "seller": {"account": "ben", "fee": {"asset": "A", "amount": "0.01"}},
    })
}

fn trade_with(part: &str, value: Option<Value>) -> String {
    altered(&event("altered", "exchange.trade.v1", 1000, &trade()), part, value)
}

#[test]
fn what_is_not_json() {
    let whole = deposit("d", 1000, "ann", "A", "1");
    let mut latin = whole.clone().into_bytes();
    let at = whole.find("ann").expect("the account");
    latin[at] = 0xe9;
    let mut marked = b"\xef\xbb\xbf".to_vec();
    marked.extend_from_slice(whole.as_bytes());
    check(
        &listed(),
        &[
            refused(DEPOSITS, "{", "invalid_json", ""),
            refused(DEPOSITS, &whole[..whole.len() - 1], "invalid_json", ""),
            refused(DEPOSITS, format!("{whole}{whole}"), "invalid_json", ""),
            refused(DEPOSITS, format!("{whole},"), "invalid_json", ""),
            refused(DEPOSITS, whole.replace(':', "="), "invalid_json", ""),
            refused(DEPOSITS, whole.replace('"', "'"), "invalid_json", ""),
            refused(DEPOSITS, whole.replace("\"ann\"", "\"a\tb\""), "invalid_json", ""),
            refused(DEPOSITS, whole.replace("\"ann\"", "\"a\\x\""), "invalid_json", ""),
            refused(DEPOSITS, whole.replace("\"ann\"", "NaN"), "invalid_json", ""),
            refused(DEPOSITS, whole.replace("\"ann\"", "01"), "invalid_json", ""),
            refused(DEPOSITS, "id,source,type", "invalid_json", ""),
            refused(DEPOSITS, "\u{b}", "invalid_json", ""),
            refused(DEPOSITS, "\u{a0}", "invalid_json", ""),
            refused(DEPOSITS, b"\0", "invalid_json", ""),
            refused(DEPOSITS, &latin, "invalid_json", "UTF-8"),
            refused(DEPOSITS, b"\xff", "invalid_json", "UTF-8"),
            refused(DEPOSITS, b"{}\xc3", "invalid_json", "UTF-8"),
            refused(DEPOSITS, b"\xed\xa0\x80", "invalid_json", "UTF-8"),
            refused(DEPOSITS, &marked, "invalid_json", ""),
            refused(CONTROL, "not JSON", "invalid_json", ""),
            refused(CONTROL, b"\xfe", "invalid_json", "UTF-8"),
        ],
    );
}

#[test]
fn what_is_no_event() {
    let mut cases = Vec::new();
    for text in ["null", "true", "5", "\"text\"", "[]", "[{}]"] {
        cases.push(refused(DEPOSITS, text, "invalid_event", "object"));
        cases.push(refused(CONTROL, text, "invalid_event", "object"));
    }
    cases.push(refused(DEPOSITS, "{}", "invalid_event", "`specversion`"));
    // The fields of an event in their order, but without their names.
    let data = json!({"account": "ann", "asset": "A", "amount": "1"});
    let positional = json!(["1.0", "p", "/test", "exchange.deposit.v1", time(0), data]).to_string();
    cases.push(refused(DEPOSITS, positional, "invalid_event", "object"));
    let data = json!({"asset": "A", "epoch": 0});
    let positional = json!(["1.0", "p", "/test", "softstake.epoch_close.v1", time(100_000), data]).to_string();
    cases.push(refused(CONTROL, positional, "invalid_event", "object"));
    for (part, names) in [
        ("/specversion", "`specversion`"),
        ("/id", "`id`"),
        ("/source", "`source`"),
        ("/type", "`type`"),
        ("/time", "`time`"),
        ("/data", "`data`"),
    ] {
        cases.push(refused(DEPOSITS, deposit_with(part, None), "invalid_event", names));
        if part != "/time" {
            for value in [json!(null), json!(1), json!(""), json!(["1.0"])] {
                cases.push(refused(
                    DEPOSITS,
                    deposit_with(part, Some(value)),
                    "invalid_event",
                    names,
                ));
            }
        }
    }
    cases.push(refused(
        DEPOSITS,
        deposit_with("/specversion", Some(json!("0.3"))),
        "invalid_event",
        "`specversion`",
    ));
    let whole = deposit("d", 1000, "ann", "A", "1");
    let twice = [
        whole.replacen('{', "{\"id\":\"d\",", 1),
        whole.replacen('{', "{\"\\u0069d\":\"d\",", 1),
        whole.replace("\"account\"", "\"account\":\"ann\",\"account\""),
        whole.replace("\"amount\"", "\"amount\":\"1\",\"amount\""),
    ];
    for (record, names) in twice.iter().zip(["id", "id", "account", "amount"]) {
        cases.push(refused(DEPOSITS, record, "invalid_event", names));
    }
    check(&listed(), &cases);
}

#[test]
fn what_fields_are_missing_or_of_the_wrong_kind() {
    let mut cases = Vec::new();
    for (part, names) in [
        ("/data/account", "`account`"),
        ("/data/asset", "`asset`"),
        ("/data/amount", "`amount`"),
    ] {
        cases.push(refused(DEPOSITS, deposit_with(part, None), "invalid_event", names));
    }
    for value in [json!(null), json!(7), json!(true), json!({}), json!([])] {
        cases.push(refused(
            DEPOSITS,
            deposit_with("/data/account", Some(value.clone())),
            "invalid_event",
            "`account`",
        ));
        cases.push(refused(
            DEPOSITS,
            deposit_with("/data/asset", Some(value.clone())),
            "invalid_event",
            "`asset`",
        ));
        cases.push(refused(
            DEPOSITS,
            deposit_with("/data/amount", Some(value.clone())),
            "invalid_amount",
            "`amount`",
        ));
        cases.push(refused(
            DEPOSITS,
            deposit_with("/time", Some(value)),
            "invalid_time",
            "`time`",
        ));
    }
    for part in ["base_asset", "quote_asset", "price", "quantity", "buyer", "seller"] {
        cases.push(refused(
            TRADES,
            trade_with(&format!("/data/{part}"), None),
            "invalid_event",
            part,
        ));
    }
    for side in ["buyer", "seller"] {
        cases.push(refused(
            TRADES,
            trade_with(&format!("/data/{side}"), Some(json!("ann"))),
            "invalid_event",
            side,
        ));
        for part in ["account", "fee/asset", "fee/amount"] {
            cases.push(refused(
                TRADES,
                trade_with(&format!("/data/{side}/{part}"), None),
                "invalid_event",
                side,
            ));
        }
        let fee = format!("/data/{side}/fee");
        cases.push(refused(
            TRADES,
            trade_with(&fee, Some(json!(null))),
            "invalid_event",
            "fee",
        ));
        cases.push(refused(
            TRADES,
            trade_with(&fee, Some(json!("0.1"))),
            "invalid_event",
            "fee",
        ));
        let amount = format!("{fee}/amount");
        for value in [json!(null), json!(0.1), json!("0"), json!("-1"), json!("0.001")] {
            cases.push(refused(
                TRADES,
                trade_with(&amount, Some(value)),
                "invalid_amount",
                "fee.amount",
            ));
        }
    }
    for (field, value) in [
        ("price", json!("0")),
        ("price", json!("-2.5")),
        ("price", json!("2,5")),
        ("price", json!(2.5)),
        ("quantity", json!("0")),
        ("quantity", json!("0.001")),
        ("quote_quantity", json!("0")),
        ("quote_quantity", json!(null)),
    ] {
        cases.push(refused(
            TRADES,
            trade_with(&format!("/data/{field}"), Some(value)),
            "invalid_amount",
            field,
        ));
    }
    let transfer = json!({"from_account": "ann", "to_account": "ben", "asset": "A", "amount": "1"});
    let adjustment = json!({"account": "ann", "asset": "A", "delta": "1", "reason": "hold"});
    let status = json!({"account": "ann", "status": "enrolled"});
    let withdrawal = json!({"account": "ann", "asset": "A", "amount": "1", "fee": {"asset": "A", "amount": "1"}});
    for (kind, data) in [
        ("exchange.transfer.v1", &transfer),
        ("exchange.balance_adjustment.v1", &adjustment),
        ("exchange.account_status.v1", &status),
        ("exchange.withdrawal.v1", &withdrawal),
        (
            "exchange.opening_balance.v1",
            &json!({"account": "ann", "asset": "A", "amount": "1"}),
        ),
    ] {
        for field in data
            .as_object()
            .expect("an object")
            .keys()
            .filter(|field| *field != "fee")
        {
            let record = altered(&event("altered", kind, 1000, data), &format!("/data/{field}"), None);
            // Topics do not matter: any of these types is accepted on any of them.
            let names: &'static str = Box::leak(format!("`{field}`").into_boxed_str());
            cases.push(refused(ACCOUNTS, record, "invalid_event", names));
        }
    }
    let altered_status = |value| {
        altered(
            &event("altered", "exchange.account_status.v1", 0, &status),
            "/data/status",
            Some(value),
        )
    };
    for value in [json!("Enrolled"), json!("opted out"), json!(""), json!(null), json!(1)] {
        cases.push(refused(ACCOUNTS, altered_status(value), "invalid_event", "`status`"));
    }
    check(&listed(), &cases);
}

#[test]
fn what_type_and_topic_are_wrong() {
    let amount = json!({"account": "ann", "asset": "A", "amount": "1"});
    let mut cases = Vec::new();
    for kind in [
        "exchange.deposit.v2",
        "exchange.deposit",
        "Exchange.Deposit.V1",
        " exchange.deposit.v1",
        "softstake.distribution.v1",
        "softstake.decision.v1",
    ] {
        cases.push(refused(
            DEPOSITS,
            event("u", kind, 1000, &amount),
            "unsupported_type",
            "`type`",
        ));
        cases.push(refused(
            CONTROL,
            event("u", kind, 1000, &amount),
            "unsupported_type",
            "`type`",
        ));
    }
    cases.push(refused(
        CONTROL,
        event("w", "exchange.deposit.v1", 1000, &amount),
        "wrong_topic",
        "`type`",
    ));
    cases.push(refused(
        CONTROL,
        event("w", "exchange.account_status.v1", 1000, &amount),
        "wrong_topic",
        "`type`",
    ));
    for kind in [
        "softstake.asset.v1",
        "softstake.validator_reward.v1",
        "softstake.epoch_close.v1",
    ] {
        cases.push(refused(
            DEPOSITS,
            event("w", kind, 1000, &amount),
            "wrong_topic",
            "`type`",
        ));
        // Of several faults the first in the order of the checks is named.
        let untimely = altered(&event("w", kind, 1000, &json!({})), "/time", Some(json!("never")));
        cases.push(refused(TRADES, untimely, "wrong_topic", "`type`"));
    }
    cases.push(refused(
        DEPOSITS,
        altered(
            &deposit_with("/time", Some(json!("never"))),
            "/data/amount",
            Some(json!("none")),
        ),
        "invalid_time",
        "`time`",
    ));
    check(&listed(), &cases);
}

#[test]
fn what_comes_twice_and_differs() {
    let place = listed();
    let first = deposit("d", 1000, "ann", "A", "1.0");
    let close = close("A", 0, 100, "1");
    place.append(DEPOSITS, 0, [&first]);
    place.append(CONTROL, 0, [&close]);
    place.run(None);
    // The same values, spelled otherwise: identical copies, dropped without a word.
    let reordered = format!(
        r#" {{ "data": {{"amount":"\u0031.0","asset":"A","account":"ann"}}, "time":"{}", "type":"exchange.deposit.v1", "source":"\/test", "id":"d", "specversion":"1.0" }} "#,
        time(1000)
    );
    place.append(DEPOSITS, 0, [&first, &reordered]);
    place.append(CONTROL, 0, [&close]);
    check(
        &place,
        &[
            // "1" and "1.0" are different strings, and one moment spelled in two ways is two strings.
            refused(
                DEPOSITS,
                deposit("d", 1000, "ann", "A", "1"),
                "conflicting_duplicate",
                "`id`",
            ),
            refused(
                DEPOSITS,
                first.replace("01.000Z", "01Z"),
                "conflicting_duplicate",
                "`id`",
            ),
            refused(
                DEPOSITS,
                first.replace("\"amount\"", "\"note\":null,\"amount\""),
                "conflicting_duplicate",
                "`id`",
            ),
            // Before anything inside is judged.
            refused(
                DEPOSITS,
                first.replace("deposit.v1", "deposit.v9"),
                "conflicting_duplicate",
                "`id`",
            ),
            refused(
                DEPOSITS,
                first.replace("\"1.0\",\"asset\"", "\"-1\",\"asset\""),
                "conflicting_duplicate",
                "`id`",
            ),
            refused(
                DEPOSITS,
                altered(&first, "/time", Some(json!("never"))),
                "conflicting_duplicate",
                "`id`",
            ),
            refused(
                CONTROL,
                close.replace("\"reward_pool\":\"1\"", "\"reward_pool\":\"2\""),
                "conflicting_duplicate",
                "`id`",
            ),
        ],
    );
}

#[test]
fn what_is_too_old_or_too_far_ahead() {
    let place = listed();
    for epoch in 0..9 {
        place.append(CONTROL, 0, [close("A", epoch, 100, "0")]);
    }
    place.append(DEPOSITS, 0, [deposit("before", 0, "ann", "A", "1")]);
    place.run(None);
    // Epoch 9 is the oldest open: 2 is seven behind it, 1 is eight, 409 is four hundred ahead.
    place.append(
        DEPOSITS,
        0,
        [
            deposit("old", 200_000, "ann", "A", "1"),
            deposit("new", 40_999_999, "ann", "A", "1"),
        ],
    );
    check(
        &place,
        &[
            refused(
                DEPOSITS,
                deposit("too-old", 199_999, "ann", "A", "1"),
                "too_old",
                "`time`",
            ),
            refused(DEPOSITS, deposit("before", 0, "ann", "A", "1"), "too_old", "`time`"),
            refused(
                DEPOSITS,
                deposit("too-new", 41_000_000, "ann", "A", "1"),
                "too_far_ahead",
                "`time`",
            ),
            refused(
                DEPOSITS,
                deposit_with("/time", Some(json!("9999-12-31T23:59:59.999Z"))),
                "too_far_ahead",
                "`time`",
            ),
        ],
    );
    assert_eq!(place.records("softstake.late-postings").len(), 1);
}

#[test]
fn what_control_events_are_wrong() {
    let place = Place::new();
    place.append(DEPOSITS, 0, [deposit("early", 1000, "ann", "LATE", "1")]);
    place.run(None);
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool())]);
    let close_of = |asset: &str, epoch: Value, ms| {
        event(
            "c",
            "softstake.epoch_close.v1",
            ms,
            &json!({"asset": asset, "epoch": epoch}),
        )
    };
    let reward = json!({"asset": "A", "amount": "1", "validator": "v"});
    let reward_with = |field: &str, value| {
        altered(
            &event("r", "softstake.validator_reward.v1", 0, &reward),
            &format!("/data/{field}"),
            value,
        )
    };
    let pool_of = |pool: Value| {
        event(
            "c",
            "softstake.epoch_close.v1",
            100_000,
            &json!({"asset": "A", "epoch": 0, "reward_pool": pool}),
        )
    };
    let mut cases = vec![
        refused(
            CONTROL,
            listing("LATE", 2, 100, &pool()),
            "listing_too_late",
            "`anchor`",
        ),
        refused(CONTROL, close_of("NONE", json!(0), 100_000), "unknown_asset", "`asset`"),
        refused(
            CONTROL,
            event(
                "r",
                "softstake.validator_reward.v1",
                0,
                &json!({"asset": "NONE", "amount": "1", "validator": "v"}),
            ),
            "unknown_asset",
            "`asset`",
        ),
        refused(
            CONTROL,
            close_of("A", json!(1), 200_000),
            "epoch_out_of_order",
            "`epoch`",
        ),
        refused(CONTROL, close_of("A", json!(0), 99_999), "epoch_not_over", "`time`"),
        refused(CONTROL, close_of("A", json!("0"), 100_000), "invalid_event", "`epoch`"),
        refused(CONTROL, close_of("A", json!(-1), 100_000), "invalid_event", "`epoch`"),
        refused(CONTROL, close_of("A", json!(0.5), 100_000), "invalid_event", "`epoch`"),
        refused(CONTROL, close_of("A", json!(null), 100_000), "invalid_event", "`epoch`"),
        refused(CONTROL, close_of("a", json!(0), 100_000), "invalid_event", "`asset`"),
        refused(CONTROL, reward_with("validator", None), "invalid_event", "`validator`"),
        refused(
            CONTROL,
            reward_with("validator", Some(json!(null))),
            "invalid_event",
            "`validator`",
        ),
        refused(
            CONTROL,
            reward_with("amount", Some(json!("0"))),
            "invalid_amount",
            "`amount`",
        ),
        refused(
            CONTROL,
            reward_with("amount", Some(json!("0.001"))),
            "invalid_amount",
            "`amount`",
        ),
        refused(
            CONTROL,
            altered(&close_of("A", json!(0), 0), "/time", Some(json!("soon"))),
            "invalid_time",
            "`time`",
        ),
    ];
    for pool in [
        json!("-1"),
        json!(""),
        json!(0),
        json!(null),
        json!("0.001"),
        json!("1e30"),
    ] {
        cases.push(refused(CONTROL, pool_of(pool), "invalid_amount", "`reward_pool`"));
    }
    check(&place, &cases);
    place.append(CONTROL, 0, [close("A", 0, 100, "0.00")]);
    check(
        &place,
        &[refused(
            CONTROL,
            close_of("A", json!(0), 100_000),
            "epoch_already_closed",
            "`epoch`",
        )],
    );
}

#[test]
fn what_listings_are_wrong() {
    let good = listing("B", 2, 100, &pool());
    let with = |part: &str, value: Option<Value>| altered(&good, &format!("/data/{part}"), value);
    let mut cases = Vec::new();
    for field in [
        "asset",
        "decimals",
        "anchor",
        "epoch_seconds",
        "programme",
        "programme/from_epoch",
        "programme/mode",
    ] {
        let names = field.rsplit('/').next().unwrap_or_default();
        cases.push(refused(CONTROL, with(field, None), "invalid_event", names));
        let code = if field == "anchor" {
            "invalid_time"
        } else {
            "invalid_event"
        };
        cases.push(refused(CONTROL, with(field, Some(json!([]))), code, names));
    }
    for (field, value) in [
        ("decimals", json!(19)),
        ("epoch_seconds", json!(59)),
        ("epoch_seconds", json!(2_678_401)),
        ("programme/from_epoch", json!(1)),
        ("programme/mode", json!("stake")),
        ("programme/mode", json!("apr")),
        ("programme/apr", json!("0.1")),
        ("programme/commission_rate", json!("1.1")),
        ("programme/commission_rate", json!("-0.1")),
        ("programme/commission_rate", json!("0.0000000000000000001")),
        ("programme/max_balance", json!("0")),
        ("programme/payout_decimals", json!(3)),
        ("programme/enrolment", json!("none")),
        ("programme/late_policy", json!("ignore")),
        ("programme/tiers", json!([])),
        ("programme/tiers", json!([{"up_to": "1", "multiplier": "1"}])),
        (
            "programme/tiers",
            json!([{"up_to": null, "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]),
        ),
        (
            "programme/tiers",
            json!([{"up_to": "0", "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]),
        ),
        ("programme/tiers", json!([{"up_to": null, "multiplier": "100.000001"}])),
        ("programme/tiers", json!([{"up_to": null, "multiplier": "0.0000001"}])),
        (
            "programme/tiers",
            json!([{"up_to": "2", "multiplier": "1"}, {"up_to": "2.0", "multiplier": "1"}, {"up_to": null, "multiplier": "1"}]),
        ),
    ] {
        // A mode that asks for a rate is refused for the rate.
        let names = if value == "apr" {
            "apr"
        } else {
            field.rsplit('/').next().unwrap_or_default()
        };
        cases.push(refused(CONTROL, with(field, Some(value)), "invalid_programme", names));
    }
    for field in ["min_balance", "max_balance", "min_payout"] {
        for value in [
            json!("-1"),
            json!(1),
            json!("0.001"),
            json!("10000000000000000000000000000.01"),
            json!(""),
        ] {
            cases.push(refused(
                CONTROL,
                with(&format!("programme/{field}"), Some(value)),
                "invalid_amount",
                field,
            ));
        }
    }
    cases.push(refused(
        CONTROL,
        with(
            "programme/tiers",
            Some(json!([{"up_to": "0.001", "multiplier": "1"}, {"up_to": null, "multiplier": "1"}])),
        ),
        "invalid_amount",
        "up_to",
    ));
    for (field, value) in [("programme/min_balance", json!(null)), ("anchor", json!("2026-11-01"))] {
        let code = if field == "anchor" {
            "invalid_time"
        } else {
            "invalid_amount"
        };
        cases.push(refused(
            CONTROL,
            with(field, Some(value)),
            code,
            field.rsplit('/').next().unwrap_or_default(),
        ));
    }
    for (field, value) in [
        ("programme/commission_rate", json!(0.1)),
        ("programme/tiers", json!(null)),
        ("programme/tiers", json!([[]])),
        ("programme/tiers", json!([{"multiplier": "1"}])),
        ("programme/tiers", json!([{"up_to": null}])),
        ("programme/tiers", json!([{"up_to": null, "multiplier": 1}])),
        ("programme/enrolment", json!(null)),
        ("programme/payout_decimals", json!("2")),
        ("decimals", json!(2.5)),
        ("decimals", json!("2")),
    ] {
        cases.push(refused(
            CONTROL,
            with(field, Some(value)),
            "invalid_event",
            field.rsplit('/').next().unwrap_or_default(),
        ));
    }
    let place = listed();
    check(&place, &cases);
    // None of them listed anything, and a sound one does still.
    place.append(CONTROL, 0, [good.as_str(), &close("B", 0, 100, "0")]);
    place.append(DEPOSITS, 0, [deposit("b", 0, "ann", "B", "1")]);
    place.run(None);
    let published = judge(&place);
    assert_eq!(published.seals["B:0"]["data"]["closing_balance"], "1");
}

/// Spellings of one field: the JSON, and what comes of it: the canonical value, or a code with a `!`.
type Spellings = [(&'static str, &'static str)];

/// A bus on which the record of every spelling has an account of its own, so that its distribution tells what was understood.
fn spelled(
    place: &Place,
    record: impl Fn(&str, &str) -> String,
    spellings: &Spellings,
    names: &'static str,
    value: &str,
) {
    let mut cases = Vec::new();
    for (index, (spelling, outcome)) in spellings.iter().enumerate() {
        let line = record(&format!("n{index:03}"), spelling);
        match outcome.strip_prefix('!') {
            Some(code) => cases.push(refused(DEPOSITS, line, code, names)),
            None => place.append(DEPOSITS, 0, [line]),
        }
    }
    check(place, &cases);
    place.append(CONTROL, 0, [close("A", 0, 2_678_400, "0")]);
    place.run(None);
    let published = judge(place);
    for (index, (spelling, outcome)) in spellings.iter().enumerate() {
        let paid = published
            .distributions
            .get(&format!("A:0:n{index:03}"))
            .map(|record| record["data"][value].as_str().expect("text"));
        let wanted = (!outcome.starts_with('!') && !outcome.is_empty()).then_some(*outcome);
        assert_eq!(paid, wanted, "{spelling}");
    }
}

/// Asset A pays so high a rate that a single unit earns something: epochs of 31 days.
fn generous(decimals: u32) -> Place {
    let place = Place::new();
    place.append(
        CONTROL,
        0,
        [listing(
            "A",
            decimals,
            2_678_400,
            &json!({"from_epoch": 0, "mode": "apr", "apr": "1000"}),
        )],
    );
    place
}

#[test]
fn amounts_in_every_disguise() {
    let record =
        |account: &str, amount: &str| deposit(account, 0, account, "A", "AMOUNT").replace("\"AMOUNT\"", amount);
    let zeros = format!("\"{}1.5{}\"", "0".repeat(1000), "0".repeat(1000));
    let zeros: &'static str = Box::leak(zeros.into_boxed_str());
    let nines: &'static str = Box::leak(format!("\"{}\"", "9".repeat(1000)).into_boxed_str());
    spelled(
        &generous(6),
        record,
        &[
            (r#""1""#, "1"),
            (r#""1.0""#, "1"),
            (r#""0001.50""#, "1.5"),
            (r#""00.000001""#, "0.000001"),
            (r#""0.0000010000""#, "0.000001"),
            (r#""1.000000000000000000000000""#, "1"),
            (r#""\u0031\u002e\u0035""#, "1.5"),
            (zeros, "1.5"),
            (r#""1000000000000000000000000""#, "1000000000000000000000000"),
            (
                r#""999999999999999999999999.999999""#,
                "999999999999999999999999.999999",
            ),
            (r#""1000000000000000000000000.000000000""#, "1000000000000000000000000"),
            (r#""1000000000000000000000000.000001""#, "!invalid_amount"),
            (r#""1000000000000000000000001""#, "!invalid_amount"),
            (r#""340282366920938463463374607431768211456""#, "!invalid_amount"),
            (r#""340282366920938463463374607431768211457.5""#, "!invalid_amount"),
            (nines, "!invalid_amount"),
            (r#""0.0000001""#, "!invalid_amount"),
            (r#""1.0000005""#, "!invalid_amount"),
            (r#""0""#, "!invalid_amount"),
            (r#""0.0""#, "!invalid_amount"),
            (r#""000""#, "!invalid_amount"),
            (r#""""#, "!invalid_amount"),
            (r#""-1""#, "!invalid_amount"),
            (r#""+1""#, "!invalid_amount"),
            (r#""--1""#, "!invalid_amount"),
            (r#""-0""#, "!invalid_amount"),
            (r#"" 1""#, "!invalid_amount"),
            (r#""1 ""#, "!invalid_amount"),
            (r#""1\n""#, "!invalid_amount"),
            (r#""\t1""#, "!invalid_amount"),
            (r#""1\u0000""#, "!invalid_amount"),
            (r#""1 000""#, "!invalid_amount"),
            (r#""1,5""#, "!invalid_amount"),
            (r#""1,000.5""#, "!invalid_amount"),
            (r#""1_000""#, "!invalid_amount"),
            (r#""1'000""#, "!invalid_amount"),
            (r#"".5""#, "!invalid_amount"),
            (r#""5.""#, "!invalid_amount"),
            (r#"".""#, "!invalid_amount"),
            (r#""1.2.3""#, "!invalid_amount"),
            (r#""1..2""#, "!invalid_amount"),
            (r#""1.-2""#, "!invalid_amount"),
            (r#""1e3""#, "!invalid_amount"),
            (r#""1E-3""#, "!invalid_amount"),
            (r#""1.5e0""#, "!invalid_amount"),
            (r#""0x10""#, "!invalid_amount"),
            (r#""1f""#, "!invalid_amount"),
            (r#""NaN""#, "!invalid_amount"),
            (r#""Infinity""#, "!invalid_amount"),
            (r#""inf""#, "!invalid_amount"),
            (r#""null""#, "!invalid_amount"),
            (r#""１""#, "!invalid_amount"),
            (r#""١٢""#, "!invalid_amount"),
            (r#""1٫5""#, "!invalid_amount"),
            (r#""½""#, "!invalid_amount"),
            (r#""1\u200b""#, "!invalid_amount"),
            (r#""−1""#, "!invalid_amount"),
            (r#""1 A""#, "!invalid_amount"),
            (r#""$1""#, "!invalid_amount"),
            (r#""\ud800""#, "!invalid_amount"),
            ("1", "!invalid_amount"),
            ("1.5", "!invalid_amount"),
            ("1e400", "!invalid_amount"),
            ("-1", "!invalid_amount"),
            ("true", "!invalid_amount"),
            ("null", "!invalid_amount"),
            ("[]", "!invalid_amount"),
            (r#"["1"]"#, "!invalid_amount"),
            (r#"{"value":"1"}"#, "!invalid_amount"),
        ],
        "`amount`",
        "average_balance",
    );
}

#[test]
fn signed_amounts_in_every_disguise() {
    let record = |account: &str, delta: &str| {
        let data = json!({"account": account, "asset": "A", "delta": "DELTA", "reason": ""});
        event(account, "exchange.balance_adjustment.v1", 0, &data).replace("\"DELTA\"", delta)
    };
    spelled(
        &generous(2),
        record,
        &[
            (r#""1.5""#, "1.5"),
            (r#""+1.5""#, "1.5"),
            (r#""+0001.500""#, "1.5"),
            // Taken, and nothing is paid on less than nothing.
            (r#""-1.5""#, ""),
            (r#""-10000000000000000000000000000""#, ""),
            (r#""-10000000000000000000000000000.01""#, "!invalid_amount"),
            (r#""0""#, "!invalid_amount"),
            (r#""-0""#, "!invalid_amount"),
            (r#""+0.00""#, "!invalid_amount"),
            (r#""+-1""#, "!invalid_amount"),
            (r#""--1""#, "!invalid_amount"),
            (r#""++1""#, "!invalid_amount"),
            (r#""- 1""#, "!invalid_amount"),
            (r#""1-""#, "!invalid_amount"),
            (r#""-""#, "!invalid_amount"),
            (r#""+""#, "!invalid_amount"),
            (r#""""#, "!invalid_amount"),
            (r#""-.5""#, "!invalid_amount"),
            (r#""(1)""#, "!invalid_amount"),
            (r#""−1""#, "!invalid_amount"),
            (r#""-0.001""#, "!invalid_amount"),
            ("-1", "!invalid_amount"),
            ("null", "!invalid_amount"),
        ],
        "`delta`",
        "average_balance",
    );
}

#[test]
fn times_in_every_disguise() {
    // The epoch begins on the first of November and is 2,678,400 seconds long: what is left of it says which moment was understood.
    let record = |account: &str, time: &str| {
        deposit_with("/id", Some(json!(account)))
            .replace("ann", account)
            .replace(&format!("\"{}\"", events::time(1000)), time)
    };
    spelled(
        &generous(0),
        record,
        &[
            (r#""2026-11-01T00:00:00Z""#, "2678400"),
            (r#""2026-11-01t00:00:00z""#, "2678400"),
            (r#""2026-11-01T00:00:00+00:00""#, "2678400"),
            (r#""2026-11-01T00:00:00-00:00""#, "2678400"),
            (r#""2026-11-01T05:30:00+05:30""#, "2678400"),
            (r#""2026-10-31T00:01:00-23:59""#, "2678400"),
            (r#""2026-11-01T23:59:00+23:59""#, "2678400"),
            (r#""2026-11-01T00:00:00.0Z""#, "2678400"),
            (r#""2026-11-01T00:00:00.1Z""#, "2678399.9"),
            (r#""2026-11-01T00:00:00.001Z""#, "2678399.999"),
            (r#""2026-11-01T00:00:00.0019999999999999999999Z""#, "2678399.999"),
            (r#""2026-11-01T00:00:00.000999Z""#, "2678400"),
            (r#""\u0032026-11-01T00:00:00Z""#, "2678400"),
            // A leap second is the midnight that follows it, here and in a zone an hour ahead.
            (r#""2026-11-30T23:59:60Z""#, "86400"),
            (r#""2026-12-01T00:59:60+01:00""#, "86400"),
            (r#""2026-11-30T23:59:60.5Z""#, "86399.5"),
            // Before the anchor: taken, and ignored.
            (r#""2024-02-29T00:00:00Z""#, ""),
            (r#""2000-02-29T00:00:00Z""#, ""),
            (r#""0000-01-01T00:00:00Z""#, ""),
            (r#""2016-12-31T23:59:60Z""#, ""),
            (r#""2026-10-31T23:59:59.999999Z""#, ""),
            (r#""2023-02-29T00:00:00Z""#, "!invalid_time"),
            (r#""1900-02-29T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-31T00:00:00Z""#, "!invalid_time"),
            (r#""2026-00-01T00:00:00Z""#, "!invalid_time"),
            (r#""2026-13-01T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-00T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01T24:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01T00:60:00Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:60Z""#, "!invalid_time"),
            (r#""2026-11-01T23:59:60Z""#, "!invalid_time"),
            (r#""2026-11-30T23:59:60+01:00""#, "!invalid_time"),
            (r#""2026-11-30T23:59:61Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00""#, "!invalid_time"),
            (r#""2026-11-01T00:00Z""#, "!invalid_time"),
            (r#""2026-11-01""#, "!invalid_time"),
            (r#""2026-11-01 00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01_00:00:00Z""#, "!invalid_time"),
            (r#""20261101T000000Z""#, "!invalid_time"),
            (r#""2026-W44-7T00:00:00Z""#, "!invalid_time"),
            (r#""2026-305T00:00:00Z""#, "!invalid_time"),
            (r#""26-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""12026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""+2026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""-2026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00.Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00,5Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00+0000""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00+00""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00+24:00""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00+00:60""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00 Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00UTC""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00Z[UTC]""#, "!invalid_time"),
            (r#"" 2026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""2026-11-01T00:00:00Z\n""#, "!invalid_time"),
            (r#""２026-11-01T00:00:00Z""#, "!invalid_time"),
            (r#""Sun, 01 Nov 2026 00:00:00 GMT""#, "!invalid_time"),
            (r#""1793491200""#, "!invalid_time"),
            (r#""now""#, "!invalid_time"),
            (r#""""#, "!invalid_time"),
            ("1793491200", "!invalid_time"),
            ("null", "!invalid_time"),
            ("{}", "!invalid_time"),
        ],
        "`time`",
        "balance_seconds",
    );
}

#[test]
fn names_in_every_disguise() {
    let place = listed();
    let longest = "a".repeat(128);
    let sixty_four = "é".repeat(64);
    let accounts = [
        (json!(longest).to_string(), true),
        (json!(format!("{longest}a")).to_string(), false),
        (json!(sixty_four).to_string(), true),
        (json!(format!("{sixty_four}a")).to_string(), false),
        (r#""a b""#.into(), true),
        (r#"" ""#.into(), true),
        (r#""名前 🦀""#.into(), true),
        (r#""e\u0301""#.into(), true),
        (r#""\ud83e\udd80""#.into(), true),
        (r#""..\/..""#.into(), true),
        (r#""\"\\|:{}[],\u0027""#.into(), true),
        (r#""\u00a0""#.into(), true),
        (r#""\ufffd\uffff""#.into(), true),
        (r#""""#.into(), false),
        (r#""a\u0000b""#.into(), false),
        (r#""a\u001b[31mb""#.into(), false),
        (r#""a\nb""#.into(), false),
        (r#""a\tb""#.into(), false),
        (r#""a\u007fb""#.into(), false),
        (r#""a\u0085b""#.into(), false),
        (r#""a\u009bb""#.into(), false),
        (r#""a\u00adb""#.into(), false),
        (r#""a\u200bb""#.into(), false),
        (r#""a\u200db""#.into(), false),
        (r#""a\u200eb""#.into(), false),
        (r#""a\u2028b""#.into(), false),
        (r#""a\u2029b""#.into(), false),
        (r#""a\u202eb""#.into(), false),
        (r#""a\u2066b""#.into(), false),
        (r#""\ufeffa""#.into(), false),
        (r#""a\udb40\udc41""#.into(), false),
        (r#""\ud800""#.into(), false),
        (r#""\udc00\ud800""#.into(), false),
        (r#""\ud83ea""#.into(), false),
    ];
    let mut cases = Vec::new();
    let mut taken = Vec::new();
    for (spelling, good) in &accounts {
        let line = deposit_with("/id", Some(json!(spelling))).replace("\"ann\"", spelling);
        if *good {
            taken.push(serde_json::from_str::<String>(spelling).expect("a string"));
            place.append(DEPOSITS, 0, [line]);
        } else {
            cases.push(refused(DEPOSITS, line, "invalid_event", "`account`"));
        }
    }
    // An asset that may be one but is not listed is passed over without a word.
    for asset in ["A1", "0", "USDT", "ABCDEFGHIJKLMNOP"] {
        place.append(DEPOSITS, 0, [deposit_with("/data/asset", Some(json!(asset)))]);
    }
    for asset in [
        "",
        "a",
        "Usd",
        "ABCDEFGHIJKLMNOPQ",
        "A-B",
        "A/B",
        "A B",
        " A",
        "A\n",
        "Å",
        "Ａ",
        "A\u{0}",
        "A\u{200b}",
    ] {
        cases.push(refused(
            DEPOSITS,
            deposit_with("/data/asset", Some(json!(asset))),
            "invalid_event",
            "`asset`",
        ));
    }
    check(&place, &cases);
    // Each name, as it is, holds one A, and is paid for it.
    let pot = taken.len().to_string();
    place.append(CONTROL, 0, [close("A", 0, 100, &pot)]);
    place.run(None);
    let published = judge(&place);
    for account in &taken {
        let paid = &published.distributions[&format!("A:0:{account}")]["data"];
        assert_eq!(
            (&paid["account"], &paid["amount"]),
            (&json!(account), &json!("1")),
            "{account:?}"
        );
    }
    assert_eq!(published.distributions.len(), taken.len());
}
