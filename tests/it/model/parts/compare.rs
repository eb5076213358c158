//! Differences between expected and published records, as text.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Outputs;

const MOST_SHOWN: usize = 20;

/// Empty if both are equal. Otherwise the first differences and the number of the others.
///
/// The reason of a dead letter is free text and only has to exist.
#[must_use]
pub fn differences(expected: &Outputs, published: &Outputs) -> Vec<String> {
    let mut found = Vec::new();
    compare_topic("softstake.epochs", &expected.seals, &published.seals, &mut found);
    compare_topic(
        "softstake.distributions",
        &expected.distributions,
        &published.distributions,
        &mut found,
    );
    compare_topic(
        "softstake.dead-letters",
        &comparable(&expected.dead_letters),
        &comparable(&published.dead_letters),
        &mut found,
    );
    compare_topic(
        "softstake.late-postings",
        &expected.late_postings,
        &published.late_postings,
        &mut found,
    );
    if found.len() > MOST_SHOWN {
        let more = found.len() - MOST_SHOWN;
        found.truncate(MOST_SHOWN);
        found.push(format!("and {more} more"));
    }
    found
}

/// Dead letters with the same text in place of every reason.
fn comparable(dead_letters: &BTreeMap<String, Value>) -> BTreeMap<String, Value> {
    let mut dead_letters = dead_letters.clone();
    for dead_letter in dead_letters.values_mut() {
        let reason = dead_letter.pointer_mut("/data/reason");
        if let Some(reason) = reason.filter(|reason| reason.as_str().is_some_and(|text| !text.is_empty())) {
            *reason = Value::from("(any reason)");
        }
    }
    dead_letters
}

fn compare_topic(
    topic: &str,
    expected: &BTreeMap<String, Value>,
    published: &BTreeMap<String, Value>,
    found: &mut Vec<String>,
) {
    for (id, wanted) in expected {
        match published.get(id) {
            None => found.push(format!("{topic} {id}: missing; expected {wanted}")),
            Some(there) => compare_value(&format!("{topic} {id}"), "", wanted, there, found),
        }
    }
    for (id, there) in published {
        if !expected.contains_key(id) {
            found.push(format!("{topic} {id}: not expected; published {there}"));
        }
    }
}

fn compare_value(record: &str, path: &str, expected: &Value, published: &Value, found: &mut Vec<String>) {
    let (Value::Object(wanted), Value::Object(there)) = (expected, published) else {
        if expected != published {
            found.push(format!("{record}: {path}: expected {expected}, published {published}"));
        }
        return;
    };
    let below = |name: &str| {
        if path.is_empty() {
            name.to_owned()
        } else {
            format!("{path}.{name}")
        }
    };
    for (name, value) in wanted {
        match there.get(name) {
            None => found.push(format!(
                "{record}: {}: expected {value}, published nothing",
                below(name)
            )),
            Some(published) => compare_value(record, &below(name), value, published, found),
        }
    }
    for (name, value) in there {
        if !wanted.contains_key(name) {
            found.push(format!(
                "{record}: {}: expected nothing, published {value}",
                below(name)
            ));
        }
    }
}
