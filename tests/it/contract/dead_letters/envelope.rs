//! Records that are not JSON, not an event, or an event of the wrong type or on the wrong topic.

use serde_json::json;

use super::{CONTROL, DEPOSITS, TRADES, altered, check, deposit_with, listed, rejected};
use crate::common::events::{deposit, event, time};

#[test]
fn records_that_are_not_json() {
    let whole = deposit("d", 1000, "ann", "A", "1");
    let mut latin = whole.clone().into_bytes();
    let at = whole.find("ann").expect("the account");
    latin[at] = 0xe9;
    let mut with_mark = b"\xef\xbb\xbf".to_vec();
    with_mark.extend_from_slice(whole.as_bytes());
    check(
        &listed(),
        &[
            rejected(DEPOSITS, "{", "invalid_json", ""),
            rejected(DEPOSITS, &whole[..whole.len() - 1], "invalid_json", ""),
            rejected(DEPOSITS, format!("{whole}{whole}"), "invalid_json", ""),
            rejected(DEPOSITS, format!("{whole},"), "invalid_json", ""),
            rejected(DEPOSITS, whole.replace(':', "="), "invalid_json", ""),
            rejected(DEPOSITS, whole.replace('"', "'"), "invalid_json", ""),
            rejected(DEPOSITS, whole.replace("\"ann\"", "\"a\tb\""), "invalid_json", ""),
            rejected(DEPOSITS, whole.replace("\"ann\"", "\"a\\x\""), "invalid_json", ""),
            rejected(DEPOSITS, whole.replace("\"ann\"", "NaN"), "invalid_json", ""),
            rejected(DEPOSITS, whole.replace("\"ann\"", "01"), "invalid_json", ""),
            rejected(DEPOSITS, "id,source,type", "invalid_json", ""),
            rejected(DEPOSITS, "\u{b}", "invalid_json", ""),
            rejected(DEPOSITS, "\u{a0}", "invalid_json", ""),
            rejected(DEPOSITS, b"\0", "invalid_json", ""),
            rejected(DEPOSITS, &latin, "invalid_json", "UTF-8"),
            rejected(DEPOSITS, b"\xff", "invalid_json", "UTF-8"),
            rejected(DEPOSITS, b"{}\xc3", "invalid_json", "UTF-8"),
            rejected(DEPOSITS, b"\xed\xa0\x80", "invalid_json", "UTF-8"),
            rejected(DEPOSITS, &with_mark, "invalid_json", ""),
            rejected(CONTROL, "not JSON", "invalid_json", ""),
            rejected(CONTROL, b"\xfe", "invalid_json", "UTF-8"),
        ],
    );
}

#[test]
fn records_that_are_no_event() {
    let mut cases = Vec::new();
    for text in ["null", "true", "5", "\"text\"", "[]", "[{}]"] {
        cases.push(rejected(DEPOSITS, text, "invalid_event", "object"));
        cases.push(rejected(CONTROL, text, "invalid_event", "object"));
    }
    cases.push(rejected(DEPOSITS, "{}", "invalid_event", "`specversion`"));
    // The fields of an event in order, without their names.
    let data = json!({"account": "ann", "asset": "A", "amount": "1"});
    let positional = json!(["1.0", "p", "/test", "exchange.deposit.v1", time(0), data]).to_string();
    cases.push(rejected(DEPOSITS, positional, "invalid_event", "object"));
    let data = json!({"asset": "A", "epoch": 0});
    let positional = json!(["1.0", "p", "/test", "softstake.epoch_close.v1", time(100_000), data]).to_string();
    cases.push(rejected(CONTROL, positional, "invalid_event", "object"));
    for (part, names) in [
        ("/specversion", "`specversion`"),
        ("/id", "`id`"),
        ("/source", "`source`"),
        ("/type", "`type`"),
        ("/time", "`time`"),
        ("/data", "`data`"),
    ] {
        cases.push(rejected(DEPOSITS, deposit_with(part, None), "invalid_event", names));
        if part != "/time" {
            for value in [json!(null), json!(1), json!(""), json!(["1.0"])] {
                cases.push(rejected(
                    DEPOSITS,
                    deposit_with(part, Some(value)),
                    "invalid_event",
                    names,
                ));
            }
        }
    }
    cases.push(rejected(
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
        cases.push(rejected(DEPOSITS, record, "invalid_event", names));
    }
    check(&listed(), &cases);
}

#[test]
fn events_of_an_unknown_type_or_on_the_wrong_topic() {
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
        cases.push(rejected(
            DEPOSITS,
            event("u", kind, 1000, &amount),
            "unsupported_type",
            "`type`",
        ));
        cases.push(rejected(
            CONTROL,
            event("u", kind, 1000, &amount),
            "unsupported_type",
            "`type`",
        ));
    }
    cases.push(rejected(
        CONTROL,
        event("w", "exchange.deposit.v1", 1000, &amount),
        "wrong_topic",
        "`type`",
    ));
    cases.push(rejected(
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
        cases.push(rejected(
            DEPOSITS,
            event("w", kind, 1000, &amount),
            "wrong_topic",
            "`type`",
        ));
        // With several faults, the first in the order of the checks decides.
        let untimely = altered(&event("w", kind, 1000, &json!({})), "/time", Some(json!("never")));
        cases.push(rejected(TRADES, untimely, "wrong_topic", "`type`"));
    }
    cases.push(rejected(
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
