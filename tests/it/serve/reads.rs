//! Reads of a process that serves, and what the bus says about the same.

use std::collections::BTreeMap;

use serde_json::Value;
use softstake::generate::Synthetic;

use super::served::{Reply, Served};
use crate::common::Place;
use crate::common::process::until;

/// Some thousands of distributions, with late postings and dead letters.
pub fn spec() -> Synthetic {
    Synthetic {
        events: 12_000,
        accounts: 150,
        assets: 3,
        epochs: 3,
        late: 0.05,
        bad: 0.02,
        ..Synthetic::default()
    }
}

/// A bus on which a deployment has done its work.
pub fn settled(spec: &Synthetic) -> Place {
    let place = Place::new();
    place.grow(spec, Some(4));
    place
}

impl Served {
    /// A path that is answered without a token.
    pub fn read(&self, path: &str) -> Reply {
        self.ask("GET", path, &[])
    }

    /// The JSON of a path that is there.
    #[track_caller]
    pub fn value(&self, path: &str) -> Value {
        let reply = self.read(path);
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        reply.json()
    }

    /// Waits until all that is on the bus now can be read.
    pub fn caught_up(&self) -> &Self {
        until("the view has caught up", || self.value("/v1/sync")["caught_up"] == true);
        self
    }

    /// All items of a list, read in parts of so many.
    #[track_caller]
    pub fn walk(&self, path: &str, limit: usize) -> Vec<Value> {
        let separator = if path.contains('?') { '&' } else { '?' };
        let (mut items, mut cursor) = (Vec::new(), String::new());
        loop {
            let part = self.value(&format!("{path}{separator}limit={limit}{cursor}"));
            let found = part["items"].as_array().expect("items");
            assert!(found.len() <= limit, "{path}");
            items.extend(found.iter().cloned());
            match part["next"].as_str() {
                // Every part but the last is full.
                Some(next) => {
                    assert_eq!(found.len(), limit, "{path}");
                    cursor = format!("&cursor={next}");
                }
                None => return items,
            }
        }
    }
}

/// The data of a topic's records, by a key.
pub fn by(place: &Place, topic: &str, key: impl Fn(&Value) -> String) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for record in place.records(topic) {
        found.entry(key(&record)).or_default().push(record["data"].clone());
    }
    found
}

/// A text field.
#[track_caller]
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name]
        .as_str()
        .unwrap_or_else(|| panic!("no text {name} in {value}"))
}

/// Checks that an answer has all that a record has.
#[track_caller]
pub fn assert_has(answer: &Value, data: &Value) {
    for (name, value) in data.as_object().expect("an object") {
        assert_eq!(&answer[name], value, "{name} of {answer}");
    }
}
