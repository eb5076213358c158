//! Events with a field that is missing or of the wrong kind.

use serde_json::{Value, json};

use super::{ACCOUNTS, DEPOSITS, Rejected, TRADES, altered, check, deposit_with, listed, rejected, trade_with};
use crate::common::events::event;

fn deposits() -> Vec<Rejected> {
    let mut cases = Vec::new();
    for (part, names) in [
        ("/data/account", "`account`"),
        ("/data/asset", "`asset`"),
        ("/data/amount", "`amount`"),
    ] {
        cases.push(rejected(DEPOSITS, deposit_with(part, None), "invalid_event", names));
    }
    for value in [json!(null), json!(7), json!(true), json!({}), json!([])] {
        for (part, code, names) in [
            ("/data/account", "invalid_event", "`account`"),
            ("/data/asset", "invalid_event", "`asset`"),
            ("/data/amount", "invalid_amount", "`amount`"),
            ("/time", "invalid_time", "`time`"),
        ] {
            cases.push(rejected(DEPOSITS, deposit_with(part, Some(value.clone())), code, names));
        }
    }
    cases
}

/// Trades whose `field` below `data` is replaced by `value`.
fn trade_case(field: &str, value: Option<Value>, code: &'static str, names: &'static str) -> Rejected {
    rejected(TRADES, trade_with(&format!("/data/{field}"), value), code, names)
}

fn trades() -> Vec<Rejected> {
    let mut cases = Vec::new();
    for field in ["base_asset", "quote_asset", "price", "quantity"] {
        cases.push(trade_case(field, None, "invalid_event", field));
    }
    for side in ["buyer", "seller"] {
        cases.push(trade_case(side, Some(json!("ann")), "invalid_event", side));
        for part in ["account", "fee/asset", "fee/amount"] {
            cases.push(trade_case(&format!("{side}/{part}"), None, "invalid_event", side));
        }
        let fee = format!("{side}/fee");
        cases.push(trade_case(&fee, Some(json!("0.1")), "invalid_event", "fee"));
        let amount = format!("{fee}/amount");
        for value in [
            json!(null),
            json!(0.1),
            json!(""),
            json!("--1"),
            json!("-"),
            json!("0.001"),
            json!("-0.001"),
        ] {
            cases.push(trade_case(&amount, Some(value), "invalid_amount", "fee.amount"));
        }
    }
    for (field, value) in [
        ("price", json!("-0")),
        ("price", json!("-2.5")),
        ("price", json!("2,5")),
        ("price", json!(2.5)),
        ("quantity", json!("0")),
        ("quantity", json!("0.001")),
        ("quote_quantity", json!("-0")),
        ("quote_quantity", json!(null)),
    ] {
        cases.push(trade_case(field, Some(value), "invalid_amount", field));
    }
    for missing in [None, Some(json!(null))] {
        let one_sided = trade_with("/data/buyer", missing.clone());
        for other in [None, Some(json!(null))] {
            let record = altered(&one_sided, "/data/seller", other);
            cases.push(rejected(TRADES, record, "invalid_event", "`buyer` and `seller`"));
        }
    }
    cases
}

/// Events of the other types, each with one field missing, and statuses that do not exist.
fn other_types() -> Vec<Rejected> {
    let mut cases = Vec::new();
    let transfer = json!({"from_account": "ann", "to_account": "ben", "asset": "A", "amount": "1"});
    let adjustment = json!({"account": "ann", "asset": "A", "delta": "1", "reason": "hold"});
    let status = json!({"account": "ann", "status": "enrolled"});
    let withdrawal = json!({"account": "ann", "asset": "A", "amount": "1", "fee": {"asset": "A", "amount": "1"}});
    let opening = json!({"account": "ann", "asset": "A", "amount": "1"});
    for (kind, data) in [
        ("exchange.transfer.v1", &transfer),
        ("exchange.balance_adjustment.v1", &adjustment),
        ("exchange.account_status.v1", &status),
        ("exchange.withdrawal.v1", &withdrawal),
        ("exchange.opening_balance.v1", &opening),
    ] {
        let fields = data.as_object().expect("an object").keys();
        for field in fields.filter(|field| *field != "fee") {
            let record = altered(&event("altered", kind, 1000, data), &format!("/data/{field}"), None);
            // A source topic accepts every type of source event.
            let names: &'static str = Box::leak(format!("`{field}`").into_boxed_str());
            cases.push(rejected(ACCOUNTS, record, "invalid_event", names));
        }
    }
    for value in [json!("Enrolled"), json!("opted out"), json!(""), json!(null), json!(1)] {
        let record = event("altered", "exchange.account_status.v1", 0, &status);
        let record = altered(&record, "/data/status", Some(value));
        cases.push(rejected(ACCOUNTS, record, "invalid_event", "`status`"));
    }
    cases
}

/// Known fields that are given twice, at any depth. A fault of an earlier field gives the code.
fn doubled() -> Vec<Rejected> {
    let fee = "\"fee\":{\"amount\":\"0.01\",\"asset\":\"A\"}";
    let twice = |member: &str| trade_with("/data/x", None).replace(member, &format!("{member},{member}"));
    let adjustment = |delta: &str| {
        let data = json!({"account": "ann", "asset": "A", "delta": delta, "reason": "hold"});
        let member = "\"reason\":\"hold\"";
        event("altered", "exchange.balance_adjustment.v1", 1000, &data).replace(member, &format!("{member},{member}"))
    };
    vec![
        rejected(
            TRADES,
            twice("\"price\":\"2.5\""),
            "invalid_event",
            "`price` is given twice",
        ),
        rejected(TRADES, twice(fee), "invalid_event", "`buyer.fee` is given twice"),
        rejected(
            TRADES,
            twice("\"account\":\"ben\""),
            "invalid_event",
            "`seller.account` is given twice",
        ),
        rejected(ACCOUNTS, adjustment("1"), "invalid_event", "`reason` is given twice"),
        rejected(ACCOUNTS, adjustment("0"), "invalid_amount", "`delta`"),
        rejected(
            TRADES,
            twice("\"specversion\":\"1.0\""),
            "invalid_event",
            "`specversion` is given twice",
        ),
        rejected(
            TRADES,
            twice("\"source\":\"/test\""),
            "invalid_event",
            "`source` is given twice",
        ),
    ]
}

#[test]
fn fields_that_are_missing_given_twice_or_of_the_wrong_kind() {
    let cases: Vec<Rejected> = [deposits(), trades(), other_types(), doubled()]
        .into_iter()
        .flatten()
        .collect();
    check(&listed(), &cases);
}
