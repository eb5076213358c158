//! Published records as JSON values.

use std::collections::BTreeMap;

use num_bigint::BigInt;
use serde_json::{Value, json};

/// Records by their ids, which must be unique.
pub fn by_id(records: Vec<Value>) -> BTreeMap<String, Value> {
    let count = records.len();
    let by_id: BTreeMap<String, Value> = records
        .into_iter()
        .map(|record| (text(&record["id"]).to_owned(), record))
        .collect();
    assert_eq!(by_id.len(), count, "two records have the same id");
    by_id
}

/// A string.
pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("{value} is no string"))
}

/// A decimal number, exactly: in units of 10^-18.
pub fn scaled(decimal: &str) -> BigInt {
    let (sign, digits) = match decimal.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", decimal.trim_start_matches('+')),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    assert!(fraction.len() <= 18, "{decimal} has more than 18 decimals");
    format!("{sign}{whole}{fraction:0<18}")
        .parse()
        .unwrap_or_else(|_| panic!("{decimal} is no decimal number"))
}

/// The acknowledgement that a payout service writes for a distribution.
pub fn acknowledgement(number: usize, distribution: &str, amount: &str) -> Value {
    json!({
        "specversion": "1.0", "id": format!("pay-{number}"), "source": "/payouts", "type": "payout.executed.v1",
        "time": "2026-12-01T00:00:00Z",
        "data": {"distribution": distribution, "amount": amount, "credited_at": "2026-12-01T00:00:00Z"},
    })
}
