//! Dead letters: which records the program rejects, with which code and position, and which field the reason names.

mod control;
mod envelope;
mod fields;
mod listings;
mod repeats;
mod spellings;

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::common::Place;
use crate::common::events::{deposit, event, listing, pool};
use crate::common::records::by_id;
use crate::judge::judge;

const DEPOSITS: &str = "exchange.deposits";
const TRADES: &str = "exchange.trades";
const ACCOUNTS: &str = "exchange.accounts";
const CONTROL: &str = "softstake.control";

/// A record that must be rejected.
struct Rejected {
    topic: &'static str,
    record: Vec<u8>,
    code: &'static str,
    /// What the reason must name.
    names: &'static str,
}

fn rejected(topic: &'static str, record: impl AsRef<[u8]>, code: &'static str, names: &'static str) -> Rejected {
    Rejected {
        topic,
        record: record.as_ref().to_vec(),
        code,
        names,
    }
}

impl Rejected {
    /// Checks every field of the dead letter of this record.
    fn check(&self, offset: usize, letter: &Value) {
        let shown = String::from_utf8_lossy(&self.record);
        let mut data = letter["data"].clone();
        let reason = data["reason"].take();
        let reason = reason.as_str().expect("a reason");
        assert!(
            reason.contains(self.names),
            "{shown}: the reason does not name {}: {reason}",
            self.names
        );
        let mut wanted = json!({
            "code": self.code, "reason": null, "topic": self.topic, "partition": 0, "offset": offset,
        });
        let encoded = STANDARD.encode(&self.record);
        match std::str::from_utf8(&self.record) {
            Ok(text) if json!(text).to_string().len() - 2 <= encoded.len() => wanted["payload"] = text.into(),
            _ => wanted["payload_base64"] = encoded.into(),
        }
        assert_eq!(data, wanted, "{shown}: {reason}");
        assert_eq!(letter["source"], "/softstake");
        assert_eq!(letter["type"], "softstake.dead_letter.v1");
        // The time is that of the event, if it has one that can be read.
        let Ok(record) = serde_json::from_slice::<Value>(&self.record) else {
            // This reader refuses lone surrogates, which are valid JSON. Such a record may have a time.
            assert!(self.code != "invalid_json" || letter.get("time").is_none(), "{shown}");
            return;
        };
        let own = record["time"].as_str();
        if own.is_none() || (self.code == "invalid_time" && self.names == "`time`") {
            assert_eq!(letter.get("time"), None, "{shown}");
        }
        if self.code == "invalid_amount" {
            assert_eq!(letter["time"].as_str(), own, "{shown}");
        }
    }
}

/// Appends these records and runs. Each must make the dead letter that it should, and there must be no other new one.
fn check(place: &Place, cases: &[Rejected]) {
    let before = by_id(place.records("softstake.dead-letters"));
    let mut expected = BTreeMap::new();
    for case in cases {
        let path = place.bus().join(case.topic).join("0.jsonl");
        let text = std::fs::read(path).unwrap_or_default();
        let offset = text.iter().filter(|byte| **byte == b'\n').count();
        place.append(case.topic, 0, [&case.record]);
        expected.insert(format!("{}:0:{offset}", case.topic), (case, offset));
    }
    place.run(None);
    for (id, letter) in &by_id(place.records("softstake.dead-letters")) {
        match expected.remove(id) {
            Some((case, offset)) => case.check(offset, letter),
            None => assert!(before.contains_key(id), "{letter} was not expected"),
        }
    }
    let missing: Vec<_> = expected
        .values()
        .map(|(case, _)| String::from_utf8_lossy(&case.record))
        .collect();
    assert!(missing.is_empty(), "not rejected: {missing:?}");
    judge(place);
}

/// A bus on which asset A is listed: two decimals, epochs of a hundred seconds.
fn listed() -> Place {
    let place = Place::new();
    place.append(CONTROL, 0, [listing("A", 2, 100, &pool())]);
    place
}

/// A valid deposit with one field replaced. `part` is a JSON pointer; `None` removes the field.
fn deposit_with(part: &str, value: Option<Value>) -> String {
    altered(&deposit("altered", 1000, "ann", "A", "1"), part, value)
}

/// The same for any record.
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
